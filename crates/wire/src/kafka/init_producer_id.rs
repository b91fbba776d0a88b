//! InitProducerId (key 22, v0-5): an id and epoch for an idempotent or transactional producer.
//!
//! v2 is flexible, v3 takes the current id and epoch, v4 and v5 add error codes.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::InitProducerId;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 5);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdRequest {
    #[kafka(nullable = "0+")]
    pub transactional_id: Option<KafkaStr>,
    pub transaction_timeout_ms: i32,
    #[kafka(versions = "3+", default = -1)]
    pub producer_id: i64,
    #[kafka(versions = "3+", default = -1)]
    pub producer_epoch: i16,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-5", flexible = "2+")]
pub struct InitProducerIdResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(default = -1)]
    pub producer_id: i64,
    pub producer_epoch: i16,
}
