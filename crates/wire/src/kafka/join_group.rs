//! JoinGroup (key 11, v0-9): a member enters a group, or a new generation of it.
//!
//! v1 adds `rebalance_timeout_ms`, v4 answers an unknown member with its id, v5 adds static
//! members, v6 is flexible, v7 echoes the protocol type, v8 adds `reason`, v9 `skip_assignment`.

use bytes::Bytes;

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::JoinGroup;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 9);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest {
    pub group_id: KafkaStr,
    pub session_timeout_ms: i32,
    #[kafka(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    pub member_id: KafkaStr,
    #[kafka(versions = "5+", nullable = "5+")]
    pub group_instance_id: Option<KafkaStr>,
    pub protocol_type: KafkaStr,
    pub protocols: Vec<JoinGroupRequestProtocol>,
    #[kafka(versions = "8+", nullable = "8+", ignorable)]
    pub reason: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequestProtocol {
    pub name: KafkaStr,
    pub metadata: Bytes,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    #[kafka(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(default = -1)]
    pub generation_id: i32,
    #[kafka(versions = "7+", nullable = "7+", ignorable)]
    pub protocol_type: Option<KafkaStr>,
    #[kafka(nullable = "7+", default = Some(KafkaStr::EMPTY))]
    pub protocol_name: Option<KafkaStr>,
    pub leader: KafkaStr,
    #[kafka(versions = "9+")]
    pub skip_assignment: bool,
    pub member_id: KafkaStr,
    pub members: Vec<JoinGroupResponseMember>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponseMember {
    pub member_id: KafkaStr,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub group_instance_id: Option<KafkaStr>,
    pub metadata: Bytes,
}
