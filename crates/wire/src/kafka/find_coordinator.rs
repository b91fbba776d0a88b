//! FindCoordinator (key 10, v0-6): which broker coordinates a group or a transaction.
//!
//! v1 adds `key_type` (0 group, 1 transaction, 2 share group), v3 is flexible, v4 asks for several
//! keys at once, v6 is for share groups.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::FindCoordinator;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 6);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    #[kafka(versions = "0-3")]
    pub key: KafkaStr,
    #[kafka(versions = "1+")]
    pub key_type: i8,
    #[kafka(versions = "4+")]
    pub coordinator_keys: Vec<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[kafka(versions = "0-3")]
    pub error_code: i16,
    #[kafka(versions = "1-3", nullable = "1+", ignorable)]
    pub error_message: Option<KafkaStr>,
    #[kafka(versions = "0-3")]
    pub node_id: i32,
    #[kafka(versions = "0-3")]
    pub host: KafkaStr,
    #[kafka(versions = "0-3")]
    pub port: i32,
    #[kafka(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "4-6", flexible = "4+")]
pub struct Coordinator {
    pub key: KafkaStr,
    pub node_id: i32,
    pub host: KafkaStr,
    pub port: i32,
    pub error_code: i16,
    #[kafka(nullable = "4+")]
    pub error_message: Option<KafkaStr>,
}
