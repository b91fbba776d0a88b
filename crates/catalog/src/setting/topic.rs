//! Settings of topics.

use super::{
    Allowed, INT_MAX, Setting,
    SettingKind::{Boolean, Double, Int, List, Long, String},
    boolean, int, long, setting,
};

const ANY: (i64, i64) = (0, i64::MAX);
const TIERED: &str = "there is no tiered storage here";
const ONE_COPY: &str = "there is one copy of everything, and no traffic between copies";
/// Hints for Kafka's files, without a promise to readers or writers.
const HINT: &str =
    "Accepted, and without effect: a hint for files that the storage here does not have.";
pub(super) const CODECS: &[&str] = &["gzip", "lz4", "producer", "snappy", "uncompressed", "zstd"];

/// Every topic setting, by name.
pub static TOPIC_SETTINGS: &[Setting] = &[
    setting("cleanup.policy", List, "delete", (
        Allowed::SomeOf(&["compact", "delete"]),
        "What happens to old records: `delete` drops them by age and size, `compact` keeps the \
         latest of each key, both together do both.",
    ))
    .named("log.cleanup.policy"),
    setting("compression.gzip.level", Int, "-1", (
        Allowed::MinusOneOr(1, 9),
        "How hard gzip tries where `compression.type` is `gzip`; -1 is its own default.",
    ))
    .named("compression.gzip.level"),
    setting("compression.lz4.level", Int, "9", (
        Allowed::Default("the LZ4 encoder here has one level"),
        "Kafka's LZ4 level. The encoder here has one level, its fastest.",
    ))
    .named("compression.lz4.level"),
    setting("compression.type", String, "producer", (
        Allowed::OneOf(CODECS),
        "How records are stored: `producer` keeps the producer's own compression, anything else \
         recompresses what came otherwise.",
    ))
    .named("compression.type"),
    int(
        "compression.zstd.level",
        "3",
        (-131_072, 22),
        "How hard zstd tries where `compression.type` is `zstd`.",
    )
    .named("compression.zstd.level"),
    long(
        "delete.retention.ms",
        "86400000",
        ANY,
        "How long compaction keeps a tombstone after it first met it.",
    )
    .named("log.cleaner.delete.retention.ms"),
    setting("durability", String, "sync", (
        Allowed::OneOf(&["sync", "memory"]),
        "When a record is acknowledged and shown: when it is synced (`sync`), or already when it \
         has its offset (`memory`): a crash then loses the last moments, even what was read.",
    )),
    long("file.delete.delay.ms", "60000", ANY, HINT).named("log.segment.delete.delay.ms"),
    long(
        "flush.messages",
        "9223372036854775807",
        (1, i64::MAX),
        "The most records that may be unsynced. Kept whatever it is: every acknowledged record is \
         synced.",
    )
    .named("log.flush.interval.messages"),
    long(
        "flush.ms",
        "9223372036854775807",
        ANY,
        "The longest time that a record may be unsynced. Kept whatever it is: every acknowledged \
         record is synced.",
    )
    .named("log.flush.interval.ms"),
    setting(
        "follower.replication.throttled.replicas",
        List,
        "",
        (Allowed::Default(ONE_COPY), "Kafka's throttle of copying; there is nothing to copy."),
    ),
    int("index.interval.bytes", "4096", (0, INT_MAX), HINT).named("log.index.interval.bytes"),
    setting(
        "leader.replication.throttled.replicas",
        List,
        "",
        (Allowed::Default(ONE_COPY), "Kafka's throttle of copying; there is nothing to copy."),
    ),
    setting("local.retention.bytes", Long, "-2", (
        Allowed::Default(TIERED),
        "What stays on this node's disk of a topic in tiered storage; -2: as `retention.bytes`.",
    ))
    .named("log.local.retention.bytes"),
    setting("local.retention.ms", Long, "-2", (
        Allowed::Default(TIERED),
        "What stays on this node's disk of a topic in tiered storage; -2: as `retention.ms`.",
    ))
    .named("log.local.retention.ms"),
    long(
        "max.compaction.lag.ms",
        "9223372036854775807",
        (1, i64::MAX),
        "Records older than this are compacted whatever `min.cleanable.dirty.ratio` says.",
    )
    .named("log.cleaner.max.compaction.lag.ms"),
    int(
        "max.message.bytes",
        "1048588",
        (0, 15 * 1024 * 1024),
        "The largest record batch, in bytes, as it came and as it is stored.",
    )
    .named("message.max.bytes"),
    long(
        "message.timestamp.after.max.ms",
        "3600000",
        ANY,
        "How far ahead of the broker's clock a record's own timestamp may be.",
    )
    .named("log.message.timestamp.after.max.ms"),
    long(
        "message.timestamp.before.max.ms",
        "9223372036854775807",
        ANY,
        "How far behind the broker's clock a record's own timestamp may be.",
    )
    .named("log.message.timestamp.before.max.ms"),
    setting("message.timestamp.type", String, "CreateTime", (
        Allowed::OneOf(&["CreateTime", "LogAppendTime"]),
        "Whose time records carry: the producer's (`CreateTime`) or the broker's \
         (`LogAppendTime`).",
    ))
    .named("log.message.timestamp.type"),
    setting("min.cleanable.dirty.ratio", Double, "0.5", (
        Allowed::Fraction,
        "A partition is compacted when more than this share of its bytes came since the last \
         time.",
    ))
    .named("log.cleaner.min.cleanable.ratio"),
    long(
        "min.compaction.lag.ms",
        "0",
        ANY,
        "Compaction does not touch records that are younger than this.",
    )
    .named("log.cleaner.min.compaction.lag.ms"),
    int(
        "min.insync.replicas",
        "1",
        (1, 1),
        "How many copies must have a record before it is acknowledged: this node has one.",
    )
    .named("min.insync.replicas"),
    setting(
        super::ORDER,
        String,
        "partition",
        (
            Allowed::OneOf(&["partition", "total"]),
            "How far order goes: within each partition, or over all of them (`total`), to be read \
             from the read-only topic `<name>.ordered`. Set when the topic is created, never after.",
        ),
    ),
    boolean("preallocate", "false", HINT).named("log.preallocate"),
    setting("remote.log.copy.disable", Boolean, "false", (
        Allowed::Default(TIERED),
        "Stops copying to tiered storage; there is none.",
    )),
    setting("remote.log.delete.on.disable", Boolean, "false", (
        Allowed::Default(TIERED),
        "Deletes what is in tiered storage when it is switched off; there is none.",
    )),
    setting("remote.storage.enable", Boolean, "false", (
        Allowed::Default(TIERED),
        "Moves old records to tiered storage; there is none.",
    )),
    long(
        "retention.bytes",
        "-1",
        (-1, i64::MAX),
        "Above this many stored bytes the oldest records of a partition are dropped; -1: no limit.",
    )
    .named("log.retention.bytes"),
    long(
        "retention.ms",
        "604800000",
        (-1, i64::MAX),
        "Records older than this are dropped; -1: kept for ever.",
    )
    .named("log.retention.ms"),
    int("segment.bytes", "1073741824", (1024 * 1024, INT_MAX), HINT).named("log.segment.bytes"),
    int("segment.index.bytes", "10485760", (4, INT_MAX), HINT).named("log.index.size.max.bytes"),
    long("segment.jitter.ms", "0", ANY, HINT).named("log.roll.jitter.ms"),
    long("segment.ms", "604800000", (1, i64::MAX), HINT).named("log.roll.ms"),
    boolean(
        "unclean.leader.election.enable",
        "false",
        "Accepted, and without effect: there is one copy and no election, so that nothing can be \
         lost by one.",
    )
    .named("unclean.leader.election.enable"),
];
