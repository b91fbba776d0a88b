//! ApiVersions (key 18, v0-4): which APIs and versions the broker speaks.
//!
//! v3 is flexible (its response header is not) and adds features; v4 allows features from level 0.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::ApiVersions;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 4);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsRequest {
    #[kafka(versions = "3+", ignorable)]
    pub client_software_name: KafkaStr,
    #[kafka(versions = "3+", ignorable)]
    pub client_software_version: KafkaStr,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-4", flexible = "3+")]
pub struct ApiVersionsResponse {
    pub error_code: i16,
    pub api_keys: Vec<ApiVersion>,
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[kafka(versions = "3+", tagged = 0, ignorable)]
    pub supported_features: Vec<SupportedFeatureKey>,
    #[kafka(versions = "3+", tagged = 1, default = -1, ignorable)]
    pub finalized_features_epoch: i64,
    #[kafka(versions = "3+", tagged = 2, ignorable)]
    pub finalized_features: Vec<FinalizedFeatureKey>,
    #[kafka(versions = "3+", tagged = 3, ignorable)]
    pub zk_migration_ready: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-4", flexible = "3+")]
pub struct ApiVersion {
    pub api_key: i16,
    pub min_version: i16,
    pub max_version: i16,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-4", flexible = "3+")]
pub struct SupportedFeatureKey {
    pub name: KafkaStr,
    pub min_version: i16,
    pub max_version: i16,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-4", flexible = "3+")]
pub struct FinalizedFeatureKey {
    pub name: KafkaStr,
    pub max_version_level: i16,
    pub min_version_level: i16,
}
