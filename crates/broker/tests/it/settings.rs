//! Broker settings that are changed while it runs, expiry by time, and clocks that jump.

use crate::support::{Node, batch_at, idempotent};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_broker::{
    Broker, Change, Error, Mode, Options, SettingChange, SettingDescription, SettingScope,
    SettingSource, TopicDefaults,
};
use tramline_store::MemoryStore;
use tramline_types::Timestamp;

const ALL: SettingScope = SettingScope::AllBrokers;
const THIS: SettingScope = SettingScope::ThisBroker;
const DAY_MS: i64 = 24 * 3_600_000;

async fn set(broker: &Broker, scope: SettingScope, name: &str, value: &str) -> Result<(), Error> {
    let change = Change::Set(value.to_owned());
    alter(broker, scope, name, change).await
}

async fn alter(
    broker: &Broker,
    scope: SettingScope,
    name: &str,
    change: Change,
) -> Result<(), Error> {
    let change = SettingChange { name: name.to_owned(), change };
    broker.alter_broker(scope, vec![change], Mode::Apply).await
}

fn of(described: Vec<SettingDescription>, name: &str) -> (Option<String>, SettingSource) {
    let setting = described.into_iter().find(|setting| setting.name == name).unwrap();
    (setting.value, setting.source)
}

#[tokio::test]
async fn broker_settings_change_at_once_and_the_strongest_place_wins() {
    let defaults = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    let options =
        Options { topic_defaults: TopicDefaults::new(defaults).unwrap(), ..Options::default() };
    let node = Node::over(Arc::new(MemoryStore::new()), options).await;
    let (broker, topic) = (&node.broker, node.topic("t", &[]).await);
    let own = node.topic("own", &[("retention.ms", "5")]).await;
    let shown = || of(broker.describe_broker_settings(), "log.retention.ms");
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(shown(), (some("1000"), SettingSource::Broker));
    set(broker, ALL, "log.retention.ms", "2000").await.unwrap();
    assert_eq!(shown(), (some("2000"), SettingSource::AllBrokers));
    assert_eq!(topic.settings().retention_ms, Some(2000));
    set(broker, THIS, "log.retention.ms", "3000").await.unwrap();
    assert_eq!(shown(), (some("3000"), SettingSource::ThisBroker));
    assert_eq!(topic.settings().retention_ms, Some(3000));
    assert_eq!(own.settings().retention_ms, Some(5), "its own");
    let of_topic = broker.describe_topic_settings(Some(&topic));
    let retention = of_topic.iter().find(|setting| setting.name == "retention.ms").unwrap();
    let places: Vec<_> = retention.synonyms.iter().map(|s| (s.name, s.source)).collect();
    let name = "log.retention.ms";
    assert_eq!(
        places,
        [
            (name, SettingSource::ThisBroker),
            (name, SettingSource::AllBrokers),
            (name, SettingSource::Broker),
            (name, SettingSource::Default)
        ]
    );
    assert_eq!(broker.describe_all_brokers_settings().len(), 1);
    alter(broker, THIS, name, Change::Reset).await.unwrap();
    alter(broker, ALL, name, Change::Reset).await.unwrap();
    assert_eq!(topic.settings().retention_ms, Some(1000));

    set(broker, ALL, "num.partitions", "3").await.unwrap();
    set(broker, ALL, "auto.create.topics.enable", "false").await.unwrap();
    let made = node.broker.create_topic(tramline_broker::NewTopic {
        partitions: None,
        ..crate::support::new_topic("three", &[])
    });
    assert_eq!(made.await.unwrap().partition_count(), 3);
    let unknown = tramline_types::TopicName::parse("unknown").unwrap();
    assert!(broker.topic_or_create(&unknown).await.is_err());
}

#[tokio::test]
async fn broker_settings_survive_a_restart_and_wrong_ones_change_nothing() {
    let node = Node::start().await;
    let topic = node.topic("t", &[("min.compaction.lag.ms", "100")]).await;
    set(&node.broker, ALL, "message.max.bytes", "300").await.unwrap();
    set(&node.broker, THIS, "group.max.size", "7").await.unwrap();
    for (name, value) in [
        ("message.max.bytes", "lots"),
        ("log.cleanup.policy", "shred"),
        ("no.such.setting", "1"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("node.id", "3"),
        ("group.min.session.timeout.ms", "99999999"),
        ("log.cleaner.max.compaction.lag.ms", "50"),
    ] {
        let refused = set(&node.broker, ALL, name, value).await;
        assert!(matches!(refused, Err(Error::InvalidSetting { .. })), "{name}: {refused:?}");
    }
    let check = Mode::ValidateOnly;
    let change =
        SettingChange { name: "message.max.bytes".to_owned(), change: Change::Set("1".to_owned()) };
    node.broker.alter_broker(ALL, vec![change], check).await.unwrap();
    let large = batch_at(node.now(), &[&"x".repeat(400)]);
    assert!(matches!(
        node.publish(&topic, large).await,
        Err(Error::MessageTooLarge { limit: 300, .. })
    ));
    node.broker.close().await;
    let restarted = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    assert_eq!(restarted.broker.topic(topic.name()).unwrap().settings().message_bytes_max, 300);
    assert_eq!(restarted.broker.options().groups.members_max, 7);
    set(&restarted.broker, ALL, "log.cleaner.min.compaction.lag.ms", "500").await.unwrap();
    restarted.broker.close().await;
    // The file now says what does not go with it: the broker starts all the same.
    let file = BTreeMap::from([("max.compaction.lag.ms".to_owned(), "400".to_owned())]);
    let options =
        Options { topic_defaults: TopicDefaults::new(file).unwrap(), ..Options::default() };
    let again = Node::over(Arc::new(restarted.store.reopen().start()), options).await;
    assert_eq!(again.broker.options().groups.members_max, 10_000);
}

#[tokio::test]
async fn a_default_below_a_topics_own_lag_keeps_nothing_from_starting_or_changing() {
    let node = Node::start().await;
    let own = [("cleanup.policy", "compact"), ("min.compaction.lag.ms", "1000")];
    let topic = node.topic("t", &own).await;
    node.broker.close().await;
    let file = BTreeMap::from([("max.compaction.lag.ms".to_owned(), "400".to_owned())]);
    let options =
        Options { topic_defaults: TopicDefaults::new(file).unwrap(), ..Options::default() };
    let again = Node::over(Arc::new(node.store.reopen().start()), options).await;
    let found = again.broker.topic(topic.name()).unwrap();
    let compaction = found.settings().compaction.unwrap();
    assert_eq!((compaction.lag_ms_min, compaction.lag_ms_max), (1000, 1000));
    set(&again.broker, ALL, "message.max.bytes", "300").await.unwrap();
    assert_eq!(found.settings().message_bytes_max, 300);
}

#[tokio::test]
async fn deleting_topics_can_be_forbidden() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    set(&node.broker, ALL, "delete.topic.enable", "false").await.unwrap();
    assert_eq!(node.broker.delete_topic(topic.name()).await, Err(Error::TopicDeletionDisabled));
    set(&node.broker, ALL, "delete.topic.enable", "true").await.unwrap();
    assert_eq!(node.broker.delete_topic(topic.name()).await, Ok(()));
}

/// Lets the upkeep, which works on the test's clock, come by.
async fn upkeep(node: &Node, reached: impl Fn() -> bool) {
    let waiting = async {
        while !reached() {
            node.clock.advance(Duration::from_secs(5));
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it never comes");
}

#[tokio::test]
async fn idle_producers_leave_memory_and_checkpoints() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    set(&node.broker, ALL, "producer.id.expiration.ms", "60000").await.unwrap();
    for id in 0..3 {
        node.publish(&topic, idempotent(node.now(), id, 0, "x")).await.unwrap();
    }
    let partition = topic.partition(0).unwrap();
    node.clock.advance(Duration::from_secs(50));
    node.publish(&topic, idempotent(node.now(), 2, 1, "y")).await.unwrap();
    assert_eq!(partition.producer_count(), 3);
    upkeep(&node, || partition.producer_count() == 1).await;
    let known = node.publish(&topic, idempotent(node.now(), 2, 1, "y")).await.unwrap();
    assert_eq!(known.base_offset.get(), 3, "the one that is left is still known");
    node.broker.allocate_producer_id().await.unwrap();
    node.broker.close().await;
    let restarted = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    let topic = restarted.broker.topic(topic.name()).unwrap();
    assert_eq!(topic.partition(0).unwrap().producer_count(), 1);
    let anew = idempotent(restarted.now(), 0, 17, "z");
    assert_eq!(restarted.publish(&topic, anew).await.unwrap().base_offset.get(), 4);
}

#[tokio::test]
async fn a_clock_that_jumps_expires_no_records_and_no_producers_and_refuses_nobody() {
    for jump in [DAY_MS, -DAY_MS] {
        let node = Node::start().await;
        let settings =
            [("retention.ms", "3600000"), ("message.timestamp.before.max.ms", "3600000")];
        let topic = node.topic("t", &settings).await;
        let right = node.now();
        node.publish(&topic, idempotent(right, 1, 0, "kept")).await.unwrap();
        node.clock.set_wall(Timestamp::from_millis(right.as_millis() + jump));
        node.clock.advance(Duration::from_secs(60));
        node.broker.apply_retention().await;
        node.broker.allocate_producer_id().await.unwrap();
        assert_eq!(node.values(&topic, 0).await.len(), 1, "{jump}");
        // Another machine's clock is right.
        node.publish(&topic, idempotent(right, 1, 1, "taken")).await.unwrap();
        node.clock.set_wall(Timestamp::from_millis(right.as_millis() + 60_000));
        node.clock.advance(Duration::from_secs(60));
        node.broker.apply_retention().await;
        node.broker.allocate_producer_id().await.unwrap();
        assert_eq!(node.values(&topic, 0).await.len(), 2, "{jump}");
        assert_eq!(topic.partition(0).unwrap().producer_count(), 1);
    }
}

#[tokio::test]
async fn metrics_tell_of_compaction_and_retention() {
    let node = Node::start().await;
    let topic = node.topic("t", &[("retention.bytes", "0")]).await;
    node.publish(&topic, batch_at(node.now(), &["x"])).await.unwrap();
    node.topic("c", &[("cleanup.policy", "compact")]).await;
    node.broker.apply_retention().await;
    let text = node.broker.metrics().encode();
    for line in [
        "tramline_partition_uncompacted_offsets{topic=\"c\",partition=\"0\"} 0",
        "tramline_partition_unreadable_batches{topic=\"c\",partition=\"0\"} 0",
        "tramline_compaction_passes_total 0",
    ] {
        assert!(text.contains(line), "no `{line}` in:\n{text}");
    }
    assert!(!text.contains("tramline_expired_bytes_total 0"), "{text}");
}
