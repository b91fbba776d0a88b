//! AlterClientQuotas (key 49, v0-1): changes the limits of users and clients.
//!
//! v1 is flexible.

use crate::KafkaStr;

pub use super::describe_client_quotas::EntityData;
use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::AlterClientQuotas;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 1);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct AlterClientQuotasRequest {
    pub entries: Vec<EntryData>,
    pub validate_only: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct EntryData {
    pub entity: Vec<EntityData>,
    pub ops: Vec<OpData>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct OpData {
    pub key: KafkaStr,
    pub value: f64,
    pub remove: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct AlterClientQuotasResponse {
    pub throttle_time_ms: i32,
    pub entries: Vec<response::EntryData>,
}

/// The parts of the response; some have the names of parts of the request.
pub mod response {
    use super::{EntityData, KafkaMessage, KafkaStr};

    #[derive(KafkaMessage, Clone, Debug, PartialEq)]
    #[kafka(versions = "0-1", flexible = "1+")]
    pub struct EntryData {
        pub error_code: i16,
        #[kafka(nullable = "0+")]
        pub error_message: Option<KafkaStr>,
        pub entity: Vec<EntityData>,
    }
}
