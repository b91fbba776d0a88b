//! Long polls, limits and look-ups.

use crate::support::{Node, batch_at, request, values};
use std::time::Duration;
use tramline_broker::{Error, FetchItem, FetchRequest, Position};
use tramline_types::{Clock, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_long_poll_returns_when_the_bytes_are_there() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    let (broker, of_fetch) = (node.broker.clone(), topic.clone());
    let waiting =
        tokio::spawn(async move { broker.fetch(request(&of_fetch, 0, 100, HOUR)).await.remove(0) });
    tokio::task::yield_now().await;
    node.publish(&topic, batch_at(node.now(), &["a"])).await.unwrap();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "returned with fewer bytes than wanted");
    node.publish(&topic, batch_at(node.now(), &["b"])).await.unwrap();
    let fetched = waiting.await.unwrap().unwrap();
    assert_eq!(values(&fetched), [(0, "a".into()), (1, "b".into())]);
}

#[tokio::test]
async fn a_long_poll_ends_at_its_time_with_what_there_is() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    node.publish(&topic, batch_at(node.now(), &["a"])).await.unwrap();
    let broker = node.broker.clone();
    let waiting = tokio::spawn(async move {
        broker.fetch(request(&topic, 0, 1 << 20, Duration::from_secs(5))).await.remove(0)
    });
    let begun = node.clock.monotonic();
    while !waiting.is_finished() {
        tokio::task::yield_now().await;
        node.clock.advance(Duration::from_millis(100));
    }
    let took = node.clock.monotonic().since(begun);
    assert!((5..20).contains(&took.as_secs()), "{took:?}");
    assert_eq!(values(&waiting.await.unwrap().unwrap()), [(0, "a".into())]);
}

#[tokio::test]
async fn deleting_the_topic_ends_a_long_poll_with_an_error() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    let (broker, of_fetch) = (node.broker.clone(), topic.clone());
    let waiting =
        tokio::spawn(async move { broker.fetch(request(&of_fetch, 0, 1, HOUR)).await.remove(0) });
    tokio::task::yield_now().await;
    node.broker.delete_topic(topic.name()).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(Error::UnknownTopic(_))));
    let late = node.publish(&topic, batch_at(node.now(), &["late"])).await;
    assert!(matches!(late, Err(Error::UnknownTopic(_))), "{late:?}");
}

#[tokio::test]
async fn a_fetch_into_a_batch_returns_it_whole_and_the_first_comes_whatever_its_size() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    node.publish(&topic, batch_at(node.now(), &["a", "b", "c"])).await.unwrap();
    node.publish(&topic, batch_at(node.now(), &["d"])).await.unwrap();
    let item = FetchItem { topic: topic.clone(), partition: 0, offset: 2, bytes_max: 1 };
    let only_one =
        FetchRequest { items: vec![item], bytes_min: 1, bytes_max: 1, wait_max: Duration::ZERO };
    let fetched = node.broker.fetch(only_one).await.remove(0).unwrap();
    assert_eq!(values(&fetched).first(), Some(&(0, "a".to_owned())));
    assert_eq!(values(&fetched).len(), 3);
    assert_eq!(fetched.high_watermark.get(), 4);
}

#[tokio::test]
async fn offsets_outside_the_log_are_out_of_range_and_its_end_is_empty() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    node.publish(&topic, batch_at(node.now(), &["a"])).await.unwrap();
    assert_eq!(node.values(&topic, 1).await, []);
    for offset in [-1, 2, i64::MAX, i64::MIN] {
        let refused = node.fetch(&topic, offset).await;
        assert!(matches!(refused, Err(Error::OffsetOutOfRange { .. })), "{offset}: {refused:?}");
    }
}

#[tokio::test]
async fn records_are_found_by_their_time_inside_batches() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    let at = |millis| Timestamp::from_millis(node.now().as_millis() + millis);
    let mut builder = tramline_record::BatchBuilder::new(tramline_record::Compression::Lz4);
    for millis in [0, 10, 20] {
        let mut message = crate::support::message("x");
        message.timestamp = Some(at(millis));
        builder.push(&message, at(millis));
    }
    node.publish(&topic, builder.build().unwrap()).await.unwrap();
    node.publish(&topic, batch_at(at(5), &["late"])).await.unwrap();
    let find = async |position| {
        let found = node.broker.offset_for(&topic, 0, position).await.unwrap();
        found.offset.map(|offset| offset.get())
    };
    assert_eq!(find(Position::At(at(-100))).await, Some(0));
    assert_eq!(find(Position::At(at(11))).await, Some(2));
    assert_eq!(find(Position::At(at(21))).await, None);
    assert_eq!(find(Position::MaxTimestamp).await, Some(2));
    assert_eq!(find(Position::Earliest).await, Some(0));
    assert_eq!(find(Position::Latest).await, Some(4));
    assert_eq!(find(Position::LatestTiered).await, None);
}

#[tokio::test]
async fn cold_reads_give_the_same_as_warm_ones() {
    let node = Node::start().await;
    let topic = node.topic("t", &[]).await;
    for n in 0..50 {
        node.publish(&topic, batch_at(node.clock.now(), &[&n.to_string()])).await.unwrap();
    }
    let warm = node.values(&topic, 0).await;
    node.store.set_cold(true);
    assert_eq!(node.values(&topic, 0).await, warm);
    assert_eq!(warm.len(), 50);
}
