//! What happened to messages, for who follows them one by one: the status of jobs.
//!
//! Off until [`Engine::follow_changes`]; then every step leaves its changes here, in order, and
//! the owner takes them before it submits.

use super::Engine;
use crate::{DeadReason, Place};
use tramline_types::{ConnectionId, Timestamp};

/// What happened to one message, or to a run of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Went out.
    Delivered {
        /// The message.
        place: Place,
        /// Deliveries that count, this one included.
        deliveries: u32,
        /// Who has it, where a connection does.
        connection: Option<ConnectionId>,
        /// It was settled by the delivery itself.
        settled: bool,
    },
    /// Done with, from this offset to below that.
    Done {
        /// The lane.
        lane: u16,
        /// The first.
        from: u64,
        /// The one after the last.
        to: u64,
    },
    /// Not out any more, and to be delivered again, not before this time.
    Released {
        /// The message.
        place: Place,
        /// When, where it has to wait.
        until: Option<Timestamp>,
    },
    /// Its wait is over.
    Due(Place),
    /// Set aside by its consumer.
    Deferred(Place),
    /// Dead: it moves on, or is dropped.
    Dead {
        /// The message.
        place: Place,
        /// Why.
        reason: DeadReason,
        /// To the dead-letter target.
        moves: bool,
    },
    /// Taken out without having been worked on.
    Removed(Place),
}

/// The changes that nobody has taken yet.
#[derive(Default)]
pub(crate) struct Changes {
    is_followed: bool,
    list: Vec<Change>,
}

impl Changes {
    pub(crate) fn note(&mut self, change: Change) {
        if self.is_followed {
            self.list.push(change);
        }
    }

    pub(crate) fn removed(&mut self, lane: u16, from: u64, to: u64) {
        if self.is_followed {
            let places = (from..to).map(|offset| Change::Removed(Place { lane, offset }));
            self.list.extend(places);
        }
    }
}

impl Engine {
    /// Keeps what happens from here on for [`Engine::take_changes`].
    pub fn follow_changes(&mut self) {
        self.state.changes.is_followed = true;
    }

    /// What happened since the last call, in order, in place of what `changes` had. Its room is
    /// used for what happens next.
    pub fn take_changes(&mut self, changes: &mut Vec<Change>) {
        changes.clear();
        std::mem::swap(&mut self.state.changes.list, changes);
    }
}
