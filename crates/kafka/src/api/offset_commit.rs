//! OffsetCommit (key 8, v2-10): positions to keep for a group. Durable when answered.
//!
//! v2-4 may name a retention time of their own, v6 adds leader epochs, v7
//! adds static members, v8 is flexible, v10 names topics by id.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{self, owned},
};
use std::{sync::Arc, time::Duration};
use tramline_broker::{CommitOffsets, OffsetCommit, Topic};
use tramline_types::Offset;
use tramline_wire::kafka::{
    VersionRange,
    offset_commit::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(2, 10);

/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 10;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: OffsetCommitRequest,
) -> OffsetCommitResponse {
    let mut offsets = Vec::new();
    let mut refusals = Vec::new();
    for named in &request.topics {
        let by_id = call.version >= TOPIC_ID_SINCE;
        let topic = from_wire::topic_by(cx, by_id, &named.name, named.topic_id);
        for partition in &named.partitions {
            let checked = match &topic {
                Ok(topic) => position(topic, partition),
                Err(error) => Err(ErrorCode::from(error)),
            };
            refusals.push(checked.map(|offset| offsets.push(offset)).err());
        }
    }
    let mut results = commit(cx, &request, offsets).await.into_iter();
    let mut refusals = refusals.into_iter();
    let mut respond = |partition: &OffsetCommitRequestPartition| {
        let refusal = refusals.next().expect("there is one entry per partition");
        let result = match refusal {
            Some(code) => Err(code),
            None => results.next().expect("there is one result per position"),
        };
        OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: result.map_or_else(|code| cx.refuse(call.api, code), |()| ErrorCode::NONE),
        }
    };
    let topic = |named: &OffsetCommitRequestTopic| OffsetCommitResponseTopic {
        name: named.name.clone(),
        topic_id: named.topic_id,
        partitions: named.partitions.iter().map(&mut respond).collect(),
    };
    OffsetCommitResponse { throttle_time_ms: 0, topics: request.topics.iter().map(topic).collect() }
}

fn position(
    topic: &Arc<Topic>,
    wanted: &OffsetCommitRequestPartition,
) -> Result<OffsetCommit, ErrorCode> {
    let partition = from_wire::partition(topic, wanted.partition_index)?;
    let epoch = wanted.committed_leader_epoch;
    Ok(OffsetCommit {
        topic: topic.name().clone(),
        partition,
        // kafkajs commits -1 or -2 to start anew where its position is out of range, and Kafka
        // keeps any number: clients take a negative position as none.
        offset: Offset::from_i64(wanted.committed_offset),
        leader_epoch: (epoch >= 0).then_some(epoch),
        metadata: wanted.committed_metadata.as_ref().map(owned).unwrap_or_default(),
    })
}

/// One result per position: an error of the whole commit is everyone's.
async fn commit(
    cx: &Context,
    request: &OffsetCommitRequest,
    offsets: Vec<OffsetCommit>,
) -> Vec<Result<(), ErrorCode>> {
    let n = offsets.len();
    let group = match from_wire::group(cx, &request.group_id) {
        Ok(group) => group,
        Err(code) => return vec![Err(code); n],
    };
    let member = from_wire::member(&request.member_id, request.group_instance_id.as_ref());
    let generation = request.generation_id_or_member_epoch;
    // -1 is as long as all others.
    let retention = u64::try_from(request.retention_time_ms).ok().map(Duration::from_millis);
    let commit = CommitOffsets { group, member, generation, offsets, retention };
    match cx.broker().groups().commit_offsets(commit).await {
        Ok(results) => {
            let code = |result: Result<(), tramline_broker::Error>| {
                result.map_err(|error| ErrorCode::of_coordinator(&error))
            };
            results.into_iter().map(code).collect()
        }
        Err(error) => vec![Err(ErrorCode::of_coordinator(&error)); n],
    }
}
