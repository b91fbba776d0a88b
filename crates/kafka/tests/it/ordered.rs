//! The view of a topic in total order, as Kafka's clients see it.

use crate::support::{Node, batch, message, produce, text, values};
use tramline_types::TopicName;
use tramline_wire::kafka::{
    create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic},
    delete_topics::{DeleteTopicState, DeleteTopicsRequest},
    fetch::{FetchPartition, FetchRequest, FetchTopic},
    metadata::{MetadataRequest, MetadataRequestTopic},
};

const INVALID_TOPIC_EXCEPTION: i16 = 17;

#[tokio::test]
async fn view_is_fetched_and_described_like_a_topic_of_one_partition() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 3, &[("order", "total")]).await;
    for (partition, value) in [(2, "a"), (0, "b"), (2, "c")] {
        let records = batch(&[message(value, 1000)]);
        let answer = client.call(12, &produce("t", partition, Some(records))).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
    let topics = Some(vec![MetadataRequestTopic {
        name: Some(text("t.ordered")),
        ..MetadataRequestTopic::default()
    }]);
    let request = MetadataRequest { topics, ..MetadataRequest::default() };
    let view = client.call(12, &request).await.topics.remove(0);
    assert_eq!((view.error_code, view.partitions.len()), (0, 1));
    let name = TopicName::parse("t.ordered").unwrap();
    assert_eq!(view.topic_id, node.broker.topic(&name).unwrap().id().0);

    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic =
        FetchTopic { topic_id: view.topic_id, partitions: vec![partition], ..Default::default() };
    let request = FetchRequest { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
    let mut answer = client.call(13, &request).await;
    let data = answer.responses.remove(0).partitions.remove(0);
    let expected = ["a", "b", "c"].map(str::to_owned);
    assert_eq!((data.error_code, data.high_watermark), (0, 3));
    assert!(values(data.records.unwrap().to_bytes()).into_iter().eq((0..).zip(expected)));
}

#[tokio::test]
async fn view_takes_no_records_and_no_change() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[("order", "total")]).await;
    let answer = client.produce(12, "t.ordered", batch(&[message("x", 1000)])).await;
    assert_eq!(answer.error_code, INVALID_TOPIC_EXCEPTION);
    let why = answer.error_message.unwrap();
    assert!(why.contains("read-only") && why.contains("`t`"), "{why}");

    let topic = CreatePartitionsTopic { name: text("t.ordered"), count: 2, assignments: None };
    let request = CreatePartitionsRequest { topics: vec![topic], ..Default::default() };
    let answer = client.call(3, &request).await;
    assert_eq!(answer.results[0].error_code, INVALID_TOPIC_EXCEPTION);
    let topic = DeleteTopicState { name: Some(text("t.ordered")), ..Default::default() };
    let request = DeleteTopicsRequest { topics: vec![topic], ..Default::default() };
    let answer = client.call(6, &request).await;
    assert_eq!(answer.responses[0].error_code, INVALID_TOPIC_EXCEPTION);
}
