//! What was submitted and not yet taken by the committer, and the key-value space as submitted.
//!
//! Its lock is taken last and for a few instructions only.

use super::frame::commit_bytes_max;
use crate::{Commit, Op};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A commit with what was set aside for it.
pub(super) struct Pending {
    pub(super) commit: Commit,
    pub(super) reserved: usize,
}

#[derive(Default)]
pub(super) struct Intake {
    state: Mutex<State>,
    arrived: Condvar,
}

/// How long a commit that nobody waits for waits for others.
const BEHIND: Duration = Duration::from_millis(2);
/// So many of them do not wait, and none that has more bytes.
const BEHIND_MAX: usize = 256;
const BEHIND_BYTES_MAX: usize = 16 * 1024;

#[derive(Default)]
struct State {
    pending: VecDeque<Pending>,
    /// Somebody waits for what is queued.
    is_urgent: bool,
    /// The committer looks for itself what is queued, within [`BEHIND`].
    is_watched: bool,
    pairs: BTreeMap<Bytes, Bytes>,
    closed: bool,
}

impl State {
    /// Whether the committer is to be woken: for the first who waits.
    const fn hurry(&mut self, is_urgent: bool) -> bool {
        let wakes = is_urgent && !self.is_urgent;
        self.is_urgent |= is_urgent;
        wakes
    }
}

impl Intake {
    /// Queues a commit, unless closed. One that is not urgent waits a moment for others.
    pub(super) fn push(&self, pending: Pending, is_urgent: bool) -> bool {
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        for op in &pending.commit.ops {
            match op {
                Op::Put(key, value) => {
                    state.pairs.insert(key.clone(), value.clone());
                }
                Op::Remove(key) => {
                    state.pairs.remove(key);
                }
                _ => {}
            }
        }
        let is_much = commit_bytes_max(&pending.commit) > BEHIND_BYTES_MAX;
        state.pending.push_back(pending);
        let is_urgent = is_urgent || is_much || state.pending.len() >= BEHIND_MAX;
        let wakes = state.hurry(is_urgent) || !std::mem::replace(&mut state.is_watched, true);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
        true
    }

    /// Somebody waits for what is queued.
    pub(super) fn hurry(&self) {
        let mut state = self.state.lock();
        let is_any = !state.pending.is_empty();
        let wakes = state.hurry(is_any);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
    }

    /// Moves everything queued to the back of `backlog`.
    pub(super) fn take(&self, backlog: &mut VecDeque<Pending>) {
        let mut state = self.state.lock();
        state.is_urgent = false;
        if backlog.is_empty() {
            std::mem::swap(&mut state.pending, backlog);
        } else {
            backlog.append(&mut state.pending);
        }
    }

    /// What the queued commits take at most, if they take no more than `bytes_max`; `None` too
    /// when nothing is queued.
    pub(super) fn bytes_up_to(&self, bytes_max: usize) -> Option<usize> {
        let state = self.state.lock();
        let mut bytes = 0;
        for pending in &state.pending {
            bytes += commit_bytes_max(&pending.commit);
            if bytes > bytes_max {
                return None;
            }
        }
        (bytes > 0).then_some(bytes)
    }

    /// Waits until something is queued that somebody waits for, or that has waited long enough;
    /// false when closed and empty.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.is_urgent || state.closed {
                return !state.pending.is_empty();
            }
            state.is_watched = true;
            if !self.arrived.wait_for(&mut state, BEHIND).timed_out() {
                continue;
            }
            if !state.pending.is_empty() {
                return true;
            }
            state.is_watched = false;
            self.arrived.wait(&mut state);
        }
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Sets the pairs as recovered.
    pub(super) fn restore(&self, pairs: BTreeMap<Bytes, Bytes>) {
        self.state.lock().pairs = pairs;
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.state.lock().pairs.get(key).cloned()
    }

    pub(super) fn scan(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let state = self.state.lock();
        let from = state
            .pairs
            .range::<[u8], _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
