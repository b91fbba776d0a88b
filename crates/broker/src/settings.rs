//! Settings as they are shown.

use crate::{Broker, GroupOptions, Topic};
use std::time::Duration;
pub use tramline_catalog::SettingKind;
use tramline_catalog::TOPIC_SETTINGS;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// The topic sets it.
    Topic,
    /// The broker's configuration sets it.
    Broker,
    /// Nobody set it.
    Default,
}

/// One setting with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDescription {
    /// Its name.
    pub name: &'static str,
    /// The value in force.
    pub value: String,
    /// The broker's configured value, where there is one.
    pub broker_value: Option<String>,
    /// The built-in default.
    pub default: String,
    /// Where the value comes from.
    pub source: SettingSource,
    /// The value's type.
    pub kind: SettingKind,
    /// It cannot be changed while the broker runs.
    pub read_only: bool,
    /// What it does.
    pub doc: &'static str,
}

impl Broker {
    /// Every topic setting as it stands for this topic, or for one without overrides.
    pub fn describe_topic_settings(&self, topic: Option<&Topic>) -> Vec<SettingDescription> {
        let settings = topic.map(Topic::settings);
        let overrides = settings.as_deref().map(|settings| settings.overrides());
        TOPIC_SETTINGS
            .iter()
            .map(|setting| {
                let of_topic = overrides.and_then(|overrides| overrides.get(setting.name));
                let of_broker = self.options().topic_defaults.get(setting.name);
                let (value, source) = match (of_topic, of_broker) {
                    (Some(value), _) => (value.clone(), SettingSource::Topic),
                    (None, Some(value)) => (value.to_owned(), SettingSource::Broker),
                    (None, None) => (setting.default.to_owned(), SettingSource::Default),
                };
                SettingDescription {
                    name: setting.name,
                    value,
                    broker_value: of_broker.map(str::to_owned),
                    default: setting.default.to_owned(),
                    source,
                    kind: setting.kind,
                    read_only: setting.is_fixed(),
                    doc: setting.doc,
                }
            })
            .collect()
    }

    /// The broker's own settings under Kafka's names; changed in the configuration file.
    pub fn describe_broker_settings(&self) -> Vec<SettingDescription> {
        let mut rows = broker_rows(self.options(), &crate::Options::default());
        rows.extend(group_rows(&self.options().groups, &GroupOptions::default()));
        rows.sort_by_key(|row| row.name);
        rows
    }
}

type Row = (&'static str, SettingKind, String, String, &'static str);

fn described((name, kind, value, default, doc): Row) -> SettingDescription {
    let is_default = value == default;
    SettingDescription {
        name,
        broker_value: (!is_default).then(|| value.clone()),
        value,
        default,
        source: if is_default { SettingSource::Default } else { SettingSource::Broker },
        kind,
        read_only: true,
        doc,
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn broker_rows(options: &crate::Options, defaults: &crate::Options) -> Vec<SettingDescription> {
    let rows: [Row; 6] = [
        (
            "auto.create.topics.enable",
            SettingKind::Boolean,
            options.auto_create_topics.to_string(),
            defaults.auto_create_topics.to_string(),
            "Whether naming an unknown topic creates it.",
        ),
        (
            "default.replication.factor",
            SettingKind::Int,
            "1".to_owned(),
            "1".to_owned(),
            "The real number of copies.",
        ),
        (
            "log.retention.check.interval.ms",
            SettingKind::Long,
            millis(options.retention_check_interval),
            millis(defaults.retention_check_interval),
            "How often retention is applied.",
        ),
        (
            "min.insync.replicas",
            SettingKind::Int,
            "1".to_owned(),
            "1".to_owned(),
            "How many copies must have a record before it is acknowledged: this node has one.",
        ),
        (
            "num.partitions",
            SettingKind::Int,
            options.partitions_default.to_string(),
            defaults.partitions_default.to_string(),
            "Partitions of a topic that is created without a number.",
        ),
        (
            "producer.id.expiration.ms",
            SettingKind::Int,
            millis(options.producer_id_expiration),
            millis(defaults.producer_id_expiration),
            "A producer that sends nothing for so long is forgotten.",
        ),
    ];
    rows.into_iter().map(described).collect()
}

fn group_rows(options: &GroupOptions, defaults: &GroupOptions) -> Vec<SettingDescription> {
    let minutes = |duration: Duration| (duration.as_secs() / 60).to_string();
    let rows: [Row; 6] = [
        (
            "group.initial.rebalance.delay.ms",
            SettingKind::Int,
            millis(options.initial_rebalance_delay),
            millis(defaults.initial_rebalance_delay),
            "How long the first rebalance of an empty group waits for more members.",
        ),
        (
            "group.max.session.timeout.ms",
            SettingKind::Int,
            millis(options.session_timeout_max),
            millis(defaults.session_timeout_max),
            "The longest session timeout allowed.",
        ),
        (
            "group.max.size",
            SettingKind::Int,
            options.members_max.to_string(),
            defaults.members_max.to_string(),
            "How many members a group may have.",
        ),
        (
            "group.min.session.timeout.ms",
            SettingKind::Int,
            millis(options.session_timeout_min),
            millis(defaults.session_timeout_min),
            "The shortest session timeout allowed.",
        ),
        (
            "offset.metadata.max.bytes",
            SettingKind::Int,
            options.offset_metadata_bytes_max.to_string(),
            defaults.offset_metadata_bytes_max.to_string(),
            "The largest metadata of one committed offset.",
        ),
        (
            "offsets.retention.minutes",
            SettingKind::Int,
            minutes(options.offsets_retention),
            minutes(defaults.offsets_retention),
            "Committed offsets of an empty group go after so long.",
        ),
    ];
    rows.into_iter().map(described).collect()
}
