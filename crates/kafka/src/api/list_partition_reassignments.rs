//! ListPartitionReassignments (key 46, v0): nothing is on its way to another node.

use crate::context::{Call, Context};
use tramline_wire::kafka::{
    VersionRange,
    list_partition_reassignments::{
        ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 0);

pub(super) async fn handle(
    _cx: &Context,
    _call: &Call,
    _request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    ListPartitionReassignmentsResponse::default()
}
