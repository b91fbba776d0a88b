//! Dead-lettering, and settling and publishing as one.

use super::*;
use tramline_broker::{DeleteOnly, Error, Overflow, QueueError, Unit};
use tramline_types::ExchangeName;

fn to_dead(base: QueueSettings) -> QueueSettings {
    QueueSettings {
        dead_letter_exchange: ExchangeName::parse("").ok(),
        dead_letter_routing_key: Some("dead".to_owned()),
        ..base
    }
}

async fn dead(node: &Node, settings: QueueSettings) -> Arc<Queue> {
    node.broker.declare_queue(&name("dead"), settings).await.unwrap().0
}

fn deaths(delivery: &Delivery) -> serde_json::Value {
    let header = delivery.message.headers.iter().find(|header| header.name == "dead-letter");
    serde_json::from_slice(header.unwrap().value.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn what_goes_in_and_out_is_counted_and_shown_by_queue() {
    let node = Node::start().await;
    let queue = queue(&node, to_dead(QueueSettings::default())).await;
    let dead = dead(&node, QueueSettings::default()).await;
    put(&node, &queue, &["a", "b", "c", "d"]).await;
    node.clock.advance(Duration::from_secs(7));
    let got = get(&queue, 3, HELD).await;
    let released = Outcome::Released { count: true, delay_ms: None };
    let rejected = Outcome::Rejected { dead_letter: true, reason: None };
    queue.settle(&[(got[0].token, released), (got[1].token, rejected)]).await;
    eventually(|| dead.counts().ready == 1).await;
    assert_eq!(get(&queue, 1, HELD).await[0].deliveries, 1);
    get(&dead, 1, Lock::None).await;
    let text = node.broker.metrics().encode();
    for line in [
        "tramline_queues 2",
        "tramline_queue_ready_messages{queue=\"jobs\"} 1",
        "tramline_queue_locked_messages{queue=\"jobs\"} 2",
        "tramline_queue_oldest_age_seconds{queue=\"jobs\"} 7.0",
        "tramline_queue_enqueued_messages_total{queue=\"jobs\"} 4",
        "tramline_queue_delivered_messages_total{queue=\"jobs\"} 4",
        "tramline_queue_redelivered_messages_total{queue=\"jobs\"} 1",
        "tramline_queue_settled_messages_total{queue=\"jobs\"} 2",
        "tramline_queue_dead_lettered_messages_total{queue=\"jobs\"} 1",
        "tramline_queue_enqueued_messages_total{queue=\"dead\"} 1",
        "tramline_queue_settled_messages_total{queue=\"dead\"} 1",
    ] {
        assert!(text.lines().any(|of| of == line), "no `{line}` in:\n{text}");
    }
}

#[tokio::test]
async fn rejected_and_expired_messages_move_with_their_reason() {
    let node = Node::start().await;
    for base in [QueueSettings::default(), transient()] {
        let queue = queue(&node, to_dead(base.clone())).await;
        let dead = dead(&node, base).await;
        let short = EnqueueOptions { ttl_ms: Some(10), ..persistent() };
        put(&node, &queue, &["a", "b"]).await;
        put_with(&node, &queue, &["c"], short).await;
        let got = get(&queue, 2, HELD).await;
        let rejected = Outcome::Rejected { dead_letter: true, reason: None };
        queue.settle(&[(got[0].token, rejected)]).await;
        queue.settle(&[(got[1].token, Outcome::Accepted)]).await;
        eventually(|| dead.counts().ready == 1).await;
        node.clock.advance(Duration::from_millis(10));
        eventually(|| dead.counts().ready == 2).await;
        let got = get(&dead, 9, HELD).await;
        assert_eq!(texts(&got), ["a", "c"]);
        let (a, c) = (deaths(&got[0]), deaths(&got[1]));
        assert_eq!((&a[0]["queue"], &a[0]["reason"]), (&"jobs".into(), &"rejected".into()));
        assert_eq!((&c[0]["reason"], &c[0]["count"]), (&"expired".into(), &1.into()));
        assert_eq!(c[0]["original-expiration"], "10");
        assert_eq!(got[1].message.key.as_deref(), Some(&b"dead"[..]));
        let counts = queue.counts();
        assert_eq!((counts.ready, counts.locked, counts.transferring), (0, 0, 0));
        for queue in [queue, dead] {
            node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn after_too_many_deliveries_a_message_is_dead() {
    let node = Node::start().await;
    let settings = QueueSettings { deliveries_max: Some(2), ..QueueSettings::default() };
    let queue = queue(&node, to_dead(settings)).await;
    let dead = dead(&node, QueueSettings::default()).await;
    put(&node, &queue, &["a"]).await;
    for _ in 0..2 {
        let got = get(&queue, 1, HELD).await;
        assert_eq!(got.len(), 1);
        queue.settle(&[(got[0].token, RELEASED)]).await;
    }
    eventually(|| dead.counts().ready == 1).await;
    let got = get(&dead, 1, HELD).await;
    assert_eq!(deaths(&got[0])[0]["reason"], "delivery_limit");
    assert!(get(&queue, 1, HELD).await.is_empty());
}

#[tokio::test]
async fn what_a_bound_drops_or_refuses_is_dead_lettered() {
    let node = Node::start().await;
    for overflow in [Overflow::DropHead, Overflow::RejectPublishDeadLetter] {
        let base = QueueSettings { length_max: Some(1), overflow, ..QueueSettings::default() };
        let queue = queue(&node, to_dead(base)).await;
        let dead = dead(&node, QueueSettings::default()).await;
        let first = try_put(&node, &queue, "a").await;
        let second = try_put(&node, &queue, "b").await;
        assert_eq!(first, Ok(()));
        assert_eq!(second.is_ok(), overflow == Overflow::DropHead);
        eventually(|| dead.counts().ready == 1).await;
        let got = get(&dead, 1, HELD).await;
        assert_eq!(deaths(&got[0])[0]["reason"], "maxlen");
        assert_eq!(texts(&got) == ["a"], overflow == Overflow::DropHead);
        for queue in [queue, dead] {
            node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_a_bound_drops_before_it_is_durable_is_dead_lettered_when_it_is() {
    let store = Arc::new(MemoryStore::stepped());
    let stepping = store.clone();
    let driven = async move || {
        stepping.step_all();
        tokio::task::yield_now().await;
    };
    let clock = Arc::new(FakeClock::new());
    let options = Options::default();
    let broker = tokio::spawn(Broker::start(store.clone(), clock, options));
    while !broker.is_finished() {
        driven().await;
    }
    let broker = broker.await.unwrap().unwrap();
    let bounded = QueueSettings { length_max: Some(1), ..QueueSettings::default() };
    let mut queues = Vec::new();
    for (text, settings) in [("jobs", to_dead(bounded)), ("dead", QueueSettings::default())] {
        let (broker, text) = (broker.clone(), name(text));
        let declared = tokio::spawn(async move { broker.declare_queue(&text, settings).await });
        while !declared.is_finished() {
            driven().await;
        }
        queues.push(declared.await.unwrap().unwrap().0);
    }
    let items = ["a", "b"].map(|text| item(&queues[0], text, persistent()));
    let enqueuing = broker.enqueue(items.into()).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!enqueuing.is_ready(), "nothing is durable, and the bound has dropped one");
    for _ in 0..1000 {
        driven().await;
    }
    assert_eq!(texts(&get(&queues[1], 9, HELD).await), ["a"]);
    assert_eq!(texts(&get(&queues[0], 9, HELD).await), ["b"]);
}

#[tokio::test]
async fn a_message_does_not_go_round_without_a_consumer() {
    let node = Node::start().await;
    let settings = QueueSettings { message_ttl_ms: Some(10), ..QueueSettings::default() };
    let back =
        QueueSettings { dead_letter_routing_key: Some("jobs".to_owned()), ..to_dead(settings) };
    let queue = queue(&node, back).await;
    put(&node, &queue, &["a"]).await;
    node.clock.advance(Duration::from_millis(10));
    eventually(|| queue.counts().transferring == 0 && queue.counts().ready == 0).await;
    assert!(get(&queue, 1, HELD).await.is_empty());
}

#[tokio::test]
async fn a_transfer_that_a_restart_interrupts_goes_on() {
    let node = Node::start().await;
    let queue = queue(&node, to_dead(QueueSettings::default())).await;
    dead(&node, QueueSettings::default()).await;
    put(&node, &queue, &["a"]).await;
    let got = get(&queue, 1, HELD).await;
    node.store.set_full(true);
    let rejected = Outcome::Rejected { dead_letter: true, reason: None };
    queue.settle(&[(got[0].token, rejected)]).await;
    assert_eq!(queue.counts().transferring, 1);
    node.broker.close().await;
    let store = Arc::new(node.store.reopen().start());
    let node = Node::over(store, Options::default()).await;
    let dead = node.broker.queue(&name("dead")).unwrap();
    eventually(|| dead.counts().ready == 1).await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!((queue.counts().transferring, queue.counts().ready), (0, 0));
}

#[tokio::test]
async fn queues_with_few_dead_messages_do_not_wait_for_those_with_many() {
    let node = Node::start().await;
    let target = dead(&node, QueueSettings::default()).await;
    let settings = to_dead(QueueSettings::default());
    let many = node.broker.declare_queue(&name("many"), settings.clone()).await.unwrap().0;
    let few = node.broker.declare_queue(&name("few"), settings).await.unwrap().0;
    put(&node, &many, &["many"; 2000]).await;
    put(&node, &few, &["few"]).await;
    let rejected = Outcome::Rejected { dead_letter: true, reason: None };
    let (of_many, of_few) = (get(&many, 2000, HELD).await, get(&few, 1, HELD).await);
    drop(many.settle(&all(&of_many, &rejected)));
    drop(few.settle(&all(&of_few, &rejected)));
    eventually(|| target.counts().ready == 2001).await;
    let arrived = texts(&get(&target, 2001, HELD).await);
    let before = arrived.iter().position(|text| text == "few").unwrap();
    assert!(before < 1000, "{before} of the other one went before it");
}

#[tokio::test]
async fn a_unit_settles_publishes_and_records_its_result_once() {
    let node = Node::start().await;
    let queue = queue(&node, QueueSettings::default()).await;
    let target = dead(&node, QueueSettings::default()).await;
    put(&node, &queue, &["a"]).await;
    let got = get(&queue, 1, HELD).await;
    let unit = |result: &'static str| Unit {
        publishes: vec![item(&target, "done", persistent())],
        settles: vec![(queue.clone(), all(&got, &Outcome::Accepted))],
        result: Some(("id".into(), result.into())),
    };
    let results = node.broker.commit_unit(unit("1")).await.unwrap().await;
    assert_eq!(results, [Ok(())]);
    let again = node.broker.commit_unit(unit("2")).await;
    assert!(matches!(again.err(), Some(Error::Queue(QueueError::LockLost))));
    assert_eq!(node.broker.result(b"id").as_deref(), Some(&b"1"[..]));
    assert_eq!((queue.counts().locked, target.counts().ready), (0, 1));
}
