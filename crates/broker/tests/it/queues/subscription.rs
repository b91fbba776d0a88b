//! Subscriptions over a topic.

use super::*;
use crate::support::{new_topic, values};
use bytes::Bytes;
use tramline_broker::{
    Binding, DeleteOnly, Destination, Error, FetchItem, FetchRequest, NewTopic, Peek, PublishItem,
    QueueError, RoutedBy, SubscriptionStart, Topic,
};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_types::{ExchangeName, Message, Offset, Timestamp, TopicName};

fn of(topic: &str, start: SubscriptionStart) -> QueueSettings {
    QueueSettings { topic: TopicName::parse(topic).ok(), start, ..QueueSettings::default() }
}

fn earliest() -> QueueSettings {
    of("orders", SubscriptionStart::Earliest)
}

fn latest() -> QueueSettings {
    of("orders", SubscriptionStart::Latest)
}

async fn orders(node: &Node, partitions: u32) -> Arc<Topic> {
    let new = NewTopic { partitions: Some(partitions), ..new_topic("orders", &[]) };
    node.broker.create_topic(new).await.unwrap()
}

async fn subscribe(node: &Node, text: &str, settings: QueueSettings) -> Arc<Queue> {
    node.broker.declare_queue(&name(text), settings).await.unwrap().0
}

fn records(at: Timestamp, values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    for value in values {
        let key = Some(Bytes::copy_from_slice(&value.as_bytes()[..1]));
        let value = Some(Bytes::copy_from_slice(value.as_bytes()));
        builder.push(&Message { key, value, ..Message::default() }, at);
    }
    builder.build().unwrap()
}

/// One batch into one partition, durable on return.
async fn publish(node: &Node, topic: &Arc<Topic>, partition: u32, values: &[&str]) {
    let batch = records(node.now(), values);
    let item = PublishItem { topic: Arc::clone(topic), partition, batch };
    node.broker.publish(vec![item]).await.await.remove(0).unwrap();
}

async fn take(queue: &Arc<Queue>, n_max: usize) -> Vec<String> {
    let got = get(queue, n_max, HELD).await;
    queue.settle(&all(&got, &Outcome::Accepted)).await;
    texts(&got)
}

async fn restarted(node: Node) -> Node {
    node.broker.close().await;
    Node::over(Arc::new(node.store.reopen().start()), Options::default()).await
}

async fn fetched(node: &Node, topic: &Arc<Topic>, partition: u32) -> Vec<(i64, String)> {
    let bytes_max = 1 << 20;
    let item = FetchItem { topic: Arc::clone(topic), partition, offset: 0, bytes_max };
    let (items, wait_max) = (vec![item], Duration::ZERO);
    let request = FetchRequest { items, bytes_min: 0, bytes_max, wait_max };
    values(&node.broker.fetch(request).await.remove(0).unwrap())
}

#[tokio::test]
async fn a_subscription_delivers_the_records_of_its_topic_and_leaves_them_there() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    publish(&node, &topic, 0, &["a1", "b1"]).await;
    let billing = subscribe(&node, "billing", earliest()).await;
    let audit = subscribe(&node, "audit", latest()).await;
    publish(&node, &topic, 0, &["c1", "d1"]).await;
    assert_eq!((billing.counts().ready, audit.counts().ready), (4, 2));
    assert!(billing.counts().bytes_ready > 0);
    let got = get(&billing, 3, HELD).await;
    assert_eq!(texts(&got), ["a1", "b1", "c1"]);
    assert_eq!(got[1].message.key.as_deref(), Some(&b"b"[..]));
    assert_eq!((billing.counts().ready, billing.counts().locked), (1, 3));
    billing.settle(&[(got[1].token, Outcome::Accepted), (got[0].token, RELEASED)]).await;
    assert_eq!(take(&billing, 9).await, ["a1", "d1"]);
    assert_eq!(take(&audit, 9).await, ["c1", "d1"]);
    let kept: Vec<String> = fetched(&node, &topic, 0).await.into_iter().map(|it| it.1).collect();
    assert_eq!(kept, ["a1", "b1", "c1", "d1"], "nothing is trimmed or appended");
}

#[tokio::test]
async fn what_is_settled_stays_so_over_a_restart_and_a_start_counts_once() {
    let node = Node::start().await;
    let topic = orders(&node, 2).await;
    publish(&node, &topic, 0, &["a1", "a2", "a3"]).await;
    publish(&node, &topic, 1, &["b1"]).await;
    let late = subscribe(&node, "late", latest()).await;
    let early = subscribe(&node, "early", earliest()).await;
    let got = get(&early, 9, HELD).await;
    assert_eq!(got.len(), 4);
    early.settle(&all(&got[1..3], &Outcome::Accepted)).await;
    drop(late);
    publish(&node, &topic, 1, &["b2"]).await;
    let node = restarted(node).await;
    let late = node.broker.queue(&name("late")).unwrap();
    assert_eq!((late.counts().ready, late.settings().topic.clone()), (1, latest().topic));
    assert_eq!(take(&late, 9).await, ["b2"]);
    let early = node.broker.queue(&name("early")).unwrap();
    let again = get(&early, 9, HELD).await;
    let mut marks: Vec<_> = again.iter().map(|it| (text(it), it.redelivered)).collect();
    marks.sort();
    let settled: Vec<String> = got[1..3].iter().map(text).collect();
    let wanted = [("a1", true), ("a2", true), ("a3", true), ("b1", true), ("b2", false)];
    let wanted = wanted.iter().filter(|(text, _)| !settled.iter().any(|it| it == text));
    let wanted: Vec<_> = wanted.map(|(text, again)| ((*text).to_owned(), *again)).collect();
    assert_eq!(marks, wanted);
    early.settle(&all(&again, &Outcome::Accepted)).await;
    let node = restarted(node).await;
    assert_eq!(node.broker.queue(&name("early")).unwrap().counts().ready, 0);
}

#[tokio::test]
async fn timed_locks_and_counts_are_kept_over_a_restart() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let queue = subscribe(&node, "jobs", earliest()).await;
    publish(&node, &topic, 0, &["a", "b"]).await;
    let lock = Lock::Timed(Duration::from_secs(60));
    let got = get(&queue, 1, lock).await;
    queue.settle(&[(got[0].token, RELEASED)]).await;
    let held = get(&queue, 1, lock).await;
    queue.extend(held[0].token, Duration::from_secs(90)).unwrap();
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!((queue.counts().ready, queue.counts().locked), (1, 1));
    assert!(queue.settle(&[(held[0].token, RELEASED)]).await.is_empty());
    let again = get(&queue, 1, lock).await;
    assert_eq!((text(&again[0]).as_str(), again[0].deliveries), ("a", 2));
}

#[tokio::test]
async fn partitions_are_served_in_turn_to_any_number_of_consumers() {
    let node = Node::start().await;
    let topic = orders(&node, 3).await;
    let queue = subscribe(&node, "jobs", earliest()).await;
    for partition in 0..3 {
        let values: Vec<String> = (0..4).map(|n| format!("{partition}{n}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        publish(&node, &topic, partition, &values).await;
    }
    let mut got: Vec<String> = Vec::new();
    for _ in 0..6 {
        got.extend(texts(&get(&queue, 1, HELD).await));
    }
    for partition in ["0", "1", "2"] {
        assert!(got.iter().any(|text| text.starts_with(partition)), "{got:?}");
    }
    let consumers: Vec<_> = (0..5).map(|_| attach(&queue, HELD)).collect();
    for _ in 0..3 {
        for (consumer, _) in &consumers {
            got.extend(texts(&consumer.receive(1, 1 << 20).unwrap()));
        }
    }
    for partition in ["0", "1", "2"] {
        let of_partition: Vec<&String> =
            got.iter().filter(|text| text.starts_with(partition)).collect();
        let wanted: Vec<String> = (0..4).map(|n| format!("{partition}{n}")).collect();
        assert_eq!(of_partition, wanted.iter().collect::<Vec<_>>(), "each in its order");
    }
}

#[tokio::test]
async fn a_record_wakes_who_waits_and_a_partition_that_is_added_is_read() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let queue = subscribe(&node, "jobs", latest()).await;
    let (consumer, bell) = attach(&queue, HELD);
    assert!(consumer.receive(5, 1 << 20).unwrap().is_empty());
    publish(&node, &topic, 0, &["a"]).await;
    eventually(|| bell.rings() == 1).await;
    assert_eq!(texts(&consumer.receive(5, 1 << 20).unwrap()), ["a"]);
    node.broker.create_partitions(topic.name(), 2, tramline_broker::Mode::Apply).await.unwrap();
    assert!(consumer.receive(5, 1 << 20).unwrap().is_empty());
    let rings = bell.rings();
    publish(&node, &topic, 1, &["b"]).await;
    eventually(|| bell.rings() > rings).await;
    assert_eq!(texts(&consumer.receive(5, 1 << 20).unwrap()), ["b"]);
    drop(consumer);
    let node = restarted(node).await;
    let topic = node.broker.topic(topic.name()).unwrap();
    publish(&node, &topic, 1, &["c"]).await;
    let mut got = take(&node.broker.queue(&name("jobs")).unwrap(), 9).await;
    got.sort();
    assert_eq!(got, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_the_topic_cuts_off_is_done_with_and_what_is_out_stays_out() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let settings = QueueSettings { ordered_groups: false, ..earliest() };
    let queue = subscribe(&node, "jobs", settings).await;
    for value in ["a", "b", "c", "d", "e", "f"] {
        publish(&node, &topic, 0, &[value]).await;
    }
    let got = get(&queue, 4, HELD).await;
    let later = Outcome::Released { count: true, delay_ms: Some(5_000) };
    queue.settle(&[(got[0].token, RELEASED), (got[1].token, later)]).await;
    queue.settle(&[(got[2].token, Outcome::Deferred)]).await;
    node.broker.delete_records(&topic, 0, Offset::new(5)).await.unwrap();
    let counts = queue.counts();
    let others = (counts.delayed, counts.deferred, counts.unreadable);
    assert_eq!((counts.ready, counts.locked, others), (1, 1, (0, 0, 0)));
    node.clock.advance(Duration::from_secs(10));
    assert_eq!(take(&queue, 9).await, ["f"]);
    queue.settle(&[(got[3].token, RELEASED)]).await;
    assert_eq!(queue.counts().ready, 0, "it cannot be read any more");
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    let topic = node.broker.topic(topic.name()).unwrap();
    publish(&node, &topic, 0, &["g"]).await;
    assert_eq!((queue.counts().ready, take(&queue, 9).await), (1, vec!["g".to_owned()]));
}

#[tokio::test]
async fn groups_are_not_blocked_by_what_the_topic_cut_off() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let settings = QueueSettings { ordered_groups: true, ..earliest() };
    let queue = subscribe(&node, "jobs", settings).await;
    publish(&node, &topic, 0, &["a1", "a2", "b1"]).await;
    publish(&node, &topic, 0, &["a3"]).await;
    let got = get(&queue, 9, HELD).await;
    assert_eq!(texts(&got), ["a1", "b1"], "one of each key at a time");
    assert_eq!(queue.counts().blocked, 2);
    node.broker.delete_records(&topic, 0, Offset::new(3)).await.unwrap();
    assert_eq!((queue.counts().blocked, queue.counts().ready), (1, 0));
    queue.settle(&[(got[0].token, Outcome::Accepted)]).await;
    assert_eq!(take(&queue, 9).await, ["a3"]);
    assert_eq!(queue.counts().ready, 0);
    publish(&node, &topic, 0, &["a4", "a5"]).await;
    assert_eq!(get(&queue, 9, HELD).await.len(), 1);
    node.broker.delete_records(&topic, 0, Offset::new(5)).await.unwrap();
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!(take(&queue, 9).await, ["a5"], "nor after a restart by what was out");
}

#[tokio::test]
async fn records_that_compaction_removed_are_passed_over() {
    let node = Node::start().await;
    let settings = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];
    let topic = node.broker.create_topic(new_topic("orders", &settings)).await.unwrap();
    let queue = subscribe(&node, "jobs", earliest()).await;
    for value in ["a1", "a2", "b1", "a3", "c1"] {
        publish(&node, &topic, 0, &[value]).await;
    }
    let held = get(&queue, 1, HELD).await;
    node.broker.apply_compaction().await;
    queue.settle(&[(held[0].token, RELEASED)]).await;
    let got = take(&queue, 9).await;
    assert_eq!(got.last().map(String::as_str), Some("c1"));
    assert_eq!(queue.counts().ready, 0);
    let fresh = subscribe(&node, "fresh", earliest()).await;
    assert_eq!(take(&fresh, 9).await, ["b1", "a3", "c1"]);
    assert_eq!((fresh.counts().ready, fresh.counts().unreadable), (0, 0));
    let peeked = fresh.peek(Peek { from: None, n_max: 9, bytes_max: 1 << 20 }).await.unwrap();
    assert!(peeked.messages.is_empty());
}

#[tokio::test]
async fn dead_ones_move_with_their_reason_and_the_record_stays() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let settings = QueueSettings {
        dead_letter_exchange: ExchangeName::parse("").ok(),
        dead_letter_routing_key: Some("dead".to_owned()),
        deliveries_max: Some(2),
        message_ttl_ms: Some(60_000),
        ..earliest()
    };
    let queue = subscribe(&node, "jobs", settings).await;
    let dead = node.broker.declare_queue(&name("dead"), QueueSettings::default()).await.unwrap().0;
    publish(&node, &topic, 0, &["a", "b", "c"]).await;
    let got = get(&queue, 2, HELD).await;
    let rejected = Outcome::Rejected { dead_letter: true, reason: Some("no stock".to_owned()) };
    queue.settle(&[(got[0].token, rejected), (got[1].token, RELEASED)]).await;
    let again = get(&queue, 1, HELD).await;
    queue.settle(&[(again[0].token, RELEASED)]).await;
    eventually(|| dead.counts().ready == 2).await;
    node.clock.advance(Duration::from_secs(61));
    assert!(get(&queue, 9, HELD).await.is_empty());
    eventually(|| dead.counts().ready == 3).await;
    let mut reasons: Vec<(String, String)> = Vec::new();
    for delivery in get(&dead, 9, HELD).await {
        let header = delivery.message.headers.iter().find(|header| header.name == "dead-letter");
        let value = header.unwrap().value.clone().unwrap();
        let deaths: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(deaths[0]["queue"], "jobs");
        reasons.push((text(&delivery), deaths[0]["reason"].as_str().unwrap().to_owned()));
    }
    reasons.sort();
    let wanted = [("a", "rejected"), ("b", "delivery_limit"), ("c", "expired")];
    let wanted: Vec<_> = wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(reasons, wanted);
    assert_eq!(fetched(&node, &topic, 0).await.len(), 3);
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.transferring, counts.locked), (0, 0, 0));
}

#[tokio::test]
async fn nothing_else_comes_in() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let queue = subscribe(&node, "jobs", earliest()).await;
    let refused = try_put(&node, &queue, "x").await;
    assert_eq!(refused, Err(EnqueueError::Subscription("jobs".to_owned())));
    let is_refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Queue(QueueError::AccessRefused(_)))), "{result:?}");
    };
    let routed = RoutedBy { keys: &[b"jobs"], header: &|_| None };
    is_refused(node.broker.route(&ExchangeName::parse("").unwrap(), &routed).map(drop));
    let binding = Binding {
        source: ExchangeName::parse("amq.fanout").unwrap(),
        destination: Destination::Queue(name("jobs")),
        key: Bytes::new(),
        arguments: tramline_broker::Arguments::default(),
    };
    is_refused(node.broker.bind(binding).await);
    assert!(node.broker.stream(&TopicName::parse("jobs").unwrap()).is_err());
    // A dead message does not come back as one of the topic's.
    let settings = QueueSettings {
        dead_letter_exchange: ExchangeName::parse("").ok(),
        dead_letter_routing_key: Some("jobs".to_owned()),
        ..QueueSettings::default()
    };
    let other = node.broker.declare_queue(&name("other"), settings).await.unwrap().0;
    put(&node, &other, &["x"]).await;
    let got = get(&other, 1, HELD).await;
    let rejected = Outcome::Rejected { dead_letter: true, reason: None };
    other.settle(&all(&got, &rejected)).await;
    eventually(|| other.counts().transferring == 0).await;
    assert_eq!((queue.counts().ready, fetched(&node, &topic, 0).await.len()), (0, 0));
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_and_the_topic_must_exist() {
    let node = Node::start().await;
    let declared = name("s");
    let declare = |settings| node.broker.declare_queue(&declared, settings);
    assert!(matches!(declare(earliest()).await, Err(Error::UnknownTopic(_))));
    orders(&node, 1).await;
    let wrong = [
        QueueSettings { priority_max: 1, ..latest() },
        QueueSettings { length_max: Some(1), ..latest() },
        QueueSettings { bytes_max: Some(1), ..latest() },
        QueueSettings { delay_ms: 1, ..latest() },
        QueueSettings { deduplication_ms: Some(1), ..latest() },
        QueueSettings { track: true, ..latest() },
        QueueSettings { owner: Some(HERE), ..latest() },
        QueueSettings { durability: QueueDurability::Transient, ..latest() },
        QueueSettings { start: SubscriptionStart::Earliest, ..QueueSettings::default() },
    ];
    for settings in wrong {
        let refused = declare(settings.clone()).await.map(drop);
        let is_refused = matches!(refused, Err(Error::Queue(QueueError::InvalidSetting { .. })));
        assert!(is_refused, "{settings:?}");
    }
    let queue = declare(latest()).await.unwrap().0;
    let other = declare(earliest()).await.map(drop);
    assert!(matches!(other, Err(Error::Queue(QueueError::Inequivalent { setting: "start", .. }))));
    let changed = node.broker.alter_queue(&queue, |settings| settings.topic = None).await;
    assert!(matches!(changed, Err(Error::Queue(QueueError::InvalidSetting { .. }))));
}

#[tokio::test]
async fn a_subscription_is_purged_and_deleted_without_its_topic() {
    let node = Node::start().await;
    let topic = orders(&node, 2).await;
    let queue = subscribe(&node, "jobs", earliest()).await;
    publish(&node, &topic, 0, &["a", "b"]).await;
    publish(&node, &topic, 1, &["c"]).await;
    assert_eq!(queue.purge().await.unwrap(), 3);
    publish(&node, &topic, 1, &["d"]).await;
    assert_eq!(take(&queue, 9).await, ["d"]);
    node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    publish(&node, &topic, 0, &["e"]).await;
    let node = restarted(node).await;
    assert!(node.broker.queue(&name("jobs")).is_err());
    let topic = node.broker.topic(topic.name()).unwrap();
    assert_eq!(fetched(&node, &topic, 0).await.len(), 3);
    let queue = subscribe(&node, "jobs", earliest()).await;
    assert_eq!(take(&queue, 9).await.len(), 5, "another one of the name begins anew");
}

#[tokio::test]
async fn a_subscription_goes_with_its_topic_and_does_not_come_back_with_its_name() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let queue = subscribe(&node, "jobs", earliest()).await;
    publish(&node, &topic, 0, &["a"]).await;
    let (consumer, bell) = attach(&queue, HELD);
    assert_eq!(consumer.receive(5, 1 << 20).unwrap().len(), 1);
    node.broker.delete_topic(topic.name()).await.unwrap();
    eventually(|| bell.rings() > 0).await;
    let gone = consumer.receive(5, 1 << 20).map(drop);
    assert!(matches!(gone, Err(Error::Queue(QueueError::Deleted(_)))));
    assert!(node.broker.queue(&name("jobs")).is_err());
    drop((consumer, queue));
    let topic = orders(&node, 1).await;
    publish(&node, &topic, 0, &["b"]).await;
    let node = restarted(node).await;
    assert!(node.broker.queues().is_empty());
    let queue = subscribe(&node, "jobs", earliest()).await;
    assert_eq!(take(&queue, 9).await, ["b"]);
}

#[tokio::test]
async fn a_crash_between_a_topic_and_its_subscription_leaves_none() {
    let (store, broker) = stepped().await;
    let creating = broker.create_topic(new_topic("orders", &[]));
    stepping(&store, creating).await.unwrap();
    let declared = name("jobs");
    stepping(&store, broker.declare_queue(&declared, earliest())).await.unwrap();
    let topic = TopicName::parse("orders").unwrap();
    {
        let mut deleting = std::pin::pin!(broker.delete_topic(&topic));
        let until_submitted = std::future::poll_fn(|cx| {
            assert!(deleting.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        });
        until_submitted.await;
        assert!(store.step(), "the topic alone");
    }
    let reopened = Arc::new(store.reopen());
    let clock = Arc::new(FakeClock::new());
    let starting = Broker::start(reopened.clone(), clock, Options::default());
    let broker = stepping(&reopened, starting).await.unwrap();
    assert!(broker.topics().is_empty() && broker.queues().is_empty());
    reopened.step_all();
    let again = Arc::new(reopened.reopen());
    assert!(again_queues(&again).is_empty(), "its record is gone");
}

fn again_queues(store: &MemoryStore) -> Vec<Bytes> {
    use tramline_store::LogStore;
    store.scan(b"queue/").into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn one_consumer_is_active_and_a_redrive_goes_elsewhere() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let settings = QueueSettings { single_active_consumer: true, ..earliest() };
    let queue = subscribe(&node, "jobs", settings).await;
    let (first, _) = attach(&queue, HELD);
    let (second, _) = attach(&queue, HELD);
    publish(&node, &topic, 0, &["a", "b"]).await;
    assert!(second.receive(5, 1 << 20).unwrap().is_empty());
    assert_eq!(texts(&first.receive(1, 1 << 20).unwrap()), ["a"]);
    drop(first);
    assert_eq!(texts(&second.receive(5, 1 << 20).unwrap()), ["b"]);
    let other = node.broker.declare_queue(&name("o"), QueueSettings::default()).await.unwrap().0;
    let to = Some(name("jobs"));
    let redrive = tramline_broker::Redrive { to, ..Default::default() };
    let refused = node.broker.start_redrive(&other, redrive).await;
    assert!(matches!(refused, Err(Error::Queue(QueueError::AccessRefused(_)))));
}

#[tokio::test]
async fn figures_say_what_came_and_what_is_left() {
    let node = Node::start().await;
    let topic = orders(&node, 2).await;
    let queue = subscribe(&node, "jobs", latest()).await;
    publish(&node, &topic, 0, &["a", "b"]).await;
    publish(&node, &topic, 1, &["c"]).await;
    take(&queue, 1).await;
    let text = node.broker.metrics().encode();
    for line in [
        "tramline_queue_ready_messages{queue=\"jobs\"} 2",
        "tramline_queue_enqueued_messages_total{queue=\"jobs\"} 3",
        "tramline_queue_settled_messages_total{queue=\"jobs\"} 1",
    ] {
        assert!(text.lines().any(|of| of == line), "no `{line}` in:\n{text}");
    }
}

#[tokio::test]
async fn what_follows_when_a_message_is_done_is_published_with_the_settlement() {
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let next = node.broker.declare_queue(&name("next"), QueueSettings::default()).await.unwrap().0;
    let on_done = vec!["next".to_owned(), "jobs".to_owned()];
    let queue = subscribe(&node, "jobs", QueueSettings { on_done, ..earliest() }).await;
    publish(&node, &topic, 0, &["a", "b"]).await;
    let got = get(&queue, 1, HELD).await;
    queue.settle(&all(&got, &Outcome::Accepted)).await;
    eventually(|| next.counts().ready == 1).await;
    assert_eq!(take(&next, 9).await, ["a"]);
    assert_eq!((queue.counts().ready, queue.counts().locked), (1, 0));
}

#[tokio::test]
async fn a_topic_in_total_order_is_subscribed_to_by_its_view() {
    let node = Node::start().await;
    let new = NewTopic { partitions: Some(2), ..new_topic("orders", &[("order", "total")]) };
    let topic = node.broker.create_topic(new).await.unwrap();
    let queue = subscribe(&node, "jobs", of("orders.ordered", SubscriptionStart::Earliest)).await;
    for n in 0..6 {
        publish(&node, &topic, n % 2, &[&n.to_string()]).await;
    }
    let got = get(&queue, 3, HELD).await;
    assert_eq!(texts(&got), ["0", "1", "2"]);
    node.broker.create_partitions(topic.name(), 3, tramline_broker::Mode::Apply).await.unwrap();
    assert_eq!((queue.counts().ready, queue.counts().locked), (3, 3), "the order is still one");
    publish(&node, &topic, 2, &["6"]).await;
    queue.settle(&all(&got, &Outcome::Accepted)).await;
    let node = restarted(node).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!(take(&queue, 9).await, ["3", "4", "5", "6"]);
    node.broker.delete_topic(topic.name()).await.unwrap();
    assert!(node.broker.queue(&name("jobs")).is_err());
}

#[tokio::test]
async fn what_is_acknowledged_early_is_delivered_early() {
    let (store, broker) = stepped().await;
    let creating = broker.create_topic(new_topic("orders", &[("durability", "memory")]));
    let topic = stepping(&store, creating).await.unwrap();
    let queue = stepping(&store, broker.declare_queue(&name("jobs"), latest())).await.unwrap().0;
    let batch = records(Timestamp::from_millis(0), &["a", "b"]);
    let item = PublishItem { topic: Arc::clone(&topic), partition: 0, batch };
    broker.publish(vec![item]).await.await.remove(0).unwrap();
    let got = get(&queue, 9, HELD).await;
    assert_eq!(texts(&got), ["a", "b"], "nothing is synced yet");
    drop(queue.settle(&all(&got, &Outcome::Accepted)));
    // The crash takes both along, the records and what became of them.
    let reopened = Arc::new(store.reopen());
    let starting = Broker::start(reopened.clone(), Arc::new(FakeClock::new()), Options::default());
    let broker = stepping(&reopened, starting).await.unwrap();
    let topic = broker.topic(topic.name()).unwrap();
    let queue = broker.queue(&name("jobs")).unwrap();
    let batch = records(Timestamp::from_millis(0), &["c"]);
    let item = PublishItem { topic, partition: 0, batch };
    broker.publish(vec![item]).await.await.remove(0).unwrap();
    assert_eq!(texts(&get(&queue, 9, HELD).await), ["c"]);
}

#[tokio::test]
async fn peeking_shows_messages_in_every_state_and_changes_nothing() {
    let node = Node::start().await;
    let topic = orders(&node, 2).await;
    let queue = subscribe(&node, "jobs", earliest()).await;
    publish(&node, &topic, 0, &["a", "b"]).await;
    publish(&node, &topic, 1, &["c"]).await;
    let held = get(&queue, 1, HELD).await;
    let peeked = queue.peek(Peek { from: None, n_max: 2, bytes_max: 1 << 20 }).await.unwrap();
    let more = Peek { from: peeked.next, n_max: 9, bytes_max: 1 << 20 };
    let rest = queue.peek(more).await.unwrap();
    let both = peeked.messages.iter().chain(&rest.messages);
    let mut seen: Vec<(String, bool)> = both
        .map(|it| {
            let value = it.message.as_ref().unwrap().value.clone().unwrap();
            let is_held = it.look.state == tramline_broker::MessageState::Locked;
            (String::from_utf8(value.to_vec()).unwrap(), is_held)
        })
        .collect();
    seen.sort();
    let wanted = ["a", "b", "c"].map(|value| (value.to_owned(), text(&held[0]) == value));
    assert_eq!(seen, wanted);
    assert_eq!((queue.counts().ready, queue.counts().locked), (2, 1));
}

#[tokio::test]
async fn a_batch_of_very_many_records_comes_in_parts_of_bounded_memory() {
    const RECORDS: usize = 70_000;
    let node = Node::start().await;
    let topic = orders(&node, 1).await;
    let queue = subscribe(&node, "jobs", earliest()).await;
    let values: Vec<String> = (0..RECORDS).map(|n| format!("{n}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    publish(&node, &topic, 0, &values).await;
    publish(&node, &topic, 0, &["last"]).await;
    let got = get(&queue, RECORDS + 1, HELD).await;
    let (last, rest) = got.split_last().unwrap();
    assert!(rest.iter().map(text).eq(values.iter().copied()), "each once, in order");
    assert_eq!(text(last), "last");
    queue.settle(&[(got[RECORDS - 1].token, RELEASED), (got[3].token, RELEASED)]).await;
    let again = texts(&get(&queue, 9, HELD).await);
    assert_eq!(again, [values[3], values[RECORDS - 1]]);
}
