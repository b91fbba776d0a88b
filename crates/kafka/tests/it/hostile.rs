//! Bytes that no client sends: they cost their own connection and nothing else.

use crate::support::{Client, Node, batch, batch_of, build, message, produce, text, within};
use tokio::io::AsyncWriteExt;
use tramline_record::{BatchBuilder, Compression};
use tramline_types::limits::BATCH_BYTES_OPENED_MAX;
use tramline_wire::kafka::{
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    describe_groups::DescribeGroupsRequest,
    describe_producers::{DescribeProducersRequest, TopicRequest},
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
    metadata::{MetadataRequest, MetadataRequestTopic},
    offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics},
    produce::ProduceRequest,
};

async fn send(node: &Node, bytes: &[u8]) -> Client {
    let mut client = node.client().await;
    // The broker may close before it has read everything.
    drop(within(client.stream.write_all(bytes)).await);
    client
}

/// Header of an API and version with correlation id 1 and no client id.
fn request(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(api.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(1i32.to_be_bytes());
    frame.extend((-1i16).to_be_bytes());
    frame.extend(body);
    let size = u32::try_from(frame.len()).unwrap();
    [size.to_be_bytes().to_vec(), frame].concat()
}

#[tokio::test]
async fn declared_sizes_that_cannot_be_close_the_connection() {
    let node = Node::start().await;
    for size in [-1, i32::MIN, i32::MAX, 64 * 1024 + 1, 0, 7] {
        let mut client = send(&node, &[&i32::to_be_bytes(size)[..], &[0; 64]].concat()).await;
        client.expect_closed().await;
    }
    let mut client = node.client().await;
    assert_eq!(client.call(12, &MetadataRequest::default()).await.error_code, 0);
    drop(within(client.stream.write_all(&i32::MAX.to_be_bytes())).await);
    client.expect_closed().await;
}

#[tokio::test]
async fn room_grows_only_after_a_valid_request() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let large = batch(&[message(&"x".repeat(200_000), 1)]);
    assert_eq!(client.produce(12, "t", large.clone()).await.error_code, 0);
    let mut fresh = node.client().await;
    let frame = fresh.frame(12, &produce("t", 0, Some(large)));
    drop(within(fresh.stream.write_all(&frame)).await);
    fresh.expect_closed().await;
}

#[tokio::test]
async fn malformed_requests_close_the_connection() {
    let node = Node::start().await;
    let cases = [
        ("an unknown API", request(999, 0, &[])),
        ("an API that is not offered", request(24, 0, &[])),
        ("a version too new", request(3, 14, &[0; 16])),
        ("a version too old", request(1, 3, &[0; 16])),
        ("a negative version", request(3, -1, &[0; 16])),
        ("Produce 2, although 0 is shown", request(0, 2, &[0; 16])),
        ("an empty body", request(3, 1, &[])),
        ("an array of i32::MAX", request(3, 1, &i32::MAX.to_be_bytes())),
        ("an array of -2", request(3, 1, &(-2i32).to_be_bytes())),
        ("a compact array of u32::MAX", request(3, 12, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("a string beyond the frame", request(3, 1, &[0, 0, 0, 1, 0x7f, 0xff, b'a'])),
        ("text that is not UTF-8", request(3, 1, &[0, 0, 0, 1, 0, 2, 0xff, 0xfe])),
        ("an endless varint", request(18, 3, &[0xff; 12])),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
    ];
    for (what, bytes) in cases {
        let mut client = send(&node, &bytes).await;
        let mut rest = [0; 1];
        let read = within(tokio::io::AsyncReadExt::read(&mut client.stream, &mut rest)).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{what} was answered");
    }
    let mut client = node.client().await;
    assert_eq!(client.call(12, &MetadataRequest::default()).await.error_code, 0);
}

#[tokio::test]
async fn frames_in_single_bytes_are_understood() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let frame = client.frame(12, &MetadataRequest::default());
    for byte in frame {
        within(client.stream.write_all(&[byte])).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(client.receive::<MetadataRequest>(12).await.0, 1);
}

#[tokio::test]
async fn requests_before_a_malformed_one_are_answered() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let mut bytes = client.frame(12, &produce("t", 0, Some(batch_of(1))));
    bytes.extend(client.frame(12, &MetadataRequest::default()));
    bytes.extend(request(3, 1, &(-2i32).to_be_bytes()));
    within(client.stream.write_all(&bytes)).await.unwrap();
    let (_, answer) = client.receive::<ProduceRequest>(12).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    client.receive::<MetadataRequest>(12).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn batch_that_opens_to_far_more_than_it_is_sent_as_is_refused_where_it_is_opened() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("opened", 1, &[("compression.type", "gzip")]).await;
    client.create("stored", 1, &[]).await;
    let zeros = "0".repeat(BATCH_BYTES_OPENED_MAX + 1);
    let bomb = build(BatchBuilder::new(Compression::Zstd), &[message(&zeros, 1)]);
    assert!(bomb.len() < 100_000, "{} bytes", bomb.len());
    let refused = client.produce(12, "opened", bomb.clone()).await;
    assert_eq!((refused.error_code, refused.base_offset), (10, -1));
    assert_eq!(client.produce(12, "opened", batch_of(1)).await.base_offset, 0);
    assert_eq!(client.produce(12, "stored", bomb).await.error_code, 0, "it stays closed");
    // Looked up by time it counts by its header: nobody opens it.
    let partition = ListOffsetsPartition { timestamp: 0, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: "stored".into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
    let found = client.call(7, &request).await.topics.remove(0).partitions.remove(0);
    assert_eq!((found.error_code, found.offset), (0, 0));
}

#[tokio::test]
async fn what_is_asked_for_many_times_is_answered_once() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let topic = MetadataRequestTopic { name: Some(text("t")), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![topic; 100]), ..Default::default() };
    assert_eq!(client.call(12, &request).await.topics.len(), 1);

    let resource = |resource_type, name: &str| DescribeConfigsResource {
        resource_type,
        resource_name: text(name),
        configuration_keys: None,
    };
    // 2 is a topic, 4 the broker, whose number may be spelled in many ways.
    let resources = [(2, "t"), (4, "0"), (2, "t"), (4, "00"), (4, "+0")]
        .map(|(kind, name)| resource(kind, name));
    let request = DescribeConfigsRequest { resources: resources.to_vec(), ..Default::default() };
    assert_eq!(client.call(4, &request).await.results.len(), 2);

    let request = DescribeGroupsRequest { groups: vec![text("g"); 100], ..Default::default() };
    assert_eq!(client.call(5, &request).await.groups.len(), 1);

    let topic = TopicRequest { name: text("t"), partition_indexes: vec![0; 100] };
    let request = DescribeProducersRequest { topics: vec![topic; 100] };
    let answer = client.call(0, &request).await;
    assert_eq!((answer.topics.len(), answer.topics[0].partitions.len()), (1, 1));

    let group = OffsetFetchRequestGroup { group_id: text("g"), topics: None, ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group; 100], ..Default::default() };
    assert_eq!(client.call(8, &request).await.groups.len(), 1);

    let named = |topic: &str, indexes| OffsetFetchRequestTopics {
        name: text(topic),
        partition_indexes: indexes,
        ..Default::default()
    };
    let topics = vec![named("t", vec![0, 0, 1]), named("u", vec![0]), named("t", vec![2, 0])];
    let group = |topics| OffsetFetchRequestGroup {
        group_id: text("g"),
        topics: Some(topics),
        ..Default::default()
    };
    let groups = vec![group(topics.clone()), group(topics), group(vec![named("t", vec![3])])];
    let answer = client.call(8, &OffsetFetchRequest { groups, ..Default::default() }).await;
    assert_eq!(answer.groups.len(), 1);
    let of_topic = |n: usize| {
        let topic = &answer.groups[0].topics[n];
        let indexes = topic.partitions.iter().map(|partition| partition.partition_index);
        (topic.name.to_string(), indexes.collect::<Vec<_>>())
    };
    let expected = [("t".to_owned(), vec![0, 1, 2, 3]), ("u".to_owned(), vec![0])];
    assert_eq!([of_topic(0), of_topic(1)], expected);
    assert_eq!(answer.groups[0].topics.len(), 2);
}
