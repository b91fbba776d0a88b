//! Acknowledged means durable, and nothing undurable is shown.

use crate::support::{Node, batch_at, idempotent, request, values};
use std::{sync::Arc, time::Duration};
use tramline_broker::{Broker, Error, Options, Position, PublishItem};
use tramline_store::{Damage, MemoryStore};
use tramline_testkit::FakeClock;

/// A broker over a store that commits only when it is told to.
async fn stepped() -> (Node, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::stepped());
    let clock = FakeClock::new();
    let starting = Broker::start(store.clone(), Arc::new(clock.clone()), Options::default());
    let broker = stepping(&store, starting).await.unwrap();
    (Node { broker, store: store.clone(), clock }, store)
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
async fn a_publish_is_neither_acknowledged_nor_visible_before_it_is_durable() {
    let (node, store) = stepped().await;
    let topic = stepping(&store, node.topic("t", &[])).await;
    let batch = batch_at(node.now(), &["a", "b"]);
    let item = PublishItem { topic: topic.clone(), partition: 0, batch };
    let mut publishing = node.broker.publish(vec![item]).await;
    let waited = futures_util::future::poll_immediate(&mut publishing).await;
    assert!(waited.is_none(), "acknowledged before the commit");
    assert_eq!(node.values(&topic, 0).await, []);
    let latest = node.broker.offset_for(&topic, 0, Position::Latest).await.unwrap();
    assert_eq!(latest.offset.unwrap().get(), 0);

    store.step_all();
    let published = publishing.await.remove(0).unwrap();
    assert_eq!(published.base_offset.get(), 0);
    assert_eq!(node.values(&topic, 0).await, [(0, "a".into()), (1, "b".into())]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_what_was_not_may_be_gone() {
    let (node, store) = stepped().await;
    let topic = stepping(&store, node.topic("t", &[])).await;
    let acknowledged = batch_at(node.now(), &["kept"]);
    stepping(&store, node.publish(&topic, acknowledged)).await.unwrap();
    let item = PublishItem { topic, partition: 0, batch: batch_at(node.now(), &["never durable"]) };
    drop(node.broker.publish(vec![item]).await);

    let again = Node::over(Arc::new(store.reopen().start()), Options::default()).await;
    let topic = again.broker.topics().remove(0);
    assert_eq!(again.values(&topic, 0).await, [(0, "kept".into())]);
    let next = again.publish(&topic, batch_at(again.now(), &["next"])).await.unwrap();
    assert_eq!(next.base_offset.get(), 1);
    assert_eq!(again.broker.cluster_id(), node.broker.cluster_id());
}

#[tokio::test]
async fn a_duplicate_waits_for_its_original_and_gets_its_offset() {
    let (node, store) = stepped().await;
    let topic = stepping(&store, node.topic("t", &[])).await;
    let send = || PublishItem {
        topic: topic.clone(),
        partition: 0,
        batch: idempotent(node.now(), 7, 0, "once"),
    };
    let original = node.broker.publish(vec![send()]).await;
    let mut duplicate = node.broker.publish(vec![send()]).await;
    let waited = futures_util::future::poll_immediate(&mut duplicate).await;
    assert!(waited.is_none(), "a duplicate of something not durable was acknowledged");
    store.step_all();
    let original = original.await.remove(0).unwrap();
    assert_eq!(duplicate.await.remove(0).unwrap().base_offset, original.base_offset);
    assert_eq!(node.values(&topic, 0).await.len(), 1);
}

#[tokio::test]
async fn producers_are_remembered_across_a_restart() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    for sequence in 0..3 {
        node.publish(&topic, idempotent(node.now(), 5, sequence, "x")).await.unwrap();
    }
    let again = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    let topic = again.broker.topics().remove(0);
    let repeated = again.publish(&topic, idempotent(again.now(), 5, 1, "x")).await.unwrap();
    assert_eq!(repeated.base_offset.get(), 1);
    let gap = again.publish(&topic, idempotent(again.now(), 5, 9, "x")).await;
    assert!(matches!(gap, Err(Error::OutOfOrderSequence(_))), "{gap:?}");
    let next = again.publish(&topic, idempotent(again.now(), 5, 3, "x")).await.unwrap();
    assert_eq!(next.base_offset.get(), 3);
}

#[tokio::test]
async fn many_batches_checkpoint_the_producers_and_restart_the_same() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    for sequence in 0..500 {
        node.publish(&topic, idempotent(node.now(), 5, sequence, "x")).await.unwrap();
        if sequence % 100 == 50 {
            node.clock.advance(Duration::from_secs(6));
            tokio::task::yield_now().await;
        }
    }
    let again = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    let topic = again.broker.topics().remove(0);
    let repeated = again.publish(&topic, idempotent(again.now(), 5, 496, "x")).await.unwrap();
    assert_eq!(repeated.base_offset.get(), 496);
}

#[tokio::test]
async fn after_damage_a_retry_is_refused_instead_of_stored_twice() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    let id = node.broker.allocate_producer_id().await.unwrap().0;
    for sequence in 0..3 {
        node.publish(&topic, idempotent(node.now(), id, sequence, "x")).await.unwrap();
    }
    let log = topic.partitions()[0].log();
    let store = Arc::new(node.store.reopen().start());
    let detail = "commits are missing".to_owned();
    store.set_damage(vec![Damage { log: Some(log), offsets: None, detail }]);
    let again = Node::over(store, Options::default()).await;
    let topic = again.broker.topics().remove(0);
    let publish = |id, sequence| again.publish(&topic, idempotent(again.now(), id, sequence, "x"));
    assert_eq!(publish(id, 2).await.unwrap().base_offset.get(), 2, "known: it is there");
    let refused = publish(id, 3).await;
    assert!(matches!(refused, Err(Error::OutOfOrderSequence(_))), "{refused:?}");
    let new = again.broker.allocate_producer_id().await.unwrap().0;
    assert_eq!(publish(new, 0).await.unwrap().base_offset.get(), 3);
}

#[tokio::test]
async fn a_full_store_refuses_publishers_and_serves_readers() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    node.publish(&topic, batch_at(node.now(), &["a"])).await.unwrap();
    node.store.set_full(true);
    let refused = node.publish(&topic, batch_at(node.now(), &["b"])).await;
    assert_eq!(refused, Err(Error::StorageFull));
    assert_eq!(node.values(&topic, 0).await.len(), 1);
    node.broker.delete_topic(topic.name()).await.unwrap();
    node.store.set_full(false);
    let topic = node.topic("t", &[]).await;
    node.publish(&topic, batch_at(node.now(), &["c"])).await.unwrap();
}

#[tokio::test]
async fn producer_ids_never_repeat_across_restarts() {
    let node = Node::start().await;
    let first = node.broker.allocate_producer_id().await.unwrap();
    let second = node.broker.allocate_producer_id().await.unwrap();
    let again = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    let third = again.broker.allocate_producer_id().await.unwrap();
    assert!(first < second && second < third);
}

#[tokio::test]
async fn closing_ends_a_waiting_fetch() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    let broker = node.broker.clone();
    let waiting = tokio::spawn(async move {
        broker.fetch(request(&topic, 0, 1, Duration::from_secs(3600))).await.remove(0)
    });
    tokio::task::yield_now().await;
    node.broker.close().await;
    let fetched = waiting.await.unwrap().unwrap();
    assert_eq!(values(&fetched), []);
}

#[tokio::test]
async fn a_topic_may_acknowledge_and_show_before_it_is_durable() {
    let (node, store) = stepped().await;
    let topic = stepping(&store, node.topic("t", &[("durability", "memory")])).await;
    for (offset, value) in (0..).zip(["one", "two", "three"]) {
        let published = node.publish(&topic, batch_at(node.now(), &[value])).await.unwrap();
        assert_eq!(published.base_offset.get(), offset, "acknowledged without a commit");
    }
    let all = [(0, "one".into()), (1, "two".into()), (2, "three".into())];
    assert_eq!(node.values(&topic, 0).await, all, "shown without a commit");
    assert!(store.step(), "the first becomes durable");
    assert_eq!(node.values(&topic, 1).await, all[1..]);
    store.step_all();
    assert_eq!(node.values(&topic, 0).await, all);
}

#[tokio::test]
async fn a_fetch_that_waits_is_woken_by_an_append_that_is_not_durable() {
    let (node, store) = stepped().await;
    let topic = stepping(&store, node.topic("t", &[("durability", "memory")])).await;
    let (broker, wanted) = (node.broker.clone(), request(&topic, 0, 1, Duration::from_secs(3600)));
    let waiting = tokio::spawn(async move { broker.fetch(wanted).await.remove(0) });
    tokio::task::yield_now().await;
    node.publish(&topic, batch_at(node.now(), &["early"])).await.unwrap();
    let fetched = waiting.await.unwrap().unwrap();
    assert_eq!(values(&fetched), [(0, "early".into())]);
    assert_eq!(fetched.high_watermark.get(), 1);
}

#[tokio::test]
async fn a_crash_takes_what_was_acknowledged_early_from_the_end_only() {
    let (node, store) = stepped().await;
    let topic = stepping(&store, node.topic("t", &[("durability", "memory")])).await;
    for value in ["kept", "lost", "lost too"] {
        node.publish(&topic, batch_at(node.now(), &[value])).await.unwrap();
    }
    assert!(store.step());
    let again = Node::over(Arc::new(store.reopen().start()), Options::default()).await;
    let topic = again.broker.topics().remove(0);
    assert_eq!(again.values(&topic, 0).await, [(0, "kept".into())]);
    let published = again.publish(&topic, batch_at(again.now(), &["new"])).await.unwrap();
    assert_eq!(published.base_offset.get(), 1, "the lost offsets are given out again");
}
