//! ListConfigResources (key 74, v0-1): what has settings.
//!
//! v0 lists resources of client metrics alone, v1 adds types. Flexible from the start.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::ListConfigResources;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 1);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesRequest {
    #[kafka(versions = "1+")]
    pub resource_types: Vec<i8>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ListConfigResourcesResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub config_resources: Vec<ConfigResource>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "0+")]
pub struct ConfigResource {
    pub resource_name: KafkaStr,
    #[kafka(versions = "1+", default = 16, ignorable)]
    pub resource_type: i8,
}
