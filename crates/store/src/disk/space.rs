//! Space set aside for commits before they are submitted.

use super::frame;
use super::oneshot::{self, Receiver, Sender};
use crate::fs::BLOCK;
use crate::{Error, Purpose, Reservation, Reserve, Reserving};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

/// What one operation takes beyond its bytes, one target or one range included.
const OP_BYTES: usize = 64;
/// On a full disk a commit counts so often: it may be a group of its own, it may find too little
/// room at the end of a file and leave that empty, and the next file begins with a header.
const FULL_FACTOR: usize = 3;

pub(super) struct Space {
    me: Weak<Self>,
    /// The largest commit.
    unit_bytes_max: usize,
    state: Mutex<State>,
}

struct State {
    /// Set aside and not yet durable.
    outstanding: usize,
    /// What the prepared files hold: the limit on a full disk.
    prepared: usize,
    /// The limit for publishers.
    possible: usize,
    /// The file system has less free than the headroom: what it has.
    full: Option<u64>,
    closed: bool,
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    bytes: usize,
    tx: Sender<Result<Reservation, Error>>,
}

impl Space {
    pub(super) fn new(unit_bytes_max: usize) -> Arc<Self> {
        let state = State {
            outstanding: 0,
            prepared: usize::MAX,
            possible: usize::MAX,
            full: None,
            closed: false,
            waiters: VecDeque::new(),
        };
        Arc::new_cyclic(|me| Self { me: Weak::clone(me), unit_bytes_max, state: Mutex::new(state) })
    }

    /// Sets aside what a commit takes at most.
    pub(super) fn reserve(&self, purpose: Purpose, bytes: usize, ops: usize) -> Reserving {
        let overhead = ops.saturating_mul(OP_BYTES).saturating_add(frame::HEADER_BYTES);
        let cost = bytes.saturating_add(overhead);
        if cost > self.unit_bytes_max {
            let limit = self.unit_bytes_max.saturating_sub(overhead);
            return Reserving::Refused(Error::TooLarge { bytes, limit });
        }
        // It may become a group of its own, and those are whole blocks.
        let cost = cost.next_multiple_of(BLOCK);
        let mut state = self.state.lock();
        if state.closed {
            return Reserving::Refused(Error::Closed);
        }
        match purpose {
            Purpose::Publish => {
                if let Some(free_bytes) = state.full {
                    return Reserving::Refused(Error::Full { free_bytes });
                }
                if !state.waiters.is_empty() || !state.admits(cost) {
                    return Reserving::Wait(Box::pin(state.wait(cost)));
                }
            }
            Purpose::Upkeep => {
                let outstanding = state.outstanding.saturating_add(cost);
                let is_held = outstanding.saturating_mul(FULL_FACTOR) <= state.prepared;
                if let Some(free_bytes) = state.full.filter(|_| !is_held) {
                    return Reserving::Refused(Error::Full { free_bytes });
                }
            }
        }
        state.outstanding += cost;
        drop(state);
        Reserving::Ready(self.reservation(cost))
    }

    fn reservation(&self, cost: usize) -> Reservation {
        let me: Weak<dyn Reserve> = self.me.clone();
        Reservation::new(cost, me)
    }

    /// A group is written: what was set aside for it is used, and so much is left in the
    /// prepared files.
    pub(super) fn written(&self, reserved: usize, prepared: u64) {
        self.change(|state| {
            state.prepared = usize::try_from(prepared).unwrap_or(usize::MAX);
            state.outstanding = state.outstanding.saturating_sub(reserved);
        });
    }

    /// What was set aside is given back.
    pub(super) fn release(&self, bytes: usize) {
        self.change(|state| state.outstanding = state.outstanding.saturating_sub(bytes));
    }

    /// What the prepared files hold, what may be set aside for publishers, and, where they are
    /// refused, what the file system has free.
    pub(super) fn set_limits(&self, prepared: u64, possible: u64, full: Option<u64>) {
        let bytes = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        self.change(|state| {
            state.prepared = bytes(prepared);
            state.possible = bytes(possible);
            state.full = full;
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.state.lock().full.is_some()
    }

    /// Refuses everything from here on.
    pub(super) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut answers = Vec::new();
        let mut state = self.state.lock();
        change(&mut state);
        state.waiters.retain(|waiter| !waiter.tx.is_abandoned());
        while let Some(first) = state.waiters.front() {
            let refusal = match (state.closed, state.full) {
                (true, _) => Some(Error::Closed),
                (_, Some(free_bytes)) => Some(Error::Full { free_bytes }),
                _ if state.admits(first.bytes) => None,
                _ => break,
            };
            let Some(waiter) = state.waiters.pop_front() else { break };
            if refusal.is_none() {
                state.outstanding += waiter.bytes;
            }
            answers.push((waiter, refusal));
        }
        drop(state);
        for (waiter, refusal) in answers {
            let answer = refusal.map_or_else(|| Ok(self.reservation(waiter.bytes)), Err);
            waiter.tx.send(answer);
        }
    }
}

impl Reserve for Space {
    fn give_back(&self, bytes: usize) {
        self.release(bytes);
    }
}

impl State {
    fn admits(&self, cost: usize) -> bool {
        self.outstanding.saturating_add(cost) <= self.possible
    }

    fn wait(
        &mut self,
        bytes: usize,
    ) -> impl Future<Output = Result<Reservation, Error>> + Send + 'static {
        let (tx, rx): (Sender<Result<Reservation, Error>>, Receiver<_>) = oneshot::channel();
        self.waiters.push_back(Waiter { bytes, tx });
        async move { rx.await.unwrap_or(Err(Error::Closed)) }
    }
}
