//! What one connection holds of contents that are not all there and of transactions that are not
//! committed: a little is free, the rest is a share of what all connections may hold together.
//!
//! Who would hold more is not read from until there is room. A share may be ahead of what is
//! held: that is the rest of contents that have begun, and is not asked for twice.

use std::{
    sync::Arc,
    task::{Context as Task, Poll},
};
use tramline_broker::{Budget, Share};
use tramline_types::limits::{AMQP_MESSAGE_BYTES_MAX, CONNECTION_BYTES_FREE};

/// What a connection holds, and what it needs to let go of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// Bytes that are there.
    pub(crate) bytes: usize,
    /// Announced bytes that are not.
    pub(crate) missing: usize,
}

/// The account of one connection.
pub(crate) struct Room {
    budget: Arc<Budget>,
    share: Option<Share>,
    waiting: bool,
}

fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(CONNECTION_BYTES_FREE)
}

impl Room {
    pub(crate) const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, share: None, waiting: false }
    }

    /// Whether it waits until others give some back.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether it has bytes of the budget.
    pub(crate) fn is_held(&self) -> bool {
        self.share.as_ref().is_some_and(|share| share.bytes() > 0)
    }

    /// Whether it has bytes of the budget that others wait for.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_held() && !self.waiting && self.budget.has_waiters()
    }

    /// Whether `more` bytes may be read beside what is held.
    pub(crate) fn poll_read(&mut self, task: &Task<'_>, holding: Holding, more: usize) -> Poll<()> {
        let wanted = counted(holding.bytes + more.min(holding.missing));
        if wanted == 0 {
            self.stop_waiting();
            return Poll::Ready(());
        }
        let share = self.share.get_or_insert_with(|| self.budget.share());
        let lacking = wanted.saturating_sub(share.bytes());
        if lacking == 0 {
            return Poll::Ready(());
        }
        let rest = counted(holding.bytes + holding.missing).saturating_sub(share.bytes());
        // The first of the queue gets the whole rest of a message beyond the capacity.
        let needed = rest.min(AMQP_MESSAGE_BYTES_MAX).max(lacking);
        self.waiting = share.poll_grow(task, lacking, needed).is_pending();
        if self.waiting { Poll::Pending } else { Poll::Ready(()) }
    }

    /// So much is held from here on.
    pub(crate) fn handle_held(&mut self, before: Holding, holding: Holding) {
        let Some(share) = &mut self.share else { return };
        if holding.bytes < before.bytes {
            let is_between = holding.missing > 0;
            let ahead = share.bytes().saturating_sub(counted(before.bytes));
            share.shrink_to(counted(holding.bytes) + if is_between { ahead } else { 0 });
        }
        if share.bytes() < counted(holding.bytes) {
            // A single read brought more than it was asked for: it is there already.
            share.charge(counted(holding.bytes));
        }
    }

    /// Nothing is to be read.
    pub(crate) fn stop_waiting(&mut self) {
        if std::mem::take(&mut self.waiting)
            && let Some(share) = &mut self.share
        {
            share.stop_waiting();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;

    const FREE: usize = CONNECTION_BYTES_FREE;

    fn holding(bytes: usize, missing: usize) -> Holding {
        Holding { bytes, missing }
    }

    fn poll(room: &mut Room, of: Holding) -> bool {
        room.poll_read(&Task::from_waker(&noop_waker()), of, 1000).is_ready()
    }

    #[test]
    fn a_little_is_free_and_the_rest_is_given_back_with_the_content() {
        let budget = Budget::new(2000);
        let mut room = Room::new(Arc::clone(&budget));
        assert!(poll(&mut room, holding(0, 0)) && poll(&mut room, holding(FREE - 1000, 5000)));
        assert_eq!(budget.used(), 0);
        assert!(poll(&mut room, holding(FREE, 1500)));
        assert_eq!(budget.used(), 1000);
        room.handle_held(holding(FREE, 1500), holding(FREE + 1000, 500));
        assert!(poll(&mut room, holding(FREE + 1000, 500)));
        assert_eq!(budget.used(), 1500, "no more than what was announced");
        room.handle_held(holding(FREE + 1000, 500), holding(0, 0));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn who_waits_goes_on_when_another_is_done() {
        let budget = Budget::new(1000);
        let mut rooms = [(); 3].map(|()| Room::new(Arc::clone(&budget)));
        let [first, second, third] = &mut rooms;
        assert!(poll(first, holding(FREE, 5000)));
        assert!(poll(second, holding(FREE, 5000)), "one gets all its rest, to finish");
        assert!(!poll(third, holding(FREE, 5000)));
        assert!(third.is_waiting() && first.is_wanted() && second.is_wanted());
        first.handle_held(holding(FREE, 5000), holding(0, 0));
        assert!(!poll(third, holding(FREE, 5000)));
        second.handle_held(holding(FREE, 5000), holding(0, 0));
        assert!(poll(third, holding(FREE, 5000)));
        drop(rooms);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_came_with_the_same_read_is_counted_too() {
        let budget = Budget::new(1000);
        let mut room = Room::new(Arc::clone(&budget));
        assert!(poll(&mut room, holding(0, 0)));
        assert!(poll(&mut room, holding(FREE, 100)));
        room.handle_held(holding(FREE, 100), holding(FREE + 700, 0));
        assert_eq!(budget.used(), 700);
    }
}
