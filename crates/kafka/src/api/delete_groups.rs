//! DeleteGroups (key 42, v0-2): empty groups go, with their offsets.
//!
//! v2 is flexible.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
};
use tramline_wire::kafka::{
    VersionRange,
    delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse},
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 2);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DeleteGroupsRequest,
) -> DeleteGroupsResponse {
    let mut results = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let error_code = match delete(cx, &group_id).await {
            Ok(()) => ErrorCode::NONE,
            Err(code) => cx.refuse(call.api, code),
        };
        results.push(DeletableGroupResult { group_id, error_code });
    }
    DeleteGroupsResponse { throttle_time_ms: 0, results }
}

async fn delete(cx: &Context, group: &str) -> Result<(), ErrorCode> {
    let group = from_wire::group(cx, group)?;
    let deleted = cx.broker().groups().delete(&group).await;
    deleted.map_err(|error| ErrorCode::of_coordinator(&error))
}
