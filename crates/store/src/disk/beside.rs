//! Extents are written by a thread of their own while the committer gathers the next ones and
//! writes the group's frames: all are durable before anything of the group counts. After a crash
//! in between, recovery finds the pointers of the last group without their extents and cuts the
//! group there.

use super::inner::Inner;
use super::segments::Segment;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
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
#[derive(Default)]
pub(super) struct Beside {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: VecDeque<Write>,
    /// Whether the thread is writing one.
    writing: bool,
    /// Whether one of the group's could not be written.
    failed: bool,
    closed: bool,
}

impl Beside {
    /// Begins to write an extent.
    pub(super) fn begin(&self, write: Write) {
        self.state.lock().wanted.push_back(write);
        self.changed.notify_one();
    }

    /// Waits until what was begun is durable, and writes what the thread has not come to; false
    /// when the store has failed.
    pub(super) fn finish(&self, inner: &Inner) -> bool {
        let mut state = self.state.lock();
        loop {
            if let Some(write) = state.wanted.pop_front() {
                let done = MutexGuard::unlocked(&mut state, || write.run(inner));
                state.failed |= !done;
            } else if state.writing {
                self.changed.wait(&mut state);
            } else {
                return !std::mem::take(&mut state.failed);
            }
        }
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// The thread.
    pub(super) fn run(&self, inner: &Inner) {
        let mut state = self.state.lock();
        while !state.closed {
            let Some(write) = state.wanted.pop_front() else {
                self.changed.wait(&mut state);
                continue;
            };
            state.writing = true;
            let done = MutexGuard::unlocked(&mut state, || write.run(inner));
            state.writing = false;
            state.failed |= !done;
            self.changed.notify_all();
        }
    }
}
