//! Many, slow and half-open connections, and the end of the listener.

use crate::support::{Client, Node, batch, message, options, within};
use rustix::process::{Resource, getrlimit};
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;
use tramline_wire::kafka::{
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    metadata::MetadataRequest,
};

async fn on_a_clock() -> (Node, FakeClock) {
    let clock = FakeClock::new();
    let both = (options(), tramline_kafka::Options::default());
    let store = Arc::new(MemoryStore::new());
    (Node::start_on(store, Arc::new(clock.clone()), both).await, clock)
}

/// Real time for the connections' tasks to act in.
async fn pause(millis: u64) {
    let never = std::future::pending::<()>();
    drop(tokio::time::timeout(Duration::from_millis(millis), never).await);
}

/// Moves the clock in steps until the connection is closed; gives how long that took.
async fn closed_after(client: &mut Client, clock: &FakeClock, step: Duration) -> Duration {
    let mut passed = Duration::ZERO;
    let mut rest = vec![0; 1 << 16];
    loop {
        // Real time for the connection's task to act in; the deadlines run on the fake clock.
        let read = tokio::time::timeout(Duration::from_millis(20), client.stream.read(&mut rest));
        match read.await {
            Ok(Ok(0) | Err(_)) => return passed,
            Ok(Ok(n)) => panic!("{n} bytes instead of the end"),
            Err(_) => {
                assert!(passed < Duration::from_secs(3600), "it is never closed");
                clock.advance(step);
                passed += step;
            }
        }
    }
}

#[tokio::test]
async fn connection_without_a_request_is_closed_after_10_seconds() {
    let (node, clock) = on_a_clock().await;
    let mut silent = node.client().await;
    let after = closed_after(&mut silent, &clock, Duration::from_secs(1)).await;
    assert!((10..=12).contains(&after.as_secs()), "{after:?}");
    let mut half = node.client().await;
    let frame = half.frame(12, &MetadataRequest::default());
    half.stream.write_all(&frame[..9]).await.unwrap();
    let after = closed_after(&mut half, &clock, Duration::from_secs(1)).await;
    assert!((10..=12).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn half_sent_request_is_closed_after_30_seconds_and_an_idle_connection_after_600() {
    let (node, clock) = on_a_clock().await;
    let mut half = node.client().await;
    half.call(12, &MetadataRequest::default()).await;
    let frame = half.frame(12, &MetadataRequest::default());
    half.stream.write_all(&frame[..9]).await.unwrap();
    let after = closed_after(&mut half, &clock, Duration::from_secs(2)).await;
    assert!((30..=34).contains(&after.as_secs()), "{after:?}");
    let mut idle = node.client().await;
    idle.call(12, &MetadataRequest::default()).await;
    let after = closed_after(&mut idle, &clock, Duration::from_secs(20)).await;
    assert!((600..=640).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn peer_that_takes_no_answer_is_closed_and_holds_little_meanwhile() {
    let (node, clock) = on_a_clock().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let megabyte = batch(&[message(&"x".repeat(1_000_000), 1)]);
    client.produce(12, "t", megabyte).await;
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic =
        FetchTopic { topic: "t".into(), partitions: vec![partition], ..FetchTopic::default() };
    let fetch = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
    let mut slow = node.client().await;
    for _ in 0..500 {
        slow.send(12, &fetch).await;
    }
    // Until the socket is full, the broker answers; then it stops, far from 500 MB.
    let sent = || {
        let text = node.broker.metrics().encode();
        let line = text.lines().find(|line| line.starts_with("tramline_fetched_bytes_total"));
        line.unwrap().rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let mut last = 0;
    loop {
        pause(100).await;
        let now = sent();
        if now == last && now > 0 {
            break;
        }
        last = now;
    }
    assert!(last < 100_000_000, "{last} bytes were read for a peer that takes none");
    for _ in 0..31 {
        clock.advance(Duration::from_secs(2));
        pause(10).await;
    }
    let mut rest = vec![0; 1 << 20];
    within(async { while slow.stream.read(&mut rest).await.is_ok_and(|n| n > 0) {} }).await;
    assert!(sent() < 100_000_000, "it went on although it was closed");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_until_one_ends() {
    let kafka = tramline_kafka::Options { connections_max: 2, ..Default::default() };
    let node = Node::start_with(options(), kafka).await;
    let (mut one, mut two) = (node.client().await, node.client().await);
    one.call(12, &MetadataRequest::default()).await;
    two.call(12, &MetadataRequest::default()).await;
    node.client().await.expect_closed().await;
    drop(one);
    loop {
        let mut next = node.client().await;
        next.send(12, &MetadataRequest::default()).await;
        if within(next.stream.read_u32()).await.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn five_thousand_idle_connections_do_not_hinder_one_that_works() {
    let node = Node::start().await;
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Both ends of each connection are files of this process.
    let n = usize::try_from(allowed.saturating_sub(500) / 2).unwrap().min(5000);
    assert!(n >= 100, "`ulimit -n` is too low to say anything");
    let mut idle = Vec::with_capacity(n);
    for _ in 0..n {
        idle.push(node.client().await);
    }
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for offset in 0..100 {
        let answer = client.produce(12, "t", crate::support::batch_of(1)).await;
        assert_eq!(answer.base_offset, offset);
    }
    for connection in idle.iter_mut().step_by(500) {
        connection.call(12, &MetadataRequest::default()).await;
    }
    let metrics = node.broker.metrics().encode();
    let open = format!("tramline_kafka_connections {}", n + 1);
    assert!(metrics.lines().any(|line| line == open), "{open} is not in the metrics");
}

#[tokio::test]
async fn requests_and_errors_are_counted_by_api() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(12, "t", crate::support::batch_of(1)).await;
    client.produce(12, "none", crate::support::batch_of(1)).await;
    let metrics = node.broker.metrics().encode();
    for line in [
        "tramline_kafka_requests_total{api=\"Produce\"} 2",
        "tramline_kafka_errors_total{api=\"Produce\"} 1",
        "tramline_kafka_requests_total{api=\"CreateTopics\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn stopping_answers_what_is_applied_and_ends_waiting_requests() {
    let node = Node::start().await;
    let (mut waiting, mut idle) = (node.client().await, node.client().await);
    waiting.create("t", 1, &[]).await;
    idle.call(12, &MetadataRequest::default()).await;
    let topic = FetchTopic {
        topic: "t".into(),
        partitions: vec![FetchPartition::default()],
        ..FetchTopic::default()
    };
    let fetch = FetchRequest {
        topics: vec![topic],
        max_wait_ms: i32::MAX,
        min_bytes: 1,
        ..FetchRequest::default()
    };
    waiting.send(12, &fetch).await;
    node.stop().await;
    waiting.expect_closed().await;
    idle.expect_closed().await;
}
