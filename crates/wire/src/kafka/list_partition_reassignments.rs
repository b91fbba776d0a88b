//! ListPartitionReassignments (key 46, v0): partitions on their way to other nodes.
//!
//! Flexible from the start.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::ListPartitionReassignments;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 0);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsRequest {
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
    #[kafka(nullable = "0+")]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsTopics {
    pub name: KafkaStr,
    pub partition_indexes: Vec<i32>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<KafkaStr>,
    pub topics: Vec<OngoingTopicReassignment>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct OngoingTopicReassignment {
    pub name: KafkaStr,
    pub partitions: Vec<OngoingPartitionReassignment>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0", flexible = "0+")]
pub struct OngoingPartitionReassignment {
    pub partition_index: i32,
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}
