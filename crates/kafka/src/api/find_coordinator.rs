//! FindCoordinator (key 10, v0-6): which broker looks after a group. This one.
//!
//! v1 adds the kind of key, v3 is flexible, v4 asks for several keys at once. Transactions do not
//! exist here yet: a transactional producer gets an error that every client takes as final.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 6);

/// The first version that asks for several keys.
const SEVERAL_SINCE: i16 = 4;
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let kind = request.key_type;
    if call.version >= SEVERAL_SINCE {
        let keys = request.coordinator_keys.into_iter();
        let coordinators = keys.map(|key| coordinator(cx, call, kind, key)).collect();
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let found = coordinator(cx, call, kind, request.key);
    FindCoordinatorResponse {
        error_code: found.error_code,
        error_message: found.error_message,
        node_id: found.node_id,
        host: found.host,
        port: found.port,
        ..FindCoordinatorResponse::default()
    }
}

fn coordinator(cx: &Context, call: &Call, kind: i8, key: KafkaStr) -> Coordinator {
    let refusal = match kind {
        GROUP if key.is_empty() => Some((ErrorCode::INVALID_GROUP_ID, "the group id is empty")),
        GROUP => None,
        TRANSACTION => Some((
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "this broker does not support transactions",
        )),
        _ => Some((ErrorCode::INVALID_REQUEST, "this broker has no such coordinator")),
    };
    match refusal {
        None => {
            let node_id = cx.nodes().coordinator(&key);
            Coordinator {
                key,
                node_id,
                host: cx.host.clone(),
                port: cx.port(node_id),
                error_code: ErrorCode::NONE,
                error_message: None,
            }
        }
        Some((code, message)) => Coordinator {
            key,
            node_id: -1,
            host: KafkaStr::EMPTY,
            port: -1,
            error_code: cx.refuse(call.api, code),
            error_message: Some(KafkaStr::from_static(message)),
        },
    }
}
