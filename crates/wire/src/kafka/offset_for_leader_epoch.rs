//! OffsetForLeaderEpoch (key 23, v2-4): where the log of a leader epoch ends.
//!
//! v3 adds `replica_id`, v4 is flexible.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(2, 4);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    #[kafka(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    pub topics: Vec<OffsetForLeaderTopic>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderTopic {
    pub topic: KafkaStr,
    pub partitions: Vec<OffsetForLeaderPartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderPartition {
    pub partition: i32,
    #[kafka(default = -1)]
    pub current_leader_epoch: i32,
    pub leader_epoch: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetForLeaderTopicResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderTopicResult {
    pub topic: KafkaStr,
    pub partitions: Vec<EpochEndOffset>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-4", flexible = "4+")]
pub struct EpochEndOffset {
    pub error_code: i16,
    pub partition: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
    #[kafka(default = -1)]
    pub end_offset: i64,
}
