//! CreatePartitions (key 37, v0-3): raises the number of partitions.
//!
//! v2 is flexible.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire, to_wire,
};
use tramline_broker::{Error, Mode};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        create_partitions::{
            CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
            CreatePartitionsTopicResult,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 3);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Apply };
    let mut results = Vec::with_capacity(request.topics.len());
    for wanted in request.topics {
        let (error_code, error_message) = match create(cx, &wanted, mode).await {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (cx.refuse(call.api, code), message),
        };
        results.push(CreatePartitionsTopicResult { name: wanted.name, error_code, error_message });
    }
    CreatePartitionsResponse { throttle_time_ms: 0, results }
}

async fn create(
    cx: &Context,
    wanted: &CreatePartitionsTopic,
    mode: Mode,
) -> Result<(), (ErrorCode, Option<KafkaStr>)> {
    let refuse = |error: Error| (ErrorCode::from(&error), to_wire::message(&error));
    let topic = from_wire::topic_by(cx, false, &wanted.name, [0; 16]).map_err(refuse)?;
    let total = u32::try_from(wanted.count).unwrap_or(0);
    if let Some(assignments) = &wanted.assignments {
        let more = total.saturating_sub(topic.partition_count());
        let fits = usize::try_from(more).is_ok_and(|more| more == assignments.len());
        let here = assignments.iter().all(|a| a.broker_ids == [cx.controller_id()]);
        if more > 0 && !(fits && here) {
            let detail = "each new partition needs this broker as its one replica";
            let message = Some(KafkaStr::from_static(detail));
            return Err((ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
    }
    cx.broker().create_partitions(topic.name(), total, mode).await.map_err(refuse)
}
