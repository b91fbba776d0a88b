//! Produce (key 0, v3-13): batches to append, per partition.
//!
//! The oldest versions (0-2) carried other record formats and are gone.
//!
//! v5 adds `log_start_offset`, v7 promises zstd, v8 adds `record_errors`, v9 is flexible, v10 adds
//! leader hints, v11 and v12 change transactions only, v13 names topics by id.

mod view;

use bytes::Bytes;

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

pub use view::{PartitionView, ProduceView, TopicView};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::Produce;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(3, 13);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    #[kafka(nullable = "3+")]
    pub transactional_id: Option<KafkaStr>,
    pub acks: i16,
    pub timeout_ms: i32,
    pub topic_data: Vec<TopicProduceData>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct TopicProduceData {
    #[kafka(versions = "3-12", ignorable)]
    pub name: KafkaStr,
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: [u8; 16],
    pub partition_data: Vec<PartitionProduceData>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct PartitionProduceData {
    pub index: i32,
    #[kafka(nullable = "3+")]
    pub records: Option<Bytes>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    pub responses: Vec<TopicProduceResponse>,
    pub throttle_time_ms: i32,
    #[kafka(versions = "10+", tagged = 0)]
    pub node_endpoints: Vec<NodeEndpoint>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct TopicProduceResponse {
    #[kafka(versions = "3-12", ignorable)]
    pub name: KafkaStr,
    #[kafka(versions = "13+", ignorable)]
    pub topic_id: [u8; 16],
    pub partition_responses: Vec<PartitionProduceResponse>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-13", flexible = "9+")]
pub struct PartitionProduceResponse {
    pub index: i32,
    pub error_code: i16,
    pub base_offset: i64,
    #[kafka(default = -1)]
    pub log_append_time_ms: i64,
    #[kafka(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    #[kafka(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    #[kafka(versions = "8+", nullable = "8+", ignorable)]
    pub error_message: Option<KafkaStr>,
    #[kafka(versions = "10+", tagged = 0)]
    pub current_leader: LeaderIdAndEpoch,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "8-13", flexible = "9+")]
pub struct BatchIndexAndErrorMessage {
    pub batch_index: i32,
    #[kafka(nullable = "8+")]
    pub batch_index_error_message: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "10-13", flexible = "10+")]
pub struct LeaderIdAndEpoch {
    #[kafka(default = -1)]
    pub leader_id: i32,
    #[kafka(default = -1)]
    pub leader_epoch: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "10-13", flexible = "10+")]
pub struct NodeEndpoint {
    pub node_id: i32,
    pub host: KafkaStr,
    pub port: i32,
    #[kafka(nullable = "10+")]
    pub rack: Option<KafkaStr>,
}
