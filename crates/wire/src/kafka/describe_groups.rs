//! DescribeGroups (key 15, v0-6): state and members of groups.
//!
//! v3 adds authorised operations, v4 static members, v5 is flexible, v6 adds `error_message`.

use bytes::Bytes;

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DescribeGroups;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 6);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest {
    pub groups: Vec<KafkaStr>,
    #[kafka(versions = "3+")]
    pub include_authorized_operations: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub groups: Vec<DescribedGroup>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-6", flexible = "5+")]
pub struct DescribedGroup {
    pub error_code: i16,
    #[kafka(versions = "6+", nullable = "6+")]
    pub error_message: Option<KafkaStr>,
    pub group_id: KafkaStr,
    pub group_state: KafkaStr,
    pub protocol_type: KafkaStr,
    pub protocol_data: KafkaStr,
    pub members: Vec<DescribedGroupMember>,
    #[kafka(versions = "3+", default = i32::MIN)]
    pub authorized_operations: i32,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-6", flexible = "5+")]
pub struct DescribedGroupMember {
    pub member_id: KafkaStr,
    #[kafka(versions = "4+", nullable = "4+", ignorable)]
    pub group_instance_id: Option<KafkaStr>,
    pub client_id: KafkaStr,
    pub client_host: KafkaStr,
    pub member_metadata: Bytes,
    pub member_assignment: Bytes,
}
