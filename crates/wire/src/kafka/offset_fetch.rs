//! OffsetFetch (key 9, v1-10): a group's committed offsets.
//!
//! v2 may ask for all topics (null), v6 is flexible, v7 adds `require_stable`, v8 asks for several
//! groups at once, v9 adds the member, v10 names topics by id.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::OffsetFetch;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(1, 10);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest {
    #[kafka(versions = "1-7")]
    pub group_id: KafkaStr,
    #[kafka(versions = "1-7", nullable = "2+", default = Some(Vec::new()))]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    #[kafka(versions = "7+")]
    pub require_stable: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-7", flexible = "6+")]
pub struct OffsetFetchRequestTopic {
    pub name: KafkaStr,
    pub partition_indexes: Vec<i32>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "8-10", flexible = "8+")]
pub struct OffsetFetchRequestGroup {
    pub group_id: KafkaStr,
    #[kafka(versions = "9+", nullable = "9+", ignorable)]
    pub member_id: Option<KafkaStr>,
    #[kafka(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    #[kafka(nullable = "8+")]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "8-10", flexible = "8+")]
pub struct OffsetFetchRequestTopics {
    #[kafka(versions = "8-9", ignorable)]
    pub name: KafkaStr,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: [u8; 16],
    pub partition_indexes: Vec<i32>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    #[kafka(versions = "1-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    #[kafka(versions = "2-7", ignorable)]
    pub error_code: i16,
    #[kafka(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-7", flexible = "6+")]
pub struct OffsetFetchResponseTopic {
    pub name: KafkaStr,
    pub partitions: Vec<OffsetFetchResponsePartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-7", flexible = "6+")]
pub struct OffsetFetchResponsePartition {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "1+")]
    pub metadata: Option<KafkaStr>,
    pub error_code: i16,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "8-10", flexible = "8+")]
pub struct OffsetFetchResponseGroup {
    pub group_id: KafkaStr,
    pub topics: Vec<OffsetFetchResponseTopics>,
    pub error_code: i16,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "8-10", flexible = "8+")]
pub struct OffsetFetchResponseTopics {
    #[kafka(versions = "8-9", ignorable)]
    pub name: KafkaStr,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: [u8; 16],
    pub partitions: Vec<OffsetFetchResponsePartitions>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "8-10", flexible = "8+")]
pub struct OffsetFetchResponsePartitions {
    pub partition_index: i32,
    pub committed_offset: i64,
    #[kafka(default = -1)]
    pub committed_leader_epoch: i32,
    #[kafka(nullable = "8+")]
    pub metadata: Option<KafkaStr>,
    pub error_code: i16,
}
