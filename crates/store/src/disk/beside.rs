//! Extents are written by a thread of their own while the committer writes the group's frames:
//! both are durable before anything of the group counts. After a crash in between, recovery finds
//! the pointers of the last group without their extents and cuts the group there.

use super::inner::Inner;
use super::segments::Segment;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;

/// Bytes that go to a place in a segment.
pub(super) struct Write {
    pub(super) segment: Arc<Segment>,
    pub(super) position: u64,
    pub(super) bytes: Bytes,
}

impl Write {
    /// Writes it durably; false when the store has failed.
    fn run(&self, inner: &Inner) -> bool {
        let result = self.segment.file.write_sync_at(self.position, &self.bytes);
        if let Err(e) = &result {
            inner.fail(&format!("{}: {e}", inner.segments.path(self.segment.id).display()));
        }
        result.is_ok()
    }
}

/// What the committer and the thread hand to each other.
pub(super) struct Beside {
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Idle,
    Wanted(Vec<Write>),
    Writing,
    /// Whether all were written.
    Done(bool),
    Closed,
}

impl Beside {
    pub(super) const fn new() -> Self {
        Self { state: Mutex::new(State::Idle), changed: Condvar::new() }
    }

    /// Begins to write extents.
    pub(super) fn begin(&self, writes: Vec<Write>) {
        if !writes.is_empty() {
            *self.state.lock() = State::Wanted(writes);
            self.changed.notify_one();
        }
    }

    /// Waits until what was begun is durable; false when the store has failed.
    pub(super) fn finish(&self, inner: &Inner) -> bool {
        let mut state = self.state.lock();
        loop {
            match &mut *state {
                State::Idle => return true,
                State::Done(all) => {
                    let all = *all;
                    *state = State::Idle;
                    return all;
                }
                // The thread has not come to it, or there is none: who waits can do it.
                State::Wanted(writes) => {
                    let writes = std::mem::take(writes);
                    *state = State::Idle;
                    drop(state);
                    return writes.iter().all(|write| write.run(inner));
                }
                State::Writing => self.changed.wait(&mut state),
                State::Closed => return false,
            }
        }
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        *self.state.lock() = State::Closed;
        self.changed.notify_all();
    }

    /// The thread.
    pub(super) fn run(&self, inner: &Inner) {
        let mut state = self.state.lock();
        loop {
            match &mut *state {
                State::Wanted(writes) => {
                    let writes = std::mem::take(writes);
                    *state = State::Writing;
                    drop(state);
                    let all = writes.iter().all(|write| write.run(inner));
                    state = self.state.lock();
                    *state = State::Done(all);
                    self.changed.notify_all();
                }
                State::Closed => return,
                State::Idle | State::Writing | State::Done(_) => self.changed.wait(&mut state),
            }
        }
    }
}
