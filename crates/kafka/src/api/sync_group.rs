//! SyncGroup (key 14, v0-5): the leader brings the assignment, everyone gets theirs.
//!
//! v3 adds static members, v4 is flexible, v5 checks the protocol.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{self, owned},
    to_wire::text,
};
use bytes::Bytes;
use tramline_broker::{MemberId, Sync, Synced};
use tramline_wire::kafka::{
    VersionRange,
    sync_group::{SyncGroupRequest, SyncGroupResponse},
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 5);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: SyncGroupRequest,
) -> SyncGroupResponse {
    match sync(cx, call, request).await {
        Ok(synced) => SyncGroupResponse {
            protocol_type: synced.protocol_type.as_deref().map(text),
            protocol_name: synced.protocol.as_deref().map(text),
            assignment: synced.assignment,
            ..SyncGroupResponse::default()
        },
        Err(code) => SyncGroupResponse {
            error_code: cx.refuse(call.api, code),
            ..SyncGroupResponse::default()
        },
    }
}

async fn sync(cx: &Context, call: &Call, request: SyncGroupRequest) -> Result<Synced, ErrorCode> {
    let assignments = request.assignments.iter();
    let sync = Sync {
        group: from_wire::group(cx, &request.group_id)?,
        member: from_wire::member(&request.member_id, request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: request.protocol_type.as_ref().map(owned),
        protocol: request.protocol_name.as_ref().map(owned),
        assignments: assignments
            .map(|given| {
                (MemberId::new(&given.member_id), Bytes::copy_from_slice(&given.assignment))
            })
            .collect(),
    };
    drop(request);
    call.let_go();
    let synced = cx.broker().groups().sync(sync).await;
    synced.map_err(|error| ErrorCode::of_coordinator(&error))
}
