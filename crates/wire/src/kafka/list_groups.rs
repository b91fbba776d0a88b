//! ListGroups (key 16, v0-5): which groups there are.
//!
//! v3 is flexible, v4 adds states and a filter by them, v5 types and a filter by them.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::ListGroups;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 5);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct ListGroupsRequest {
    #[kafka(versions = "4+")]
    pub states_filter: Vec<KafkaStr>,
    #[kafka(versions = "5+")]
    pub types_filter: Vec<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct ListGroupsResponse {
    #[kafka(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    pub error_code: i16,
    pub groups: Vec<ListedGroup>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "3+")]
pub struct ListedGroup {
    pub group_id: KafkaStr,
    pub protocol_type: KafkaStr,
    #[kafka(versions = "4+", ignorable)]
    pub group_state: KafkaStr,
    #[kafka(versions = "5+", ignorable)]
    pub group_type: KafkaStr,
}
