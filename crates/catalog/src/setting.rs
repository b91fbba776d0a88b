//! Every topic setting: name, kind, default and what it does. Names are Kafka's, so that its
//! tools and clients can be used.

use crate::Error;

/// The type of a setting's value, as Kafka's `DescribeConfigs` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// `true` or `false`.
    Boolean,
    /// Text.
    String,
    /// A 32-bit number.
    Int,
    /// A 64-bit number.
    Long,
    /// A fraction.
    Double,
    /// Comma-separated text.
    List,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Kafka's name for it.
    pub name: &'static str,
    /// The type of its value.
    pub kind: SettingKind,
    /// The value where neither topic nor broker sets one.
    pub default: &'static str,
    /// What it does here.
    pub doc: &'static str,
    allowed: Allowed,
}

#[derive(Debug)]
enum Allowed {
    Boolean,
    Between(i64, i64),
    Fraction,
    OneOf(&'static [&'static str]),
}

/// The setting that says how far a topic's order goes.
pub(crate) const ORDER: &str = "order";

impl Setting {
    /// Whether it is set when the topic is created, and never after.
    pub fn is_fixed(&self) -> bool {
        self.name == ORDER
    }

    /// Checks a value; the answer says what is allowed.
    pub fn check(&self, value: &str) -> Result<(), Error> {
        let fail =
            |detail: String| Err(Error::InvalidSetting { name: self.name.to_owned(), detail });
        match self.allowed {
            Allowed::Boolean if value == "true" || value == "false" => Ok(()),
            Allowed::Boolean => fail(format!("`{value}` is neither `true` nor `false`")),
            Allowed::Between(low, high) => match value.trim().parse::<i64>() {
                Ok(number) if (low..=high).contains(&number) => Ok(()),
                Ok(_) => fail(format!("{value} is not between {low} and {high}")),
                Err(_) => fail(format!("`{value}` is not a whole number")),
            },
            Allowed::Fraction => match value.trim().parse::<f64>() {
                Ok(number) if (0.0..=1.0).contains(&number) => Ok(()),
                _ => fail(format!("`{value}` is not a fraction between 0 and 1")),
            },
            Allowed::OneOf(allowed) if allowed.contains(&value) => Ok(()),
            Allowed::OneOf(allowed) => {
                fail(format!("`{value}` is not supported; allowed: `{}`", allowed.join("`, `")))
            }
        }
    }
}

/// The setting of this name.
pub fn find(name: &str) -> Result<&'static Setting, Error> {
    TOPIC_SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        Error::InvalidSetting { name: name.to_owned(), detail: "no such topic setting".to_owned() }
    })
}

const fn long(
    name: &'static str,
    default: &'static str,
    range: (i64, i64),
    doc: &'static str,
) -> Setting {
    Setting {
        name,
        kind: SettingKind::Long,
        default,
        doc,
        allowed: Allowed::Between(range.0, range.1),
    }
}

const fn int(
    name: &'static str,
    default: &'static str,
    range: (i64, i64),
    doc: &'static str,
) -> Setting {
    Setting {
        name,
        kind: SettingKind::Int,
        default,
        doc,
        allowed: Allowed::Between(range.0, range.1),
    }
}

const fn boolean(name: &'static str, default: &'static str, doc: &'static str) -> Setting {
    Setting { name, kind: SettingKind::Boolean, default, doc, allowed: Allowed::Boolean }
}

const INT: (i64, i64) = (0, i32::MAX as i64);
const LONG: (i64, i64) = (0, i64::MAX);
const KEPT: &str = "Kept for Kafka's tools; storage here has no such knob, so it has no effect.";

/// Every topic setting, by name.
pub static TOPIC_SETTINGS: &[Setting] = &[
    Setting {
        name: "cleanup.policy",
        kind: SettingKind::List,
        default: "delete",
        doc: "What happens to old records: `delete` drops them by age and size.",
        allowed: Allowed::OneOf(&["delete"]),
    },
    Setting {
        name: "compression.type",
        kind: SettingKind::String,
        default: "producer",
        doc: "How records are stored: `producer` keeps the producer's own compression.",
        allowed: Allowed::OneOf(&["producer"]),
    },
    long("delete.retention.ms", "86400000", LONG, KEPT),
    Setting {
        name: "durability",
        kind: SettingKind::String,
        default: "sync",
        doc: "When a record is acknowledged: when it is synced (`sync`), or already when it has its \
              offset (`memory`): a crash then loses the last moments. Readers never see what a \
              crash could take back.",
        allowed: Allowed::OneOf(&["sync", "memory"]),
    },
    long("file.delete.delay.ms", "60000", LONG, KEPT),
    long(
        "flush.messages",
        "1",
        (1, i64::MAX),
        "Every acknowledged record is synced: always 1 in effect.",
    ),
    long("flush.ms", "0", LONG, "Every acknowledged record is synced: always 0 in effect."),
    int("index.interval.bytes", "4096", INT, KEPT),
    int(
        "max.message.bytes",
        "1048588",
        (0, 15 * 1024 * 1024),
        "The largest record batch, in bytes.",
    ),
    long(
        "message.timestamp.after.max.ms",
        "3600000",
        LONG,
        "How far ahead of the broker's clock a record's own timestamp may be.",
    ),
    long(
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        LONG,
        "How far behind the broker's clock a record's own timestamp may be.",
    ),
    Setting {
        name: "message.timestamp.type",
        kind: SettingKind::String,
        default: "CreateTime",
        doc: "Whose time records carry: the producer's (`CreateTime`) or the broker's (`LogAppendTime`).",
        allowed: Allowed::OneOf(&["CreateTime", "LogAppendTime"]),
    },
    Setting {
        name: "min.cleanable.dirty.ratio",
        kind: SettingKind::Double,
        default: "0.5",
        doc: KEPT,
        allowed: Allowed::Fraction,
    },
    int(
        "min.insync.replicas",
        "1",
        (1, 1),
        "How many copies must have a record before it is acknowledged: this node has one.",
    ),
    Setting {
        name: ORDER,
        kind: SettingKind::String,
        default: "partition",
        doc: "How far order goes: within each partition, or over all of them (`total`), to be read \
              from the read-only topic `<name>.ordered`. Set when the topic is created, never after.",
        allowed: Allowed::OneOf(&["partition", "total"]),
    },
    boolean("preallocate", "true", KEPT),
    long(
        "retention.bytes",
        "-1",
        (-1, i64::MAX),
        "Above this many stored bytes the oldest records of a partition are dropped; -1: no limit.",
    ),
    long(
        "retention.ms",
        "604800000",
        (-1, i64::MAX),
        "Records older than this are dropped; -1: kept for ever.",
    ),
    int("segment.bytes", "1073741824", (1024 * 1024, i32::MAX as i64), KEPT),
    int("segment.index.bytes", "10485760", (4, i32::MAX as i64), KEPT),
    long("segment.jitter.ms", "0", LONG, KEPT),
    long("segment.ms", "604800000", (1, i64::MAX), KEPT),
    boolean("unclean.leader.election.enable", "false", "Never: there is one copy and no election."),
];
