//! Settings of the broker: its own, the defaults that it gives to topics, and those of Kafka that
//! mean nothing here.

use super::{
    Allowed, INT_MAX, Setting,
    SettingKind::{self, Double, Int, List, Long},
    TOPIC_SETTINGS, boolean, foreign, int, long, setting,
};
use std::sync::LazyLock;

/// Every broker setting, by name.
pub static BROKER_SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let of_topics = TOPIC_SETTINGS.iter().filter_map(|setting| {
        let name = setting.broker_name?;
        Some(Setting { name, broker_name: None, ..setting.clone() })
    });
    let foreign = foreign::FOREIGN.iter().flat_map(|(why, rows)| {
        let setting = |(name, kind, default): &foreign::Row| Setting {
            name,
            kind: *kind,
            default: *default,
            doc: why,
            broker_name: None,
            allowed: Allowed::Default(why),
        };
        rows.iter().map(setting)
    });
    let mut all: Vec<Setting> = OWN.iter().cloned().chain(of_topics).chain(foreign).collect();
    all.sort_unstable_by_key(|setting| setting.name);
    all
});

const fn at_start(
    name: &'static str,
    kind: SettingKind,
    default: Option<&'static str>,
    doc: &'static str,
) -> Setting {
    Setting { name, kind, default, doc, broker_name: None, allowed: Allowed::AtStart }
}

const HOUR: i64 = 3_600_000;

static OWN: &[Setting] = &[
    at_start(
        "advertised.listeners",
        List,
        None,
        "Where clients are told to connect to: `kafka.advertised` in the configuration file.",
    ),
    boolean("auto.create.topics.enable", "true", "Whether naming an unknown topic creates it."),
    at_start("broker.id", Int, Some("-1"), "The id that Kafka clients know this node by."),
    at_start(
        "connections.max.idle.ms",
        Long,
        Some("600000"),
        "A connection that sends nothing for so long is closed.",
    ),
    int("default.replication.factor", "1", (1, 1), "The real number of copies."),
    boolean("delete.topic.enable", "true", "Whether topics can be deleted."),
    at_start("fetch.max.bytes", Int, Some("57671680"), "The largest answer to one fetch."),
    int(
        "group.initial.rebalance.delay.ms",
        "3000",
        (0, INT_MAX),
        "How long the first rebalance of an empty group waits for more members.",
    ),
    int(
        "group.max.session.timeout.ms",
        "1800000",
        (1, INT_MAX),
        "The longest session time-out allowed.",
    ),
    int("group.max.size", "10000", (1, INT_MAX), "How many members a group may have."),
    int(
        "group.min.session.timeout.ms",
        "6000",
        (1, INT_MAX),
        "The shortest session time-out allowed.",
    ),
    at_start(
        "listeners",
        List,
        Some("PLAINTEXT://:9092"),
        "Where Kafka clients connect to: `kafka.listen` in the configuration file.",
    ),
    long(
        "log.cleaner.backoff.ms",
        "15000",
        (100, HOUR),
        "How often compaction looks for partitions that are due.",
    ),
    long(
        "log.cleaner.dedupe.buffer.size",
        "33554432",
        (64 * 1024, 1024 * 1024 * 1024),
        "The memory for the latest offset of each key while a partition is compacted. What does \
         not fit takes another pass.",
    ),
    boolean("log.cleaner.enable", "true", "Whether compaction runs."),
    setting(
        "log.cleaner.io.max.bytes.per.second",
        Double,
        "1.7976931348623157E308",
        (Allowed::Positive, "What compaction reads and writes per second at most."),
    ),
    at_start("log.dir", List, Some("/tmp/kafka-logs"), "`data_dir` in the configuration file."),
    at_start("log.dirs", List, None, "`data_dir` in the configuration file."),
    long(
        "log.retention.check.interval.ms",
        "30000",
        (100, 24 * HOUR),
        "How often retention is applied.",
    ),
    at_start("max.connections", Int, Some("20000"), "Open connections of Kafka clients."),
    at_start("node.id", Int, None, "The id that Kafka clients know this node by."),
    int(
        "num.partitions",
        "1",
        (1, 10_000),
        "Partitions of a topic that is created without a number.",
    ),
    int(
        "offset.metadata.max.bytes",
        "4096",
        (0, 32 * 1024),
        "The largest metadata of one committed offset.",
    ),
    long(
        "offsets.retention.check.interval.ms",
        "600000",
        (100, 24 * HOUR),
        "How often committed offsets are looked at for expiry.",
    ),
    int(
        "offsets.retention.minutes",
        "10080",
        (1, INT_MAX),
        "Committed offsets of an empty group go after so long.",
    ),
    int(
        "producer.id.expiration.ms",
        "86400000",
        (1, INT_MAX),
        "An idempotent producer that sends nothing for so long is forgotten.",
    ),
    at_start(
        "socket.request.max.bytes",
        Int,
        Some("104857600"),
        "The largest request: `kafka.request_max` in the configuration file.",
    ),
];
