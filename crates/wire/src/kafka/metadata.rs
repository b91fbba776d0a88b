//! Metadata (key 3, v0-13): brokers, topics, partitions and their leaders.
//!
//! v0 reads an empty list of topics as all; later versions say null. v4 adds
//! `allow_auto_topic_creation`, v5 offline replicas, v7 leader epochs, v8 authorised operations
//! (v8-10 for the cluster), v9 is flexible, v10 adds topic ids (v12 accepts them), v13 an
//! error code.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::Metadata;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 13);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataRequest {
    #[kafka(nullable = "1+", default = Some(Vec::new()))]
    pub topics: Option<Vec<MetadataRequestTopic>>,
    #[kafka(versions = "4+", default = true)]
    pub allow_auto_topic_creation: bool,
    #[kafka(versions = "8-10")]
    pub include_cluster_authorized_operations: bool,
    #[kafka(versions = "8+")]
    pub include_topic_authorized_operations: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataRequestTopic {
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: [u8; 16],
    #[kafka(nullable = "10+", default = Some(KafkaStr::EMPTY))]
    pub name: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataResponse {
    #[kafka(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    pub brokers: Vec<MetadataResponseBroker>,
    #[kafka(versions = "2+", nullable = "2+", ignorable)]
    pub cluster_id: Option<KafkaStr>,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub controller_id: i32,
    pub topics: Vec<MetadataResponseTopic>,
    #[kafka(versions = "8-10", default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    #[kafka(versions = "13+", ignorable)]
    pub error_code: i16,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataResponseBroker {
    pub node_id: i32,
    pub host: KafkaStr,
    pub port: i32,
    #[kafka(versions = "1+", nullable = "1+", ignorable)]
    pub rack: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataResponseTopic {
    pub error_code: i16,
    #[kafka(nullable = "12+", default = Some(KafkaStr::EMPTY))]
    pub name: Option<KafkaStr>,
    #[kafka(versions = "10+", ignorable)]
    pub topic_id: [u8; 16],
    #[kafka(versions = "1+", ignorable)]
    pub is_internal: bool,
    pub partitions: Vec<MetadataResponsePartition>,
    #[kafka(versions = "8+", default = i32::MIN)]
    pub topic_authorized_operations: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-13", flexible = "9+")]
pub struct MetadataResponsePartition {
    pub error_code: i16,
    pub partition_index: i32,
    pub leader_id: i32,
    #[kafka(versions = "7+", default = -1, ignorable)]
    pub leader_epoch: i32,
    pub replica_nodes: Vec<i32>,
    pub isr_nodes: Vec<i32>,
    #[kafka(versions = "5+", ignorable)]
    pub offline_replicas: Vec<i32>,
}
