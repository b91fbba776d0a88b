//! The lag of groups: records, seconds, and what the commits' movement says.

use crate::support::{Node, message};
use std::{sync::Arc, time::Duration};
use tramline_broker::{
    CommitOffsets, GroupLag, LagState, MemberRef, OffsetCommit, Options, PartitionLag, PublishItem,
    Topic,
};
use tramline_record::{BatchBuilder, Compression};
use tramline_types::{GroupId, Offset, Timestamp};

/// The records here are older than any retention.
const KEPT: [(&str, &str); 1] = [("retention.ms", "-1")];

fn group() -> GroupId {
    GroupId::parse("g").unwrap()
}

/// Publishes a batch of records with these times, in seconds.
async fn publish(node: &Node, topic: &Arc<Topic>, seconds: &[i64]) {
    let mut builder = BatchBuilder::new(Compression::None);
    for second in seconds {
        let timestamp = Some(Timestamp::from_millis(second * 1000));
        builder.push(&tramline_types::Message { timestamp, ..message("x") }, node.now());
    }
    let batch = builder.build().unwrap();
    let item = PublishItem { topic: Arc::clone(topic), partition: 0, batch };
    node.broker.publish(vec![item]).await.await.remove(0).unwrap();
}

async fn commit(node: &Node, topic: &Topic, offset: u64) {
    let commit = CommitOffsets {
        group: group(),
        member: MemberRef::dynamic(""),
        generation: -1,
        offsets: vec![OffsetCommit {
            topic: topic.name().clone(),
            partition: 0,
            offset: Offset::new(offset),
            leader_epoch: None,
            metadata: "".into(),
        }],
        retention: None,
    };
    node.broker.groups().commit_offsets(commit).await.unwrap().remove(0).unwrap();
}

async fn lag(node: &Node) -> GroupLag {
    node.broker.group_lag(&group()).await.unwrap()
}

async fn only(node: &Node) -> PartitionLag {
    lag(node).await.partitions.remove(0)
}

#[tokio::test]
async fn lag_is_told_in_records_and_in_seconds_of_their_own_time() {
    let node = Node::start().await;
    let topic = node.topic("t", &KEPT).await;
    publish(&node, &topic, &[100, 101]).await;
    publish(&node, &topic, &[130]).await;
    publish(&node, &topic, &[190, 160]).await;
    for (committed, records, seconds) in [(0, 5, 90), (2, 3, 60), (3, 2, 0), (5, 0, 0), (9, 0, 0)] {
        commit(&node, &topic, committed).await;
        let found = only(&node).await;
        let behind = found.behind.map(|behind| behind.as_secs());
        assert_eq!((found.lag, behind), (Some(records), Some(seconds)), "at {committed}");
    }
    commit(&node, &topic, 2).await;
    let all = lag(&node).await;
    assert_eq!((all.total(), all.behind()), (3, Some(Duration::from_secs(60))));
}

#[tokio::test]
async fn what_retention_took_is_not_behind() {
    let node = Node::start().await;
    let keep = [("retention.bytes", "1"), ("retention.ms", "-1")];
    let topic = node.topic("t", &keep).await;
    publish(&node, &topic, &[100]).await;
    commit(&node, &topic, 0).await;
    publish(&node, &topic, &[150]).await;
    node.broker.apply_retention().await;
    node.broker.allocate_producer_id().await.unwrap();
    let found = only(&node).await;
    assert_eq!((found.lag, found.log_start.map(Offset::get)), (Some(1), Some(1)));
    assert_eq!(found.behind, Some(Duration::ZERO));
}

#[tokio::test]
async fn records_without_a_time_have_no_lag_in_seconds() {
    let node = Node::start().await;
    let topic = node.topic("t", &KEPT).await;
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(
        &tramline_types::Message { timestamp: Some(Timestamp::from_millis(-1)), ..message("x") },
        node.now(),
    );
    let batch = builder.build().unwrap();
    let item = PublishItem { topic: Arc::clone(&topic), partition: 0, batch };
    node.broker.publish(vec![item]).await.await.remove(0).unwrap();
    commit(&node, &topic, 0).await;
    let found = only(&node).await;
    assert_eq!((found.lag, found.behind), (Some(1), None));
}

#[tokio::test]
async fn the_state_goes_by_how_the_commits_move() {
    let node = Node::start().await;
    let topic = node.topic("t", &KEPT).await;
    let mut committed = 0;
    let mut step = async |published: u64, read: i64| {
        for _ in 0..published {
            publish(&node, &topic, &[1]).await;
        }
        committed += read;
        node.clock.advance(Duration::from_secs(2));
        commit(&node, &topic, committed.cast_unsigned()).await;
        only(&node).await.state.unwrap()
    };
    step(10, 10).await;
    assert_eq!(step(10, 5).await, LagState::Ok, "it was at zero within the window");
    for _ in 0..9 {
        step(10, 9).await;
    }
    assert_eq!(step(10, 9).await, LagState::Warn);
    assert_eq!(step(10, 11).await, LagState::Ok);
    for _ in 0..10 {
        step(10, 0).await;
    }
    assert_eq!(step(10, 0).await, LagState::Stall);
    assert_eq!(step(10, -5).await, LagState::Rewind);
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(only(&node).await.state, Some(LagState::Stop));
    let read = i64::try_from(only(&node).await.lag.unwrap()).unwrap();
    assert_eq!(step(0, read).await, LagState::Ok);
}

#[tokio::test]
async fn after_a_start_a_reader_that_does_not_come_back_has_stopped() {
    let node = Node::start().await;
    let topic = node.topic("t", &KEPT).await;
    publish(&node, &topic, &[1, 2]).await;
    commit(&node, &topic, 1).await;
    let again = Node::over(Arc::new(node.store.reopen().start()), Options::default()).await;
    assert_eq!(only(&again).await.state, Some(LagState::Ok));
    again.clock.advance(Duration::from_secs(11));
    assert_eq!(only(&again).await.state, Some(LagState::Stop));
    assert_eq!(lag(&again).await.state(), Some(LagState::Stop));
}

#[tokio::test]
async fn a_deleted_topic_takes_its_window_along() {
    let node = Node::start().await;
    let topic = node.topic("t", &KEPT).await;
    publish(&node, &topic, &[1, 2]).await;
    commit(&node, &topic, 2).await;
    node.broker.delete_topic(topic.name()).await.unwrap();
    assert_eq!(lag(&node).await.partitions, []);
    let topic = node.topic("t", &KEPT).await;
    publish(&node, &topic, &[1, 2]).await;
    commit(&node, &topic, 1).await;
    let found = only(&node).await;
    assert_eq!((found.state, found.steps), (Some(LagState::Ok), 1), "no step back from 2 to 1");
}

#[tokio::test]
async fn metrics_show_it_under_our_names_and_kafka_exporters() {
    let node = Node::start().await;
    let topic = node.topic("t", &KEPT).await;
    publish(&node, &topic, &[100, 101]).await;
    publish(&node, &topic, &[130]).await;
    commit(&node, &topic, 0).await;
    // The upkeep looks at the batches.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    node.clock.advance(Duration::from_secs(11));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let text = node.broker.metrics().encode();
    for line in [
        "tramline_group_lag_records{group=\"g\",topic=\"t\",partition=\"0\"} 3",
        "tramline_group_lag_seconds{group=\"g\",topic=\"t\",partition=\"0\"} 30.0",
        "tramline_group_lag_state{group=\"g\",topic=\"t\",partition=\"0\"} 3",
        "tramline_group_members{group=\"g\"} 0",
        "tramline_metric_series_left_out 0",
        "kafka_brokers 1",
        "kafka_topic_partitions{topic=\"t\"} 1",
        "kafka_topic_partition_current_offset{topic=\"t\",partition=\"0\"} 3",
        "kafka_topic_partition_oldest_offset{topic=\"t\",partition=\"0\"} 0",
        "kafka_topic_partition_leader{topic=\"t\",partition=\"0\"} 0",
        "kafka_topic_partition_replicas{topic=\"t\",partition=\"0\"} 1",
        "kafka_topic_partition_in_sync_replica{topic=\"t\",partition=\"0\"} 1",
        "kafka_topic_partition_leader_is_preferred{topic=\"t\",partition=\"0\"} 1",
        "kafka_topic_partition_under_replicated_partition{topic=\"t\",partition=\"0\"} 0",
        "kafka_consumergroup_current_offset{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 0",
        "kafka_consumergroup_current_offset_sum{consumergroup=\"g\",topic=\"t\"} 0",
        "kafka_consumergroup_lag{consumergroup=\"g\",topic=\"t\",partition=\"0\"} 3",
        "kafka_consumergroup_lag_sum{consumergroup=\"g\",topic=\"t\"} 3",
        "kafka_consumergroup_members{consumergroup=\"g\"} 0",
        "# EOF",
    ] {
        assert_eq!(text.lines().filter(|of| *of == line).count(), 1, "{line}\n{text}");
    }
}
