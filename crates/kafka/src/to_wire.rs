//! From the broker's values to Kafka's.

use tramline_broker::{QuotaKind, SettingKind, SettingSource};
use tramline_types::Offset;
use tramline_wire::KafkaStr;

/// What Kafka answers to "which operations may I do on this topic" where there are no rights:
/// all (bits of read, write, create, delete, alter, describe, describe and alter configs).
pub(crate) const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same for the cluster (create, alter, describe, cluster action, configs, idempotent write).
pub(crate) const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;
/// The same for a group (read, delete, describe).
pub(crate) const GROUP_OPERATIONS: i32 = 0b1_0100_1000;
/// The client did not ask.
pub(crate) const OPERATIONS_UNKNOWN: i32 = i32::MIN;

/// Text of our own as text on the wire.
pub(crate) fn text(text: &str) -> KafkaStr {
    KafkaStr::from(text.to_owned())
}

/// An error's own words.
pub(crate) fn message(error: &impl std::fmt::Display) -> Option<KafkaStr> {
    Some(KafkaStr::from(error.to_string()))
}

/// An offset, or -1.
pub(crate) fn offset(offset: Option<Offset>) -> i64 {
    offset.map_or(-1, Offset::as_i64)
}

/// A count of partitions.
pub(crate) fn count(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Where a setting's value comes from.
pub(crate) const fn config_source(source: SettingSource) -> i8 {
    match source {
        SettingSource::Topic => 1,
        SettingSource::ThisBroker => 2,
        SettingSource::AllBrokers => 3,
        SettingSource::Broker => 4,
        SettingSource::Default => 5,
    }
}

/// Kafka's name of a limit.
pub(crate) const fn quota_key(kind: QuotaKind) -> &'static str {
    match kind {
        QuotaKind::ProducedBytes => "producer_byte_rate",
        QuotaKind::FetchedBytes => "consumer_byte_rate",
        QuotaKind::RequestTime => "request_percentage",
    }
}

/// A setting's type.
pub(crate) const fn config_type(kind: SettingKind) -> i8 {
    match kind {
        SettingKind::Boolean => 1,
        SettingKind::String => 2,
        SettingKind::Int => 3,
        SettingKind::Short => 4,
        SettingKind::Long => 5,
        SettingKind::Double => 6,
        SettingKind::List => 7,
        SettingKind::Class => 8,
        SettingKind::Password => 9,
    }
}
