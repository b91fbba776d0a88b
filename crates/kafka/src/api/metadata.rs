//! Metadata (key 3, v0-13): which topics there are, and where to connect for them.
//!
//! v1 tells "all topics" (null) from "none" (empty), v4 lets the client forbid creation, v7 adds
//! leader epochs, v8 adds allowed operations, v9 is flexible, v10 adds topic ids, v12 looks up
//! by id, v13 adds a top-level error.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::distinct,
    to_wire::{self, CLUSTER_OPERATIONS, OPERATIONS_UNKNOWN, TOPIC_OPERATIONS},
};
use std::sync::Arc;
use tramline_broker::{Error, Topic};
use tramline_types::{TopicId, TopicName};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        metadata::{
            MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
            MetadataResponsePartition, MetadataResponseTopic,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 13);

/// The first version in which an empty list means no topics.
const EMPTY_IS_NONE_SINCE: i16 = 1;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: MetadataRequest,
) -> MetadataResponse {
    let operations = if request.include_topic_authorized_operations {
        TOPIC_OPERATIONS
    } else {
        OPERATIONS_UNKNOWN
    };
    let all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && call.version < EMPTY_IS_NONE_SINCE,
    };
    let mut topics = Vec::new();
    if all {
        for topic in cx.broker().streams() {
            topics.push(describe(cx, &topic, operations));
        }
    } else {
        let key = |topic: &MetadataRequestTopic| (topic.topic_id, topic.name.clone());
        for named in &distinct(request.topics.unwrap_or_default(), key) {
            topics.push(match find(cx, named, request.allow_auto_topic_creation).await {
                Ok(topic) => describe(cx, &topic, operations),
                Err(error) => MetadataResponseTopic {
                    error_code: cx.refuse(call.api, error),
                    name: named.name.clone().or((call.version < 12).then_some(KafkaStr::EMPTY)),
                    topic_id: named.topic_id,
                    ..MetadataResponseTopic::default()
                },
            });
        }
    }
    let broker = |(node_id, port)| MetadataResponseBroker {
        node_id,
        host: cx.host.clone(),
        port: i32::from(port),
        rack: None,
    };
    MetadataResponse {
        brokers: cx.nodes().all().map(broker).collect(),
        cluster_id: Some(to_wire::text(cx.broker().cluster_id())),
        controller_id: cx.controller_id(),
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            OPERATIONS_UNKNOWN
        },
        error_code: ErrorCode::NONE,
        throttle_time_ms: 0,
    }
}

async fn find(
    cx: &Context,
    named: &MetadataRequestTopic,
    may_create: bool,
) -> Result<Arc<Topic>, Error> {
    if named.topic_id != TopicId::ZERO.0 {
        return cx.broker().stream_by_id(TopicId(named.topic_id));
    }
    let name = TopicName::parse(named.name.as_deref().unwrap_or(""))?;
    match cx.broker().stream(&name) {
        Err(Error::UnknownTopic(_)) if may_create => cx.broker().topic_or_create(&name).await,
        found => found,
    }
}

fn describe(cx: &Context, topic: &Topic, operations: i32) -> MetadataResponseTopic {
    let partitions = topic.partitions();
    let partition = |(index, partition): (u32, &Arc<tramline_broker::Partition>)| {
        // The one copy, whoever is said to lead it.
        let node = cx.nodes().leader(topic.id(), index);
        MetadataResponsePartition {
            error_code: ErrorCode::NONE,
            partition_index: to_wire::count(index),
            leader_id: node,
            leader_epoch: partition.leader_epoch(),
            replica_nodes: vec![node],
            isr_nodes: vec![node],
            offline_replicas: Vec::new(),
        }
    };
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(to_wire::text(topic.name().as_str())),
        topic_id: topic.id().0,
        is_internal: topic.is_internal(),
        partitions: (0..).zip(partitions.iter()).map(partition).collect(),
        topic_authorized_operations: operations,
    }
}
