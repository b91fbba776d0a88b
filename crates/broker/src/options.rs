//! What the operator may set.

use crate::{ConfigPushOptions, MemoryOptions};
use std::{collections::BTreeMap, time::Duration};
use tramline_catalog::TopicDefaults;

/// The broker's settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// Partitions of a topic that is created without a number (`num.partitions`).
    pub partitions_default: u32,
    /// Whether naming an unknown topic creates it (`auto.create.topics.enable`).
    pub auto_create_topics: bool,
    /// Defaults for topic settings.
    pub topic_defaults: TopicDefaults,
    /// How often retention is applied (`log.retention.check.interval.ms`).
    pub retention_check_interval: Duration,
    /// A producer that sends nothing for so long is forgotten (`producer.id.expiration.ms`).
    pub producer_id_expiration: Duration,
    /// The directory that the store lives in, to be told to tools.
    pub data_dir: String,
    /// Whether topics can be deleted (`delete.topic.enable`).
    pub delete_topics: bool,
    /// Compaction.
    pub compaction: CompactionOptions,
    /// What is set elsewhere before the broker starts, to be shown: Kafka's name and the value.
    pub shown: BTreeMap<&'static str, String>,
    /// Consumer groups.
    pub groups: GroupOptions,
    /// What connections and groups may take in memory.
    pub memory: MemoryOptions,
    /// Configuration push.
    pub config_push: ConfigPushOptions,
    /// So much of jobs is logged before what is alive is logged again in a fresh log.
    pub job_log_bytes_min: usize,
}

/// Settings of compaction.
#[derive(Clone, Debug)]
pub struct CompactionOptions {
    /// Whether it runs (`log.cleaner.enable`).
    pub enabled: bool,
    /// How often it looks for partitions that are due (`log.cleaner.backoff.ms`).
    pub interval: Duration,
    /// Memory for the latest offset of each key (`log.cleaner.dedupe.buffer.size`).
    pub map_bytes_max: usize,
    /// What it reads and writes at most (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second_max: f64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(15),
            map_bytes_max: tramline_types::limits::COMPACTION_MAP_BYTES,
            bytes_per_second_max: f64::MAX,
        }
    }
}

/// Settings of consumer groups.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// The shortest session timeout allowed (`group.min.session.timeout.ms`).
    pub session_timeout_min: Duration,
    /// The longest session timeout allowed (`group.max.session.timeout.ms`).
    pub session_timeout_max: Duration,
    /// How long the first rebalance of an empty group waits for more members
    /// (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay: Duration,
    /// How many members a group may have (`group.max.size`).
    pub members_max: usize,
    /// Offsets of an empty group go after so long (`offsets.retention.minutes`).
    pub offsets_retention: Duration,
    /// How often offsets are looked at for that (`offsets.retention.check.interval.ms`).
    pub offsets_check_interval: Duration,
    /// The largest metadata of one offset (`offset.metadata.max.bytes`).
    pub offset_metadata_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions_default: 1,
            auto_create_topics: true,
            topic_defaults: TopicDefaults::default(),
            retention_check_interval: Duration::from_secs(30),
            producer_id_expiration: Duration::from_secs(24 * 3600),
            data_dir: "memory".to_owned(),
            delete_topics: true,
            compaction: CompactionOptions::default(),
            shown: BTreeMap::new(),
            groups: GroupOptions::default(),
            memory: MemoryOptions::default(),
            config_push: ConfigPushOptions::default(),
            job_log_bytes_min: 4 * 1024 * 1024,
        }
    }
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::from_secs(3),
            members_max: tramline_types::limits::GROUP_MEMBERS_MAX,
            offsets_retention: Duration::from_secs(7 * 24 * 3600),
            offsets_check_interval: Duration::from_secs(600),
            offset_metadata_bytes_max: tramline_types::limits::OFFSET_METADATA_BYTES_MAX,
        }
    }
}
