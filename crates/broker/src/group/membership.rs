//! The membership on its way to the store and back: written when a generation is settled, so that
//! its members go on over a restart of the broker.

use super::{Cell, Change, Group, Shared, offsets::DecodeError, rules, state::State};
use crate::Error;
use bytes::Bytes;
use futures_util::{FutureExt, future};
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::{debug, warn};
use tramline_store::{Purpose, Reservation, Reserving};
use tramline_types::limits::GROUP_MEMBERSHIP_BYTES_MAX;

/// Resolves, for whoever asks, when a commit is durable.
pub(super) type Storing = future::Shared<oneshot::Receiver<()>>;

/// What a change takes beside the membership and the group's name: its kind, and the log's number
/// in three operations.
const CHANGE_BYTES: usize = 64;
/// Create, registry, id bound, the membership.
const OPS_MAX: usize = 4;

impl Shared {
    /// Space for a membership of at most so many bytes, where one is to be stored.
    pub(super) fn membership_space(
        &self,
        group: &Group,
        bytes: Option<usize>,
    ) -> Result<Option<Reservation>, Error> {
        let Some(bytes) = bytes else { return Ok(None) };
        let bytes = bytes.min(GROUP_MEMBERSHIP_BYTES_MAX) + CHANGE_BYTES + group.id.as_str().len();
        match self.store.reserve(Purpose::Upkeep, bytes, OPS_MAX) {
            Reserving::Ready(reservation) => Ok(Some(reservation)),
            Reserving::Refused(error) => Err(error.into()),
            Reserving::Wait(_) => Err(Error::Busy("the store".to_owned())),
        }
    }

    /// Submits the membership, if the last step settled or changed it. Whoever is told of it
    /// waits for [`Shared::members_durable`].
    pub(super) fn store_members(&self, group: &Group, cell: &mut Cell, space: Option<Reservation>) {
        let Some(mut membership) = cell.state.poll_membership() else { return };
        let space = space.expect("the step that settles a group asks for space first");
        if membership.len() > GROUP_MEMBERSHIP_BYTES_MAX {
            let n_bytes = membership.len();
            warn!(group = %group.id, n_bytes, "the membership is too large to be stored");
            membership = Bytes::new();
        }
        let durable = self.submit(group, cell, vec![Change::Members(membership)], space);
        cell.storing = Some(durable.shared());
    }

    /// Waits until what is known of the membership is durable.
    pub(super) async fn members_durable(&self, group: &Arc<Group>) -> Result<(), Error> {
        let storing = group.cell.lock().storing.clone();
        let Some(storing) = storing else { return Ok(()) };
        storing.clone().await.map_err(|_| Error::Closed)?;
        {
            let mut cell = group.cell.lock();
            if cell.storing.as_ref().is_some_and(|last| last.ptr_eq(&storing)) {
                cell.storing = None;
            }
        }
        // It is durable whether or not there is space for a checkpoint: a later change asks again.
        drop(self.checkpoint_when_due(group).await);
        Ok(())
    }

    /// Takes a stored membership up: the group goes on where it was.
    pub(super) fn restore_members(
        &self,
        group: &Arc<Group>,
        membership: Bytes,
    ) -> Result<(), DecodeError> {
        let now = self.clock.monotonic();
        let state = State::restore(rules(&self.options()), now, membership)?;
        self.step(group, |cell| cell.state = state);
        debug!(group = %group.id, "the members of before the start go on");
        Ok(())
    }
}
