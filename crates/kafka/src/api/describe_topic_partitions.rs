//! DescribeTopicPartitions (key 75, v0): topics and their partitions, page by page.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
    to_wire::{self, TOPIC_OPERATIONS, text},
};
use std::{collections::BTreeSet, sync::Arc};
use tramline_broker::{Error, Topic};
use tramline_types::limits::PARTITIONS_PER_ANSWER_MAX;
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        describe_topic_partitions::{
            Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
            DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 0);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let (first, start) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
        None => ("", 0),
    };
    let Ok(start) = usize::try_from(start) else {
        return refuse(cx, call, &request);
    };
    let named: BTreeSet<&str> = request.topics.iter().map(|topic| topic.name.as_str()).collect();
    let wanted: Vec<(KafkaStr, Result<Arc<Topic>, Error>)> = if named.is_empty() {
        let all = cx.broker().streams().into_iter();
        all.map(|topic| (text(topic.name().as_str()), Ok(topic))).collect()
    } else {
        named.iter().map(|name| (text(name), from_wire::stream(cx, name))).collect()
    };
    let mut room =
        from_wire::bytes(request.response_partition_limit).clamp(1, PARTITIONS_PER_ANSWER_MAX);
    let mut response = DescribeTopicPartitionsResponse::default();
    for (name, topic) in wanted.into_iter().filter(|(name, _)| name.as_str() >= first) {
        let from = if name.as_str() == first { start } else { 0 };
        if room == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
            break;
        }
        let topic = match topic {
            Ok(topic) => topic,
            Err(error) => {
                let error_code = cx.refuse(call.api, error);
                let name = Some(name);
                response.topics.push(DescribeTopicPartitionsResponseTopic {
                    error_code,
                    name,
                    ..Default::default()
                });
                continue;
            }
        };
        let described = describe(cx, &topic, from, room);
        room -= described.partitions.len();
        let next = from + described.partitions.len();
        response.topics.push(described);
        if next < topic.partitions().len() {
            let partition_index = i32::try_from(next).unwrap_or(i32::MAX);
            response.next_cursor = Some(Cursor { topic_name: name, partition_index });
            break;
        }
    }
    response
}

/// A cursor that cannot be.
fn refuse(
    cx: &Context,
    call: &Call,
    request: &DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let topic = |name: &KafkaStr| DescribeTopicPartitionsResponseTopic {
        error_code: cx.refuse(call.api, ErrorCode::INVALID_REQUEST),
        name: Some(name.clone()),
        ..Default::default()
    };
    let topics = request.topics.iter().map(|wanted| topic(&wanted.name)).collect();
    DescribeTopicPartitionsResponse { topics, ..Default::default() }
}

fn describe(
    cx: &Context,
    topic: &Topic,
    from: usize,
    room: usize,
) -> DescribeTopicPartitionsResponseTopic {
    let partitions = topic.partitions();
    let partition = |(index, partition): (u32, &Arc<tramline_broker::Partition>)| {
        let node = cx.nodes().leader(topic.id(), index);
        DescribeTopicPartitionsResponsePartition {
            error_code: ErrorCode::NONE,
            partition_index: to_wire::count(index),
            leader_id: node,
            leader_epoch: partition.leader_epoch(),
            replica_nodes: vec![node],
            isr_nodes: vec![node],
            eligible_leader_replicas: Some(Vec::new()),
            last_known_elr: Some(Vec::new()),
            offline_replicas: Vec::new(),
        }
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(text(topic.name().as_str())),
        topic_id: topic.id().0,
        is_internal: topic.is_internal(),
        partitions: (0..).zip(partitions.iter()).skip(from).take(room).map(partition).collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
    }
}
