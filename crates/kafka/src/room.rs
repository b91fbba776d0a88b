//! What one connection holds of received bytes: a little is free, the rest is a share of what all
//! connections may hold together.
//!
//! Invariant: bytes in the buffer and of requests under way, less the free part, are within the
//! share. A share may be ahead of what was read: that is the rest of one request.

use std::{
    sync::Arc,
    task::{Context as Task, Poll},
};
use tramline_broker::{Budget, Share};
use tramline_types::limits::CONNECTION_BYTES_FREE;

/// What the next read could take.
pub(crate) struct Wish {
    /// As much as there is room for in the buffer.
    pub(crate) wanted: usize,
    /// What completes the request that has begun.
    pub(crate) needed: usize,
}

/// The account of one connection.
pub(crate) struct Room {
    budget: Arc<Budget>,
    share: Option<Share>,
    /// The sizes of requests that are being applied or wait for their durability.
    in_flight: usize,
    waiting: bool,
}

impl Room {
    pub(crate) const fn new(budget: Arc<Budget>) -> Self {
        Self { budget, share: None, in_flight: 0, waiting: false }
    }

    /// Whether so many bytes in the buffer need no share.
    pub(crate) const fn is_free(&self, received: usize) -> bool {
        received + self.in_flight <= CONNECTION_BYTES_FREE
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
        self.is_held() && self.budget.has_waiters()
    }

    /// How many bytes may be read in addition to the `received` ones.
    pub(crate) fn poll_read(
        &mut self,
        task: &Task<'_>,
        received: usize,
        wish: Wish,
    ) -> Poll<usize> {
        let held = received + self.in_flight;
        let share = self.share.get_or_insert_with(|| self.budget.share());
        let left = |share: &Share| (share.bytes() + CONNECTION_BYTES_FREE).saturating_sub(held);
        if left(share) == 0 {
            self.waiting = share.poll_grow(task, wish.wanted, wish.needed.max(1)).is_pending();
            if self.waiting {
                return Poll::Pending;
            }
        } else if std::mem::take(&mut self.waiting) {
            // A request that was under way left room: the place in the queue is for others.
            share.stop_waiting();
        }
        Poll::Ready(left(share).min(wish.wanted))
    }

    /// A request of so many bytes left the buffer.
    pub(crate) const fn handle_frame(&mut self, bytes: usize) {
        self.in_flight += bytes;
    }

    /// The bytes of a request are no longer needed. In the buffer are the `received` ones of the
    /// next request, of which so many are `missing`.
    pub(crate) fn handle_done(&mut self, received: usize, missing: usize, bytes: usize) {
        self.in_flight -= bytes;
        if let Some(share) = &mut self.share {
            // The rest of a request that has begun is kept: it may have been granted beyond the
            // capacity, which is not granted twice. But no more than that, or the request after it
            // would begin with what others wait for.
            let ahead = if received == 0 { 0 } else { missing };
            let kept = received + self.in_flight + ahead;
            share.shrink_to(kept.saturating_sub(CONNECTION_BYTES_FREE));
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

    fn read(room: &mut Room, received: usize, wanted: usize, needed: usize) -> Poll<usize> {
        room.poll_read(&Task::from_waker(&noop_waker()), received, Wish { wanted, needed })
    }

    #[test]
    fn free_bytes_take_nothing_and_a_share_goes_back_when_requests_are_done() {
        let budget = Budget::new(1000);
        let mut room = Room::new(Arc::clone(&budget));
        assert!(room.is_free(FREE) && !room.is_free(FREE + 1));
        assert_eq!(read(&mut room, FREE, 300, 500), Poll::Ready(300));
        room.handle_frame(FREE + 200);
        assert_eq!(read(&mut room, 0, 300, 500), Poll::Ready(100), "the rest of the share");
        room.handle_done(0, 4, FREE + 200);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn rest_of_a_request_stays_granted_when_an_earlier_one_is_done() {
        let budget = Budget::new(1000);
        let mut others = budget.share();
        others.charge(900);
        let mut room = Room::new(Arc::clone(&budget));
        room.handle_frame(FREE);
        assert_eq!(read(&mut room, 0, 100, 90), Poll::Ready(100));
        // 50 of the request have come; 5,000 are missing, and nobody else is ahead.
        assert_eq!(read(&mut room, 100, 5000, 5000), Poll::Ready(5000));
        room.handle_done(100, 5000, FREE);
        assert_eq!(read(&mut room, 100, 9000, 5000), Poll::Ready(9000));
        room.handle_frame(5100);
        room.handle_done(0, 4, 5100);
        assert_eq!(budget.used(), 900);
    }

    #[test]
    fn who_waits_goes_on_when_others_give_back() {
        let budget = Budget::new(1000);
        let (mut a, mut b) = (budget.share(), budget.share());
        a.charge(1000);
        assert!(b.poll_grow(&Task::from_waker(&noop_waker()), 1, 1).is_ready());
        let mut room = Room::new(Arc::clone(&budget));
        assert_eq!(read(&mut room, FREE, 10, 10), Poll::Pending);
        assert!(room.is_waiting());
        drop(a);
        assert_eq!(read(&mut room, FREE, 10, 10), Poll::Ready(10));
        assert!(!room.is_waiting());
    }

    fn grow(share: &mut Share) -> Poll<usize> {
        share.poll_grow(&Task::from_waker(&noop_waker()), 1, 1)
    }

    #[test]
    fn the_next_request_does_not_begin_with_what_was_granted_beyond_the_capacity() {
        let budget = Budget::new(1000);
        let mut room = Room::new(Arc::clone(&budget));
        let mut holder = budget.share();
        holder.charge(1000);
        // A small request is under way, and a large one has begun.
        room.handle_frame(FREE - 10);
        assert_eq!(read(&mut room, 10, 2 * FREE, 2 * FREE), Poll::Ready(2 * FREE));
        let mut waiter = budget.share();
        assert_eq!(grow(&mut waiter), Poll::Pending, "one has the privilege");
        room.handle_done(10, 2 * FREE, FREE - 10);
        let whole = 10 + 2 * FREE;
        assert_eq!(read(&mut room, 10, 9 * FREE, 2 * FREE), Poll::Ready(2 * FREE));
        room.handle_frame(whole);
        assert_eq!(read(&mut room, 0, 10, 10), Poll::Pending, "the next request waits its turn");
        room.handle_done(0, 4, whole);
        assert_eq!(budget.used(), 1000);
        assert_eq!(grow(&mut waiter), Poll::Ready(1), "the privilege is free");
    }

    #[test]
    fn who_has_room_again_leaves_the_queue() {
        let budget = Budget::new(1000);
        let (mut holder, mut privileged, mut waiter) =
            (budget.share(), budget.share(), budget.share());
        holder.charge(1000);
        assert_eq!(grow(&mut privileged), Poll::Ready(1));
        let mut room = Room::new(Arc::clone(&budget));
        room.handle_frame(FREE - 10);
        assert_eq!(read(&mut room, 10, 100, 100), Poll::Pending);
        assert_eq!(grow(&mut waiter), Poll::Pending, "it came later");
        room.handle_done(10, 100, FREE - 10);
        assert_eq!(read(&mut room, 10, 100, 100), Poll::Ready(100));
        assert!(!room.is_waiting());
        drop(holder);
        assert_eq!(grow(&mut waiter), Poll::Ready(1));
        drop(privileged);
    }
}
