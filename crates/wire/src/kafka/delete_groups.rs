//! DeleteGroups (key 42, v0-2): groups to delete.
//!
//! v2 is flexible.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DeleteGroups;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 2);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsRequest {
    pub groups_names: Vec<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeleteGroupsResponse {
    pub throttle_time_ms: i32,
    pub results: Vec<DeletableGroupResult>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-2", flexible = "2+")]
pub struct DeletableGroupResult {
    pub group_id: KafkaStr,
    pub error_code: i16,
}
