//! Queues as topics: read, produced to, and not changed.

use crate::support::{Client, Node, batch, build, message, new_topic, produce, text, values};
use std::sync::Arc;
use tramline_broker::{DeleteOnly, Overflow, Queue, QueueSettings};
use tramline_record::{BatchBuilder, Compression};
use tramline_types::QueueName;
use tramline_wire::kafka::{
    delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
    delete_topics::DeleteTopicsRequest,
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponseTopic},
};

async fn declare(node: &Node, settings: QueueSettings) -> Arc<Queue> {
    let name = QueueName::parse("jobs").unwrap();
    node.broker.declare_queue(&name, settings).await.unwrap().0
}

async fn describe(client: &mut Client) -> MetadataResponseTopic {
    let named = MetadataRequestTopic { name: Some(text("jobs")), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![named]), ..MetadataRequest::default() };
    client.call(12, &request).await.topics.remove(0)
}

async fn fetch(client: &mut Client, index: i32, topic_id: Option<[u8; 16]>) -> (i16, Vec<String>) {
    let partition = FetchPartition {
        partition: index,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: text(if topic_id.is_none() { "jobs" } else { "" }),
        topic_id: topic_id.unwrap_or_default(),
        partitions: vec![partition],
    };
    let request = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
    let version = if topic_id.is_some() { 13 } else { 12 };
    let mut answer = client.call(version, &request).await;
    let partition = answer.responses.remove(0).partitions.remove(0);
    let records = partition.records.map(|records| records.to_bytes()).unwrap_or_default();
    (partition.error_code, values(records).into_iter().map(|(_, value)| value).collect())
}

#[tokio::test]
async fn what_is_produced_to_a_queue_is_a_message_and_is_read_back() {
    let node = Node::start().await;
    let queue = declare(&node, QueueSettings::default()).await;
    let mut client = node.client().await;
    let described = describe(&mut client).await;
    assert_eq!((described.error_code, described.partitions.len()), (0, 1));
    let zipped = build(BatchBuilder::new(Compression::Gzip), &[message("a", 1), message("b", 2)]);
    for (batch, base) in [(zipped, 0), (batch(&[message("c", 3)]), 2)] {
        let answer = client.produce(12, "jobs", batch).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, base));
    }
    assert_eq!(queue.counts().ready, 3);
    let expected = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    assert_eq!(fetch(&mut client, 0, None).await, (0, expected()));
    assert_eq!(fetch(&mut client, 0, Some(described.topic_id)).await, (0, expected()));
    assert_eq!(queue.counts().ready, 3, "reading settles nothing");
    let listed = client.call(12, &MetadataRequest { topics: None, ..Default::default() }).await;
    assert_eq!(listed.topics.len(), 1);
    node.broker.delete_queue(&queue, DeleteOnly::default()).await.unwrap();
    assert_eq!(fetch(&mut client, 0, None).await.0, 3);
    assert_eq!(fetch(&mut client, 0, Some(described.topic_id)).await.0, 100);
}

#[tokio::test]
async fn a_level_of_priority_is_a_partition() {
    let node = Node::start().await;
    let queue = declare(&node, QueueSettings { priority_max: 2, ..Default::default() }).await;
    let mut client = node.client().await;
    assert_eq!(describe(&mut client).await.partitions.len(), 3);
    let to = |index, value| produce("jobs", index, Some(batch(&[message(value, 1)])));
    for (index, value) in [(0, "low"), (2, "high")] {
        client.call(12, &to(index, value)).await;
    }
    assert_eq!(fetch(&mut client, 2, None).await, (0, vec!["high".to_owned()]));
    assert_eq!(fetch(&mut client, 1, None).await, (0, vec![]));
    let refused = client.call(12, &to(3, "none")).await;
    assert_eq!(refused.responses[0].partition_responses[0].error_code, 3);
    assert_eq!(queue.counts().ready, 2);
}

#[tokio::test]
async fn a_queue_at_its_bound_refuses_and_names_the_records() {
    let node = Node::start().await;
    let settings = QueueSettings {
        length_max: Some(2),
        overflow: Overflow::RejectPublish,
        ..QueueSettings::default()
    };
    declare(&node, settings).await;
    let mut client = node.client().await;
    let three = batch(&[message("a", 1), message("b", 2), message("c", 3)]);
    let refused = client.produce(12, "jobs", three).await;
    assert_eq!(refused.error_code, 44);
    let named: Vec<_> = refused.record_errors.iter().map(|record| record.batch_index).collect();
    assert_eq!(named, [2]);
    assert_eq!(fetch(&mut client, 0, None).await.1.len(), 2);
}

#[tokio::test]
async fn a_queue_is_not_changed_as_a_topic() {
    let node = Node::start().await;
    let queue = declare(&node, QueueSettings::default()).await;
    let mut client = node.client().await;
    client.produce(12, "jobs", batch(&[message("a", 1)])).await;
    let partitions = vec![DeleteRecordsPartition { partition_index: 0, offset: 1 }];
    let topics = vec![DeleteRecordsTopic { name: text("jobs"), partitions }];
    let cut = client.call(2, &DeleteRecordsRequest { topics, timeout_ms: 1000 }).await;
    assert_eq!(cut.topics[0].partitions[0].error_code, 29);
    let named = DeleteTopicsRequest { topic_names: vec![text("jobs")], ..Default::default() };
    assert_eq!(client.call(4, &named).await.responses[0].error_code, 3);
    assert_eq!(client.call(7, &new_topic("jobs", 1, &[])).await.topics[0].error_code, 36);
    assert_eq!(queue.counts().ready, 1);
}
