//! CreateTopics (key 19, v2-7): new topics.
//!
//! v4 allows default partition and replica counts (-1), v5 is flexible and returns the settings, v6
//! may be throttled, v7 returns topic ids.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::CreateTopics;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(2, 7);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsRequest {
    pub topics: Vec<CreatableTopic>,
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    pub validate_only: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreatableTopic {
    pub name: KafkaStr,
    pub num_partitions: i32,
    pub replication_factor: i16,
    pub assignments: Vec<CreatableReplicaAssignment>,
    pub configs: Vec<CreatableTopicConfig>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreatableReplicaAssignment {
    pub partition_index: i32,
    pub broker_ids: Vec<i32>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreatableTopicConfig {
    pub name: KafkaStr,
    #[kafka(nullable = "2+")]
    pub value: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreateTopicsResponse {
    pub throttle_time_ms: i32,
    pub topics: Vec<CreatableTopicResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "2-7", flexible = "5+")]
pub struct CreatableTopicResult {
    pub name: KafkaStr,
    #[kafka(versions = "7+", ignorable)]
    pub topic_id: [u8; 16],
    pub error_code: i16,
    #[kafka(nullable = "2+")]
    pub error_message: Option<KafkaStr>,
    #[kafka(versions = "5+", tagged = 0, ignorable)]
    pub topic_config_error_code: i16,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub num_partitions: i32,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub replication_factor: i16,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub configs: Option<Vec<CreatableTopicConfigs>>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "5-7", flexible = "5+")]
pub struct CreatableTopicConfigs {
    pub name: KafkaStr,
    #[kafka(nullable = "5+")]
    pub value: Option<KafkaStr>,
    pub read_only: bool,
    #[kafka(default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
}
