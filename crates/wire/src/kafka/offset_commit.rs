//! OffsetCommit (key 8, v2-10): a group's offsets, to be kept.
//!
//! v5 drops `retention_time_ms`, v6 adds leader epochs, v7 static members, v8 is flexible, v9 is
//! for the newer group protocol, v10 names topics by id.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::OffsetCommit;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(2, 10);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequest {
    pub group_id: KafkaStr,
    #[kafka(default = -1)]
    pub generation_id_or_member_epoch: i32,
    pub member_id: KafkaStr,
    #[kafka(versions = "7+", nullable = "7+")]
    pub group_instance_id: Option<KafkaStr>,
    #[kafka(versions = "2-4", default = -1, ignorable)]
    pub retention_time_ms: i64,
    pub topics: Vec<OffsetCommitRequestTopic>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequestTopic {
    #[kafka(versions = "2-9", ignorable)]
    pub name: KafkaStr,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: [u8; 16],
    pub partitions: Vec<OffsetCommitRequestPartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitRequestPartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(versions = "6+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "2+")]
    pub committed_metadata: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponse {
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetCommitResponseTopic>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponseTopic {
    #[kafka(versions = "2-9", ignorable)]
    pub name: KafkaStr,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: [u8; 16],
    pub partitions: Vec<OffsetCommitResponsePartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-10", flexible = "8+")]
pub struct OffsetCommitResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}
