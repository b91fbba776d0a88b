//! Compacted topics, converted and refused records, and broker settings, over the protocol.

use crate::support::{Client, Node, build, text, values};
use bytes::Bytes;
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_types::{Message, Timestamp};
use tramline_wire::kafka::{
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
    fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData},
    incremental_alter_configs::{
        AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
    },
    list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
};

const COMPACTED: [(&str, &str); 2] =
    [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")];

/// A batch of `(key, value)`, `""` for none.
fn keyed(records: &[(&str, &str)]) -> Bytes {
    let some = |text: &str| (!text.is_empty()).then(|| Bytes::copy_from_slice(text.as_bytes()));
    let messages: Vec<Message> = records
        .iter()
        .map(|(key, value)| Message {
            key: some(key),
            value: some(value),
            timestamp: Some(Timestamp::from_millis(1000)),
            ..Message::default()
        })
        .collect();
    build(BatchBuilder::new(Compression::Gzip), &messages)
}

async fn fetch(client: &mut Client, topic: &str, offset: i64) -> PartitionData {
    let partition = FetchPartition {
        fetch_offset: offset,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let topic =
        FetchTopic { topic: text(topic), partitions: vec![partition], ..FetchTopic::default() };
    let request = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
    client.call(12, &request).await.responses.remove(0).partitions.remove(0)
}

async fn alter(client: &mut Client, (kind, name): (i8, &str), setting: (&str, &str)) -> i16 {
    let config = AlterableConfig {
        name: text(setting.0),
        config_operation: 0,
        value: Some(text(setting.1)),
    };
    let resource = AlterConfigsResource {
        resource_type: kind,
        resource_name: text(name),
        configs: vec![config],
    };
    let request =
        IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    client.call(1, &request).await.responses[0].error_code
}

#[tokio::test]
async fn a_fetch_from_a_gap_returns_the_next_batch_and_offsets_are_kept() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &COMPACTED).await;
    for value in ["1", "2", "3"] {
        let answer = client.produce(9, "t", keyed(&[("a", value), ("b", value)])).await;
        assert_eq!(answer.error_code, 0);
    }
    node.broker.apply_compaction().await;
    for offset in 0..=4 {
        let data = fetch(&mut client, "t", offset).await;
        assert_eq!((data.error_code, data.high_watermark, data.log_start_offset), (0, 6, 0));
        let found = values(data.records.unwrap().to_bytes());
        assert_eq!(found, [(4, "3".to_owned()), (5, "3".to_owned())], "from {offset}");
    }
    let partition = ListOffsetsPartition { timestamp: 0, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: text("t"), partitions: vec![partition] };
    let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
    let found = client.call(7, &request).await.topics.remove(0).partitions.remove(0);
    assert_eq!((found.offset, found.timestamp), (4, 1000));
}

#[tokio::test]
async fn records_without_a_key_are_named_from_version_8_on() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &COMPACTED).await;
    for version in [7, 8, 12] {
        let answer = client.produce(version, "t", keyed(&[("a", "1"), ("", "2"), ("", "3")])).await;
        assert_eq!((answer.error_code, answer.base_offset), (87, -1), "v{version}");
        let named: Vec<_> = answer.record_errors.iter().map(|record| record.batch_index).collect();
        let expected: &[i32] = if version < 8 { &[] } else { &[1, 2] };
        assert_eq!(named, expected, "v{version}");
    }
    let data = fetch(&mut client, "t", 0).await;
    assert_eq!(data.high_watermark, 0, "nothing of the batch is stored");
}

#[tokio::test]
async fn records_with_a_wrong_time_are_named() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[("message.timestamp.before.max.ms", "60000")]).await;
    let answer = client.produce(9, "t", keyed(&[("a", "1"), ("b", "2")])).await;
    assert_eq!((answer.error_code, answer.record_errors.len()), (32, 2));
    assert!(answer.error_message.is_some());
}

#[tokio::test]
async fn what_is_stored_has_the_topics_codec() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for (name, codec) in [
        ("uncompressed", Compression::None),
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ] {
        client.create(name, 1, &[("compression.type", name)]).await;
        client.produce(9, name, keyed(&[("a", "1"), ("b", "2")])).await;
        let mut records = fetch(&mut client, name, 0).await.records.unwrap().to_bytes();
        let batch = Batch::decode_first(&mut records).unwrap().unwrap();
        assert_eq!(batch.header().attributes.compression(), Ok(codec));
        assert_eq!(batch.records(1 << 20).unwrap().len(), 2);
    }
}

#[tokio::test]
async fn broker_settings_are_changed_and_shown_with_where_they_come_from() {
    let node = Node::start().await;
    let mut client = node.client().await;
    assert_eq!(alter(&mut client, (4, ""), ("log.retention.ms", "5000")).await, 0);
    assert_eq!(alter(&mut client, (4, "0"), ("log.retention.ms", "6000")).await, 0);
    assert_eq!(alter(&mut client, (4, "1"), ("log.retention.ms", "7000")).await, 42);
    assert_eq!(alter(&mut client, (4, "0"), ("num.io.threads", "9")).await, 40);
    assert_eq!(alter(&mut client, (4, "0"), ("num.io.threads", "8")).await, 0, "the default");
    assert_eq!(alter(&mut client, (32, "g"), ("consumer.session.timeout.ms", "9")).await, 40);
    let mut describe = async |kind, name: &str, key: &str| {
        let resource = DescribeConfigsResource {
            resource_type: kind,
            resource_name: text(name),
            configuration_keys: Some(vec![text(key)]),
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            include_synonyms: true,
            include_documentation: true,
        };
        let mut configs = client.call(4, &request).await.results.remove(0).configs;
        let config = configs.remove(0);
        let synonyms: Vec<_> = config.synonyms.iter().map(|synonym| synonym.source).collect();
        (config.value.unwrap().to_string(), config.config_source, synonyms)
    };
    let expected = ("6000".to_owned(), 2, vec![2, 3, 5]);
    assert_eq!(describe(4, "0", "log.retention.ms").await, expected);
    let expected = ("5000".to_owned(), 3, vec![3]);
    assert_eq!(describe(4, "", "log.retention.ms").await, expected);
    let group = describe(32, "g", "consumer.session.timeout.ms").await;
    assert_eq!((group.0.as_str(), group.1), ("45000", 5));
    client.create("t", 1, &[]).await;
    let of_topic = node.broker.topic(&tramline_types::TopicName::parse("t").unwrap()).unwrap();
    assert_eq!(of_topic.settings().retention_ms, Some(6000));
}
