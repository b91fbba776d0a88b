//! DescribeLogDirs (key 35, v1-5): where partitions lie and how large they are.
//!
//! v2 is flexible, v3 adds a top-level error, v4 the size of the volume, v5 cordoned directories.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DescribeLogDirs;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(1, 5);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsRequest {
    #[kafka(nullable = "0+")]
    pub topics: Option<Vec<DescribableLogDirTopic>>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribableLogDirTopic {
    pub topic: KafkaStr,
    pub partitions: Vec<i32>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResponse {
    pub throttle_time_ms: i32,
    #[kafka(versions = "3+", ignorable)]
    pub error_code: i16,
    pub results: Vec<DescribeLogDirsResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsResult {
    pub error_code: i16,
    pub log_dir: KafkaStr,
    pub topics: Vec<DescribeLogDirsTopic>,
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub total_bytes: i64,
    #[kafka(versions = "4+", default = -1, ignorable)]
    pub usable_bytes: i64,
    #[kafka(versions = "5+", ignorable)]
    pub is_cordoned: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsTopic {
    pub name: KafkaStr,
    pub partitions: Vec<DescribeLogDirsPartition>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-5", flexible = "2+")]
pub struct DescribeLogDirsPartition {
    pub partition_index: i32,
    pub partition_size: i64,
    pub offset_lag: i64,
    pub is_future_key: bool,
}
