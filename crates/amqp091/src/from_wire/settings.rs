//! What queues and exchanges are declared with.

use crate::error::Refusal;
use tramline_broker::{
    ExchangeKind, ExchangeSettings, Overflow, QueueDurability, QueueKind, QueueSettings,
    SubscriptionStart,
};
use tramline_types::{ConnectionId, ExchangeName, TopicName};
use tramline_wire_amqp091::{
    Table, Value,
    method::{exchange, queue},
};

/// The limit of a quorum queue that does not say, as RabbitMQ 4 has it.
const QUORUM_REDELIVERIES_MAX: u32 = 20;

/// Reads one declaration's arguments; what is wrong is told with the argument's name.
struct Reading<'a> {
    queue: &'a str,
    table: &'a Table,
}

impl<'a> Reading<'a> {
    fn invalid(&self, name: &str, detail: impl std::fmt::Display) -> Refusal {
        Refusal::precondition(format!(
            "invalid arg '{name}' for queue '{}' in vhost '/': {detail}",
            self.queue
        ))
    }

    fn number(&self, name: &str, min: i64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.table.get(name) else { return Ok(None) };
        let number = value.as_integer().ok_or_else(|| self.invalid(name, "not a number"))?;
        if number < min {
            return Err(self.invalid(name, format!("{number} is less than {min}")));
        }
        Ok(u64::try_from(number).ok())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = self.table.get(name) else { return Ok(None) };
        value.as_text().map(Some).ok_or_else(|| self.invalid(name, "not a text"))
    }

    fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.table.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.invalid(name, "not a boolean")),
        }
    }

    fn kind(&self) -> Result<QueueKind, Refusal> {
        match self.text("x-queue-type")? {
            None | Some("classic") => Ok(QueueKind::Classic),
            Some("quorum") => Ok(QueueKind::Quorum),
            Some(other) => {
                Err(self.invalid("x-queue-type", format!("unsupported queue type '{other}'")))
            }
        }
    }

    /// The topic that the queue is to be a subscription of.
    fn topic(&self) -> Result<Option<TopicName>, Refusal> {
        const NAME: &str = "x-topic";
        let text = self.text(NAME)?;
        text.map(|text| TopicName::parse(text).map_err(|error| self.invalid(NAME, error)))
            .transpose()
    }

    fn start(&self) -> Result<SubscriptionStart, Refusal> {
        const NAME: &str = "x-topic-start";
        match self.text(NAME)? {
            None | Some("latest") => Ok(SubscriptionStart::Latest),
            Some("earliest") => Ok(SubscriptionStart::Earliest),
            Some(other) => Err(self.invalid(NAME, format!("unknown start '{other}'"))),
        }
    }

    fn overflow(&self) -> Result<Overflow, Refusal> {
        match self.text("x-overflow")? {
            None | Some("drop-head") => Ok(Overflow::DropHead),
            Some("reject-publish") => Ok(Overflow::RejectPublish),
            Some("reject-publish-dlx") => Ok(Overflow::RejectPublishDeadLetter),
            Some(other) => Err(self.invalid("x-overflow", format!("unknown mode '{other}'"))),
        }
    }

    fn dead_letter_exchange(&self) -> Result<Option<ExchangeName>, Refusal> {
        const NAME: &str = "x-dead-letter-exchange";
        let text = self.text(NAME)?;
        text.map(|text| ExchangeName::parse(text).map_err(|error| self.invalid(NAME, error)))
            .transpose()
    }

    fn dead_letter_routing_key(&self) -> Result<Option<String>, Refusal> {
        const NAME: &str = "x-dead-letter-routing-key";
        let key = self.text(NAME)?;
        if key.is_some() && self.table.get("x-dead-letter-exchange").is_none() {
            return Err(self.invalid(NAME, "routing_key_but_no_dlx_defined"));
        }
        Ok(key.map(str::to_owned))
    }

    fn at_least_once(&self) -> Result<bool, Refusal> {
        const NAME: &str = "x-dead-letter-strategy";
        match self.text(NAME)? {
            None | Some("at-most-once") => Ok(false),
            Some("at-least-once") => Ok(true),
            Some(other) => Err(self.invalid(NAME, format!("unknown strategy '{other}'"))),
        }
    }

    fn priority_max(&self) -> Result<u8, Refusal> {
        const NAME: &str = "x-max-priority";
        let priority = self.number(NAME, 0)?.unwrap_or(0);
        u8::try_from(priority).map_err(|_| self.invalid(NAME, format!("{priority} is above 255")))
    }

    /// The limit counts deliveries after the first. One below zero is none, as RabbitMQ 4 has it.
    fn deliveries_max(&self, kind: QueueKind) -> Result<Option<u32>, Refusal> {
        let default = match kind {
            QueueKind::Classic => None,
            QueueKind::Quorum => Some(QUORUM_REDELIVERIES_MAX + 1),
        };
        match self.table.get("x-delivery-limit") {
            None => Ok(default),
            Some(value) => {
                let number = value.as_integer();
                let number = number.ok_or_else(|| self.invalid("x-delivery-limit", "not a number"));
                Ok(u32::try_from(number?).ok().map(|limit| limit.saturating_add(1)))
            }
        }
    }
}

/// What a queue.declare asks for. Arguments that mean nothing to a single durable node (queue
/// mode and version, placement, group sizes) are accepted, and so are unknown ones.
pub(crate) fn queue_settings(
    declare: &queue::Declare,
    connection: ConnectionId,
) -> Result<QueueSettings, Refusal> {
    let reading = Reading { queue: &declare.queue, table: &declare.arguments };
    let kind = reading.kind()?;
    if kind == QueueKind::Quorum {
        for (name, wrong) in [
            ("durable", !declare.durable),
            ("exclusive", declare.exclusive),
            ("auto-delete", declare.auto_delete),
        ] {
            if wrong {
                let text =
                    format!("invalid property '{name}' for queue '{}' in vhost '/'", declare.queue);
                return Err(Refusal::precondition(text));
            }
        }
    }
    let is_durable = declare.durable && !declare.exclusive;
    Ok(QueueSettings {
        topic: reading.topic()?,
        start: reading.start()?,
        durability: if is_durable { QueueDurability::Durable } else { QueueDurability::Transient },
        owner: declare.exclusive.then_some(connection),
        auto_delete: declare.auto_delete,
        kind,
        message_ttl_ms: reading.number("x-message-ttl", 0)?,
        expires_ms: reading.number("x-expires", 1)?,
        length_max: reading.number("x-max-length", 0)?,
        bytes_max: reading.number("x-max-length-bytes", 0)?,
        overflow: reading.overflow()?,
        dead_letter_exchange: reading.dead_letter_exchange()?,
        dead_letter_routing_key: reading.dead_letter_routing_key()?,
        dead_letter_at_least_once: reading.at_least_once()?,
        priority_max: reading.priority_max()?,
        deliveries_max: reading.deliveries_max(kind)?,
        single_active_consumer: reading.flag("x-single-active-consumer")?,
        consumer_timeout_ms: reading.number("x-consumer-timeout", 0)?.unwrap_or(0),
        track: reading.flag("x-track")?,
        result_ttl_ms: reading.number("x-result-ttl", 0)?,
        ..QueueSettings::default()
    })
}

/// What an exchange.declare asks for.
pub(crate) fn exchange_settings(declare: &exchange::Declare) -> Result<ExchangeSettings, Refusal> {
    let kind = ExchangeKind::parse(&declare.kind).ok_or_else(|| {
        Refusal::precondition(format!("invalid exchange type '{}'", declare.kind))
    })?;
    let invalid = |detail: &dyn std::fmt::Display| {
        Refusal::precondition(format!(
            "invalid arg 'alternate-exchange' for exchange '{}' in vhost '/': {detail}",
            declare.exchange
        ))
    };
    let alternate = match declare.arguments.get("alternate-exchange") {
        None => None,
        Some(value) => {
            let name = value.as_text().ok_or_else(|| invalid(&"not a text"))?;
            Some(ExchangeName::parse(name).map_err(|error| invalid(&error))?)
        }
    };
    Ok(ExchangeSettings {
        kind,
        durable: declare.durable,
        auto_delete: declare.auto_delete,
        internal: declare.internal,
        alternate,
    })
}

/// A consumer's `x-priority`.
pub(crate) fn consume_priority(arguments: &Table) -> Result<i32, Refusal> {
    let Some(value) = arguments.get("x-priority") else { return Ok(0) };
    let number = value.as_integer().and_then(|number| i32::try_from(number).ok());
    number.ok_or_else(|| Refusal::precondition("invalid arg 'x-priority': not a number"))
}

/// Whether a consumer asks for a stream's arguments, which a queue does not have.
pub(crate) fn rejects_stream(arguments: &Table) -> bool {
    arguments.get("x-stream-offset").is_some()
}
