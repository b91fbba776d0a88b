//! What is stored of realtime channels: settings by prefix, retained values, bindings.
//!
//! Keys: `channel-settings/<prefix>` → JSON of [`ChannelSettings`];
//! `channel-retained/<name>` → a retained value:
//! ```text
//! version u8 = 1 | content u8 | at i64 | key length u32, 0 for none | key | data to the end
//! ```
//! with numbers in little-endian order; `channel-binding/<JSON of [`ChannelBinding`]>` → nothing.

use crate::Error;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tramline_types::{
    ChannelName, Timestamp,
    limits::{HISTORY_SIZE_MAX, RECEIVER_BYTES_MAX, RECEIVER_BYTES_SETTABLE_MAX},
};

const SETTINGS_PREFIX: &str = "channel-settings/";
const RETAINED_PREFIX: &str = "channel-retained/";
const BINDING_PREFIX: &str = "channel-binding/";
const RETAINED_VERSION: u8 = 1;

/// What becomes of publications for a receiver that does not take them in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlowConsumer {
    /// What waits longest goes.
    #[default]
    DropOldest,
    /// What would come last does not come.
    DropNewest,
    /// Of each channel and key the latest alone waits; then what waits longest goes.
    Conflate,
    /// The receiver is cut off.
    Disconnect,
}

impl SlowConsumer {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropOldest => "drop_oldest",
            Self::DropNewest => "drop_newest",
            Self::Conflate => "conflate",
            Self::Disconnect => "disconnect",
        }
    }
}

/// The settings of all channels at and below a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelSettings {
    /// So many publications of each channel are kept in memory, for those who come back. 0: none.
    pub history_size: usize,
    /// They are kept for so long.
    pub history_ms: u64,
    /// The last value of each channel is kept, durably, for those who come later.
    pub retain: bool,
    /// Who comes and goes is told to the others.
    pub presence: bool,
    /// What becomes of publications for a receiver that is slow.
    pub slow_consumer: SlowConsumer,
    /// A receiver is slow when so many bytes wait for it.
    pub buffer_bytes: usize,
}

impl Default for ChannelSettings {
    fn default() -> Self {
        Self {
            history_size: 0,
            history_ms: 60_000,
            retain: false,
            presence: false,
            slow_consumer: SlowConsumer::default(),
            buffer_bytes: RECEIVER_BYTES_MAX,
        }
    }
}

impl ChannelSettings {
    /// The least that a receiver may be set to have waiting.
    const BUFFER_BYTES_MIN: usize = 1024;

    /// The key of a prefix's settings.
    pub fn key(prefix: &str) -> Bytes {
        Bytes::from(format!("{SETTINGS_PREFIX}{prefix}"))
    }

    /// What all keys start with.
    pub const fn prefix() -> &'static [u8] {
        SETTINGS_PREFIX.as_bytes()
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("numbers and names are JSON"))
    }

    /// Reads a stored pair.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<(String, Self), Error> {
        let prefix = std::str::from_utf8(key).ok().and_then(|k| k.strip_prefix(SETTINGS_PREFIX));
        let prefix = prefix.ok_or_else(|| damaged(key, "not a prefix of channels"))?;
        let settings: Self = serde_json::from_slice(value).map_err(|e| damaged(key, e))?;
        Ok((prefix.to_owned(), settings))
    }

    /// Refuses values that are out of bounds.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |name: &str, detail: String| {
            Err(Error::InvalidSetting { name: name.to_owned(), detail })
        };
        if self.history_size > HISTORY_SIZE_MAX {
            return refuse("history_size", format!("must be at most {HISTORY_SIZE_MAX}"));
        }
        let bounds = Self::BUFFER_BYTES_MIN..=RECEIVER_BYTES_SETTABLE_MAX;
        if !bounds.contains(&self.buffer_bytes) {
            let (min, max) = bounds.into_inner();
            return refuse("buffer_bytes", format!("must be {min} to {max}"));
        }
        Ok(())
    }
}

/// What the data of a publication is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A JSON value.
    Json,
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// The last value of a channel, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedRecord {
    /// What the data is.
    pub content: Content,
    /// When it was published.
    pub at: Timestamp,
    /// Its key.
    pub key: Option<Box<str>>,
    /// The data.
    pub data: Bytes,
}

impl RetainedRecord {
    /// The key of a channel's value.
    pub fn key(name: &ChannelName) -> Bytes {
        Bytes::from(format!("{RETAINED_PREFIX}{name}"))
    }

    /// What all keys start with.
    pub const fn prefix() -> &'static [u8] {
        RETAINED_PREFIX.as_bytes()
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        let key = self.key.as_deref().unwrap_or_default();
        let mut value = BytesMut::with_capacity(14 + key.len() + self.data.len());
        value.put_u8(RETAINED_VERSION);
        value.put_u8(match self.content {
            Content::Json => 0,
            Content::Text => 1,
            Content::Binary => 2,
        });
        value.put_i64_le(self.at.as_millis());
        value.put_u32_le(u32::try_from(key.len()).expect("keys are bounded"));
        value.put_slice(key.as_bytes());
        value.put_slice(&self.data);
        value.freeze()
    }

    /// Reads a stored pair.
    pub fn decode(key: &[u8], value: &Bytes) -> Result<(ChannelName, Self), Error> {
        let name = std::str::from_utf8(key)
            .ok()
            .and_then(|key| ChannelName::parse(key.strip_prefix(RETAINED_PREFIX)?).ok())
            .ok_or_else(|| damaged(key, "not a channel's name"))?;
        let short = |_| damaged(key, "too short");
        let mut value = value.clone();
        if value.try_get_u8().map_err(short)? != RETAINED_VERSION {
            return Err(damaged(key, "an unknown version"));
        }
        let content = match value.try_get_u8().map_err(short)? {
            0 => Content::Json,
            1 => Content::Text,
            2 => Content::Binary,
            _ => return Err(damaged(key, "unknown content")),
        };
        let at = Timestamp::from_millis(value.try_get_i64_le().map_err(short)?);
        let length = usize::try_from(value.try_get_u32_le().map_err(short)?).unwrap_or(usize::MAX);
        if length > value.len() {
            return Err(damaged(key, "too short"));
        }
        let of = value.split_to(length);
        let text = std::str::from_utf8(&of).map_err(|e| damaged(key, e))?;
        let of_key = (!text.is_empty()).then(|| text.into());
        Ok((name, Self { content, at, key: of_key, data: value }))
    }
}

/// A binding between channels and a topic or a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChannelBinding {
    /// What is published on these channels is stored.
    Store {
        /// Which channels, as a pattern.
        channel: String,
        /// Where.
        to: ChannelEnd,
    },
    /// What comes into a topic or a queue is published.
    Show {
        /// Where it comes in.
        from: ChannelEnd,
        /// On which channel.
        channel: String,
    },
}

/// The stored end of a binding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelEnd {
    /// A topic.
    Topic(String),
    /// A queue.
    Queue(String),
}

impl ChannelBinding {
    /// A binding's key, which says all.
    pub fn key(&self) -> Bytes {
        let json = serde_json::to_string(self).expect("text is JSON");
        Bytes::from(format!("{BINDING_PREFIX}{json}"))
    }

    /// What all keys start with.
    pub const fn prefix() -> &'static [u8] {
        BINDING_PREFIX.as_bytes()
    }

    /// Reads a stored key.
    pub fn decode(key: &[u8]) -> Result<Self, Error> {
        let json = key.get(BINDING_PREFIX.len()..).unwrap_or_default();
        serde_json::from_slice(json).map_err(|e| damaged(key, e))
    }
}

fn damaged(key: &[u8], detail: impl ToString) -> Error {
    Error::Damaged { key: String::from_utf8_lossy(key).into_owned(), detail: detail.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_of_channels_comes_back() {
        let settings = ChannelSettings { history_size: 7, retain: true, ..Default::default() };
        let key = ChannelSettings::key("orders/eu");
        let decoded = ChannelSettings::decode(&key, &settings.encode());
        assert_eq!(decoded, Ok(("orders/eu".to_owned(), settings)));

        let name = ChannelName::parse("orders/ü").unwrap();
        for (content, key) in [(Content::Json, None), (Content::Binary, Some("k".into()))] {
            let at = Timestamp::from_millis(-5);
            let record = RetainedRecord { content, at, key, data: Bytes::from_static(b"\xff{}") };
            let decoded = RetainedRecord::decode(&RetainedRecord::key(&name), &record.encode());
            assert_eq!(decoded, Ok((name.clone(), record)));
        }

        let to = ChannelEnd::Topic("t".to_owned());
        let binding = ChannelBinding::Store { channel: "a/**".to_owned(), to };
        assert_eq!(ChannelBinding::decode(&binding.key()), Ok(binding));
    }

    #[test]
    fn damaged_values_are_refused() {
        let key = RetainedRecord::key(&ChannelName::parse("a").unwrap());
        let whole = RetainedRecord {
            content: Content::Text,
            at: Timestamp::from_millis(1),
            key: Some("key".into()),
            data: Bytes::new(),
        };
        let whole = whole.encode();
        for cut in 0..whole.len() {
            assert!(RetainedRecord::decode(&key, &whole.slice(..cut)).is_err(), "{cut}");
        }
        assert!(RetainedRecord::decode(b"channel-retained/", &whole).is_err());
        assert!(ChannelSettings::decode(b"channel-settings/a", b"{\"x\":1}").is_err());
        assert!(ChannelBinding::decode(b"channel-binding/{}").is_err());
    }

    #[test]
    fn settings_have_bounds() {
        assert!(ChannelSettings::default().check().is_ok());
        let large = ChannelSettings { history_size: usize::MAX, ..Default::default() };
        assert!(large.check().is_err());
        let small = ChannelSettings { buffer_bytes: 1, ..Default::default() };
        assert!(small.check().is_err());
    }
}
