//! IncrementalAlterConfigs (key 44, v0-1): settings to set, reset, append to or
//! subtract from, one by one.
//!
//! v1 is flexible.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 1);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsRequest {
    pub resources: Vec<AlterConfigsResource>,
    pub validate_only: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct AlterConfigsResource {
    pub resource_type: i8,
    pub resource_name: KafkaStr,
    pub configs: Vec<AlterableConfig>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct AlterableConfig {
    pub name: KafkaStr,
    pub config_operation: i8,
    #[kafka(nullable = "0+")]
    pub value: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct IncrementalAlterConfigsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<AlterConfigsResourceResponse>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct AlterConfigsResourceResponse {
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<KafkaStr>,
    pub resource_type: i8,
    pub resource_name: KafkaStr,
}
