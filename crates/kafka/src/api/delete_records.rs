//! DeleteRecords (key 21, v0-2): drops the beginning of partitions; durable when it is answered.
//!
//! v2 is flexible. Offset -1 means all that is durable.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
};
use std::sync::Arc;
use tramline_broker::{Error, Topic};
use tramline_types::Offset;
use tramline_wire::kafka::{
    VersionRange,
    delete_records::{
        DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest,
        DeleteRecordsResponse, DeleteRecordsTopicResult,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 2);

/// The offset that stands for the end.
const ALL: i64 = -1;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DeleteRecordsRequest,
) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in request.topics {
        let topic = from_wire::topic_by(cx, false, &wanted.name, [0; 16]);
        let mut partitions = Vec::with_capacity(wanted.partitions.len());
        for partition in &wanted.partitions {
            let deleted = match &topic {
                Ok(topic) => delete(cx, topic, partition).await,
                Err(error) => Err(ErrorCode::from(error)),
            };
            let (low_watermark, error_code) = match deleted {
                Ok(start) => (start.as_i64(), ErrorCode::NONE),
                Err(code) => (-1, cx.refuse(call.api, code)),
            };
            partitions.push(DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark,
                error_code,
            });
        }
        topics.push(DeleteRecordsTopicResult { name: wanted.name, partitions });
    }
    DeleteRecordsResponse { throttle_time_ms: 0, topics }
}

async fn delete(
    cx: &Context,
    topic: &Arc<Topic>,
    wanted: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    let index = from_wire::led_partition(cx, topic, wanted.partition_index)?;
    let before = match wanted.offset {
        ALL => None,
        offset => Some(Offset::from_i64(offset).ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?),
    };
    let deleted: Result<Offset, Error> = cx.broker().delete_records(topic, index, before).await;
    deleted.map_err(ErrorCode::from)
}
