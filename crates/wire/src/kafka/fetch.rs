//! Fetch (key 1, v4-18): batches from an offset on, per partition; may wait for more.
//!
//! v5 adds `log_start_offset`, v7 sessions, v9 leader epochs, v10 promises zstd, v11 racks, v12 is
//! flexible, v13 names topics by id, v15 moves the replica id to a tagged field, v16 adds leader
//! hints, v17 and v18 are for replicas.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, Records, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::Fetch;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(4, 18);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct FetchRequest {
    #[kafka(versions = "12+", nullable = "12+", tagged = 0, ignorable)]
    pub cluster_id: Option<KafkaStr>,
    #[kafka(versions = "4-14", default = -1)]
    pub replica_id: i32,
    #[kafka(versions = "15+", tagged = 1)]
    pub replica_state: ReplicaState,
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    #[kafka(default = i32::MAX)]
    pub max_bytes: i32,
    pub isolation_level: i8,
    #[kafka(versions = "7+", ignorable)]
    pub session_id: i32,
    #[kafka(versions = "7+", default = -1, ignorable)]
    pub session_epoch: i32,
    pub topics: Vec<FetchTopic>,
    #[kafka(versions = "7+")]
    pub forgotten_topics_data: Vec<ForgottenTopic>,
    #[kafka(versions = "11+", ignorable)]
    pub rack_id: KafkaStr,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "15-18", flexible = "15+")]
pub struct ReplicaState {
    #[kafka(default = -1)]
    pub replica_id: i32,
    #[kafka(default = -1)]
    pub replica_epoch: i64,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct FetchTopic {
    #[kafka(versions = "4-12", ignorable)]
    pub topic: KafkaStr,
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: [u8; 16],
    pub partitions: Vec<FetchPartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct FetchPartition {
    pub partition: i32,
    #[kafka(versions = "9+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    pub fetch_offset: i64,
    #[kafka(versions = "12+", default = -1)]
    pub last_fetched_epoch: i32,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    pub partition_max_bytes: i32,
    #[kafka(versions = "17+", tagged = 0, ignorable)]
    pub replica_directory_id: [u8; 16],
    #[kafka(versions = "18+", tagged = 1, default = i64::MAX, ignorable)]
    pub high_watermark: i64,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "7-18", flexible = "12+")]
pub struct ForgottenTopic {
    #[kafka(versions = "7-12", ignorable)]
    pub topic: KafkaStr,
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: [u8; 16],
    pub partitions: Vec<i32>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct FetchResponse {
    pub throttle_time_ms: i32,
    #[kafka(versions = "7+", ignorable)]
    pub error_code: i16,
    #[kafka(versions = "7+")]
    pub session_id: i32,
    pub responses: Vec<FetchableTopicResponse>,
    #[kafka(versions = "16+", tagged = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct FetchableTopicResponse {
    #[kafka(versions = "4-12", ignorable)]
    pub topic: KafkaStr,
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: [u8; 16],
    pub partitions: Vec<PartitionData>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct PartitionData {
    pub partition_index: i32,
    pub error_code: i16,
    pub high_watermark: i64,
    #[kafka(default = -1)]
    pub last_stable_offset: i64,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    #[kafka(versions = "12+", tagged = 0)]
    pub diverging_epoch: EpochEndOffset,
    #[kafka(versions = "12+", tagged = 1)]
    pub current_leader: LeaderIdAndEpoch,
    #[kafka(versions = "12+", tagged = 2)]
    pub snapshot_id: SnapshotId,
    #[kafka(nullable = "4+")]
    pub aborted_transactions: Option<Vec<AbortedTransaction>>,
    #[kafka(versions = "11+", default = -1)]
    pub preferred_read_replica: i32,
    #[kafka(nullable = "4+")]
    pub records: Option<Records>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "12-18", flexible = "12+")]
pub struct EpochEndOffset {
    #[kafka(default = -1)]
    pub epoch: i32,
    #[kafka(default = -1)]
    pub end_offset: i64,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "12-18", flexible = "12+")]
pub struct LeaderIdAndEpoch {
    #[kafka(default = -1)]
    pub leader_id: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "12-18", flexible = "12+")]
pub struct SnapshotId {
    #[kafka(default = -1)]
    pub end_offset: i64,
    #[kafka(default = -1)]
    pub epoch: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-18", flexible = "12+")]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "16-18", flexible = "16+")]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: KafkaStr,
    pub port: i32,
    #[kafka(nullable = "16+")]
    pub rack: Option<KafkaStr>,
}
