//! DescribeClientQuotas (key 48, v0-1): the limits of users and clients.
//!
//! v1 is flexible.

use crate::KafkaStr;

use super::{ApiKey, KafkaMessage, VersionRange};

/// The API of these messages.
pub const API_KEY: ApiKey = ApiKey::DescribeClientQuotas;
/// The versions of these messages.
pub const VERSIONS: VersionRange = VersionRange::new(0, 1);

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct DescribeClientQuotasRequest {
    pub components: Vec<ComponentData>,
    pub strict: bool,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct ComponentData {
    pub entity_type: KafkaStr,
    pub match_type: i8,
    #[kafka(nullable = "0+")]
    pub r#match: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct DescribeClientQuotasResponse {
    pub throttle_time_ms: i32,
    pub error_code: i16,
    #[kafka(nullable = "0+")]
    pub error_message: Option<KafkaStr>,
    #[kafka(nullable = "0+")]
    pub entries: Option<Vec<EntryData>>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct EntryData {
    pub entity: Vec<EntityData>,
    pub values: Vec<ValueData>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct EntityData {
    pub entity_type: KafkaStr,
    #[kafka(nullable = "0+")]
    pub entity_name: Option<KafkaStr>,
}

#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "0-1", flexible = "1+")]
pub struct ValueData {
    pub key: KafkaStr,
    pub value: f64,
}
