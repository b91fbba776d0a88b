//! Messages go without having been delivered.

use super::{Engine, State};
use crate::{
    Place,
    delta::{Record, Run},
    lane::Lane,
};
use tramline_types::Timestamp;

impl Engine {
    /// Drops what is ready; gives how many.
    pub fn handle_purge(&mut self, now: Timestamp) -> u64 {
        self.advance(now);
        let mut purged = 0;
        for place in self.state.groups.take_waiting() {
            purged += u64::from(self.finish_one(place));
        }
        for lane in &mut self.lanes {
            purged += self.state.purge_returned(lane);
            while lane.cursor < lane.end {
                if lane.n_parked_fresh > 0 && lane.parked.contains(lane.cursor) {
                    lane.pass(lane.cursor + 1);
                    continue;
                }
                let from = lane.cursor;
                let mut parked = lane.parked.iter();
                parked.advance_to(from);
                let to = parked.next().map_or(lane.end, |parked| parked.min(lane.end));
                lane.finish(from, to);
                self.state.changes.removed(lane.level, from, to);
                self.state.log(Record::Done(Run { lane: lane.level, from, to }));
                purged += to - from;
            }
        }
        for place in std::mem::take(&mut self.state.unreadable) {
            purged += u64::from(self.finish_one(place));
        }
        self.state.bytes_ready = 0;
        purged
    }

    /// Drops everything that is not dead already, deliveries that are out included; gives how
    /// many.
    pub fn handle_purge_all(&mut self, now: Timestamp) -> u64 {
        let mut purged = self.handle_purge(now);
        for (place, _) in std::mem::take(&mut self.state.delayed).iter() {
            purged += u64::from(self.finish_one(place));
        }
        for place in std::mem::take(&mut self.state.deferred) {
            purged += u64::from(self.finish_one(place));
        }
        self.state.expiries.clear();
        let locked: Vec<Place> = self
            .lanes
            .iter_mut()
            .flat_map(|lane| {
                let level = lane.level;
                let locks = std::mem::take(&mut lane.locks);
                let offsets: Vec<u64> = locks.offsets().collect();
                offsets.into_iter().map(move |offset| Place { lane: level, offset })
            })
            .collect();
        for place in locked {
            purged += u64::from(self.finish_one(place));
        }
        purged
    }

    /// One message is done with that no lock holds; `false` when it was already.
    pub(super) fn finish_one(&mut self, place: Place) -> bool {
        let Some(at) = self.find(place.lane) else { return false };
        let (lane, offset) = (&mut self.lanes[at], place.offset);
        let known = if offset < lane.cursor { &lane.outstanding } else { &lane.parked };
        if !known.contains(offset) || lane.ahead.contains(offset) {
            return false;
        }
        lane.finish(offset, offset + 1);
        self.state.changes.removed(place.lane, offset, offset + 1);
        self.state.log(Record::Done(Run::one(place.lane, offset)));
        self.state.group_done(lane, offset);
        true
    }

    /// A message cannot be read: it is kept, and the others go on without it.
    pub fn handle_unreadable(&mut self, place: Place) {
        let Some(at) = self.find(place.lane) else { return };
        let (lane, offset) = (&mut self.lanes[at], place.offset);
        let is_done = offset < lane.cursor && !lane.outstanding.contains(offset);
        if is_done || offset >= lane.end || lane.locks.contains(offset) {
            return;
        }
        self.state.transferring.remove(&place);
        self.state.explanations.remove(&place);
        lane.park(offset);
        self.state.unreadable.insert(place);
        self.state.group_done(lane, offset);
    }
}

impl State {
    fn purge_returned(&mut self, lane: &mut Lane) -> u64 {
        let gone = lane.finish_returned();
        for offset in &gone {
            self.changes.removed(lane.level, offset, offset + 1);
            self.log(Record::Done(Run::one(lane.level, offset)));
        }
        if self.rules.ordered_groups {
            gone.iter().for_each(|offset| self.group_done(lane, offset));
        }
        gone.len()
    }
}
