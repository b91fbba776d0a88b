//! What the operator may set.

use crate::MemoryOptions;
use std::time::Duration;
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
    /// Consumer groups.
    pub groups: GroupOptions,
    /// What connections and groups may take in memory.
    pub memory: MemoryOptions,
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
            groups: GroupOptions::default(),
            memory: MemoryOptions::default(),
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
            offset_metadata_bytes_max: tramline_types::limits::OFFSET_METADATA_BYTES_MAX,
        }
    }
}
