//! JoinGroup (key 11, v0-9): a member wants to be in the next generation. Answered when that is
//! formed.
//!
//! v1 adds the rebalance timeout, v4 sends a member away once with its id, v5 adds static
//! members, v6 is flexible, v7 names the protocol type, v9 lets a leader skip the assignment.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{self, millis, owned},
    to_wire::text,
};
use bytes::Bytes;
use tramline_broker::{FirstJoin, Join, JoinError, Joined, JoinedMember, LeaderReturn};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember},
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 9);

/// The first version with a rebalance timeout of its own.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// The first version whose clients come back with the id that they were given.
const ASKED_BACK_SINCE: i16 = 4;
/// The first version in which the protocol's name may be null.
const NULL_PROTOCOL_SINCE: i16 = 7;
/// The first version with `skip_assignment`.
const SKIP_SINCE: i16 = 9;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let group = match from_wire::group(cx, &request.group_id) {
        Ok(group) => group,
        Err(code) => return refuse(cx, call, code, request.member_id),
    };
    let join = join(cx, call, group, request);
    call.let_go();
    match cx.broker().groups().join(join).await {
        Ok(joined) => respond(joined),
        Err(JoinError { error, member_id }) => {
            let code = ErrorCode::of_coordinator(&error);
            refuse(cx, call, code, text(member_id.as_str()))
        }
    }
}

fn join(
    cx: &Context,
    call: &Call,
    group: tramline_types::GroupId,
    request: JoinGroupRequest,
) -> Join {
    let protocols = request.protocols.iter();
    let rebalance_timeout_ms = if call.version >= REBALANCE_TIMEOUT_SINCE {
        request.rebalance_timeout_ms
    } else {
        request.session_timeout_ms
    };
    Join {
        group,
        member: from_wire::member(&request.member_id, request.group_instance_id.as_ref()),
        client_id: call.client_id.as_ref().map(owned).unwrap_or_default(),
        client_host: cx.client_host.clone(),
        protocol_type: owned(&request.protocol_type),
        protocols: protocols
            .map(|protocol| (owned(&protocol.name), Bytes::copy_from_slice(&protocol.metadata)))
            .collect(),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(rebalance_timeout_ms),
        first_join: if call.version >= ASKED_BACK_SINCE {
            FirstJoin::AskedBack
        } else {
            FirstJoin::Admitted
        },
        leader_return: if call.version >= SKIP_SINCE {
            LeaderReturn::SkipsAssignment
        } else {
            LeaderReturn::Follows
        },
    }
}

fn respond(joined: Joined) -> JoinGroupResponse {
    let member = |member: JoinedMember| JoinGroupResponseMember {
        member_id: text(member.member_id.as_str()),
        group_instance_id: member.instance_id.as_deref().map(text),
        metadata: member.metadata,
    };
    JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_deref().map(text),
        protocol_name: joined.protocol.as_deref().map(text),
        leader: text(joined.leader.as_str()),
        skip_assignment: joined.skip_assignment,
        member_id: text(joined.member_id.as_str()),
        members: joined.members.into_iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }
}

fn refuse(cx: &Context, call: &Call, code: ErrorCode, member_id: KafkaStr) -> JoinGroupResponse {
    let no_protocol = (call.version < NULL_PROTOCOL_SINCE).then_some(KafkaStr::EMPTY);
    JoinGroupResponse {
        error_code: cx.refuse(call.api, code),
        protocol_name: no_protocol,
        member_id,
        ..JoinGroupResponse::default()
    }
}
