//! Topics: creation, change, deletion, settings that take effect.

use crate::support::{Node, batch_at, message, new_topic};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_broker::{
    Change, Error, Mode, NewTopic, Options, SettingChange, SettingSource, TopicDefaults,
};
use tramline_types::{Timestamp, TopicName};

fn change(name: &str, change: Change) -> Vec<SettingChange> {
    vec![SettingChange { name: name.to_owned(), change }]
}

#[tokio::test]
async fn topics_come_back_after_a_restart_with_their_ids_settings_and_partitions() {
    let node = Node::start().await;
    let topic = node.topic("kept", &[("retention.ms", "5000")]).await;
    node.topic("gone", &[]).await;
    node.broker.create_partitions(topic.name(), 3, Mode::Apply).await.unwrap();
    let raise = change("max.message.bytes", Change::Set("2000".into()));
    node.broker.alter_topic(topic.name(), raise, Mode::Apply).await.unwrap();
    node.broker.delete_topic(&TopicName::parse("gone").unwrap()).await.unwrap();

    let again = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    let [found] = again.broker.topics().try_into().ok().unwrap();
    assert_eq!((found.name(), found.id()), (topic.name(), topic.id()));
    assert_eq!(found.partition_count(), 3);
    assert_eq!(found.settings().retention_ms, Some(5000));
    assert_eq!(found.settings().message_bytes_max, 2000);
    assert_eq!(again.store_logs(), 3, "the deleted topic's log is gone");
}

impl Node {
    fn store_logs(&self) -> usize {
        self.broker.store().logs().len()
    }
}

#[tokio::test]
async fn impossible_topics_are_refused_and_leave_nothing() {
    let node = Node::start().await;
    node.topic("there", &[]).await;
    let refusals = [
        (new_topic("there", &[]), "TopicExists"),
        (NewTopic { partitions: Some(0), ..new_topic("a", &[]) }, "InvalidPartitions"),
        (NewTopic { partitions: Some(10_001), ..new_topic("a", &[]) }, "InvalidPartitions"),
        (NewTopic { replication_factor: Some(3), ..new_topic("a", &[]) }, "InvalidReplication"),
        (NewTopic { replication_factor: Some(0), ..new_topic("a", &[]) }, "InvalidReplication"),
        (new_topic("a", &[("retention.ms", "x")]), "InvalidSetting"),
        (new_topic("a", &[("no.such", "1")]), "InvalidSetting"),
        (new_topic("a", &[("retention.ms", "1"), ("retention.ms", "2")]), "InvalidSetting"),
    ];
    for (new, expected) in refusals {
        let refused = format!("{:?}", node.broker.create_topic(new).await.err());
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
    assert_eq!(node.broker.topics().len(), 1);
    assert_eq!(node.store_logs(), 1);
}

#[tokio::test]
async fn validating_only_changes_nothing() {
    let node = Node::start().await;
    let new = NewTopic { mode: Mode::ValidateOnly, ..new_topic("a", &[]) };
    assert_eq!(node.broker.create_topic(new).await.unwrap().partition_count(), 1);
    assert!(node.broker.topics().is_empty());
    let topic = node.topic("b", &[]).await;
    node.broker.create_partitions(topic.name(), 5, Mode::ValidateOnly).await.unwrap();
    let lower = change("retention.ms", Change::Set("1".into()));
    node.broker.alter_topic(topic.name(), lower, Mode::ValidateOnly).await.unwrap();
    assert_eq!(topic.partition_count(), 1);
    assert!(topic.settings().overrides().is_empty());
    let fewer = node.broker.create_partitions(topic.name(), 1, Mode::Apply).await;
    assert!(matches!(fewer, Err(Error::InvalidPartitions(_))));
}

#[tokio::test]
async fn a_batch_above_the_limit_or_with_a_time_too_far_ahead_is_refused() {
    let node = Node::start().await;
    let topic = node.topic("t", &[("max.message.bytes", "200")]).await;
    let large = batch_at(node.now(), &[&"x".repeat(300)]);
    assert!(matches!(
        node.publish(&topic, large).await,
        Err(Error::MessageTooLarge { limit: 200, .. })
    ));
    let ahead = Timestamp::from_millis(node.now().as_millis() + 3_700_000);
    let refused = node.publish(&topic, batch_at(ahead, &["x"])).await;
    assert!(matches!(refused, Err(Error::InvalidRecords(_))), "{refused:?}");
    assert_eq!(node.values(&topic, 0).await, []);
}

#[tokio::test]
async fn log_append_time_replaces_the_producers() {
    let node = Node::start().await;
    let topic = node.topic("t", &[("message.timestamp.type", "LogAppendTime")]).await;
    let long_ago = Timestamp::from_millis(1000);
    let published = node.publish(&topic, batch_at(long_ago, &["x"])).await.unwrap();
    assert_eq!(published.log_append_time, Some(node.now()));
    let mut piece = node.fetch(&topic, 0).await.unwrap().pieces.remove(0);
    let batch = tramline_record::Batch::decode_first(&mut piece).unwrap().unwrap();
    assert_eq!(batch.records(1 << 20).unwrap()[0].timestamp, node.now().as_millis());
}

#[tokio::test]
async fn retention_by_time_and_size_moves_the_start_and_never_the_end() {
    let node = Node::start().await;
    let by_time = node.topic("by-time", &[("retention.ms", "10000")]).await;
    let by_size = node.topic("by-size", &[("retention.bytes", "0")]).await;
    let kept = node.topic("kept", &[("retention.ms", "-1")]).await;
    for topic in [&by_time, &by_size, &kept] {
        node.publish(topic, batch_at(node.now(), &["old"])).await.unwrap();
    }
    node.clock.advance(Duration::from_secs(11));
    node.publish(&by_time, batch_at(node.now(), &["new"])).await.unwrap();
    node.broker.apply_retention().await;
    // One more commit behind the trims: when it is durable, so are they.
    node.broker.allocate_producer_id().await.unwrap();
    assert_eq!(node.values(&by_time, 1).await, [(1, "new".into())]);
    assert!(matches!(node.fetch(&by_time, 0).await, Err(Error::OffsetOutOfRange { .. })));
    assert_eq!(by_size.partition(0).unwrap().log_start().get(), 1);
    let next = node.publish(&by_size, batch_at(node.now(), &["x"])).await.unwrap();
    assert_eq!(next.base_offset.get(), 1);
    assert_eq!(node.values(&kept, 0).await.len(), 1);
}

#[tokio::test]
async fn settings_show_their_source() {
    let defaults = BTreeMap::from([("retention.ms".to_owned(), "9".to_owned())]);
    let options =
        Options { topic_defaults: TopicDefaults::new(defaults).unwrap(), ..Options::default() };
    let node = Node::over(Arc::new(tramline_store::MemoryStore::new()), options).await;
    let topic = node.topic("t", &[("retention.bytes", "77")]).await;
    let described = node.broker.describe_topic_settings(Some(&topic));
    let of = |name: &str| described.iter().find(|setting| setting.name == name).unwrap();
    assert_eq!(
        (of("retention.bytes").value.as_deref(), of("retention.bytes").source),
        (Some("77"), SettingSource::Topic)
    );
    assert_eq!(
        (of("retention.ms").value.as_deref(), of("retention.ms").source),
        (Some("9"), SettingSource::Broker)
    );
    assert_eq!(of("cleanup.policy").source, SettingSource::Default);
    let broker = node.broker.describe_broker_settings();
    assert!(broker.is_sorted_by_key(|setting| setting.name));
}

#[tokio::test]
async fn messages_without_batches_go_by_key_and_keep_their_order() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    node.broker.create_partitions(topic.name(), 8, Mode::Apply).await.unwrap();
    let keyed = |key: &str, value: &str| {
        let mut message = message(value);
        message.key = Some(bytes::Bytes::from(key.to_owned()));
        (None, message)
    };
    let messages = vec![keyed("a", "1"), keyed("b", "2"), keyed("a", "3"), (Some(5), message("4"))];
    let published = node.broker.publish_messages(&topic, messages).await;
    let places: Vec<_> = published.into_iter().map(Result::unwrap).collect();
    assert_eq!(places[0].0, places[2].0);
    assert!(places[2].1 > places[0].1);
    assert_eq!(places[3].0, 5);
    let half = vec![(Some(9), message("5")), (Some(5), message("6"))];
    let half = node.broker.publish_messages(&topic, half).await;
    assert!(matches!(half[0], Err(Error::UnknownPartition { .. })));
    assert_eq!(half[1].as_ref().map(|(partition, _)| *partition), Ok(5));
}

#[tokio::test]
async fn naming_an_unknown_topic_creates_it_once_where_that_is_allowed() {
    let node = Node::start().await;
    let name = TopicName::parse("auto").unwrap();
    let (one, two) =
        tokio::join!(node.broker.topic_or_create(&name), node.broker.topic_or_create(&name));
    assert_eq!(one.unwrap().id(), two.unwrap().id());
    let options = Options { auto_create_topics: false, ..Options::default() };
    let node = Node::over(Arc::new(tramline_store::MemoryStore::new()), options).await;
    assert!(matches!(node.broker.topic_or_create(&name).await, Err(Error::UnknownTopic(_))));
}

#[tokio::test]
async fn metrics_tell_of_topics_and_the_store() {
    let node = Node::start().await;
    let topic = node.topic("counted", &[]).await;
    node.publish(&topic, batch_at(node.now(), &["a", "b"])).await.unwrap();
    let text = node.broker.metrics().encode();
    for line in [
        "tramline_topics 1",
        "tramline_partition_high_watermark{topic=\"counted\",partition=\"0\"} 2",
        "tramline_published_batches_total 1",
        "tramline_store_full 0",
    ] {
        assert!(text.contains(line), "no `{line}` in:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn records_without_a_time_age_from_their_arrival() {
    let node = Node::start().await;
    let topic = node.topic("t", &[("retention.ms", "10000")]).await;
    let timeless = batch_at(Timestamp::from_millis(-1), &["x"]);
    node.publish(&topic, timeless).await.unwrap();
    node.broker.apply_retention().await;
    node.broker.allocate_producer_id().await.unwrap();
    assert_eq!(node.values(&topic, 0).await.len(), 1);
    node.clock.advance(Duration::from_secs(11));
    node.broker.apply_retention().await;
    node.broker.allocate_producer_id().await.unwrap();
    assert_eq!(topic.partition(0).unwrap().log_start().get(), 1);
}
