//! Deliveries end.

use super::{
    Change, Engine, State, plus,
    receive::{is_of, millis},
};
use crate::{
    DeadReason, LockToken, Outcome, Place,
    delta::{Record, Run},
    engine::Ended,
    lane::Lane,
    locks::Held,
};
use std::time::Duration;
use tramline_types::{
    ConnectionId, Timestamp,
    limits::{EXPLANATION_BYTES_MAX, EXPLANATIONS_MAX},
};

/// A dead message that is to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The message.
    pub place: Place,
    /// Why it is dead.
    pub reason: DeadReason,
    /// Why it was rejected, in the consumer's words. Lost where a restart comes in between.
    pub explanation: Option<Box<str>>,
}

impl Engine {
    /// Ends deliveries. Those whose lock is lost are told; nothing happens to them.
    pub fn handle_settle(
        &mut self,
        settles: &[(LockToken, Outcome)],
        now: Timestamp,
        lost: &mut Vec<LockToken>,
    ) {
        self.advance(now);
        let mut done: Option<(usize, u64, u64)> = None;
        for (token, outcome) in settles {
            let Some((at, held)) = self.unlock(*token) else {
                lost.push(*token);
                continue;
            };
            let offset = token.place.offset;
            if *outcome == Outcome::Accepted {
                done = match done {
                    Some((lane, from, to)) if lane == at && to == offset => {
                        Some((lane, from, to + 1))
                    }
                    Some(run) => {
                        self.finish(run);
                        Some((at, offset, offset + 1))
                    }
                    None => Some((at, offset, offset + 1)),
                };
                continue;
            }
            if let Some(run) = done.take() {
                self.finish(run);
            }
            self.state.end(&mut self.lanes[at], offset, (&held, outcome), now);
        }
        if let Some(run) = done {
            self.finish(run);
        }
    }

    /// Whether these deliveries are still held.
    pub fn holds(&self, token: LockToken, now: Timestamp) -> bool {
        self.find(token.place.lane)
            .and_then(|at| self.lanes[at].locks.get(token.place.offset))
            .is_some_and(|held| {
                held.sequence == token.sequence && held.until().is_none_or(|until| until > now)
            })
    }

    fn unlock(&mut self, token: LockToken) -> Option<(usize, Held)> {
        let at = self.find(token.place.lane)?;
        let locks = &mut self.lanes[at].locks;
        if locks.get(token.place.offset)?.sequence != token.sequence {
            return None;
        }
        let held = locks.remove(token.place.offset)?;
        if let Some(end) = held.until() {
            self.state.expiries.remove(&(end, token.place));
        }
        Some((at, held))
    }

    fn finish(&mut self, (at, from, to): (usize, u64, u64)) {
        let lane = &mut self.lanes[at];
        lane.finish(from, to);
        self.state.changes.note(Change::Done { lane: lane.level, from, to });
        self.state.log(Record::Done(Run { lane: lane.level, from, to }));
        if self.state.rules.ordered_groups {
            (from..to).for_each(|offset| self.state.group_done(lane, offset));
        }
    }

    /// Gives back everything that a connection's deliveries hold.
    pub fn handle_release(&mut self, connection: ConnectionId, now: Timestamp) -> u64 {
        self.advance(now);
        self.release_where(now, |held| is_of(held, connection))
    }

    fn release_where(&mut self, now: Timestamp, which: impl Fn(&Held) -> bool) -> u64 {
        let mut released = 0;
        for lane in &mut self.lanes {
            let mut offsets: Vec<u64> = lane
                .locks
                .iter()
                .filter(|(_, held)| which(held))
                .map(|(offset, _)| offset)
                .collect();
            offsets.sort_unstable();
            for offset in offsets {
                if let Some(held) = lane.locks.remove(offset) {
                    if let Some(end) = held.until() {
                        self.state.expiries.remove(&(end, lane.place(offset)));
                    }
                    released += 1;
                    self.state.log_release(lane, offset, true);
                    self.state.give_back(lane, (offset, held.bytes), None, now);
                }
            }
        }
        released
    }

    /// Gives a timed lock this long from now; tells when it ends, or `None` when it is lost.
    pub fn handle_extend(
        &mut self,
        token: LockToken,
        span: Duration,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.advance(now);
        let at = self.find(token.place.lane)?;
        let held = self.lanes[at].locks.get_mut(token.place.offset)?;
        if held.sequence != token.sequence {
            return None;
        }
        let before = held.until()?;
        let until = plus(now, millis(span));
        held.set_until(until);
        self.state.expiries.remove(&(before, token.place));
        self.state.expiries.insert((until, token.place));
        let run = Run::one(token.place.lane, token.place.offset);
        let (sequence, until_ms) = (token.sequence, until.as_millis());
        self.state.log(Record::Locked { run, sequence, until: until_ms });
        Some(until)
    }

    /// Dead messages to be moved, up to so many; each is handed out once, until
    /// [`Engine::handle_transferred`] or [`Engine::handle_transfer_failed`].
    pub fn poll_transfers(&mut self, n_max: usize) -> Vec<Transfer> {
        let n = n_max.min(self.state.transfers.len());
        let places = self.state.transfers.drain(..n).collect::<Vec<_>>();
        let transfer = |place: Place| {
            let reason = *self.state.transferring.get(&place)?;
            let explanation = self.state.explanations.get(&place).cloned();
            Some(Transfer { place, reason, explanation })
        };
        places.into_iter().filter_map(transfer).collect()
    }

    /// Whether dead messages wait to be moved.
    pub fn has_transfers(&self) -> bool {
        !self.state.transfers.is_empty()
    }

    /// The message of a transfer, where it is in memory only.
    pub fn in_memory(&self, place: Place) -> Option<crate::Loaded> {
        let lane = &self.lanes[self.find(place.lane)?];
        lane.source.returned(place.offset).cloned()
    }

    /// Dead messages have moved, or are given up.
    pub fn handle_transferred(&mut self, places: &[Place]) {
        for place in places {
            if self.state.transferring.remove(place).is_none() {
                continue;
            }
            self.state.explanations.remove(place);
            self.finish_one(*place);
        }
    }

    /// Dead messages could not be moved: to be tried again.
    pub fn handle_transfer_failed(&mut self, places: &[Place]) {
        self.state.transfers.extend(places);
    }

    /// Accepts deliveries, also those whose timed lock has ended, as long as their messages were
    /// not delivered again and none of the ends was long ago. The others are told.
    pub fn handle_accept_late(
        &mut self,
        tokens: &[LockToken],
        now: Timestamp,
        lost: &mut Vec<LockToken>,
    ) {
        self.advance(now);
        for token in tokens {
            let offset = token.place.offset;
            if let Some((at, _)) = self.unlock(*token) {
                self.finish((at, offset, offset + 1));
            } else if !self.accept_ended(*token) {
                lost.push(*token);
            }
        }
    }

    fn accept_ended(&mut self, token: LockToken) -> bool {
        let Some(&Ended { sequence, bytes }) = self.state.ended.get(&token.place) else {
            return false;
        };
        let Some(at) = self.find(token.place.lane) else { return false };
        if sequence != token.sequence || !self.lanes[at].is_waiting(token.place.offset) {
            return false;
        }
        self.state.ended.remove(&token.place);
        self.state.not_ready(bytes);
        self.finish((at, token.place.offset, token.place.offset + 1));
        true
    }
}

impl State {
    /// Keeps what a consumer said of a message until the message has moved.
    fn explain(&mut self, place: Place, reason: Option<&str>) {
        let Some(reason) = reason else { return };
        if self.transferring.contains_key(&place) && self.explanations.len() < EXPLANATIONS_MAX {
            let end = reason.floor_char_boundary(EXPLANATION_BYTES_MAX);
            self.explanations.insert(place, reason[..end].into());
        }
    }

    /// One delivery ends otherwise than accepted.
    fn end(
        &mut self,
        lane: &mut Lane,
        offset: u64,
        (held, outcome): (&Held, &Outcome),
        now: Timestamp,
    ) {
        match outcome {
            Outcome::Accepted => {}
            Outcome::Released { count, delay_ms } => {
                self.log_release(lane, offset, *count);
                if *count {
                    self.give_back(lane, (offset, held.bytes), *delay_ms, now);
                } else {
                    lane.uncount(offset);
                    self.ready_again(lane, (offset, held.bytes), *delay_ms, now);
                }
            }
            Outcome::Rejected { dead_letter, reason } => {
                if *dead_letter {
                    self.dead(lane, offset, DeadReason::Rejected);
                    self.explain(lane.place(offset), reason.as_deref());
                } else {
                    self.n_dropped += 1;
                    let (place, reason) = (lane.place(offset), DeadReason::Rejected);
                    self.changes.note(Change::Dead { place, reason, moves: false });
                    lane.finish(offset, offset + 1);
                    self.log(Record::Done(Run::one(lane.level, offset)));
                    self.group_done(lane, offset);
                }
            }
            Outcome::Deferred => {
                lane.park(offset);
                self.deferred.insert(lane.place(offset));
                self.changes.note(Change::Deferred(lane.place(offset)));
                self.log(Record::Deferred { lane: lane.level, offset });
                self.group_released(lane, offset);
            }
        }
    }

    fn log_release(&mut self, lane: &Lane, offset: u64, counted: bool) {
        let run = Run::one(lane.level, offset);
        self.log(if counted { Record::Released(run) } else { Record::Uncounted(run) });
    }

    /// A delivery that counts ended without success: the message is ready again, later where
    /// the queue backs off, or dead when it was delivered too often. What its lock was has been
    /// taken off.
    pub(super) fn give_back(
        &mut self,
        lane: &mut Lane,
        (offset, bytes): (u64, u32),
        delay_ms: Option<u64>,
        now: Timestamp,
    ) {
        let deliveries = lane.count(offset);
        if self.rules.deliveries_max.is_some_and(|max| deliveries >= max) {
            return self.dead(lane, offset, DeadReason::DeliveryLimit);
        }
        let backoff = self.rules.retry_backoff_ms.map(|(first, longest)| {
            let doublings = deliveries.saturating_sub(1).min(40);
            first.saturating_mul(1 << doublings).min(longest)
        });
        self.ready_again(lane, (offset, bytes), delay_ms.or(backoff), now);
    }

    fn ready_again(
        &mut self,
        lane: &mut Lane,
        (offset, bytes): (u64, u32),
        delay_ms: Option<u64>,
        now: Timestamp,
    ) {
        self.group_released(lane, offset);
        self.bytes_ready += u64::from(bytes);
        let until = delay_ms.filter(|delay| *delay > 0).map(|delay| plus(now, delay));
        self.changes.note(Change::Released { place: lane.place(offset), until });
        match until {
            None => lane.release(offset, true),
            Some(until) => {
                lane.park(offset);
                self.delayed.insert(lane.place(offset), until);
                self.log(Record::Delayed { lane: lane.level, offset, until: until.as_millis() });
            }
        }
    }
}
