//! Heartbeat (key 12, v0-4): a member says it is alive; the answer may tell it to rejoin.
//!
//! v1 adds `throttle_time_ms`, v3 static members, v4 is flexible.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::Heartbeat;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 4);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest {
    pub group_id: KafkaStr,
    pub generation_id: i32,
    pub member_id: KafkaStr,
    #[kafka(versions = "3+", nullable = "3+")]
    pub group_instance_id: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
}
