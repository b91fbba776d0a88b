//! The only mapping of errors to reply codes.

use tramline_broker::{Error, QueueError};
use tramline_wire_amqp091::{DecodeError, ReplyCode};

/// Why a channel or the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ReplyCode,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The text as RabbitMQ writes it: the code's name first.
    pub(crate) fn reply_text(&self) -> String {
        format!("{} - {}", self.code.name(), self.text)
    }

    pub(crate) fn no_queue(name: &str) -> Self {
        Self::new(ReplyCode::NotFound, format!("no queue '{name}' in vhost '/'"))
    }

    pub(crate) fn no_exchange(name: &str) -> Self {
        Self::new(ReplyCode::NotFound, format!("no exchange '{name}' in vhost '/'"))
    }

    pub(crate) fn precondition(text: impl Into<String>) -> Self {
        Self::new(ReplyCode::PreconditionFailed, text)
    }

    /// In a text about an exchange, which the broker's errors do not tell from a queue.
    pub(crate) fn of_exchange(mut self) -> Self {
        self.text = self.text.replacen("for queue '", "for exchange '", 1);
        if self.text.starts_with("queue '") {
            self.text.replace_range(.."queue".len(), "exchange");
        }
        self
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let code = match error {
            DecodeError::InvalidUtf8
            | DecodeError::UnknownFrame(_)
            | DecodeError::FrameTooLarge { .. }
            | DecodeError::InvalidFrameEnd(_) => ReplyCode::FrameError,
            DecodeError::UnknownMethod { .. } => ReplyCode::NotImplemented,
            DecodeError::Truncated
            | DecodeError::TrailingBytes(_)
            | DecodeError::UnknownFieldType(_)
            | DecodeError::TooDeep
            | DecodeError::InvalidPropertyFlags => ReplyCode::SyntaxError,
        };
        Self::new(code, error.to_string())
    }
}

/// A setting by the name that it has in AMQP.
fn argument(setting: &str) -> &str {
    match setting {
        "topic" => "x-topic",
        "start" => "x-topic-start",
        "kind" => "x-queue-type",
        "message_ttl_ms" => "x-message-ttl",
        "expires_ms" => "x-expires",
        "length_max" => "x-max-length",
        "bytes_max" => "x-max-length-bytes",
        "overflow" => "x-overflow",
        "dead_letter_exchange" => "x-dead-letter-exchange",
        "dead_letter_routing_key" => "x-dead-letter-routing-key",
        "dead_letter_at_least_once" => "x-dead-letter-strategy",
        "priority_max" => "x-max-priority",
        "deliveries_max" => "x-delivery-limit",
        "single_active_consumer" => "x-single-active-consumer",
        "consumer_timeout_ms" => "x-consumer-timeout",
        _ => setting,
    }
}

/// A setting's value as it is written in AMQP.
fn shown(setting: &str, value: &str) -> String {
    let value =
        value.strip_prefix("Some(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(value);
    match (argument(setting), value) {
        ("durable", _) => (value == "Durable").to_string(),
        ("exclusive", _) => (value != "None").to_string(),
        (_, "None") => "none".to_owned(),
        _ => value.trim_matches('"').to_lowercase(),
    }
}

impl From<QueueError> for Refusal {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::UnknownQueue(name) | QueueError::Deleted(name) => Self::no_queue(&name),
            QueueError::UnknownExchange(name) => Self::no_exchange(&name),
            QueueError::NameTaken(name, by) => {
                Self::precondition(format!("the name '{name}' is taken by a {by}"))
            }
            QueueError::Inequivalent { name, setting, have, wanted } => {
                let (have, wanted) = (shown(setting, &have), shown(setting, &wanted));
                Self::precondition(format!(
                    "inequivalent arg '{}' for queue '{name}' in vhost '/': received '{wanted}' \
                     but current is '{have}'",
                    argument(setting)
                ))
            }
            QueueError::InvalidSetting { setting, detail } => {
                Self::precondition(format!("invalid arg '{}': {detail}", argument(setting)))
            }
            QueueError::Locked(name) => Self::new(
                ReplyCode::ResourceLocked,
                format!(
                    "cannot obtain exclusive access to locked queue '{name}' in vhost '/'. It \
                     could be originally declared on another connection or the exclusive \
                     property value does not match that of the original declaration."
                ),
            ),
            QueueError::ExclusiveConsumer(name) => Self::new(
                ReplyCode::AccessRefused,
                format!("queue '{name}' in vhost '/' in exclusive use"),
            ),
            QueueError::InUse(name) => {
                Self::precondition(format!("queue '{name}' in vhost '/' in use"))
            }
            QueueError::NotEmpty(name) => {
                Self::precondition(format!("queue '{name}' in vhost '/' is not empty"))
            }
            QueueError::AccessRefused(text) => Self::new(ReplyCode::AccessRefused, text),
            QueueError::LockLost => Self::precondition("the delivery is not held any more"),
            QueueError::LimitExceeded(text) => Self::precondition(text),
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::Queue(error) => error.into(),
            Error::UnknownTopic(_)
            | Error::UnknownTopicId
            | Error::UnknownPartition { .. }
            | Error::UnknownGroup(_) => Self::new(ReplyCode::NotFound, text),
            Error::TopicExists(_)
            | Error::InvalidTopicName(_)
            | Error::InvalidPartitions(_)
            | Error::InvalidReplicationFactor(_)
            | Error::InvalidSetting { .. }
            | Error::OffsetOutOfRange { .. }
            | Error::MessageTooLarge { .. }
            | Error::CorruptBatch(_)
            | Error::InvalidRecord(_)
            | Error::InvalidRecords(_)
            | Error::UnsupportedCompression
            | Error::OutOfOrderSequence(_)
            | Error::InvalidProducerEpoch(_)
            | Error::UnknownMember
            | Error::IllegalGeneration
            | Error::RebalanceInProgress
            | Error::InconsistentProtocol
            | Error::InvalidSessionTimeout
            | Error::MemberIdRequired(_)
            | Error::FencedInstance
            | Error::InvalidGroup(_)
            | Error::GroupFull
            | Error::NonEmptyGroup
            | Error::TopicDeletionDisabled
            | Error::OffsetMetadataTooLarge
            | Error::OrderedView { .. }
            | Error::RecordsNotDeletable(_)
            | Error::Busy(_) => Self::precondition(text),
            Error::StorageFull | Error::LimitExceeded(_) => Self::precondition(text),
            Error::Storage(_) | Error::DataDamaged(_) => Self::new(ReplyCode::InternalError, text),
            Error::Closed => Self::new(ReplyCode::ConnectionForced, text),
        }
    }
}
