//! What was submitted and not yet taken by the committer, and the key-value space as submitted.
//!
//! Its lock is taken last and for a few instructions only.

use crate::{Commit, Op};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};

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

#[derive(Default)]
struct State {
    pending: VecDeque<Pending>,
    pairs: BTreeMap<Bytes, Bytes>,
    closed: bool,
}

impl Intake {
    /// Queues a commit, unless closed.
    pub(super) fn push(&self, pending: Pending) -> bool {
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
        let first = state.pending.is_empty();
        state.pending.push_back(pending);
        drop(state);
        if first {
            self.arrived.notify_one();
        }
        true
    }

    /// Moves everything queued to the back of `backlog`.
    pub(super) fn take(&self, backlog: &mut VecDeque<Pending>) {
        let mut state = self.state.lock();
        if backlog.is_empty() {
            std::mem::swap(&mut state.pending, backlog);
        } else {
            backlog.append(&mut state.pending);
        }
    }

    /// Waits until something is queued; false when closed and empty.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.state.lock();
        while state.pending.is_empty() {
            if state.closed {
                return false;
            }
            self.arrived.wait(&mut state);
        }
        true
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
