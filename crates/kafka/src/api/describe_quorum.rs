//! DescribeQuorum (key 55, v0-2): one node decides about the metadata, and it is this one.
//!
//! v1 adds times of followers, v2 nodes, directories and messages. There is no log of metadata
//! here: its offsets are 0.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        describe_quorum::{
            DescribeQuorumRequest, DescribeQuorumResponse, TopicData as WantedTopic,
            response::{Listener, Node, PartitionData, ReplicaState, TopicData},
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 2);

/// The topic that Kafka keeps its metadata in, with its one partition.
const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|wanted| describe(cx, call, wanted)).collect();
    let listener = Listener {
        name: KafkaStr::from_static("PLAINTEXT"),
        host: cx.host.clone(),
        port: u16::try_from(cx.port(cx.controller_id())).unwrap_or(0),
    };
    DescribeQuorumResponse {
        error_code: ErrorCode::NONE,
        topics,
        nodes: if call.version >= 2 {
            vec![Node { node_id: cx.controller_id(), listeners: vec![listener] }]
        } else {
            Vec::new()
        },
        ..DescribeQuorumResponse::default()
    }
}

fn describe(cx: &Context, call: &Call, wanted: &WantedTopic) -> TopicData {
    let partition = |index: i32| {
        if wanted.topic_name != METADATA_TOPIC || index != 0 {
            let error_code = cx.refuse(call.api, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            return PartitionData { partition_index: index, error_code, ..Default::default() };
        }
        let this = ReplicaState {
            replica_id: cx.controller_id(),
            last_caught_up_timestamp: cx.broker().clock().now().as_millis(),
            ..ReplicaState::default()
        };
        PartitionData {
            partition_index: index,
            leader_id: cx.controller_id(),
            leader_epoch: cx.broker().leader_epoch(),
            current_voters: vec![this],
            ..PartitionData::default()
        }
    };
    TopicData {
        topic_name: wanted.topic_name.clone(),
        partitions: wanted.partitions.iter().map(|it| partition(it.partition_index)).collect(),
    }
}
