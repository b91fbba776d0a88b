//! LeaveGroup (key 13, v0-5): members leave a group.
//!
//! v3 takes several members at once, v4 is flexible, v5 adds `reason`.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::LeaveGroup;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 5);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest {
    pub group_id: KafkaStr,
    #[kafka(versions = "0-2")]
    pub member_id: KafkaStr,
    #[kafka(versions = "3+")]
    pub members: Vec<MemberIdentity>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-5", flexible = "4+")]
pub struct MemberIdentity {
    pub member_id: KafkaStr,
    #[kafka(nullable = "3+")]
    pub group_instance_id: Option<KafkaStr>,
    #[kafka(versions = "5+", nullable = "5+", ignorable)]
    pub reason: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(versions = "3+")]
    pub members: Vec<MemberResponse>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "3-5", flexible = "4+")]
pub struct MemberResponse {
    pub member_id: KafkaStr,
    #[kafka(nullable = "3+")]
    pub group_instance_id: Option<KafkaStr>,
    pub error_code: i16,
}
