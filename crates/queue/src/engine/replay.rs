//! What a restart makes of the logged state.
//!
//! Connection-bound locks ended with the restart: what they held is ready again and counts as
//! delivered. Timed locks, delays, deferrals and transfers go on.

use super::{
    Engine,
    checkpoint::{is_part, join_parts},
};
use crate::{
    DeadReason, Place,
    delta::{self, Record, Run},
    lane::Lane,
    locks::Held,
};
use tramline_types::Timestamp;

impl Engine {
    /// Takes up the state of lanes that were opened before. Damaged bytes are passed over, and
    /// offsets outside the lanes' logs do not count: `false` when there were any.
    pub fn replay<D: AsRef<[u8]>>(&mut self, checkpoint: Option<&[u8]>, deltas: &[D]) -> bool {
        let joined = checkpoint.map(|first| join_parts(first, deltas));
        let mut sound = joined.as_ref().is_none_or(Option::is_some);
        let (whole, n_parts) = joined.flatten().unzip();
        sound &= whole.is_none_or(|whole| self.restore(&whole).is_some());
        for logged in &deltas[n_parts.unwrap_or(0)..] {
            let logged = logged.as_ref();
            if is_part(logged) {
                sound = false;
                continue;
            }
            self.state.delta_bytes += logged.len();
            let Some((time, mut records)) = delta::decode(logged) else {
                sound = false;
                continue;
            };
            self.advance_replayed(Timestamp::from_millis(time));
            for record in records.by_ref() {
                sound &= self.apply(record);
            }
            sound &= records.is_over();
        }
        self.finish_replay();
        sound
    }

    /// As `advance`, but without anything that would be logged.
    fn advance_replayed(&mut self, now: Timestamp) {
        while let Some(place) = self.state.delayed.pop(now) {
            if let Some(at) = self.find(place.lane) {
                self.lanes[at].unpark(place.offset);
            }
        }
        while let Some(&(until, place)) = self.state.expiries.first()
            && until <= now
        {
            self.state.expiries.pop_first();
            if let Some(at) = self.find(place.lane) {
                self.lanes[at].locks.remove(place.offset);
            }
        }
        self.state.seen.expire(now.as_millis());
    }

    fn apply(&mut self, record: Record) -> bool {
        match record {
            Record::Seen { hash, until, lane, offset } => {
                self.state.seen.insert(hash, until, Place { lane, offset });
                true
            }
            Record::Perishable => {
                self.state.perishable = true;
                true
            }
            Record::BytesReady(bytes) => {
                self.state.bytes_ready = bytes;
                self.state.bytes_logged = bytes;
                true
            }
            Record::Passed(run)
            | Record::Delivered(run)
            | Record::Redelivered(run)
            | Record::Done(run)
            | Record::Released(run)
            | Record::Uncounted(run) => self.apply_run(record, run),
            Record::Locked { run, sequence, until } => {
                let Some((at, run)) = self.clamp(run) else { return false };
                (run.from..run.to).zip(sequence..).for_each(|(offset, sequence)| {
                    self.lock_replayed(at, offset, (sequence, until));
                });
                true
            }
            Record::Head { lane, offset, group } => {
                let Some((_, run)) = self.clamp(Run::one(lane, offset)) else { return false };
                self.state.groups.set_known(Place { lane, offset: run.from }, group);
                true
            }
            Record::Delayed { lane, offset, until } => {
                self.park_replayed(Run::one(lane, offset), |engine, place| {
                    engine.state.delayed.insert(place, Timestamp::from_millis(until));
                })
            }
            Record::Deferred { lane, offset } => {
                self.park_replayed(Run::one(lane, offset), |engine, place| {
                    engine.state.deferred.insert(place);
                })
            }
            Record::Transferring { lane, offset, reason } => {
                let Some(reason) = DeadReason::from_code(reason) else { return false };
                self.park_replayed(Run::one(lane, offset), |engine, place| {
                    if let Some(at) = engine.find(place.lane) {
                        engine.lanes[at].pass(place.offset + 1);
                        engine.lanes[at].park(place.offset);
                    }
                    engine.state.groups.forget(place.lane, place.offset, place.offset + 1);
                    engine.state.transferring.insert(place, reason);
                })
            }
        }
    }

    /// Cuts a run to what its lane's log holds; `None` when that is nothing.
    fn clamp(&self, run: Run) -> Option<(usize, Run)> {
        let at = self.find(run.lane)?;
        let to = run.to.min(self.lanes[at].tail);
        (run.from < to).then_some((at, Run { to, ..run }))
    }

    fn apply_run(&mut self, record: Record, run: Run) -> bool {
        let Some((at, clamped)) = self.clamp(run) else { return false };
        let Run { lane, from, to } = clamped;
        if !matches!(record, Record::Passed(_)) {
            self.state.delayed.forget(lane, from, to);
        }
        match record {
            Record::Passed(_) => self.lanes[at].pass(to),
            Record::Delivered(_) => self.lanes[at].deliver_fresh(from, to),
            Record::Redelivered(_) => (from..to).for_each(|offset| {
                let lane = &mut self.lanes[at];
                // The cursor goes over what is delayed without a word.
                lane.pass(offset + 1);
                if lane.outstanding.contains(offset) {
                    lane.unpark(offset);
                    lane.deliver_again(offset);
                    let place = lane.place(offset);
                    self.state.deferred.remove(&place);
                }
            }),
            Record::Done(_) => {
                self.forget(at, from, to);
                self.lanes[at].finish(from, to);
            }
            _ => (from..to).for_each(|offset| {
                self.unlock_replayed(at, offset);
                let lane = &mut self.lanes[at];
                if offset < lane.cursor && lane.outstanding.contains(offset) {
                    let place = lane.place(offset);
                    lane.unpark(offset);
                    lane.release(offset, !matches!(record, Record::Uncounted(_)));
                    self.state.deferred.remove(&place);
                }
            }),
        }
        clamped == run
    }

    /// Nothing of these is locked or on its way any more.
    fn forget(&mut self, at: usize, from: u64, to: u64) {
        let level = self.lanes[at].level;
        let place = |offset| Place { lane: level, offset };
        let moved: Vec<Place> = self
            .state
            .transferring
            .range(place(from)..place(to))
            .map(|(place, _)| *place)
            .collect();
        for place in moved {
            self.state.transferring.remove(&place);
        }
        self.state.groups.forget(level, from, to);
        if !self.lanes[at].locks.is_empty() {
            (from..to).for_each(|offset| self.unlock_replayed(at, offset));
        }
    }

    fn unlock_replayed(&mut self, at: usize, offset: u64) {
        let lane = &mut self.lanes[at];
        let place = lane.place(offset);
        if let Some(until) = lane.locks.remove(offset).and_then(|held| held.until()) {
            self.state.expiries.remove(&(until, place));
        }
    }

    fn lock_replayed(&mut self, at: usize, offset: u64, (sequence, until): (u64, i64)) {
        self.unlock_replayed(at, offset);
        let lane = &mut self.lanes[at];
        if offset >= lane.cursor || !lane.outstanding.contains(offset) {
            return;
        }
        let place = lane.place(offset);
        let until = Timestamp::from_millis(until);
        lane.locks.insert(offset, Held::timed(sequence, until, 0));
        self.state.expiries.insert((until, place));
    }

    fn park_replayed(&mut self, run: Run, keep: impl FnOnce(&mut Self, Place)) -> bool {
        let Some((at, _)) = self.clamp(run) else { return false };
        self.unlock_replayed(at, run.from);
        let lane = &mut self.lanes[at];
        if run.from < lane.start {
            // The log was cut, with or without a word.
            return true;
        }
        // What is below the cursor and not outstanding is done, whatever a damaged delta says.
        if run.from < lane.cursor && !lane.outstanding.contains(run.from) {
            return false;
        }
        let place = lane.place(run.from);
        lane.park(run.from);
        self.state.delayed.remove(place);
        keep(self, place);
        true
    }

    /// What was out by a connection, or waited for its group, is ready.
    fn finish_replay(&mut self) {
        for lane in &mut self.lanes {
            lane.finish_replay();
            self.state.groups.forget(lane.level, 0, lane.start);
            for offset in lane.locks.offsets() {
                self.state.groups.set_out(lane.place(offset));
            }
        }
        self.state.transfers = self.state.transferring.keys().copied().collect();
        // What was purged leaves its times behind.
        let (lanes, state) = (&self.lanes, &mut self.state);
        let is_parked = |place: &Place| {
            let lane = lanes.iter().find(|lane| lane.level == place.lane);
            lane.is_some_and(|lane| {
                lane.parked.contains(place.offset) && !lane.ahead.contains(place.offset)
            })
        };
        state.delayed.retain(is_parked);
        state.deferred.retain(is_parked);
    }
}

impl Lane {
    fn finish_replay(&mut self) {
        self.returned = &self.outstanding - &self.parked;
        for offset in self.locks.offsets() {
            self.returned.remove(offset);
        }
        self.n_returned = self.returned.len();
        self.n_parked_fresh =
            if self.parked.is_empty() { 0 } else { self.parked.range_cardinality(self.cursor..) };
        // Nothing was in memory while the state was taken up.
        self.source.restart(self.cursor);
    }
}
