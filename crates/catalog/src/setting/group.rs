//! Settings of groups: Kafka has them for the newer kinds of group only, which are not here.

use super::{
    Allowed, Setting, SettingKind,
    SettingKind::{Boolean, Int, String},
};

const fn group(name: &'static str, kind: SettingKind, default: &'static str) -> Setting {
    let why = "it belongs to a kind of group that is not here; classic groups take their settings \
               from their members";
    Setting {
        name,
        kind,
        default: Some(default),
        doc: "Of a kind of group that is not here. Classic groups take session and rebalance \
              time-outs from their members.",
        broker_name: None,
        allowed: Allowed::Default(why),
    }
}

/// Every group setting, by name.
pub static GROUP_SETTINGS: &[Setting] = &[
    group("consumer.assignment.interval.ms", Int, "1000"),
    group("consumer.heartbeat.interval.ms", Int, "5000"),
    group("consumer.session.timeout.ms", Int, "45000"),
    group("share.assignment.interval.ms", Int, "1000"),
    group("share.auto.offset.reset", String, "latest"),
    group("share.delivery.count.limit", Int, "5"),
    group("share.heartbeat.interval.ms", Int, "5000"),
    group("share.isolation.level", String, "read_uncommitted"),
    group("share.partition.max.record.locks", Int, "2000"),
    group("share.record.lock.duration.ms", Int, "30000"),
    group("share.renew.acknowledge.enable", Boolean, "true"),
    group("share.session.timeout.ms", Int, "45000"),
    group("streams.assignment.interval.ms", Int, "1000"),
    group("streams.heartbeat.interval.ms", Int, "5000"),
    group("streams.initial.rebalance.delay.ms", Int, "3000"),
    group("streams.num.standby.replicas", Int, "0"),
    group("streams.session.timeout.ms", Int, "45000"),
];
