//! DescribeCluster (key 60, v0-2): cluster id, controller and brokers.
//!
//! v1 adds `endpoint_type` (1 brokers, 2 controllers), v2 fenced brokers. Flexible from the start.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DescribeCluster;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 2);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    pub include_cluster_authorized_operations: bool,
    #[kafka(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    #[kafka(versions = "2+")]
    pub include_fenced_brokers: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<KafkaStr>,
    #[kafka(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    pub cluster_id: KafkaStr,
    #[kafka(default = -1)]
    pub controller_id: i32,
    pub brokers: Vec<DescribeClusterBroker>,
    #[kafka(default = i32::MIN)]
    pub cluster_authorized_operations: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterBroker {
    pub broker_id: i32,
    pub host: KafkaStr,
    pub port: i32,
    #[kafka(nullable = "0+")]
    pub rack: Option<KafkaStr>,
    #[kafka(versions = "2+")]
    pub is_fenced: bool,
}
