//! Topics with `order = total`: one order for everyone, and a view that is only read.

use crate::support::{Node, batch_at, idempotent, message, new_topic, request, values};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_broker::{
    Broker, Change, CommitOffsets, Error, FetchItem, FetchRequest, MemberRef, Mode, NewTopic,
    OffsetCommit, Options, PublishItem, SettingChange, Topic, TopicDefaults,
};
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;
use tramline_types::{GroupId, Offset, TopicName};

const TOTAL: &[(&str, &str)] = &[("order", "total")];

fn total(name: &str, partitions: u32, settings: &[(&str, &str)]) -> NewTopic {
    let settings = [TOTAL, settings].concat();
    NewTopic { partitions: Some(partitions), ..new_topic(name, &settings) }
}

fn view(topic: &Topic) -> Arc<Topic> {
    Arc::clone(topic.ordered_view().unwrap())
}

fn name(text: &str) -> TopicName {
    TopicName::parse(text).unwrap()
}

async fn publish(node: &Node, topic: &Arc<Topic>, partition: u32, values: &[&str]) {
    let batch = batch_at(node.now(), values);
    let item = PublishItem { topic: Arc::clone(topic), partition, batch };
    node.broker.publish(vec![item]).await.await.remove(0).unwrap();
}

/// All that one partition has.
async fn read(broker: &Broker, topic: &Arc<Topic>, partition: u32) -> Vec<(i64, String)> {
    let bytes_max = 64 << 20;
    let offset = topic.partition(partition).unwrap().log_start().as_i64();
    let item = FetchItem { topic: Arc::clone(topic), partition, offset, bytes_max };
    let wait_max = Duration::ZERO;
    let request = FetchRequest { items: vec![item], bytes_min: 0, bytes_max, wait_max };
    values(&broker.fetch(request).await.remove(0).unwrap())
}

async fn restarted(node: &Node) -> Node {
    Node::over(Arc::new(node.store.reopen().start()), Options::default()).await
}

/// Applies retention, and waits until that is durable: commits have one order.
async fn retain(node: &Node) {
    node.broker.apply_retention().await;
    node.broker.allocate_producer_id().await.unwrap();
}

#[tokio::test]
async fn the_view_has_every_record_once_in_the_order_of_the_commits() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 3, &[])).await.unwrap();
    publish(&node, &topic, 2, &["a", "b"]).await;
    publish(&node, &topic, 0, &["c"]).await;
    publish(&node, &topic, 2, &["d"]).await;
    publish(&node, &topic, 1, &["e", "f"]).await;
    let expected: Vec<_> = (0..).zip(["a", "b", "c", "d", "e", "f"].map(str::to_owned)).collect();
    assert_eq!(read(&node.broker, &view(&topic), 0).await, expected);
    assert_eq!(
        read(&node.broker, &topic, 2).await,
        [(0, "a".into()), (1, "b".into()), (2, "d".into())]
    );

    let again = restarted(&node).await;
    let topic = again.broker.topic(&name("t")).unwrap();
    assert_eq!(read(&again.broker, &view(&topic), 0).await, expected);
    publish(&again, &topic, 0, &["g"]).await;
    assert_eq!(read(&again.broker, &view(&topic), 0).await[6..], [(6, "g".into())]);
}

#[tokio::test]
async fn nothing_is_shown_in_the_view_before_it_is_durable() {
    let store = Arc::new(MemoryStore::stepped());
    let clock = FakeClock::new();
    let starting = Broker::start(store.clone(), Arc::new(clock), Options::default());
    let broker = stepping(&store, starting).await.unwrap();
    let topic = stepping(&store, broker.create_topic(total("t", 2, &[]))).await.unwrap();
    let batch = batch_at(broker.clock().now(), &["a"]);
    let item = PublishItem { topic: Arc::clone(&topic), partition: 1, batch };
    let publishing = broker.publish(vec![item]).await;
    assert_eq!(read(&broker, &view(&topic), 0).await, []);

    let ordered = view(&topic);
    let waiting = broker.fetch(request(&ordered, 0, 1, Duration::from_secs(3600)));
    let fetched = stepping(&store, waiting).await.remove(0).unwrap();
    assert_eq!(values(&fetched), [(0, "a".into())], "a waiting reader is woken by the commit");
    publishing.await.remove(0).unwrap();
}

/// Runs a future to its end while the store commits step by step.
async fn stepping<T>(store: &MemoryStore, future: impl Future<Output = T>) -> T {
    tokio::pin!(future);
    loop {
        tokio::select! {
            biased;
            value = &mut future => return value,
            () = tokio::task::yield_now() => drop(store.step()),
        }
    }
}

#[tokio::test]
async fn a_repeated_batch_is_in_the_view_once() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 1, &[])).await.unwrap();
    for _ in 0..3 {
        node.publish(&topic, idempotent(node.now(), 7, 0, "once")).await.unwrap();
    }
    assert_eq!(read(&node.broker, &view(&topic), 0).await, [(0, "once".into())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_the_same_time_get_one_order_that_agrees_with_every_partition() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 4, &[])).await.unwrap();
    let writers: Vec<_> = (0..8_u32)
        .map(|writer| {
            let (broker, topic) = (node.broker.clone(), Arc::clone(&topic));
            tokio::spawn(async move {
                for number in 0..50 {
                    let values = [format!("{writer}-{number}-x"), format!("{writer}-{number}-y")];
                    let values = values.each_ref().map(String::as_str);
                    let batch = batch_at(broker.clock().now(), &values[..1 + number % 2]);
                    let partition = (writer + u32::try_from(number).unwrap()) % 4;
                    let item = PublishItem { topic: Arc::clone(&topic), partition, batch };
                    broker.publish(vec![item]).await.await.remove(0).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let ordered = read(&node.broker, &view(&topic), 0).await;
    assert!(ordered.iter().map(|(offset, _)| *offset).eq(0..600));
    let place: BTreeMap<_, _> = ordered.iter().map(|(at, value)| (value.clone(), *at)).collect();
    for partition in 0..4 {
        let of_partition = read(&node.broker, &topic, partition).await;
        let places: Vec<_> = of_partition.iter().map(|(_, value)| place[value]).collect();
        assert!(places.is_sorted(), "partition {partition} is in another order");
        assert_eq!(places.len(), 150);
    }
}

#[tokio::test]
async fn the_view_is_found_like_a_topic_and_only_read() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 2, &[])).await.unwrap();
    let ordered = node.broker.topic(&name("t.ordered")).unwrap();
    assert_eq!(ordered.partition_count(), 1);
    assert_eq!(ordered.view_of(), Some(topic.name()));
    assert!(node.broker.topic_by_id(ordered.id()).is_ok());
    assert_ne!(ordered.id(), topic.id());
    let names: Vec<_> = node.broker.topics().iter().map(|t| t.name().to_string()).collect();
    assert_eq!(names, ["t", "t.ordered"]);

    let is_view = |result: Result<(), Error>| matches!(result, Err(Error::OrderedView { .. }));
    let batch = batch_at(node.now(), &["x"]);
    assert!(is_view(node.publish(&ordered, batch).await.map(drop)));
    assert!(is_view(node.broker.delete_topic(ordered.name()).await));
    assert!(is_view(node.broker.create_partitions(ordered.name(), 2, Mode::Apply).await));
    let changes = vec![SettingChange {
        name: "retention.ms".to_owned(),
        change: Change::Set("5".to_owned()),
    }];
    assert!(is_view(node.broker.alter_topic(ordered.name(), changes, Mode::Apply).await));

    let id = ordered.id();
    let again = restarted(&node).await;
    assert_eq!(again.broker.topic(&name("t.ordered")).unwrap().id(), id);
    let of_others = node.topic("plain", &[]).await;
    assert!(of_others.ordered_view().is_none() && of_others.view_of().is_none());
}

#[tokio::test]
async fn a_queue_with_the_views_name_is_in_the_way() {
    let node = Node::start().await;
    let queue = tramline_types::QueueName::parse("t.ordered").unwrap();
    let settings = tramline_broker::QueueSettings::default();
    node.broker.declare_queue(&queue, settings).await.unwrap();
    let refused = node.broker.create_topic(total("t", 1, &[])).await.map(drop);
    assert!(matches!(refused, Err(Error::Queue(_))), "{refused:?}");
}

#[tokio::test]
async fn groups_commit_on_the_view_and_all_goes_with_the_topic() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 2, &[])).await.unwrap();
    publish(&node, &topic, 0, &["a", "b"]).await;
    let group = GroupId::parse("g").unwrap();
    let commit = |topic: &TopicName| OffsetCommit {
        topic: topic.clone(),
        partition: 0,
        offset: Offset::new(2),
        leader_epoch: None,
        metadata: "".into(),
    };
    let commit = CommitOffsets {
        group: group.clone(),
        member: MemberRef::dynamic(""),
        generation: -1,
        offsets: vec![commit(view(&topic).name()), commit(topic.name())],
        retention: None,
    };
    node.broker.groups().commit_offsets(commit).await.unwrap();
    let kept = |node: &Node| node.broker.groups().fetch_offsets(&group, None).unwrap().len();
    let again = restarted(&node).await;
    assert_eq!(kept(&again), 2, "a start keeps what was committed on a view");

    again.broker.delete_topic(&name("t")).await.unwrap();
    assert_eq!(kept(&again), 0);
    assert!(again.broker.topic(&name("t.ordered")).is_err());
    let last = restarted(&again).await;
    assert!(last.broker.topics().is_empty());
    let logs = last.broker.store().logs().len();
    assert_eq!(logs, 1, "the logs are gone but for the group's");
    last.topic("t.ordered", &[]).await;
}

#[tokio::test]
async fn a_name_that_the_view_would_need_is_not_taken() {
    let node = Node::start().await;
    node.topic("t.ordered", &[]).await;
    let taken = node.broker.create_topic(total("t", 1, &[])).await;
    assert_eq!(taken.err(), Some(Error::TopicExists("t.ordered".to_owned())));
    assert!(node.broker.topic(&name("t")).is_err());

    node.broker.create_topic(total("u", 1, &[])).await.unwrap();
    let taken = node.try_topic("u.ordered", &[]).await;
    assert_eq!(taken.err(), Some(Error::TopicExists("u.ordered".to_owned())));

    let long = "x".repeat(242);
    let refused = node.broker.create_topic(total(&long, 1, &[])).await;
    assert!(matches!(refused, Err(Error::InvalidTopicName(_))));
    node.broker.create_topic(total(&long[1..], 1, &[])).await.unwrap();
}

#[tokio::test]
async fn order_is_chosen_at_creation_only() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 1, &[])).await.unwrap();
    let plain = node.topic("plain", &[]).await;
    let set = |value: &str| Change::Set(value.to_owned());
    for (topic, change) in
        [(&topic, Change::Reset), (&topic, set("partition")), (&plain, set("total"))]
    {
        let changes = vec![SettingChange { name: "order".to_owned(), change }];
        let refused = node.broker.alter_topic(topic.name(), changes, Mode::Apply).await;
        assert!(matches!(refused, Err(Error::InvalidSetting { name, .. }) if name == "order"));
    }
    let same = vec![SettingChange { name: "order".to_owned(), change: set("total") }];
    node.broker.alter_topic(topic.name(), same, Mode::Apply).await.unwrap();
    let described = node.broker.describe_topic_settings(Some(&view(&topic)));
    let order = described.iter().find(|setting| setting.name == "order").unwrap();
    assert!(order.read_only && order.value.as_deref() == Some("total"));
    let default = BTreeMap::from([("order".to_owned(), "total".to_owned())]);
    assert!(TopicDefaults::new(default).is_err());
}

#[tokio::test]
async fn partitions_that_are_added_join_the_order() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 1, &[])).await.unwrap();
    publish(&node, &topic, 0, &["a"]).await;
    node.broker.create_partitions(topic.name(), 3, Mode::Apply).await.unwrap();
    publish(&node, &topic, 2, &["b"]).await;
    let again = restarted(&node).await;
    let topic = again.broker.topic(&name("t")).unwrap();
    publish(&again, &topic, 1, &["c"]).await;
    let values: Vec<_> = read(&again.broker, &view(&topic), 0).await;
    assert_eq!(values, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
}

#[tokio::test]
async fn retention_by_time_drops_from_the_view_what_it_drops_from_the_partitions() {
    let node = Node::start().await;
    let new = total("t", 2, &[("retention.ms", "60000")]);
    let topic = node.broker.create_topic(new).await.unwrap();
    publish(&node, &topic, 0, &["old"]).await;
    publish(&node, &topic, 1, &["old too"]).await;
    node.clock.advance(Duration::from_secs(61));
    publish(&node, &topic, 0, &["new"]).await;
    retain(&node).await;
    assert_eq!(read(&node.broker, &topic, 0).await, [(1, "new".into())]);
    assert_eq!(read(&node.broker, &topic, 1).await, []);
    assert_eq!(read(&node.broker, &view(&topic), 0).await, [(2, "new".into())]);
}

#[tokio::test]
async fn retention_by_bytes_gives_the_view_the_bytes_of_all_partitions() {
    let node = Node::start().await;
    let one = batch_at(node.now(), &["0123456789"]).bytes().len().to_string();
    let new = total("t", 2, &[("retention.bytes", one.as_str())]);
    let topic = node.broker.create_topic(new).await.unwrap();
    for partition in [0, 1, 0, 1, 0, 1] {
        publish(&node, &topic, partition, &["0123456789"]).await;
    }
    retain(&node).await;
    let starts = |topic: &Topic| -> Vec<u64> {
        topic.partitions().iter().map(|partition| partition.log_start().get()).collect()
    };
    assert_eq!(starts(&topic), [2, 2]);
    assert_eq!(starts(&view(&topic)), [4], "twice the bytes of one partition");

    let changes = vec![SettingChange {
        name: "retention.bytes".to_owned(),
        change: Change::Set("0".to_owned()),
    }];
    node.broker.alter_topic(topic.name(), changes, Mode::Apply).await.unwrap();
    retain(&node).await;
    assert_eq!(starts(&view(&topic)), [6], "the view goes by the topic's settings as they change");
}

/// Publishes one message with a key.
async fn put(node: &Node, topic: &Arc<Topic>, partition: u32, key: &str, value: &str) {
    let key = Some(bytes::Bytes::from(key.to_owned()));
    let message = tramline_types::Message { key, ..message(value) };
    let put = node.broker.publish_messages(topic, vec![(Some(partition), message)]);
    put.await.remove(0).unwrap();
}

#[tokio::test]
async fn compaction_keeps_the_latest_of_every_key_in_the_order_as_in_the_partitions() {
    let node = Node::start().await;
    let eager = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
    let topic = node.broker.create_topic(total("t", 2, &eager)).await.unwrap();
    for (partition, key, value) in
        [(0, "a", "a1"), (1, "b", "b1"), (0, "a", "a2"), (1, "b", "b2"), (0, "a", "a3")]
    {
        put(&node, &topic, partition, key, value).await;
    }
    node.broker.apply_compaction().await;
    let in_order = [(3, "b2".to_owned()), (4, "a3".to_owned())];
    assert_eq!(read(&node.broker, &view(&topic), 0).await, in_order);
    assert_eq!(read(&node.broker, &topic, 0).await, [(2, "a3".to_owned())]);
    assert_eq!(read(&node.broker, &topic, 1).await, [(1, "b2".to_owned())]);

    let again = restarted(&node).await;
    let topic = again.broker.topic(&name("t")).unwrap();
    assert_eq!(read(&again.broker, &view(&topic), 0).await, in_order);
    // A key that its producer moved to another partition is in each of them, and in the order once.
    put(&again, &topic, 1, "a", "a4").await;
    again.broker.apply_compaction().await;
    let in_order = [(3, "b2".to_owned()), (5, "a4".to_owned())];
    assert_eq!(read(&again.broker, &view(&topic), 0).await, in_order);
    assert_eq!(read(&again.broker, &topic, 0).await, [(2, "a3".to_owned())]);
}

#[tokio::test]
async fn messages_without_batches_are_ordered_as_well() {
    let node = Node::start().await;
    let topic = node.broker.create_topic(total("t", 3, &[])).await.unwrap();
    let messages = ["a", "b", "c"].map(|value| (None, message(value))).to_vec();
    for result in node.broker.publish_messages(&topic, messages).await {
        result.unwrap();
    }
    let values = read(&node.broker, &view(&topic), 0).await;
    assert_eq!(values.len(), 3);
    let refused = node.broker.publish_messages(&view(&topic), vec![(None, message("x"))]).await;
    assert!(matches!(refused[..], [Err(Error::OrderedView { .. })]));
}
