//! What many connections hold together stays within the budget, and nobody is stuck.

use crate::support::{Client, Node, batch, message, options, produce, within};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt;
use tramline_broker::{GroupPhase, MemoryOptions};
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;
use tramline_wire::kafka::{
    alter_client_quotas::{AlterClientQuotasRequest, EntityData, EntryData, OpData},
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
    metadata::MetadataRequest,
    produce::ProduceRequest,
};

const MIB: usize = 1024 * 1024;

async fn node_with(memory: MemoryOptions) -> Node {
    let broker = tramline_broker::Options { memory, ..options() };
    Node::start_with(broker, tramline_kafka::Options::default()).await
}

fn megabyte() -> Bytes {
    batch(&[message(&"x".repeat(1_000_000), 1)])
}

/// The most that was held while `work` ran.
async fn most_used(node: &Node, work: impl Future<Output = ()>) -> usize {
    let mut most = 0;
    let watch = async {
        loop {
            most = most.max(node.broker.budgets().received.used());
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = work => {}
        () = watch => {}
    }
    most
}

#[tokio::test]
async fn many_large_requests_wait_for_room_and_all_are_answered() {
    let node =
        node_with(MemoryOptions { received_bytes: 2 * MIB, ..MemoryOptions::default() }).await;
    node.client().await.create("t", 1, &[]).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = node.client().await;
        client.call(12, &MetadataRequest::default()).await;
        clients.push(client);
    }
    // Everybody is in the middle of a request before anybody may finish one.
    let mut rests = Vec::new();
    for client in &mut clients {
        let frame = client.frame(12, &produce("t", 0, Some(megabyte())));
        within(client.stream.write_all(&frame[..200_000])).await.unwrap();
        rests.push(frame[200_000..].to_vec());
    }
    let work = within(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (mut client, rest) in clients.into_iter().zip(rests) {
            tasks.spawn(async move {
                client.stream.write_all(&rest).await.unwrap();
                let (_, answer) = client.receive::<ProduceRequest>(12).await;
                assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
    let most = most_used(&node, work).await;
    assert!(most > MIB, "only {most} bytes were ever counted");
    assert!(most <= 3 * MIB, "{most} bytes are more than the budget and one request");
    assert_eq!(node.broker.budgets().received.used(), 0);
}

#[tokio::test]
async fn request_larger_than_the_whole_budget_goes_through() {
    let node = node_with(MemoryOptions { received_bytes: 1000, ..MemoryOptions::default() }).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for offset in 0..3 {
        assert_eq!(client.produce(12, "t", megabyte()).await.base_offset, offset);
    }
    assert_eq!(node.broker.budgets().received.used(), 0);
}

#[tokio::test]
async fn connection_that_goes_away_half_way_gives_its_room_back() {
    let node = node_with(MemoryOptions { received_bytes: 1000, ..MemoryOptions::default() }).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for _ in 0..5 {
        let mut half = node.client().await;
        half.call(12, &MetadataRequest::default()).await;
        let frame = half.frame(12, &produce("t", 0, Some(megabyte())));
        within(half.stream.write_all(&frame[..500_000])).await.unwrap();
    }
    assert_eq!(client.produce(12, "t", megabyte()).await.error_code, 0);
}

/// A node with so little room that a large request goes alone.
async fn tight_node() -> (Node, FakeClock) {
    let memory = MemoryOptions { received_bytes: 1000, ..MemoryOptions::default() };
    let broker = tramline_broker::Options { memory, ..options() };
    let clock = FakeClock::new();
    let both = (broker, tramline_kafka::Options::default());
    let store = Arc::new(MemoryStore::new());
    (Node::start_on(store, Arc::new(clock.clone()), both).await, clock)
}

async fn until_held(node: &Node) {
    let held = &node.broker.budgets().received;
    within(async {
        while held.used() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The time, on the moving clock, until a large request is answered.
async fn time_of_a_large_request(client: &mut Client, clock: &FakeClock) -> Duration {
    let moving = async {
        loop {
            clock.advance(Duration::from_secs(1));
            let pause =
                tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>());
            pause.await.unwrap_err();
        }
    };
    let began = tramline_types::Clock::monotonic(clock);
    tokio::select! {
        answer = client.produce(12, "t", megabyte()) => assert_eq!(answer.error_code, 0),
        () = moving => {}
    }
    tramline_types::Clock::monotonic(clock).since(began)
}

#[tokio::test]
async fn half_request_that_stands_still_makes_way_when_others_wait() {
    let (node, clock) = tight_node().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let mut half = node.client().await;
    half.call(12, &MetadataRequest::default()).await;
    let frame = half.frame(12, &produce("t", 0, Some(megabyte())));
    within(half.stream.write_all(&frame[..500_000])).await.unwrap();
    until_held(&node).await;
    let waited = time_of_a_large_request(&mut client, &clock).await;
    assert!(waited < Duration::from_secs(25), "{waited:?}: only the limit of 30 s ended it");
    half.expect_closed().await;
}

#[tokio::test]
async fn large_fetch_that_finds_nothing_makes_way_when_others_wait() {
    let (node, clock) = tight_node().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let mut waiting = node.client().await;
    waiting.call(12, &MetadataRequest::default()).await;
    let partitions = vec![FetchPartition::default(); 4000];
    let topics = vec![FetchTopic { topic: "t".into(), partitions, ..FetchTopic::default() }];
    let hours = FetchRequest { topics, max_wait_ms: 7_200_000, min_bytes: 1, ..Default::default() };
    waiting.send(12, &hours).await;
    until_held(&node).await;
    let waited = time_of_a_large_request(&mut client, &clock).await;
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    let (_, answer) = waiting.receive::<FetchRequest>(12).await;
    assert_eq!(answer.responses[0].partitions.len(), 4000);
}

#[tokio::test]
async fn client_above_its_quota_holds_no_room_that_others_wait_for() {
    let (node, clock) = tight_node().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let mut slow = node.client().await;
    slow.name = "slow";
    slow.call(12, &MetadataRequest::default()).await;
    let entity =
        vec![EntityData { entity_type: "client-id".into(), entity_name: Some("slow".into()) }];
    let ops = vec![OpData { key: "producer_byte_rate".into(), value: 1000.0, remove: false }];
    let entries = vec![EntryData { entity, ops }];
    client.call(1, &AlterClientQuotasRequest { entries, validate_only: false }).await;
    let answer = slow.produce(12, "t", megabyte()).await;
    assert_eq!(answer.error_code, 0);
    // For a quarter of an hour nothing of it is begun.
    let frame = slow.frame(12, &produce("t", 0, Some(megabyte())));
    let rest = tokio::spawn(async move { slow.stream.write_all(&frame).await.map(|()| slow) });
    let waited = time_of_a_large_request(&mut client, &clock).await;
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    drop(rest);
}

fn fetch_all() -> FetchRequest {
    let partition = FetchPartition {
        partition_max_bytes: i32::try_from(16 * MIB).unwrap(),
        ..FetchPartition::default()
    };
    let topic =
        FetchTopic { topic: "t".into(), partitions: vec![partition], ..FetchTopic::default() };
    FetchRequest { topics: vec![topic], max_wait_ms: 500, ..FetchRequest::default() }
}

#[tokio::test]
async fn answers_nobody_takes_leave_the_others_small_ones() {
    let node =
        node_with(MemoryOptions { answers_bytes: 20 * MIB, ..MemoryOptions::default() }).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for _ in 0..20 {
        client.produce(12, "t", megabyte()).await;
    }
    let answers = &node.broker.budgets().answers;
    let whole = client.call(12, &fetch_all()).await;
    let size = |answer: &tramline_wire::kafka::fetch::FetchResponse| {
        answer.responses[0].partitions[0].records.as_ref().unwrap().total_bytes()
    };
    assert!(size(&whole) > 15_000_000, "{}", size(&whole));
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut client = node.client().await;
        client.send(12, &fetch_all()).await;
        silent.push(client);
    }
    within(async {
        while answers.used() < 5 * MIB {
            tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
    })
    .await;
    let small = client.call(12, &fetch_all()).await;
    assert!((1_000_000..1_100_000).contains(&size(&small)), "{}", size(&small));
    drop(silent);
    within(async {
        while answers.used() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(size(&client.call(12, &fetch_all()).await), size(&whole));
}

fn join_request(group: &str, metadata: usize) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::from(vec![0; metadata]) };
    JoinGroupRequest {
        group_id: crate::support::text(group),
        session_timeout_ms: 600_000,
        rebalance_timeout_ms: 600_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    }
}

async fn join(client: &mut Client, group: &str, metadata: usize) -> i16 {
    client.call(3, &join_request(group, metadata)).await.error_code
}

#[tokio::test]
async fn a_large_join_that_waits_for_the_other_members_keeps_no_room() {
    let node = node_with(MemoryOptions { received_bytes: 1000, ..MemoryOptions::default() }).await;
    let mut first = node.client().await;
    first.create("t", 1, &[]).await;
    assert_eq!(join(&mut first, "g", 10).await, 0);
    let mut second = node.client().await;
    second.call(12, &MetadataRequest::default()).await;
    second.send(3, &join_request("g", 200_000)).await;
    let group = tramline_types::GroupId::parse("g").unwrap();
    let phase = || node.broker.groups().describe(&group).phase;
    within(async {
        while phase() != GroupPhase::PreparingRebalance {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut others = node.client().await;
    others.call(12, &MetadataRequest::default()).await;
    for _ in 0..3 {
        assert_eq!(others.produce(12, "t", megabyte()).await.error_code, 0);
    }
    assert_eq!(phase(), GroupPhase::PreparingRebalance, "the join still waits");
    assert_eq!(node.broker.budgets().received.used(), 0);
}

#[tokio::test]
async fn members_of_all_groups_share_a_budget_and_come_again_when_it_is_used_up() {
    let node = node_with(MemoryOptions { groups_bytes: 100_000, ..MemoryOptions::default() }).await;
    let mut client = node.client().await;
    assert_eq!(join(&mut client, "one", 60_000).await, 0);
    assert_eq!(join(&mut client, "two", 60_000).await, 15);
    assert_eq!(join(&mut client, "three", 30_000).await, 0);
}
