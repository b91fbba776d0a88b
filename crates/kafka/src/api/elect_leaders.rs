//! ElectLeaders (key 43, v0-2): every partition has its one and preferred leader already.
//!
//! v1 adds the kind of election and a top-level error, v2 is flexible.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire, to_wire,
};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        elect_leaders::{
            ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 2);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    if !matches!(request.election_type, 0 | 1) {
        let error_code = cx.refuse(call.api, ErrorCode::INVALID_REQUEST);
        return ElectLeadersResponse { error_code, ..ElectLeadersResponse::default() };
    }
    let mut results = Vec::new();
    // Asked about all partitions, Kafka tells of those whose leader changed: none.
    for wanted in request.topic_partitions.unwrap_or_default() {
        let topic = from_wire::topic_by(cx, false, &wanted.topic, [0; 16]);
        let elect = |index: &i32| {
            let found = topic.clone().and_then(|topic| from_wire::partition(&topic, *index));
            let (code, message) = match &found {
                Ok(_) => (
                    ErrorCode::ELECTION_NOT_NEEDED,
                    Some(KafkaStr::from_static("the leader is the only and preferred one")),
                ),
                Err(error) => (ErrorCode::from(error), to_wire::message(error)),
            };
            let error_code = cx.refuse(call.api, code);
            PartitionResult { partition_id: *index, error_code, error_message: message }
        };
        results.push(ReplicaElectionResult {
            partition_result: wanted.partitions.iter().map(elect).collect(),
            topic: wanted.topic,
        });
    }
    ElectLeadersResponse { replica_election_results: results, ..ElectLeadersResponse::default() }
}
