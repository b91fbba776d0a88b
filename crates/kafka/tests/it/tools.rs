//! What administration tools ask for and change, beside topics and groups.

use crate::support::{Client, Node, batch_of, build, message, new_topic, options, text};
use std::sync::Arc;
use tramline_broker::SystemClock;
use tramline_record::{BatchBuilder, Compression};
use tramline_store::MemoryStore;
use tramline_types::ProducerId;
use tramline_wire::{
    KafkaStr,
    kafka::{
        alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig},
        delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic},
        describe_configs::{DescribeConfigsRequest, DescribeConfigsResource},
        describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest},
        describe_producers::{DescribeProducersRequest, TopicRequest},
        describe_quorum::{DescribeQuorumRequest, PartitionData, TopicData},
        describe_topic_partitions::{
            Cursor, DescribeTopicPartitionsRequest, TopicRequest as NamedTopic,
        },
        elect_leaders::{ElectLeadersRequest, TopicPartitions},
        list_config_resources::ListConfigResourcesRequest,
        list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic},
        list_partition_reassignments::ListPartitionReassignmentsRequest,
        offset_for_leader_epoch::{
            EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
            OffsetForLeaderTopic,
        },
    },
};

async fn delete_before(
    client: &mut Client,
    version: i16,
    (topic, partition, offset): (&str, i32, i64),
) -> (i64, i16) {
    let partition = DeleteRecordsPartition { partition_index: partition, offset };
    let topic = DeleteRecordsTopic { name: text(topic), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1000 };
    let answer = client.call(version, &request).await.topics.remove(0).partitions.remove(0);
    (answer.low_watermark, answer.error_code)
}

async fn earliest(client: &mut Client, topic: &str) -> i64 {
    let partition = ListOffsetsPartition { timestamp: -2, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: text(topic), partitions: vec![partition] };
    let request = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
    client.call(7, &request).await.topics.remove(0).partitions.remove(0).offset
}

#[tokio::test]
async fn deleted_records_are_gone_also_after_a_restart() {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SystemClock::new());
    let both = || (options(), tramline_kafka::Options::default());
    let node = Node::start_on(store.clone(), clock.clone(), both()).await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(12, "t", batch_of(10)).await;
    assert_eq!(delete_before(&mut client, 0, ("t", 0, 3)).await, (3, 0));
    assert_eq!(delete_before(&mut client, 1, ("t", 0, 2)).await, (3, 0), "it only moves on");
    assert_eq!(delete_before(&mut client, 2, ("t", 0, 11)).await, (-1, 1));
    assert_eq!(delete_before(&mut client, 2, ("t", 0, -2)).await, (-1, 1));
    assert_eq!(delete_before(&mut client, 2, ("t", 1, 0)).await, (-1, 3));
    assert_eq!(delete_before(&mut client, 2, ("none", 0, 0)).await, (-1, 3));
    assert_eq!(earliest(&mut client, "t").await, 3);
    drop(client);
    node.stop().await.close().await;
    let node = Node::start_on(Arc::new(store.reopen().start()), clock, both()).await;
    let mut client = node.client().await;
    assert_eq!(earliest(&mut client, "t").await, 3);
    assert_eq!(delete_before(&mut client, 2, ("t", 0, -1)).await, (10, 0), "all there is");
    assert_eq!(client.produce(12, "t", batch_of(1)).await.base_offset, 10);
}

#[tokio::test]
async fn records_are_deleted_only_where_the_policy_says_so() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for (topic, policy, code) in
        [("a", "compact", 44), ("b", "compact,delete", 0), ("c", "delete", 0)]
    {
        client.create(topic, 1, &[("cleanup.policy", policy)]).await;
        assert_eq!(delete_before(&mut client, 2, (topic, 0, 0)).await.1, code, "{policy}");
        assert_eq!(delete_before(&mut client, 2, (topic, 0, -1)).await.1, code, "{policy}");
    }
}

#[tokio::test]
async fn a_topic_and_its_order_are_cut_each_by_itself() {
    let store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SystemClock::new());
    let both = || (options(), tramline_kafka::Options::default());
    let node = Node::start_on(store.clone(), clock.clone(), both()).await;
    let mut client = node.client().await;
    client.create("t", 1, &[("order", "total")]).await;
    client.create("compacted", 1, &[("order", "total"), ("cleanup.policy", "compact")]).await;
    client.produce(12, "t", batch_of(5)).await;
    assert_eq!(delete_before(&mut client, 2, ("t", 0, 1)).await, (1, 0));
    assert_eq!(earliest(&mut client, "t.ordered").await, 0, "the order keeps them");
    assert_eq!(delete_before(&mut client, 2, ("t.ordered", 0, 6)).await, (-1, 1));
    assert_eq!(delete_before(&mut client, 2, ("t.ordered", 0, 3)).await, (3, 0));
    assert_eq!(delete_before(&mut client, 2, ("compacted.ordered", 0, -1)).await, (-1, 44));
    drop(client);
    node.stop().await.close().await;
    let node = Node::start_on(Arc::new(store.reopen().start()), clock, both()).await;
    let mut client = node.client().await;
    assert_eq!(earliest(&mut client, "t.ordered").await, 3);
    assert_eq!(earliest(&mut client, "t").await, 1);
    assert_eq!(delete_before(&mut client, 2, ("t.ordered", 0, -1)).await, (5, 0));
    client.produce(12, "t", batch_of(1)).await;
    assert_eq!(earliest(&mut client, "t.ordered").await, 5);
}

async fn epoch_end(client: &mut Client, version: i16, known: i32, epoch: i32) -> EpochEndOffset {
    let partition =
        OffsetForLeaderPartition { partition: 0, current_leader_epoch: known, leader_epoch: epoch };
    let topic = OffsetForLeaderTopic { topic: text("t"), partitions: vec![partition] };
    let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] };
    let request = if version < 3 {
        OffsetForLeaderEpochRequest { replica_id: -2, ..request }
    } else {
        request
    };
    client.call(version, &request).await.topics.remove(0).partitions.remove(0)
}

#[tokio::test]
async fn ends_of_leader_epochs_are_found_over_restarts_and_deletions() {
    let mut store = Arc::new(MemoryStore::new());
    let clock = Arc::new(SystemClock::new());
    let both = || (options(), tramline_kafka::Options::default());
    // Epochs 0 to 4, of which 1 and 3 write nothing.
    for batches in [7, 0, 3, 0, 5] {
        let node = Node::start_on(store.clone(), clock.clone(), both()).await;
        let mut client = node.client().await;
        if node.broker.leader_epoch() == 0 {
            client.create("t", 1, &[]).await;
        }
        for _ in 0..batches {
            client.produce(12, "t", batch_of(2)).await;
        }
        drop(client);
        node.stop().await.close().await;
        store = Arc::new(store.reopen().start());
    }
    let node = Node::start_on(store, clock, both()).await;
    let mut client = node.client().await;
    let expected =
        [(0, (0, 14)), (1, (0, 14)), (2, (2, 20)), (3, (2, 20)), (4, (4, 30)), (5, (5, 30))];
    for version in 2..=4 {
        for (epoch, end) in expected {
            let found = epoch_end(&mut client, version, -1, epoch).await;
            assert_eq!((found.leader_epoch, found.end_offset), end, "epoch {epoch} v{version}");
        }
        for unknown in [-1, 6, i32::MAX] {
            let found = epoch_end(&mut client, version, -1, unknown).await;
            assert_eq!((found.error_code, found.leader_epoch, found.end_offset), (0, -1, -1));
        }
    }
    assert_eq!(epoch_end(&mut client, 4, 4, 2).await.error_code, 74);
    assert_eq!(epoch_end(&mut client, 4, 6, 2).await.error_code, 75);
    assert_eq!(delete_before(&mut client, 2, ("t", 0, 17)).await, (17, 0));
    let found = epoch_end(&mut client, 4, -1, 0).await;
    assert_eq!((found.leader_epoch, found.end_offset), (0, 17));
    let found = epoch_end(&mut client, 4, -1, 2).await;
    assert_eq!((found.leader_epoch, found.end_offset), (2, 20));
}

async fn overrides(client: &mut Client) -> Vec<(String, String)> {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: text("t"),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..Default::default() };
    let configs = client.call(4, &request).await.results.remove(0).configs;
    let own = configs.into_iter().filter(|config| config.config_source == 1);
    own.map(|config| (config.name.to_string(), config.value.unwrap().to_string())).collect()
}

#[tokio::test]
async fn altering_all_settings_resets_those_that_are_not_named() {
    let node = Node::start().await;
    let mut client = node.client().await;
    let settings = [("retention.ms", "5"), ("retention.bytes", "6"), ("order", "total")];
    client.create("t", 1, &settings).await;
    let alter = |kind, name: &str, value: Option<&str>, validate_only| {
        let value = value.map(text);
        let config = AlterableConfig { name: text(name), value };
        let resource = AlterConfigsResource {
            resource_type: kind,
            resource_name: text("t"),
            configs: vec![config],
        };
        AlterConfigsRequest { resources: vec![resource], validate_only }
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (request, code) in [
        (alter(2, "retention.msx", Some("1"), false), 40),
        (alter(2, "retention.ms", None, false), 42),
        (alter(4, "retention.ms", Some("1"), false), 42),
        (alter(2, "retention.ms", Some("7"), true), 0),
    ] {
        assert_eq!(client.call(2, &request).await.responses[0].error_code, code, "{request:?}");
    }
    assert_eq!(overrides(&mut client).await.len(), 3);
    // `order` is set when the topic is created, and stays.
    for version in 0..=2 {
        let value = format!("{}", 7 + version);
        let request = alter(2, "retention.ms", Some(&value), false);
        assert_eq!(client.call(version, &request).await.responses[0].error_code, 0);
        let left = [pair("order", "total"), pair("retention.ms", &value)];
        assert_eq!(overrides(&mut client).await, left);
    }
}

#[tokio::test]
async fn data_directory_is_described_with_the_sizes_of_partitions() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 2, &[]).await;
    client.create("u", 1, &[]).await;
    let batch = batch_of(10);
    client.produce(12, "t", batch.clone()).await;
    for version in 1..=5 {
        let mut answer = client.call(version, &DescribeLogDirsRequest { topics: None }).await;
        assert_eq!((answer.error_code, answer.results.len()), (0, 1));
        let result = answer.results.remove(0);
        assert_eq!((result.error_code, result.log_dir.as_str()), (0, "memory"));
        assert_eq!((result.total_bytes, result.usable_bytes), (-1, -1), "memory has no volume");
        let sizes = |topic: usize| {
            let partitions = result.topics[topic].partitions.iter();
            partitions.map(|it| (it.partition_index, it.partition_size)).collect::<Vec<_>>()
        };
        let size = i64::try_from(batch.len()).unwrap();
        assert_eq!((sizes(0), sizes(1)), (vec![(0, size), (1, 0)], vec![(0, 0)]));
    }
    let named = |topic: &str| DescribableLogDirTopic { topic: text(topic), partitions: vec![1, 9] };
    let request = DescribeLogDirsRequest { topics: Some(vec![named("t"), named("none")]) };
    let result = client.call(5, &request).await.results.remove(0);
    assert_eq!(result.topics.len(), 1, "what does not exist is left out");
    assert_eq!(result.topics[0].partitions.len(), 1);
}

#[tokio::test]
async fn idempotent_producers_of_a_partition_are_listed() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    client.produce(12, "t", batch_of(1)).await;
    for (id, epoch, first) in [(9, 2, 0), (4, 0, 0), (9, 2, 2)] {
        let builder =
            BatchBuilder::new(Compression::None).with_producer(ProducerId(id), epoch, first);
        let batch = build(builder, &[message("a", 1), message("b", 1)]);
        assert_eq!(client.produce(12, "t", batch).await.error_code, 0);
    }
    let topic = TopicRequest { name: text("t"), partition_indexes: vec![0, 1] };
    let none = TopicRequest { name: text("none"), partition_indexes: vec![0] };
    let request = DescribeProducersRequest { topics: vec![topic, none] };
    let answer = client.call(0, &request).await;
    let found = &answer.topics[0].partitions[0];
    let state = |it: &tramline_wire::kafka::describe_producers::ProducerState| {
        (it.producer_id, it.producer_epoch, it.last_sequence, it.current_txn_start_offset)
    };
    let states: Vec<_> = found.active_producers.iter().map(state).collect();
    assert_eq!(states, [(4, 0, 1, -1), (9, 2, 3, -1)]);
    assert_eq!(answer.topics[0].partitions[1].error_code, 3);
    assert_eq!(answer.topics[1].partitions[0].error_code, 3);
}

#[tokio::test]
async fn leaders_need_no_election_and_nothing_is_reassigned() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    for version in 0..=2 {
        let named = TopicPartitions { topic: text("t"), partitions: vec![0, 7] };
        let request =
            ElectLeadersRequest { topic_partitions: Some(vec![named]), ..Default::default() };
        let answer = client.call(version, &request).await;
        let results = &answer.replica_election_results[0].partition_result;
        let codes: Vec<_> = results.iter().map(|it| (it.partition_id, it.error_code)).collect();
        assert_eq!((answer.error_code, codes), (0, vec![(0, 84), (7, 3)]));
        let all = ElectLeadersRequest { topic_partitions: None, ..Default::default() };
        assert!(client.call(version, &all).await.replica_election_results.is_empty());
    }
    let wrong = ElectLeadersRequest { election_type: 5, ..Default::default() };
    assert_eq!(client.call(2, &wrong).await.error_code, 42);
    let answer = client.call(0, &ListPartitionReassignmentsRequest::default()).await;
    assert!(answer.error_code == 0 && answer.topics.is_empty());
}

#[tokio::test]
async fn quorum_is_this_node_alone() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for version in 0..=2 {
        let topic = |name: &str, partition_index| TopicData {
            topic_name: text(name),
            partitions: vec![PartitionData { partition_index }],
        };
        let topics = vec![topic("__cluster_metadata", 0), topic("t", 0)];
        let answer = client.call(version, &DescribeQuorumRequest { topics }).await;
        let quorum = &answer.topics[0].partitions[0];
        assert_eq!((quorum.error_code, quorum.leader_id, quorum.current_voters.len()), (0, 0, 1));
        assert_eq!((quorum.current_voters[0].replica_id, quorum.observers.len()), (0, 0));
        assert_eq!(answer.topics[1].partitions[0].error_code, 3);
        assert_eq!(answer.nodes.len(), usize::from(version >= 2));
    }
}

#[tokio::test]
async fn what_has_settings_is_listed_by_type() {
    let node = Node::start().await;
    let mut client = node.client().await;
    client.create("t", 1, &[]).await;
    let mut list = async |version, types: &[i8]| {
        let request = ListConfigResourcesRequest { resource_types: types.to_vec() };
        let answer = client.call(version, &request).await;
        let resources = answer.config_resources.into_iter();
        let named = resources.map(|it| (it.resource_type, it.resource_name.to_string()));
        (answer.error_code, named.collect::<Vec<_>>())
    };
    assert_eq!(list(0, &[]).await, (0, vec![]), "resources of client metrics");
    let (topic, broker) = ((2, "t".to_owned()), (4, "0".to_owned()));
    assert_eq!(list(1, &[]).await, (0, vec![topic.clone(), broker]));
    assert_eq!(list(1, &[2]).await, (0, vec![topic]));
    assert_eq!(list(1, &[8, 16, 32]).await, (0, vec![]));
    assert_eq!(list(1, &[2, 99]).await, (35, vec![]));
}

/// One page: names with their error and partitions, and the place of the next one.
type Page = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

async fn page(client: &mut Client, names: &[&str], limit: i32, from: Option<(&str, i32)>) -> Page {
    let request = DescribeTopicPartitionsRequest {
        topics: names.iter().map(|name| NamedTopic { name: text(name) }).collect(),
        response_partition_limit: limit,
        cursor: from
            .map(|(topic, partition_index)| Cursor { topic_name: text(topic), partition_index }),
    };
    let answer = client.call(0, &request).await;
    let topics = answer.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|it| it.partition_index).collect();
        let name = topic.name.as_ref().map(KafkaStr::to_string).unwrap_or_default();
        (name, topic.error_code, partitions)
    });
    let next = answer.next_cursor.map(|next| (next.topic_name.to_string(), next.partition_index));
    (topics.collect(), next)
}

#[tokio::test]
async fn partitions_of_topics_come_in_pages() {
    let node = Node::start().await;
    let mut client = node.client().await;
    for name in ["a", "b", "c"] {
        assert_eq!(client.call(7, &new_topic(name, 3, &[])).await.topics[0].error_code, 0);
    }
    let of = |name: &str, partitions: &[i32]| (name.to_owned(), 0, partitions.to_vec());
    let client = &mut client;
    let all = vec![of("a", &[0, 1, 2]), of("b", &[0, 1, 2]), of("c", &[0, 1, 2])];
    assert_eq!(page(client, &[], 2000, None).await, (all, None));
    let next = |name: &str, partition| Some((name.to_owned(), partition));
    let first = vec![of("a", &[0, 1, 2]), of("b", &[0])];
    assert_eq!(page(client, &[], 4, None).await, (first, next("b", 1)));
    let second = vec![of("b", &[1, 2])];
    assert_eq!(page(client, &[], 2, Some(("b", 1))).await, (second, next("c", 0)));
    assert_eq!(page(client, &["c"], 0, Some(("c", 2))).await, (vec![of("c", &[2])], None));
    let named = vec![of("b", &[0, 1, 2]), ("none".to_owned(), 3, vec![])];
    assert_eq!(page(client, &["none", "b", "b"], 9, None).await, (named, None));
    let wrong = page(client, &["a"], 9, Some(("a", -1))).await;
    assert_eq!(wrong, (vec![("a".to_owned(), 42, vec![])], None));
    let beyond = page(client, &["a"], 9, Some(("a", 9))).await;
    assert_eq!(beyond, (vec![of("a", &[])], None));
}
