//! LeaveGroup (key 13, v0-5): members go.
//!
//! v3 takes several members, also static ones by name alone, v4 is flexible, v5 adds a reason.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
};
use tramline_broker::{Error, MemberRef};
use tramline_wire::kafka::{
    VersionRange,
    leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse},
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 5);

/// The first version that takes several members.
const SEVERAL_SINCE: i16 = 3;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: LeaveGroupRequest,
) -> LeaveGroupResponse {
    let group = match from_wire::group(cx, &request.group_id) {
        Ok(group) => group,
        Err(code) => {
            let error_code = cx.refuse(call.api, code);
            return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
        }
    };
    let leave = async |members: Vec<MemberRef>| {
        let n = members.len();
        let left = cx.broker().groups().leave(&group, members).await;
        left.unwrap_or_else(|error| vec![Err(error); n])
    };
    let code = |left: Result<(), Error>| match left {
        Ok(()) => ErrorCode::NONE,
        Err(error) => cx.refuse(call.api, ErrorCode::of_coordinator(&error)),
    };
    if call.version < SEVERAL_SINCE {
        let left = leave(vec![from_wire::member(&request.member_id, None)]).await;
        let error_code = left.into_iter().map(code).next().unwrap_or(ErrorCode::NONE);
        return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    }
    let name = |member: &MemberIdentity| {
        from_wire::member(&member.member_id, member.group_instance_id.as_ref())
    };
    let left = leave(request.members.iter().map(name).collect()).await;
    let respond = |(member, left): (MemberIdentity, Result<(), Error>)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code(left),
    };
    let members = request.members.into_iter().zip(left).map(respond).collect();
    LeaveGroupResponse { members, ..LeaveGroupResponse::default() }
}
