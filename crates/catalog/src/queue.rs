//! Queues as stored, and their settings.

use crate::{Error, topic::parse_id};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tramline_types::{ExchangeName, QueueName, TopicId, TopicName};

const PREFIX: &str = "queue/";

/// Whether a queue and its messages outlive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueDurability {
    /// They do.
    #[default]
    Durable,
    /// They live in memory only.
    Transient,
}

/// What the queue was declared as: sets defaults, and is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueKind {
    /// RabbitMQ's classic queue, and everyone else's.
    #[default]
    Classic,
    /// RabbitMQ's quorum queue.
    Quorum,
}

/// What happens at a bound of length or bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overflow {
    /// The oldest are dropped, or dead-lettered.
    #[default]
    DropHead,
    /// The publish is refused.
    RejectPublish,
    /// The publish is refused, and the message dead-lettered.
    RejectPublishDeadLetter,
}

/// Where a subscription begins in what its topic holds when it is declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriptionStart {
    /// With the first record there is.
    Earliest,
    /// With the first record that comes after.
    #[default]
    Latest,
}

impl SubscriptionStart {
    fn is_latest(&self) -> bool {
        *self == Self::Latest
    }
}

/// A queue's settings. Durations are in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueueSettings {
    /// The topic that this is a subscription of: its records are the messages. `None`: a queue
    /// with messages of its own.
    #[serde(skip_serializing_if = "Option::is_none", with = "topic_name")]
    pub topic: Option<TopicName>,
    /// Where a subscription begins.
    #[serde(skip_serializing_if = "SubscriptionStart::is_latest")]
    pub start: SubscriptionStart,
    /// Whether it outlives a restart.
    pub durability: QueueDurability,
    /// The connection that alone may use it, and with which it ends. Never stored.
    #[serde(skip)]
    pub owner: Option<tramline_types::ConnectionId>,
    /// Deleted when its last consumer is gone.
    pub auto_delete: bool,
    /// What it was declared as.
    pub kind: QueueKind,
    /// A message is dead after so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_ttl_ms: Option<u64>,
    /// Deleted when unused (no consumer, no receive, no declaration) for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Ready messages at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_max: Option<u64>,
    /// Bytes of ready messages' bodies at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// What happens at these bounds.
    pub overflow: Overflow,
    /// Where dead messages go.
    #[serde(skip_serializing_if = "Option::is_none", with = "exchange")]
    pub dead_letter_exchange: Option<ExchangeName>,
    /// With which routing key; `None` keeps the message's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_routing_key: Option<String>,
    /// Messages whose time to live is over are dropped, not dead-lettered.
    pub drop_expired: bool,
    /// Kept until the dead-letter target has it, also when there is no route.
    pub dead_letter_at_least_once: bool,
    /// The highest priority; 0: none.
    pub priority_max: u8,
    /// Deliveries of one message at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliveries_max: Option<u32>,
    /// One consumer at a time gets messages.
    pub single_active_consumer: bool,
    /// How long a timed lock holds where the receiver does not say; 0: 30 seconds.
    pub lock_duration_ms: u64,
    /// A delivery that a connection holds for so long ends its channel (AMQP 0-9-1), and its
    /// message is ready again; 0: after the time that is configured for all.
    pub consumer_timeout_ms: u64,
    /// Every message waits so long before its first delivery.
    pub delay_ms: u64,
    /// Between deliveries of one message: the first wait and the longest; it doubles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_backoff_ms: Option<(u64, u64)>,
    /// A message whose deduplication id was seen within this time is not taken again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication_ms: Option<u64>,
    /// Messages of one group are delivered one at a time, in order.
    pub ordered_groups: bool,
    /// Groups take turns, so that one with many messages does not hold up the others; without
    /// effect on ordered groups.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fair_groups: bool,
    /// Messages are kept so long after they are done, to be read and put in again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_after_settle_ms: Option<u64>,
    /// What becomes of each message can be asked: it is a job.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub track: bool,
    /// The queues that get a message when one of this queue is done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on_done: Vec<String>,
    /// How long the end of a job is kept; 24 hours where nobody says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_ttl_ms: Option<u64>,
    /// What front-ends keep with the queue, by their protocols' names. Not compared when the
    /// queue is declared again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Names as text.
macro_rules! name_as_text {
    ($module:ident, $name:ident) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};
            use tramline_types::$name;

            pub(super) fn serialize<S: Serializer>(
                name: &Option<$name>,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                match name {
                    Some(name) => serializer.serialize_str(name.as_str()),
                    None => serializer.serialize_none(),
                }
            }

            pub(super) fn deserialize<'a, D: Deserializer<'a>>(
                deserializer: D,
            ) -> Result<Option<$name>, D::Error> {
                let text = Option::<String>::deserialize(deserializer)?;
                text.map(|text| $name::parse(&text).map_err(D::Error::custom)).transpose()
            }
        }
    };
}

name_as_text!(exchange, ExchangeName);
name_as_text!(topic_name, TopicName);

/// A durable queue as stored under `queue/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueRecord {
    /// The queue's id, never reused.
    pub id: u64,
    /// When it was declared, in milliseconds since the epoch.
    pub created_ms: i64,
    /// The log of each priority level in use; none of a subscription, which reads its topic's.
    pub lanes: Vec<(u16, u64)>,
    /// The id of a subscription's topic, as [`crate::TopicRecord::format_id`] writes it: a topic
    /// of the same name that is made later is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// The log of its delivery state, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<u64>,
    /// The log that a checkpoint of that is being written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_next: Option<u64>,
    /// Its settings.
    pub settings: QueueSettings,
}

impl QueueRecord {
    /// A queue's key.
    pub fn key(name: &QueueName) -> Bytes {
        Bytes::from(format!("{PREFIX}{name}"))
    }

    /// What all queues' keys start with.
    pub const fn prefix() -> &'static [u8] {
        PREFIX.as_bytes()
    }

    /// The topic that a subscription was declared for.
    pub fn source(&self) -> Option<TopicId> {
        self.topic_id.as_deref().and_then(parse_id)
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("text, numbers and lists of them are JSON"))
    }

    /// Reads a stored pair.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<(QueueName, Self), Error> {
        let damaged = |detail: String| Error::Damaged {
            key: String::from_utf8_lossy(key).into_owned(),
            detail,
        };
        let name = std::str::from_utf8(key)
            .ok()
            .and_then(|key| QueueName::parse(key.strip_prefix(PREFIX)?).ok())
            .ok_or_else(|| damaged("not a queue's name".to_owned()))?;
        let record = serde_json::from_slice(value).map_err(|e| damaged(e.to_string()))?;
        Ok((name, record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_stored() {
        let name = QueueName::parse("jobs / ä").unwrap();
        let settings = QueueSettings {
            topic: TopicName::parse("orders").ok(),
            start: SubscriptionStart::Earliest,
            message_ttl_ms: Some(5),
            retry_backoff_ms: Some((1, 9)),
            overflow: Overflow::RejectPublish,
            dead_letter_exchange: ExchangeName::parse("dead").ok(),
            ..QueueSettings::default()
        };
        let lanes = vec![(0, 7), (9, 8)];
        let record = QueueRecord {
            id: 3,
            created_ms: 1,
            lanes,
            topic_id: Some("id".to_owned()),
            state: Some(4),
            state_next: Some(5),
            settings,
        };
        let read = QueueRecord::decode(&QueueRecord::key(&name), &record.encode());
        assert_eq!(read, Ok((name, record)));
    }

    #[test]
    fn a_queue_is_stored_as_it_was_before_there_were_subscriptions() {
        let value = br#"{"id":1,"created_ms":2,"lanes":[[0,3]],"settings":{}}"#;
        let (_, record) = QueueRecord::decode(b"queue/a", value).unwrap();
        assert_eq!((record.topic_id, record.settings.topic), (None, None));
        let text = serde_json::to_string(&QueueSettings::default()).unwrap();
        assert!(!text.contains("topic") && !text.contains("start"), "{text}");
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        for (key, value) in
            [("queue/", "{}"), ("topic/a", "{}"), ("queue/a", "{}"), ("queue/a", "")]
        {
            assert!(QueueRecord::decode(key.as_bytes(), value.as_bytes()).is_err(), "{key}");
        }
    }
}
