//! Bytes in memory that many connections hold, bounded together: `memory_budget`.
//!
//! Who would hold more asks first, and waits in a queue while there is no room. Many that wait
//! for each other with half a request each would wait for ever; therefore the first of the queue
//! gets all that it needs to finish, beyond the capacity, when nobody else has that privilege.
//!
//! Invariant: what was granted is at most the capacity and what the one privileged share holds
//! (charges that could not wait, see [`Share::charge`], come on top). The privilege ends when
//! its share is given back or everything is within the capacity again.

use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use tramline_types::limits;

/// How much memory the parts of the broker may take that connections drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Received requests and HTTP bodies, together.
    pub received_bytes: usize,
    /// Answers that were read from the store and not yet taken by their clients, together.
    pub answers_bytes: usize,
    /// What the members of all consumer groups said about themselves and were assigned.
    pub groups_bytes: usize,
    /// The committed offsets of all groups.
    pub offsets_bytes: usize,
}

impl MemoryOptions {
    /// The shares of a whole `memory_budget`; three eighths are the store's. Committed offsets,
    /// of which most nodes have few, may take a quarter more.
    pub const fn of(memory_budget: usize) -> Self {
        Self {
            received_bytes: memory_budget / 4,
            answers_bytes: memory_budget / 4,
            groups_bytes: memory_budget / 8,
            offsets_bytes: memory_budget / 4,
        }
    }
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self::of(limits::MEMORY_BUDGET)
    }
}

/// The budgets of one broker.
#[derive(Debug)]
pub struct Budgets {
    /// Received requests and HTTP bodies.
    pub received: Arc<Budget>,
    /// Answers not yet taken.
    pub answers: Arc<Budget>,
    /// Members of groups.
    pub groups: Arc<Budget>,
    /// Committed offsets of groups.
    pub offsets: Arc<Budget>,
}

impl Budgets {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        Self {
            received: Budget::new(options.received_bytes),
            answers: Budget::new(options.answers_bytes),
            groups: Budget::new(options.groups_bytes),
            offsets: Budget::new(options.offsets_bytes),
        }
    }
}

/// A number of bytes that is shared.
#[derive(Debug)]
pub struct Budget {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    queue: VecDeque<(u64, Waker)>,
    privileged: Option<u64>,
    id_next: u64,
}

impl Budget {
    /// So many bytes for all together.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, state: Mutex::default() })
    }

    /// An empty share.
    pub fn share(self: &Arc<Self>) -> Share {
        let mut state = self.state.lock();
        state.id_next += 1;
        Share { id: state.id_next, budget: Arc::clone(self), bytes: 0, queued: false }
    }

    /// What all shares hold.
    pub fn used(&self) -> usize {
        self.state.lock().used
    }

    /// Whether somebody waits for room.
    pub fn has_waiters(&self) -> bool {
        !self.state.lock().queue.is_empty()
    }

    /// Whether there is no room left.
    pub fn is_used_up(&self) -> bool {
        self.used() >= self.capacity
    }
}

impl State {
    fn wake_first(&self) {
        if let Some((_, waker)) = self.queue.front() {
            waker.wake_by_ref();
        }
    }

    fn leave_queue(&mut self, id: u64) {
        self.queue.retain(|(waiting, _)| *waiting != id);
    }
}

/// What one holder has of a [`Budget`]; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    id: u64,
    bytes: usize,
    queued: bool,
}

impl Share {
    /// What it holds.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Grows by `wanted` bytes, or by the fewer that are `needed` to finish, and tells by how
    /// many. Waits its turn where there is no room for either.
    pub fn poll_grow(&mut self, task: &Context<'_>, wanted: usize, needed: usize) -> Poll<usize> {
        let mut state = self.budget.state.lock();
        let first = state.queue.front().is_none_or(|(id, _)| *id == self.id);
        let room = self.budget.capacity.saturating_sub(state.used);
        let granted = if first && wanted <= room {
            wanted
        } else if first && needed <= room {
            needed
        } else if first && state.privileged.is_none() {
            state.privileged = Some(self.id);
            needed
        } else {
            let waker = task.waker();
            match state.queue.iter_mut().find(|(id, _)| *id == self.id) {
                Some((_, known)) => known.clone_from(waker),
                None => state.queue.push_back((self.id, waker.clone())),
            }
            self.queued = true;
            return Poll::Pending;
        };
        state.used = state.used.saturating_add(granted);
        self.bytes += granted;
        if self.queued {
            self.queued = false;
            state.leave_queue(self.id);
            state.wake_first();
        }
        Poll::Ready(granted)
    }

    /// Grows by exactly so many bytes, of `needed` to finish; waits for them.
    pub async fn grow(&mut self, bytes: usize, needed: usize) {
        let granted = poll_fn(|task| self.poll_grow(task, bytes, needed.max(bytes))).await;
        debug_assert!(granted >= bytes);
    }

    /// Whether so many bytes more would fit now.
    pub fn fits(&self, bytes: usize) -> bool {
        self.budget.used().checked_add(bytes).is_some_and(|used| used <= self.budget.capacity)
    }

    /// Grows by so many bytes if there is room now.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let mut state = self.budget.state.lock();
        let fits = state.used.checked_add(bytes).is_some_and(|used| used <= self.budget.capacity);
        if fits {
            state.used += bytes;
            self.bytes += bytes;
        }
        fits
    }

    /// Sets what it holds, whether there is room or not: for bytes that are there already.
    pub fn charge(&mut self, bytes: usize) {
        if bytes <= self.bytes {
            return self.shrink_to(bytes);
        }
        self.budget.state.lock().used += bytes - self.bytes;
        self.bytes = bytes;
    }

    /// Gives back what is above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if bytes >= self.bytes {
            return;
        }
        let mut state = self.budget.state.lock();
        state.used -= self.bytes - bytes;
        self.bytes = bytes;
        let holds_privilege = state.privileged == Some(self.id);
        if state.used <= self.budget.capacity || holds_privilege && bytes == 0 {
            state.privileged = None;
        }
        state.wake_first();
    }

    /// Takes itself out of the queue: it no longer wants to grow.
    pub fn stop_waiting(&mut self) {
        if std::mem::take(&mut self.queued) {
            let mut state = self.budget.state.lock();
            state.leave_queue(self.id);
            state.wake_first();
        }
    }
}

impl Share {
    /// Binds the share to bytes: it is given back when the last handle to them goes.
    pub fn hold(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Held { bytes, _share: self })
    }
}

struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.stop_waiting();
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests;
