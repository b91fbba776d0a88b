//! OffsetDelete (key 47, v0): committed offsets to forget.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::OffsetDelete;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 0);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0")]
pub struct OffsetDeleteRequest {
    pub group_id: KafkaStr,
    pub topics: Vec<OffsetDeleteRequestTopic>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0")]
pub struct OffsetDeleteRequestTopic {
    pub name: KafkaStr,
    pub partitions: Vec<OffsetDeleteRequestPartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0")]
pub struct OffsetDeleteRequestPartition {
    pub partition_index: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0")]
pub struct OffsetDeleteResponse {
    pub error_code: i16,
    pub throttle_time_ms: i32,
    pub topics: Vec<OffsetDeleteResponseTopic>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0")]
pub struct OffsetDeleteResponseTopic {
    pub name: KafkaStr,
    pub partitions: Vec<OffsetDeleteResponsePartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0")]
pub struct OffsetDeleteResponsePartition {
    pub partition_index: i32,
    pub error_code: i16,
}
