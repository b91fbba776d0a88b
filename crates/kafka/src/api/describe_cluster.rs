//! DescribeCluster (key 60, v0-2): the cluster's id and its brokers.
//!
//! v1 adds the kind of endpoint, v2 adds fenced brokers.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    to_wire::{self, CLUSTER_OPERATIONS, OPERATIONS_UNKNOWN},
};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        describe_cluster::{
            DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 2);

/// `endpoint_type` of brokers.
const BROKERS: i8 = 1;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    if request.endpoint_type != BROKERS {
        return DescribeClusterResponse {
            error_code: cx.refuse(call.api, ErrorCode::MISMATCHED_ENDPOINT_TYPE),
            error_message: Some(KafkaStr::from_static("this is a broker endpoint")),
            ..DescribeClusterResponse::default()
        };
    }
    let broker = |(broker_id, port)| DescribeClusterBroker {
        broker_id,
        host: cx.host.clone(),
        port: i32::from(port),
        rack: None,
        is_fenced: false,
    };
    DescribeClusterResponse {
        cluster_id: to_wire::text(cx.broker().cluster_id()),
        controller_id: cx.controller_id(),
        brokers: cx.nodes().all().map(broker).collect(),
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            OPERATIONS_UNKNOWN
        },
        ..DescribeClusterResponse::default()
    }
}
