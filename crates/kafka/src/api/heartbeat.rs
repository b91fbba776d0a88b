//! Heartbeat (key 12, v0-4): a member says it is alive; the answer may tell it to rejoin.
//!
//! v1 adds `throttle_time_ms`, v3 adds `group_instance_id`, v4 is flexible.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
};
use tramline_wire::kafka::{
    VersionRange,
    heartbeat::{HeartbeatRequest, HeartbeatResponse},
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 4);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: HeartbeatRequest,
) -> HeartbeatResponse {
    let error_code = match beat(cx, &request) {
        Ok(()) => ErrorCode::NONE,
        Err(code) => cx.refuse(call.api, code),
    };
    HeartbeatResponse { throttle_time_ms: 0, error_code }
}

fn beat(cx: &Context, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
    let group = from_wire::group(cx, &request.group_id)?;
    let member = from_wire::member(&request.member_id, request.group_instance_id.as_ref());
    let beat = cx.broker().groups().heartbeat(&group, &member, request.generation_id);
    beat.map_err(|error| ErrorCode::of_coordinator(&error))
}
