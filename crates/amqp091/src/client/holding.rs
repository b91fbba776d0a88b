//! What a client holds in memory that is not in a queue yet: contents in the middle, transactions,
//! publishes on their way.

use super::Client;
use crate::room::Holding;
use std::task::{Context as Task, Poll};
use tramline_types::{Monotonic, limits::CONNECTION_BYTES_FREE};

/// The largest read, about.
const READ_BYTES: usize = 256 * 1024;

impl Client {
    /// A read is handled: contents that go on in later ones keep nothing of it but what is theirs.
    pub(crate) fn keep_unfinished(&mut self) {
        let mut assembling = Holding::default();
        self.unfinished.sort_unstable();
        self.unfinished.dedup();
        let channels = &mut self.channels;
        self.unfinished.retain(|number| {
            let channel = channels.get_mut(usize::from(*number)).and_then(Option::as_deref_mut);
            let Some(content) = channel.and_then(|channel| channel.content.as_mut()) else {
                return false;
            };
            content.detach();
            assembling.bytes += content.bytes();
            assembling.missing += content.missing();
            true
        });
        assembling.bytes += self.uncommitted_bytes + self.publishes.entering_bytes();
        if self.uncommitted_bytes > 0 {
            // More of the transaction may come.
            assembling.missing += CONNECTION_BYTES_FREE;
        }
        self.room.handle_held(self.holding, assembling);
        self.holding = assembling;
    }

    /// Whether there is room for what comes next.
    pub(crate) fn poll_room(&mut self, task: &Task<'_>) -> Poll<()> {
        self.keep_unfinished();
        self.room.poll_read(task, self.holding, READ_BYTES)
    }

    /// It is not read from: whoever waits for room goes first.
    pub(crate) fn leave_room(&mut self) {
        self.room.stop_waiting();
    }

    /// Takes note of whether the client holds what others wait for, or waits itself.
    pub(crate) fn look_at_room(&mut self, now: Monotonic) {
        let owes = self.holding.missing > 0;
        let room = &self.room;
        self.session.handle_room(now, owes && room.is_held(), owes && room.is_wanted());
        self.session.handle_waiting(now, room.is_waiting());
    }
}
