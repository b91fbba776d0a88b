//! ListOffsets (key 2, v1-11): the offset at a time, or at a named position (negative times).
//!
//! v2 adds `isolation_level`, v4 leader epochs, v6 is flexible, v7 adds position -3 (largest
//! timestamp), v8 -4, v9 -5, v10 `timeout_ms`, v11 -6.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::ListOffsets;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(1, 11);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsRequest {
    pub replica_id: i32,
    #[kafka(versions = "2+")]
    pub isolation_level: i8,
    pub topics: Vec<ListOffsetsTopic>,
    #[kafka(versions = "10+", ignorable)]
    pub timeout_ms: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsTopic {
    pub name: KafkaStr,
    pub partitions: Vec<ListOffsetsPartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsPartition {
    pub partition_index: i32,
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    pub timestamp: i64,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsResponse {
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<ListOffsetsTopicResponse>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsTopicResponse {
    pub name: KafkaStr,
    pub partitions: Vec<ListOffsetsPartitionResponse>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-11", flexible = "6+")]
pub struct ListOffsetsPartitionResponse {
    pub partition_index: i32,
    pub error_code: i16,
    #[kafka(default = -1)]
    pub timestamp: i64,
    #[kafka(default = -1)]
    pub offset: i64,
    #[kafka(versions = "4+", default = -1)]
    pub leader_epoch: i32,
}
