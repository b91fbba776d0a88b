//! The broker's own settings by Kafka's names.

use crate::Options;
use std::time::Duration;

/// Takes a checked value; other names are no matter of [`Options`].
pub(super) fn set(options: &mut Options, name: &str, value: &str) {
    let value = value.trim();
    let number = value.parse::<u64>().unwrap_or(0);
    let millis = Duration::from_millis(number);
    let size = usize::try_from(number).unwrap_or(usize::MAX);
    let groups = &mut options.groups;
    let compaction = &mut options.compaction;
    match name {
        "auto.create.topics.enable" => options.auto_create_topics = value == "true",
        "delete.topic.enable" => options.delete_topics = value == "true",
        "group.initial.rebalance.delay.ms" => groups.initial_rebalance_delay = millis,
        "group.max.session.timeout.ms" => groups.session_timeout_max = millis,
        "group.max.size" => groups.members_max = size,
        "group.min.session.timeout.ms" => groups.session_timeout_min = millis,
        "log.cleaner.backoff.ms" => compaction.interval = millis,
        "log.cleaner.dedupe.buffer.size" => compaction.map_bytes_max = size,
        "log.cleaner.enable" => compaction.enabled = value == "true",
        "log.cleaner.io.max.bytes.per.second" => {
            compaction.bytes_per_second_max = value.parse().unwrap_or(f64::MAX);
        }
        "log.retention.check.interval.ms" => options.retention_check_interval = millis,
        "num.partitions" => options.partitions_default = u32::try_from(number).unwrap_or(1),
        "offset.metadata.max.bytes" => groups.offset_metadata_bytes_max = size,
        "offsets.retention.check.interval.ms" => groups.offsets_check_interval = millis,
        "offsets.retention.minutes" => {
            groups.offsets_retention = Duration::from_secs(number.saturating_mul(60));
        }
        "producer.id.expiration.ms" => options.producer_id_expiration = millis,
        _ => {}
    }
}

/// The value of one; `None` for other names.
pub(super) fn value(options: &Options, name: &str) -> Option<String> {
    let millis = |duration: Duration| duration.as_millis().to_string();
    let (groups, compaction) = (&options.groups, &options.compaction);
    Some(match name {
        "auto.create.topics.enable" => options.auto_create_topics.to_string(),
        "default.replication.factor" => "1".to_owned(),
        "delete.topic.enable" => options.delete_topics.to_string(),
        "group.initial.rebalance.delay.ms" => millis(groups.initial_rebalance_delay),
        "group.max.session.timeout.ms" => millis(groups.session_timeout_max),
        "group.max.size" => groups.members_max.to_string(),
        "group.min.session.timeout.ms" => millis(groups.session_timeout_min),
        "log.cleaner.backoff.ms" => millis(compaction.interval),
        "log.cleaner.dedupe.buffer.size" => compaction.map_bytes_max.to_string(),
        "log.cleaner.enable" => compaction.enabled.to_string(),
        "log.cleaner.io.max.bytes.per.second" => format!("{:E}", compaction.bytes_per_second_max),
        "log.retention.check.interval.ms" => millis(options.retention_check_interval),
        "num.partitions" => options.partitions_default.to_string(),
        "offset.metadata.max.bytes" => groups.offset_metadata_bytes_max.to_string(),
        "offsets.retention.check.interval.ms" => millis(groups.offsets_check_interval),
        "offsets.retention.minutes" => (groups.offsets_retention.as_secs() / 60).to_string(),
        "producer.id.expiration.ms" => millis(options.producer_id_expiration),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tramline_catalog::BROKER_SETTINGS;

    #[test]
    fn every_setting_that_is_shown_as_the_brokers_own_can_be_set_and_has_its_default() {
        for setting in BROKER_SETTINGS.iter() {
            let mut options = Options::default();
            let Some(shown) = value(&options, setting.name) else { continue };
            let default = setting.default.unwrap();
            let same = shown == default || shown.parse::<f64>().ok() == default.parse().ok();
            assert!(same, "{}: {shown} is not {default}", setting.name);
            if setting.name == "default.replication.factor" {
                continue;
            }
            let other = match default {
                "true" => "false".to_owned(),
                _ => "1234567".to_owned(),
            };
            set(&mut options, setting.name, &other);
            let changed = value(&options, setting.name).unwrap();
            let same = changed == other || changed.parse::<f64>().ok() == other.parse().ok();
            assert!(same, "{}: {changed} is not {other}", setting.name);
        }
    }
}
