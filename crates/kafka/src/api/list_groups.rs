//! ListGroups (key 16, v0-5): every group, filtered by state and type.
//!
//! v3 is flexible, v4 adds states, v5 adds types: all groups here are `classic`.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    to_wire::text,
};
use tramline_broker::GroupListing;
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup},
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 5);

const CLASSIC: &str = "classic";

pub(super) async fn handle(
    cx: &Context,
    _call: &Call,
    request: ListGroupsRequest,
) -> ListGroupsResponse {
    let wanted = |filter: &[KafkaStr], value: &str| {
        filter.is_empty() || filter.iter().any(|allowed| allowed.eq_ignore_ascii_case(value))
    };
    let mut listed = cx.broker().groups().list();
    listed.retain(|group| {
        cx.nodes().coordinator(group.group.as_str()) == cx.node_id()
            && wanted(&request.states_filter, group.phase.as_str())
            && wanted(&request.types_filter, CLASSIC)
    });
    let list = |group: GroupListing| ListedGroup {
        group_id: text(group.group.as_str()),
        protocol_type: group.protocol_type.as_deref().map(text).unwrap_or_default(),
        group_state: KafkaStr::from_static(group.phase.as_str()),
        group_type: KafkaStr::from_static(CLASSIC),
    };
    ListGroupsResponse {
        throttle_time_ms: 0,
        error_code: ErrorCode::NONE,
        groups: listed.into_iter().map(list).collect(),
    }
}
