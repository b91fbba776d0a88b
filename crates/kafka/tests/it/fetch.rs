//! Fetch and ListOffsets: whole batches, waits, and every way to name an offset.

use crate::support::{Client, Node, batch, batch_of, message, text, values};
use bytes::Bytes;
use std::time::Duration;
use tokio::time::Instant;
use tramline_types::TopicName;
use tramline_wire::kafka::{
    fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData},
    list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
    },
};

const NEWEST: i16 = 12;

/// A fetch of one partition that does not wait.
fn fetch(topic: &str, offset: i64) -> FetchRequest {
    let partition = FetchPartition {
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic =
        FetchTopic { topic: text(topic), partitions: vec![partition], ..FetchTopic::default() };
    FetchRequest { topics: vec![topic], ..FetchRequest::default() }
}

async fn fetch_one(client: &mut Client, version: i16, request: &FetchRequest) -> PartitionData {
    let mut response = client.call(version, request).await;
    assert_eq!((response.error_code, response.session_id), (0, 0));
    response.responses.remove(0).partitions.remove(0)
}

/// What is fetched from an offset on.
pub(crate) async fn records(client: &mut Client, topic: &str, offset: i64) -> Bytes {
    let data = fetch_one(client, NEWEST, &fetch(topic, offset)).await;
    assert_eq!(data.error_code, 0);
    data.records.unwrap().to_bytes()
}

#[tokio::test]
async fn every_version_fetches() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(NEWEST, "t", batch_of(3)).await;
    let id = node.broker.topic(&TopicName::parse("t").unwrap()).unwrap().id().0;
    for version in 4..=18 {
        let mut request = fetch("t", 0);
        request.topics[0].topic_id = id;
        let data = fetch_one(&mut client, version, &request).await;
        assert_eq!((data.error_code, data.high_watermark), (0, 3), "v{version}");
        assert_eq!(data.last_stable_offset, 3);
        assert_eq!(values(data.records.unwrap().to_bytes()).len(), 3);
    }
}

#[tokio::test]
async fn fetch_into_the_middle_of_a_batch_returns_that_whole_batch() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(NEWEST, "t", batch_of(10)).await;
    client.produce(NEWEST, "t", batch_of(10)).await;
    let got = values(records(&mut client, "t", 13).await);
    assert_eq!(got.first().map(|(offset, _)| *offset), Some(10));
    assert_eq!(got.len(), 10);
}

#[tokio::test]
async fn first_batch_is_returned_even_above_every_limit() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(NEWEST, "t", batch_of(100)).await;
    client.produce(NEWEST, "t", batch_of(100)).await;
    let mut request = fetch("t", 0);
    request.max_bytes = 1;
    request.topics[0].partitions[0].partition_max_bytes = 1;
    let data = fetch_one(&mut client, NEWEST, &request).await;
    assert_eq!(values(data.records.unwrap().to_bytes()).len(), 100, "one batch, and only one");
}

#[tokio::test]
async fn long_poll_ends_when_bytes_arrive_or_the_wait_is_over() {
    let node = Node::start().await;
    let (mut client, mut producer) = (node.client().await, node.client().await);
    client.create("t", 1, &[]).await;
    let waiting = |max_wait_ms, min_bytes| FetchRequest { max_wait_ms, min_bytes, ..fetch("t", 0) };

    let started = Instant::now();
    let data = fetch_one(&mut client, NEWEST, &waiting(200, 1)).await;
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(data.records.unwrap().total_bytes(), 0);

    client.send(NEWEST, &waiting(20_000, 1)).await;
    producer.produce(NEWEST, "t", batch_of(1)).await;
    let (_, response) = client.receive::<FetchRequest>(NEWEST).await;
    let data = &response.responses[0].partitions[0];
    assert!(data.records.as_ref().unwrap().total_bytes() > 0);
    assert!(started.elapsed() < Duration::from_secs(15), "it waited although bytes were there");

    // One batch is not enough for this one.
    let needed = i32::try_from(batch_of(1).len()).unwrap() + 1;
    client.send(NEWEST, &waiting(20_000, needed)).await;
    producer.produce(NEWEST, "t", batch_of(1)).await;
    let (_, response) = client.receive::<FetchRequest>(NEWEST).await;
    let records = response.responses[0].partitions[0].records.clone().unwrap();
    assert_eq!(values(records.to_bytes()).len(), 2);
}

#[tokio::test]
async fn partition_in_error_is_told_at_once() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let started = Instant::now();
    for (topic, partition, offset, code) in
        [("none", 0, 0, 3), ("t", 5, 0, 3), ("t", -1, 0, 3), ("t", 0, 1, 1), ("t", 0, -5, 1)]
    {
        let mut request =
            FetchRequest { max_wait_ms: 20_000, min_bytes: 1, ..fetch(topic, offset) };
        request.topics[0].partitions[0].partition = partition;
        let data = fetch_one(&mut client, NEWEST, &request).await;
        assert_eq!((data.error_code, data.high_watermark), (code, -1), "{topic} {partition}");
    }
    let mut request = FetchRequest { max_wait_ms: 20_000, min_bytes: 1, ..fetch("t", 0) };
    request.topics[0].topic_id = [7; 16];
    assert_eq!(fetch_one(&mut client, 13, &request).await.error_code, 100);
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn leader_epoch_of_another_time_is_fenced() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for (epoch, code) in [(-1, 0), (0, 0), (9, 75)] {
        let mut request = fetch("t", 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(fetch_one(&mut client, NEWEST, &request).await.error_code, code, "{epoch}");
    }
}

#[tokio::test]
async fn sessions_are_declined_and_an_invented_one_is_not_found() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let request = FetchRequest { session_epoch: 0, ..fetch("t", 0) };
    assert_eq!(client.call(NEWEST, &request).await.session_id, 0);
    let request = FetchRequest { session_id: 5, session_epoch: 1, ..fetch("t", 0) };
    assert_eq!(client.call(NEWEST, &request).await.error_code, 70);
}

#[tokio::test]
async fn readers_of_committed_records_get_an_empty_list_of_aborted_ones() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(NEWEST, "t", batch_of(1)).await;
    for (isolation_level, aborted) in [(0, None), (1, Some(Vec::new()))] {
        let request = FetchRequest { isolation_level, ..fetch("t", 0) };
        let data = fetch_one(&mut client, NEWEST, &request).await;
        assert_eq!(data.aborted_transactions, aborted);
    }
}

async fn offset_of(
    client: &mut Client,
    version: i16,
    timestamp: i64,
) -> ListOffsetsPartitionResponse {
    let partition = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: text("t"), partitions: vec![partition] };
    let request =
        ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    client.call(version, &request).await.topics.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn offsets_are_found_by_time_and_by_every_special_value() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for times in [[100, 300], [500, 200]] {
        let messages = times.map(|at| message("x", at));
        assert_eq!(client.produce(NEWEST, "t", batch(&messages)).await.error_code, 0);
    }
    // Time or special value, from which version on, offset, timestamp of the record found.
    let cases = [
        (-1, 1, 4, -1),
        (-2, 1, 0, -1),
        (-3, 7, 2, 500),
        (-4, 8, 0, -1),
        (-5, 9, -1, -1),
        (-6, 11, -1, -1),
        (0, 1, 0, 100),
        (101, 1, 1, 300),
        (301, 1, 2, 500),
        (501, 1, -1, -1),
    ];
    for (time, since, offset, timestamp) in cases {
        for version in 1..=11 {
            let found = offset_of(&mut client, version, time).await;
            if version < since {
                assert_eq!(found.error_code, 35, "{time} v{version}");
            } else {
                let got = (found.error_code, found.offset, found.timestamp);
                assert_eq!(got, (0, offset, timestamp), "{time} v{version}");
                let has_epoch = version >= 4 && offset >= 0;
                assert_eq!(found.leader_epoch >= 0, has_epoch, "{time} v{version}");
            }
        }
    }
    assert_eq!(offset_of(&mut client, 11, -7).await.error_code, 35);
}

#[tokio::test]
async fn offsets_of_what_does_not_exist_are_errors() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let found = offset_of(&mut client, 11, -1).await;
    assert_eq!((found.error_code, found.offset), (3, -1));
}
