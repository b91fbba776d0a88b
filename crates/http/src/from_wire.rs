//! Requests as they come, and what they mean to the broker: the only conversions in that
//! direction. A text is given as `key` (UTF-8) or `key_base64` (any bytes), a value likewise.

mod headers;

use crate::{Context, error::Error, time};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};
use tramline_broker::{Change, EnqueueOptions, Mode, NewTopic, Position, SettingChange, Topic};
use tramline_types::{ExchangeName, Message, QueueName, Timestamp, TopicName};

pub(crate) use headers::Headers;

/// The body of POST `/v1/topics`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTopic {
    name: String,
    partitions: Option<u32>,
    replication_factor: Option<i16>,
    #[serde(default)]
    settings: BTreeMap<String, Setting>,
    #[serde(default)]
    dry_run: bool,
}

impl CreateTopic {
    pub(crate) fn into_domain(self) -> Result<NewTopic, Error> {
        Ok(NewTopic {
            name: TopicName::parse(&self.name)?,
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            settings: self.settings.into_iter().map(|(name, value)| (name, value.text())).collect(),
            mode: if self.dry_run { Mode::ValidateOnly } else { Mode::Apply },
        })
    }
}

/// A setting's value: a text, or a number or truth value that stands for its text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a setting is a string, a number or a boolean")]
pub(crate) enum Setting {
    Text(String),
    Boolean(bool),
    Number(serde_json::Number),
}

impl Setting {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Boolean(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// The body of PATCH `/v1/topics/{topic}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlterTopic {
    pub(crate) partitions: Option<u32>,
    /// `null` takes a setting back to its default.
    #[serde(default)]
    settings: BTreeMap<String, Option<Setting>>,
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl AlterTopic {
    pub(crate) fn into_changes(self) -> Vec<SettingChange> {
        let change = |(name, value): (String, Option<Setting>)| SettingChange {
            name,
            change: value.map_or(Change::Reset, |value| Change::Set(value.text())),
        };
        self.settings.into_iter().map(change).collect()
    }
}

/// The JSON body of POST `/v1/topics/{topic}/messages`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishMessages {
    messages: Vec<PublishMessage>,
}

impl PublishMessages {
    /// Each message, with the partition that it wants.
    pub(crate) fn into_domain(self) -> Result<Vec<(Option<u32>, Message)>, Error> {
        if self.messages.is_empty() {
            return Err(Error::malformed("`messages` is empty", "send at least one message"));
        }
        self.messages.into_iter().map(PublishMessage::into_domain).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishMessage {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Headers,
    partition: Option<u32>,
    timestamp: Option<i64>,
}

impl PublishMessage {
    fn into_domain(self) -> Result<(Option<u32>, Message), Error> {
        let message = Message {
            key: bytes("key", self.key, self.key_base64)?,
            value: bytes("value", self.value, self.value_base64)?,
            headers: self.headers.into_domain()?,
            timestamp: self.timestamp.map(Timestamp::from_millis),
        };
        Ok((self.partition, message))
    }
}

/// The JSON body of POST `/v1/queues/{queue}/messages`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnqueueMessages {
    messages: Vec<EnqueueMessage>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnqueueMessage {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(default)]
    headers: Headers,
    #[serde(default)]
    priority: u8,
    ttl_ms: Option<u64>,
    delay_ms: Option<u64>,
    group: Option<String>,
    deduplication_id: Option<String>,
}

impl EnqueueMessages {
    /// Each message, and how it is to be treated.
    pub(crate) fn into_domain(
        self,
        now: Timestamp,
    ) -> Result<Vec<(Message, EnqueueOptions)>, Error> {
        if self.messages.is_empty() {
            return Err(Error::malformed("`messages` is empty", "send at least one message"));
        }
        self.messages.into_iter().map(|message| message.into_domain(now)).collect()
    }
}

impl EnqueueMessage {
    fn into_domain(self, now: Timestamp) -> Result<(Message, EnqueueOptions), Error> {
        let message = Message {
            key: bytes("key", self.key, self.key_base64)?,
            value: bytes("value", self.value, self.value_base64)?,
            headers: self.headers.into_domain()?,
            timestamp: None,
        };
        let delay = |delay_ms: u64| {
            let millis = i64::try_from(delay_ms).unwrap_or(i64::MAX);
            Timestamp::from_millis(now.as_millis().saturating_add(millis))
        };
        let options = EnqueueOptions {
            persistent: true,
            priority: self.priority,
            ttl_ms: self.ttl_ms,
            deliver_at: self.delay_ms.map(delay),
            group: self.group.map(|group| group.into_bytes().into()),
            deduplication_id: self.deduplication_id.map(|id| id.into_bytes().into()),
            tell_place: false,
        };
        Ok((message, options))
    }
}

/// A queue's name.
pub(crate) fn queue_name(text: &str) -> Result<QueueName, Error> {
    Ok(QueueName::parse(text)?)
}

/// The name of an exchange that is not the default one.
pub(crate) fn exchange_name(text: &str) -> Result<ExchangeName, Error> {
    let name = ExchangeName::parse(text)?;
    if name.is_default() {
        return Err(Error::malformed(
            "the default exchange has no name and binds every queue by its own",
            "name another exchange",
        ));
    }
    Ok(name)
}

/// Bytes given as text or as base64, not as both.
pub(crate) fn bytes(
    field: &str,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Option<Bytes>, Error> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(text.into_bytes().into())),
        (None, Some(base64)) => match STANDARD.decode(base64) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) => Err(Error::malformed(
                format!("`{field}_base64`: {error}"),
                "use the standard base64 alphabet with padding",
            )),
        },
        (Some(_), Some(_)) => Err(Error::malformed(
            format!("`{field}` and `{field}_base64` are both given"),
            "give text in the one, or any bytes in the other",
        )),
    }
}

/// Where reading starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this offset.
    Offset(i64),
    /// At the first or the next offset.
    At(Position),
    /// At the first message of this time or later; after the last one when there is none.
    Time(Timestamp),
}

impl Start {
    pub(crate) const EARLIEST: Self = Self::At(Position::Earliest);
    pub(crate) const LATEST: Self = Self::At(Position::Latest);

    /// From the parameters `from`, `offset` and `time`, of which one may be given.
    pub(crate) fn parse(
        cx: &Context,
        from: Option<String>,
        offset: Option<i64>,
        time: Option<String>,
    ) -> Result<Option<Self>, Error> {
        match (from.as_deref(), offset, time) {
            (None, None, None) => Ok(None),
            (Some("earliest"), None, None) => Ok(Some(Self::EARLIEST)),
            (Some("latest"), None, None) => Ok(Some(Self::LATEST)),
            (Some(other), None, None) => Err(Error::malformed(
                format!("`{other}` is no place to start"),
                "use `earliest` or `latest`, or `offset` or `time` instead",
            )),
            (None, Some(offset), None) => Ok(Some(Self::Offset(offset))),
            (None, None, Some(time)) => Self::parse_time(cx, &time).map(Some),
            _ => Err(Error::malformed(
                "more than one place to start is given",
                "give one of `earliest` or `latest`, `offset`, and `time`",
            )),
        }
    }

    /// A point in time as text.
    pub(crate) fn parse_time(cx: &Context, text: &str) -> Result<Self, Error> {
        time::parse(text, cx.broker.clock().now()).map(Self::Time).ok_or_else(|| {
            Error::malformed(
                format!("`{text}` is no time"),
                "use milliseconds since 1970, RFC 3339 such as 2026-01-31T08:00:00Z, or a span \
                 before now such as -10m",
            )
        })
    }

    /// The offset in one partition.
    pub(crate) async fn offset(
        self,
        cx: &Context,
        topic: &Topic,
        partition: u32,
    ) -> Result<i64, Error> {
        let position = match self {
            Self::Offset(offset) => return Ok(offset),
            Self::At(position) => position,
            Self::Time(time) => Position::At(time),
        };
        let found = cx.broker.offset_for(topic, partition, position).await?;
        let offset = match found.offset {
            Some(offset) => Some(offset),
            None => cx.broker.offset_for(topic, partition, Position::Latest).await?.offset,
        };
        Ok(offset.map_or(0, tramline_types::Offset::as_i64))
    }
}

/// The topic of this name to read from; its ordered view where everything is wanted in one order.
pub(crate) fn topic_to_read(cx: &Context, name: &str, ordered: bool) -> Result<Arc<Topic>, Error> {
    let topic = cx.broker.topic(&TopicName::parse(name)?)?;
    if !ordered {
        return Ok(topic);
    }
    topic.ordered_view().cloned().ok_or_else(|| {
        Error::malformed(
            format!("`{name}` has an order within each partition only"),
            "leave `ordered` out, or create a topic with `order=total`",
        )
    })
}

/// Refuses a partition where everything is wanted in one order.
pub(crate) fn no_partition(ordered: bool, partition: Option<u32>) -> Result<(), Error> {
    if ordered && partition.is_some() {
        return Err(Error::malformed(
            "`ordered` and `partition` are both given",
            "the one order is over all partitions: leave one of them out",
        ));
    }
    Ok(())
}

/// The partition asked for; the only one, where the topic has one and none is named.
pub(crate) fn one_partition(topic: &Topic, partition: Option<u32>) -> Result<u32, Error> {
    match partition {
        Some(partition) => Ok(partition),
        None if topic.partition_count() == 1 => Ok(0),
        None => Err(Error::malformed(
            format!("`{}` has {} partitions", topic.name(), topic.partition_count()),
            "name one with `partition=`; they count from 0",
        )),
    }
}
