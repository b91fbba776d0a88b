//! ElectLeaders (key 43, v0-2): lets partitions choose their leader again.
//!
//! v1 adds the kind of election and a top-level error, v2 is flexible.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::ElectLeaders;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 2);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersRequest {
    #[kafka(versions = "1+")]
    pub election_type: i8,
    #[kafka(nullable = "0+")]
    pub topic_partitions: Option<Vec<TopicPartitions>>,
    #[kafka(default = 60000)]
    pub timeout_ms: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct TopicPartitions {
    pub topic: KafkaStr,
    pub partitions: Vec<i32>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersResponse {
    pub throttle_time_ms: i32,
    #[kafka(versions = "1+")]
    pub error_code: i16,
    pub replica_election_results: Vec<ReplicaElectionResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct ReplicaElectionResult {
    pub topic: KafkaStr,
    pub partition_result: Vec<PartitionResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct PartitionResult {
    pub partition_id: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<KafkaStr>,
}
