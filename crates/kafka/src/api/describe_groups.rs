//! DescribeGroups (key 15, v0-6): groups with their members.
//!
//! v3 adds allowed operations, v4 adds static members, v5 is flexible, v6 tells of an unknown group by
//! an error instead of the state `Dead`.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{self, distinct},
    to_wire::{self, GROUP_OPERATIONS, OPERATIONS_UNKNOWN, text},
};
use tramline_broker::{GroupPhase, MemberDescription};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        describe_groups::{
            DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 6);

/// The first version in which an unknown group is an error.
const UNKNOWN_IS_ERROR_SINCE: i16 = 6;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let operations =
        if request.include_authorized_operations { GROUP_OPERATIONS } else { OPERATIONS_UNKNOWN };
    let describe = |group_id: KafkaStr| DescribedGroup {
        authorized_operations: operations,
        ..describe(cx, call, group_id)
    };
    DescribeGroupsResponse {
        throttle_time_ms: 0,
        groups: distinct(request.groups, KafkaStr::clone).into_iter().map(describe).collect(),
    }
}

fn describe(cx: &Context, call: &Call, group_id: KafkaStr) -> DescribedGroup {
    let group = match from_wire::group(cx, &group_id) {
        Ok(group) => group,
        Err(code) => {
            let error_code = cx.refuse(call.api, code);
            return DescribedGroup { error_code, group_id, ..DescribedGroup::default() };
        }
    };
    let found = cx.broker().groups().describe(&group);
    let dead = found.phase == GroupPhase::Dead && call.version >= UNKNOWN_IS_ERROR_SINCE;
    let unknown = dead.then(|| cx.refuse(call.api, ErrorCode::GROUP_ID_NOT_FOUND));
    let protocol = found.protocol.as_deref().filter(|_| found.phase == GroupPhase::Stable);
    DescribedGroup {
        error_code: unknown.unwrap_or(ErrorCode::NONE),
        error_message: unknown
            .and_then(|_| to_wire::message(&format_args!("group `{group}` does not exist"))),
        group_id,
        group_state: KafkaStr::from_static(found.phase.as_str()),
        protocol_type: found.protocol_type.as_deref().map(text).unwrap_or_default(),
        protocol_data: protocol.map(text).unwrap_or_default(),
        members: found.members.into_iter().map(member).collect(),
        authorized_operations: OPERATIONS_UNKNOWN,
    }
}

fn member(member: MemberDescription) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: text(member.member_id.as_str()),
        group_instance_id: member.instance_id.as_deref().map(text),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}
