//! OffsetForLeaderEpoch (key 23, v2-4): where the records of a leader epoch end, so that a client
//! can tell whether what it has read is still there.
//!
//! v3 adds `replica_id`, v4 is flexible.

use super::fetch::check_epoch;
use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
};
use std::sync::Arc;
use tramline_broker::{EpochEnd, Topic};
use tramline_wire::kafka::{
    VersionRange,
    offset_for_leader_epoch::{
        EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        OffsetForLeaderPartition, OffsetForLeaderTopicResult,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(2, 4);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in request.topics {
        let topic = from_wire::topic_by(cx, false, &wanted.topic, [0; 16]);
        let mut partitions = Vec::with_capacity(wanted.partitions.len());
        for partition in &wanted.partitions {
            let found = match &topic {
                Ok(topic) => find(cx, topic, partition).await,
                Err(error) => Err(ErrorCode::from(error)),
            };
            let unknown =
                EpochEndOffset { partition: partition.partition, ..EpochEndOffset::default() };
            partitions.push(match found {
                Ok(Some(EpochEnd { epoch, end })) => {
                    EpochEndOffset { leader_epoch: epoch, end_offset: end.as_i64(), ..unknown }
                }
                Ok(None) => unknown,
                Err(code) => EpochEndOffset { error_code: cx.refuse(call.api, code), ..unknown },
            });
        }
        topics.push(OffsetForLeaderTopicResult { topic: wanted.topic, partitions });
    }
    OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics }
}

async fn find(
    cx: &Context,
    topic: &Arc<Topic>,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ErrorCode> {
    let index = from_wire::led_partition(cx, topic, wanted.partition)?;
    check_epoch(&*topic.partition(index)?, wanted.current_leader_epoch)?;
    Ok(cx.broker().epoch_end(topic, index, wanted.leader_epoch).await?)
}
