//! DeleteTopics (key 20, v1-6): topics to delete.
//!
//! v4 is flexible, v5 adds error messages, v6 takes names or ids.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DeleteTopics;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(1, 6);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest {
    #[kafka(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    #[kafka(versions = "1-5", ignorable)]
    pub topic_names: Vec<KafkaStr>,
    pub timeout_ms: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "6", flexible = "6+")]
pub struct DeleteTopicState {
    #[kafka(nullable = "6")]
    pub name: Option<KafkaStr>,
    pub topic_id: [u8; 16],
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    pub throttle_time_ms: i32,
    pub responses: Vec<DeletableTopicResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-6", flexible = "4+")]
pub struct DeletableTopicResult {
    #[kafka(nullable = "6+", default = Some(KafkaStr::EMPTY))]
    pub name: Option<KafkaStr>,
    #[kafka(versions = "6+", ignorable)]
    pub topic_id: [u8; 16],
    pub error_code: i16,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub error_message: Option<KafkaStr>,
}
