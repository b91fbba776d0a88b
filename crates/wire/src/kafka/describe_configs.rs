//! DescribeConfigs (key 32, v1-4): settings of topics and brokers.
//!
//! v3 adds types and documentation, v4 is flexible.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DescribeConfigs;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(1, 4);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsRequest {
    pub resources: Vec<DescribeConfigsResource>,
    pub include_synonyms: bool,
    #[kafka(versions = "3+")]
    pub include_documentation: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResource {
    pub resource_type: i8,
    pub resource_name: KafkaStr,
    #[kafka(nullable = "1+")]
    pub configuration_keys: Option<Vec<KafkaStr>>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DescribeConfigsResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResult {
    pub error_code: i16,
    #[kafka(nullable = "1+")]
    pub error_message: Option<KafkaStr>,
    pub resource_type: i8,
    pub resource_name: KafkaStr,
    pub configs: Vec<DescribeConfigsResourceResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsResourceResult {
    pub name: KafkaStr,
    #[kafka(nullable = "1+")]
    pub value: Option<KafkaStr>,
    pub read_only: bool,
    #[kafka(default = -1)]
    pub config_source: i8,
    pub is_sensitive: bool,
    pub synonyms: Vec<DescribeConfigsSynonym>,
    #[kafka(versions = "3+", ignorable)]
    pub config_type: i8,
    #[kafka(versions = "3+", nullable = "3+", ignorable)]
    pub documentation: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-4", flexible = "4+")]
pub struct DescribeConfigsSynonym {
    pub name: KafkaStr,
    #[kafka(nullable = "1+")]
    pub value: Option<KafkaStr>,
    pub source: i8,
}
