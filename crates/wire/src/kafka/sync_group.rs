//! SyncGroup (key 14, v0-5): the leader hands in the assignment, the others fetch theirs.
//!
//! v3 adds static members, v4 is flexible, v5 echoes protocol type and name.

use bytes::Bytes;

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::SyncGroup;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 5);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest {
    pub group_id: KafkaStr,
    pub generation_id: i32,
    pub member_id: KafkaStr,
    #[kafka(versions = "3+", nullable = "3+")]
    pub group_instance_id: Option<KafkaStr>,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub protocol_type: Option<KafkaStr>,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub protocol_name: Option<KafkaStr>,
    pub assignments: Vec<SyncGroupRequestAssignment>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequestAssignment {
    pub member_id: KafkaStr,
    pub assignment: Bytes,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub protocol_type: Option<KafkaStr>,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub protocol_name: Option<KafkaStr>,
    pub assignment: Bytes,
}
