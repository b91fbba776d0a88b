//! Fetch (key 1, v4-18): whole batches as they are stored, after a wait if need be.
//!
//! v5 adds `log_start_offset`, v7 adds fetch sessions, v9 adds leader epochs, v12 is flexible, v13
//! names topics by id. Sessions are declined: every answer has session id 0, after which clients
//! go on without one.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire, quota,
};
use std::{sync::Arc, time::Duration};
use tramline_broker::{FetchItem, FetchRequest as Read, Fetched, Partition, QuotaKind, Topic};
use tramline_types::limits::{CONNECTION_BYTES_FREE, FETCH_BYTES_MAX, FETCH_WAIT_LARGE_MAX};
use tramline_wire::kafka::{
    Records, VersionRange,
    fetch::{FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData},
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(4, 18);

/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 13;
/// `isolation_level` of a reader of committed records.
const READ_COMMITTED: i8 = 1;

pub(super) async fn handle(cx: &Context, call: &Call, request: FetchRequest) -> FetchResponse {
    if request.session_id != 0 {
        let error_code = cx.refuse(call.api, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        return FetchResponse { error_code, ..FetchResponse::default() };
    }
    let mut items = Vec::new();
    let mut refusals = Vec::new();
    for named in &request.topics {
        let by_id = call.version >= TOPIC_ID_SINCE;
        let topic = from_wire::topic_by(cx, by_id, &named.topic, named.topic_id);
        for partition in &named.partitions {
            let item = match &topic {
                Ok(topic) => item(cx, topic, partition),
                Err(error) => Err(ErrorCode::from(error)),
            };
            refusals.push(match item {
                Ok(item) => {
                    items.push(item);
                    None
                }
                Err(code) => Some(code),
            });
        }
    }
    let refused = refusals.iter().any(Option::is_some);
    // A partition in error is told at once.
    let wait_max = if refused { Duration::ZERO } else { from_wire::millis(request.max_wait_ms) };
    let read = Read {
        items,
        bytes_min: from_wire::bytes(request.min_bytes),
        bytes_max: from_wire::bytes(request.max_bytes)
            .min(FETCH_BYTES_MAX)
            .min(quota::fetch_bytes_max(cx, call)),
        wait_max: if call.bytes > CONNECTION_BYTES_FREE {
            wait_max.min(FETCH_WAIT_LARGE_MAX)
        } else {
            wait_max
        },
    };
    let mut results = cx.broker().fetch(read).await.into_iter();
    let mut refusals = refusals.into_iter();
    let mut respond = |partition: &FetchPartition| {
        let refusal = refusals.next().expect("there is one entry per partition");
        let result = match refusal {
            Some(code) => Err(code),
            None => results.next().expect("there is one result per item").map_err(ErrorCode::from),
        };
        respond(cx, call, (partition.partition, request.isolation_level), result)
    };
    let mut responses = Vec::with_capacity(request.topics.len());
    for named in &request.topics {
        responses.push(FetchableTopicResponse {
            topic: named.topic.clone(),
            topic_id: named.topic_id,
            partitions: named.partitions.iter().map(&mut respond).collect(),
        });
    }
    let partitions = responses.iter().flat_map(|topic| &topic.partitions);
    let records = partitions.filter_map(|partition| partition.records.as_ref());
    let bytes = records.map(Records::total_bytes).sum();
    let throttle_time_ms = quota::charge_bytes(cx, call, QuotaKind::FetchedBytes, bytes);
    FetchResponse { throttle_time_ms, responses, ..FetchResponse::default() }
}

fn item(cx: &Context, topic: &Arc<Topic>, wanted: &FetchPartition) -> Result<FetchItem, ErrorCode> {
    let index = from_wire::led_partition(cx, topic, wanted.partition)?;
    check_epoch(&*topic.partition(index)?, wanted.current_leader_epoch)?;
    Ok(FetchItem {
        topic: Arc::clone(topic),
        partition: index,
        offset: wanted.fetch_offset,
        bytes_max: from_wire::bytes(wanted.partition_max_bytes),
    })
}

/// A client with another epoch has old metadata, or newer than ours.
pub(super) fn check_epoch(partition: &Partition, known: i32) -> Result<(), ErrorCode> {
    match known {
        ..0 => Ok(()),
        known if known < partition.leader_epoch() => Err(ErrorCode::FENCED_LEADER_EPOCH),
        known if known > partition.leader_epoch() => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

fn respond(
    cx: &Context,
    call: &Call,
    (index, isolation_level): (i32, i8),
    result: Result<Fetched, ErrorCode>,
) -> PartitionData {
    let empty = PartitionData { partition_index: index, ..PartitionData::default() };
    match result {
        Ok(fetched) => PartitionData {
            high_watermark: fetched.high_watermark.as_i64(),
            last_stable_offset: fetched.last_stable.as_i64(),
            log_start_offset: fetched.log_start.as_i64(),
            aborted_transactions: (isolation_level == READ_COMMITTED).then(Vec::new),
            records: Some(Records::from(fetched.pieces)),
            ..empty
        },
        Err(code) => PartitionData {
            error_code: cx.refuse(call.api, code),
            high_watermark: -1,
            records: Some(Records::empty()),
            ..empty
        },
    }
}
