//! Topics as stored, and their settings as used.

use crate::{Error, setting, setting::Setting};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tramline_record::{Codec, Compression};
use tramline_types::{Timestamp, TopicId, TopicName};

const PREFIX: &str = "topic/";

/// A topic as stored under `topic/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicRecord {
    /// The topic's id, in hexadecimal.
    pub id: String,
    /// When it was created, in milliseconds since the epoch.
    pub created_ms: i64,
    /// The log of each partition, by partition.
    pub logs: Vec<u64>,
    /// The log that has everything in total order, where the topic has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<OrderedRecord>,
    /// Settings that differ from the broker's defaults.
    pub settings: BTreeMap<String, String>,
}

/// The ordered log of a topic with `order = total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderedRecord {
    /// The id of the view over it, in hexadecimal.
    pub id: String,
    /// The log.
    pub log: u64,
}

impl OrderedRecord {
    /// The id, parsed.
    pub fn topic_id(&self) -> Option<TopicId> {
        parse_id(&self.id)
    }
}

pub(crate) fn parse_id(text: &str) -> Option<TopicId> {
    u128::from_str_radix(text, 16).ok().map(|id| TopicId(id.to_be_bytes()))
}

impl TopicRecord {
    /// A topic's key.
    pub fn key(name: &TopicName) -> Bytes {
        Bytes::from(format!("{PREFIX}{name}"))
    }

    /// What all topics' keys start with.
    pub const fn prefix() -> &'static [u8] {
        PREFIX.as_bytes()
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).expect("text, numbers and maps of text are JSON"))
    }

    /// Reads a stored pair.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<(TopicName, Self), Error> {
        let damaged = |detail: String| Error::Damaged {
            key: String::from_utf8_lossy(key).into_owned(),
            detail,
        };
        let name = std::str::from_utf8(key)
            .ok()
            .and_then(|key| TopicName::parse(key.strip_prefix(PREFIX)?).ok())
            .ok_or_else(|| damaged("not a topic's name".to_owned()))?;
        let record: Self = serde_json::from_slice(value).map_err(|e| damaged(e.to_string()))?;
        record.topic_id().ok_or_else(|| damaged("no topic id".to_owned()))?;
        if record.ordered.as_ref().is_some_and(|ordered| ordered.topic_id().is_none()) {
            return Err(damaged("no id of the ordered view".to_owned()));
        }
        Ok((name, record))
    }

    /// The id, parsed.
    pub fn topic_id(&self) -> Option<TopicId> {
        parse_id(&self.id)
    }

    /// The id's stored form.
    pub fn format_id(id: TopicId) -> String {
        format!("{:032x}", u128::from_be_bytes(id.0))
    }

    /// When it was created.
    pub const fn created(&self) -> Timestamp {
        Timestamp::from_millis(self.created_ms)
    }
}

/// A change of one setting (Kafka KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Set to a value.
    Set(String),
    /// Back to the default.
    Reset,
    /// Add to a list.
    Append(String),
    /// Take out of a list.
    Subtract(String),
}

/// Where the broker's own default of a topic setting comes from, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The configuration file.
    File,
    /// Set for all brokers while they ran.
    AllBrokers,
    /// Set for this broker while it ran.
    ThisBroker,
}

const LAYERS: [Layer; 3] = [Layer::File, Layer::AllBrokers, Layer::ThisBroker];

/// The broker's own defaults for topics, over those of [`setting::TOPIC_SETTINGS`], by the names
/// that topics have for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDefaults([BTreeMap<String, String>; 3]);

impl TopicDefaults {
    /// Checks and takes the broker's configuration.
    pub fn new(values: BTreeMap<String, String>) -> Result<Self, Error> {
        let defaults = Self([values, BTreeMap::new(), BTreeMap::new()]);
        defaults.check()?;
        Ok(defaults)
    }

    /// The same configuration with other values set while the broker runs.
    pub fn with_layers(
        &self,
        all_brokers: BTreeMap<String, String>,
        this_broker: BTreeMap<String, String>,
    ) -> Result<Self, Error> {
        let defaults = Self([self.0[0].clone(), all_brokers, this_broker]);
        defaults.check()?;
        Ok(defaults)
    }

    fn check(&self) -> Result<(), Error> {
        for (name, value) in self.0.iter().flatten() {
            let setting = setting::find(name)?;
            setting.check(value)?;
            if setting.is_fixed() {
                let detail = "is each topic's own: it cannot have a default".to_owned();
                return Err(Error::InvalidSetting { name: name.clone(), detail });
            }
        }
        TopicSettings::new(BTreeMap::new(), self).map(drop)
    }

    /// The broker's value of a setting, where it sets one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.layers(name).next().map(|(_, value)| value)
    }

    /// The broker's values of a setting, the strongest first.
    pub fn layers(&self, name: &str) -> impl Iterator<Item = (Layer, &str)> {
        LAYERS.into_iter().zip(&self.0).rev().filter_map(move |(layer, values)| {
            values.get(name).map(|value| (layer, value.as_str()))
        })
    }
}

/// What compaction goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionSettings {
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`.
    pub lag_ms_min: i64,
    /// `max.compaction.lag.ms`.
    pub lag_ms_max: i64,
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub dirty_millionths_min: u32,
}

/// A topic's settings: what it overrides, and the values in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    overrides: BTreeMap<String, String>,
    /// `max.message.bytes`.
    pub message_bytes_max: usize,
    /// `durability = memory`: acknowledged before it is synced.
    pub acknowledged_early: bool,
    /// `message.timestamp.type = LogAppendTime`.
    pub log_append_time: bool,
    /// `order = total`: one order over all partitions.
    pub is_total_order: bool,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// `retention.ms`; `None` keeps for ever, as everything does without `delete` in
    /// `cleanup.policy`.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` is no limit.
    pub retention_bytes: Option<u64>,
    /// `delete` is in `cleanup.policy`: what is old goes, and DeleteRecords is allowed.
    pub deletes_old: bool,
    /// `compact` is in `cleanup.policy`.
    pub compaction: Option<CompactionSettings>,
    /// `compression.type` with its level; `None` keeps the producer's.
    pub compression: Option<Codec>,
}

impl TopicSettings {
    /// Checks overrides and works out the values in force.
    pub fn new(
        overrides: BTreeMap<String, String>,
        defaults: &TopicDefaults,
    ) -> Result<Self, Error> {
        let (settings, contradiction) = Self::stored(overrides, defaults)?;
        contradiction.map_or(Ok(settings), Err)
    }

    /// The settings of a topic that exists. Where a default has changed since, and contradicts
    /// what the topic itself says, the topic's own value holds for both; the error says so.
    pub fn stored(
        overrides: BTreeMap<String, String>,
        defaults: &TopicDefaults,
    ) -> Result<(Self, Option<Error>), Error> {
        for (name, value) in &overrides {
            setting::find(name)?.check(value)?;
        }
        let value = |name: &str| -> Result<String, Error> {
            let fallback = setting::find(name)?.default.unwrap_or_default();
            Ok(overrides
                .get(name)
                .map(String::as_str)
                .or(defaults.get(name))
                .unwrap_or(fallback)
                .to_owned())
        };
        let number = |name: &str| -> Result<i64, Error> {
            value(name)?.trim().parse().map_err(|_| Error::InvalidSetting {
                name: name.to_owned(),
                detail: "not a whole number".to_owned(),
            })
        };
        let policy = value("cleanup.policy")?;
        let has = |policy_item: &str| setting::items(&policy).any(|item| item == policy_item);
        let of_deletion = |number: i64| has("delete").then_some(number);
        let (min, max) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
        let (mut lag_ms_min, mut lag_ms_max) = (number(min)?, number(max)?);
        let contradiction = (lag_ms_min > lag_ms_max).then(|| Error::InvalidSetting {
            name: min.to_owned(),
            detail: format!("is above `{max}`"),
        });
        if contradiction.is_some() && overrides.contains_key(min) {
            lag_ms_max = lag_ms_min;
        } else if contradiction.is_some() {
            lag_ms_min = lag_ms_max;
        }
        let settings = Self {
            message_bytes_max: usize::try_from(number("max.message.bytes")?).unwrap_or(0),
            acknowledged_early: value("durability")? == "memory",
            log_append_time: value("message.timestamp.type")? == "LogAppendTime",
            is_total_order: value(setting::ORDER)? == "total",
            timestamp_before_max_ms: number("message.timestamp.before.max.ms")?,
            timestamp_after_max_ms: number("message.timestamp.after.max.ms")?,
            retention_ms: of_deletion(number("retention.ms")?).filter(|ms| *ms >= 0),
            retention_bytes: of_deletion(number("retention.bytes")?)
                .and_then(|bytes| u64::try_from(bytes).ok()),
            deletes_old: has("delete"),
            compression: codec(&value("compression.type")?, &number)?,
            compaction: Some(CompactionSettings {
                delete_retention_ms: number("delete.retention.ms")?,
                lag_ms_min,
                lag_ms_max,
                dirty_millionths_min: millionths(&value("min.cleanable.dirty.ratio")?),
            })
            .filter(|_| has("compact")),
            overrides: overrides.clone(),
        };
        Ok((settings, contradiction))
    }

    /// Whether a setting of this name is set when a topic is created, and never after.
    pub fn is_fixed(name: &str) -> bool {
        setting::find(name).is_ok_and(Setting::is_fixed)
    }

    /// What the topic itself sets.
    pub const fn overrides(&self) -> &BTreeMap<String, String> {
        &self.overrides
    }

    /// The settings after some changes; unknown names and lists that are none are refused.
    pub fn changed(
        &self,
        changes: &[(String, Change)],
        defaults: &TopicDefaults,
    ) -> Result<Self, Error> {
        let mut overrides = self.overrides.clone();
        for (name, change) in changes {
            let setting = setting::find(name)?;
            let inherited = defaults.get(name).or(setting.default).unwrap_or_default();
            setting.apply(&mut overrides, change, inherited)?;
        }
        let settings = Self::new(overrides, defaults)?;
        if settings.is_total_order != self.is_total_order {
            return Err(Error::InvalidSetting {
                name: setting::ORDER.to_owned(),
                detail: "can only be set when the topic is created".to_owned(),
            });
        }
        Ok(settings)
    }
}

/// `compression.type` with its level; `None` for `producer`.
fn codec(name: &str, number: &impl Fn(&str) -> Result<i64, Error>) -> Result<Option<Codec>, Error> {
    let level = |name: &str| number(name).map(|level| i32::try_from(level).ok());
    Ok(Some(match name {
        "gzip" => Codec {
            compression: Compression::Gzip,
            level: level("compression.gzip.level")?.filter(|level| *level > 0),
        },
        "zstd" => Codec { compression: Compression::Zstd, level: level("compression.zstd.level")? },
        "snappy" => Codec { compression: Compression::Snappy, level: None },
        "lz4" => Codec { compression: Compression::Lz4, level: None },
        "uncompressed" => Codec { compression: Compression::None, level: None },
        _ => return Ok(None),
    }))
}

/// A checked fraction in millionths.
fn millionths(fraction: &str) -> u32 {
    // Digits after the sixth make no difference to anybody.
    let padded = |digits: &str| format!("{digits:0<6}").get(..6).and_then(|six| six.parse().ok());
    match fraction.trim().split_once('.') {
        Some((whole, digits)) if !whole.contains('1') && !digits.contains(['e', 'E']) => {
            padded(digits).unwrap_or(0)
        }
        Some((whole, _)) if whole.contains('1') => 1_000_000,
        None if fraction.trim().trim_start_matches('+') == "1" => 1_000_000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<TopicSettings, Error> {
        let overrides = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TopicSettings::new(overrides, &TopicDefaults::default())
    }

    #[test]
    fn overrides_win_over_the_brokers_defaults_and_those_over_the_built_in() {
        let defaults = TopicDefaults::new(BTreeMap::from([
            ("retention.ms".to_owned(), "1000".to_owned()),
            ("retention.bytes".to_owned(), "5".to_owned()),
        ]))
        .unwrap();
        let overrides = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
        let settings = TopicSettings::new(overrides, &defaults).unwrap();
        assert_eq!(settings.retention_ms, None);
        assert_eq!(settings.retention_bytes, Some(5));
        assert_eq!(settings.message_bytes_max, 1_048_588);
    }

    #[test]
    fn wrong_names_and_values_are_refused_with_the_allowed_ones() {
        for (name, value) in [
            ("retention.msx", "1"),
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("cleanup.policy", "shred"),
            ("min.insync.replicas", "2"),
            ("max.message.bytes", "99999999"),
        ] {
            assert!(settings(&[(name, value)]).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn policies_say_what_is_dropped() {
        let of = |policy: &str| settings(&[("cleanup.policy", policy)]).unwrap();
        assert!(of("delete").compaction.is_none() && of("delete").retention_ms.is_some());
        let both = of("compact, delete");
        assert!(both.compaction.is_some() && both.retention_ms.is_some());
        assert!(of("compact").retention_ms.is_none());
        let ratio = |ratio| {
            let pairs = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", ratio)];
            settings(&pairs).unwrap().compaction.unwrap().dirty_millionths_min
        };
        let ratios = ["0.5", "0.01", "1", "1.0", "0", "0.0000001", ".25"].map(ratio);
        assert_eq!(ratios, [500_000, 10_000, 1_000_000, 1_000_000, 0, 0, 250_000]);
        let lags = [("min.compaction.lag.ms", "9"), ("max.compaction.lag.ms", "5")];
        assert!(settings(&lags).is_err());
        let lags_of = |own: (&str, &str), default: (&str, &str)| {
            let map = |(name, value): (&str, &str)| [(name.to_owned(), value.to_owned())].into();
            let policy = [("cleanup.policy".to_owned(), "compact".to_owned())];
            let mut overrides: BTreeMap<String, String> = map(own);
            overrides.extend(policy);
            let defaults = TopicDefaults::new(map(default)).unwrap();
            assert!(TopicSettings::new(overrides.clone(), &defaults).is_err(), "for a new topic");
            let (settings, contradiction) = TopicSettings::stored(overrides, &defaults).unwrap();
            assert!(contradiction.is_some());
            let compaction = settings.compaction.unwrap();
            (compaction.lag_ms_min, compaction.lag_ms_max)
        };
        let (min, max) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
        assert_eq!(lags_of((min, "9"), (max, "5")), (9, 9), "the topic's own holds");
        assert_eq!(lags_of((max, "5"), (min, "9")), (5, 5), "the topic's own holds");
        assert!(settings(&[("order", "total"), ("cleanup.policy", "compact")]).is_ok());
    }

    #[test]
    fn changes_apply_in_order_and_only_lists_take_items() {
        let defaults = TopicDefaults::default();
        let settings = settings(&[("retention.ms", "7")]).unwrap();
        let change = |name: &str, change| vec![(name.to_owned(), change)];
        let set = settings.changed(&change("retention.ms", Change::Set("9".into())), &defaults);
        assert_eq!(set.unwrap().retention_ms, Some(9));
        let reset = settings.changed(&change("retention.ms", Change::Reset), &defaults).unwrap();
        assert_eq!(reset.retention_ms, Some(604_800_000));
        let item = Change::Append("delete".into());
        assert!(settings.changed(&change("retention.ms", item.clone()), &defaults).is_err());
        assert!(settings.changed(&change("cleanup.policy", item), &defaults).is_ok());
    }

    #[test]
    fn records_come_back_from_their_stored_form() {
        let name = TopicName::parse("orders").unwrap();
        let record = TopicRecord {
            id: TopicRecord::format_id(TopicId([7; 16])),
            created_ms: 5,
            logs: vec![1, 2],
            ordered: None,
            settings: BTreeMap::new(),
        };
        let decoded = TopicRecord::decode(&TopicRecord::key(&name), &record.encode());
        assert_eq!(decoded, Ok((name, record)));
        assert!(TopicRecord::decode(b"topic/a b", b"{}").is_err());
        assert!(TopicRecord::decode(b"topic/a", b"{}").is_err());
    }
}
