//! ListOffsets (key 2, v1-11): an offset by time, or one of the special ones.
//!
//! v2 adds the isolation level, v4 adds leader epochs, v6 is flexible. Special values: -1 latest,
//! -2 earliest, -3 largest timestamp (v7), -4 earliest local (v8), -5 latest tiered (v9), -6
//! earliest pending upload (v11).

use super::fetch::check_epoch;
use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire, to_wire,
};
use tramline_broker::{Error, Found, Position, Topic};
use tramline_types::Timestamp;
use tramline_wire::kafka::{
    VersionRange,
    list_offsets::{
        ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest,
        ListOffsetsResponse, ListOffsetsTopicResponse,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(1, 11);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: ListOffsetsRequest,
) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for named in request.topics {
        let topic = from_wire::topic_by(cx, false, &named.name, [0; 16]);
        let mut partitions = Vec::with_capacity(named.partitions.len());
        for wanted in named.partitions {
            let found = look_up(cx, call.version, &topic, &wanted).await;
            partitions.push(respond(cx, call, wanted.partition_index, found));
        }
        topics.push(ListOffsetsTopicResponse { name: named.name, partitions });
    }
    ListOffsetsResponse { topics, throttle_time_ms: 0 }
}

async fn look_up(
    cx: &Context,
    version: i16,
    topic: &Result<std::sync::Arc<Topic>, Error>,
    wanted: &ListOffsetsPartition,
) -> Result<Found, ErrorCode> {
    let topic = topic.as_ref().map_err(ErrorCode::from)?;
    let index = from_wire::led_partition(cx, topic, wanted.partition_index)?;
    check_epoch(&*topic.partition(index)?, wanted.current_leader_epoch)?;
    let position = match (wanted.timestamp, version) {
        (-1, _) => Position::Latest,
        (-2, _) => Position::Earliest,
        (-3, 7..) => Position::MaxTimestamp,
        (-4, 8..) => Position::EarliestLocal,
        (-5, 9..) => Position::LatestTiered,
        // Kafka finds nothing to upload where there is no tiered storage.
        (-6, 11..) => return Ok(Found::default()),
        (..0, _) => return Err(ErrorCode::UNSUPPORTED_VERSION),
        (time, _) => Position::At(Timestamp::from_millis(time)),
    };
    Ok(cx.broker().offset_for(topic, index, position).await?)
}

fn respond(
    cx: &Context,
    call: &Call,
    partition_index: i32,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    match found {
        Ok(found) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: ErrorCode::NONE,
            timestamp: found.timestamp.map_or(-1, Timestamp::as_millis),
            offset: to_wire::offset(found.offset),
            leader_epoch: leader_epoch(call, &found),
        },
        Err(code) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: cx.refuse(call.api, code),
            ..ListOffsetsPartitionResponse::default()
        },
    }
}

/// Leader epochs exist from v4 on, and go with an offset.
fn leader_epoch(call: &Call, found: &Found) -> i32 {
    let epoch = found.offset.and(found.leader_epoch);
    epoch.filter(|_| call.version >= 4).unwrap_or(-1)
}
