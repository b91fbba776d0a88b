//! One message by its place: how it is, how many go before it, taking it out, ending its wait.

use super::{Engine, Look, MessageState};
use crate::{
    LockToken, Place,
    delta::{Record, Run},
    lane::Lane,
    locks::Held,
};
use tramline_types::{ConnectionId, Timestamp};

/// What came of taking a message out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// Somebody has it.
    Locked,
    /// It is done, or dead already.
    Gone,
}

impl Engine {
    /// How messages are that are not done, by their places; `None` for those that are.
    pub fn look_at_each(&self, places: &[Place]) -> Vec<Option<Look>> {
        places.iter().map(|place| self.look_at_one(*place)).collect()
    }

    fn look_at_one(&self, place: Place) -> Option<Look> {
        let lane = self.lane_with(place)?;
        Some(self.look_at(lane, place.offset))
    }

    /// Whether a message is done, or never was.
    pub fn is_done(&self, place: Place) -> bool {
        self.lane_with(place).is_none()
    }

    /// Whether a message waits to be delivered: nobody has it, and no time is to come first.
    pub fn is_waiting(&self, place: Place) -> bool {
        self.look_at_one(place).is_some_and(|look| look.is_waiting())
    }

    /// The lane of a message that is not done.
    fn lane_with(&self, place: Place) -> Option<&Lane> {
        let lane = &self.lanes[self.find(place.lane)?];
        let offset = place.offset;
        let exists = if offset < lane.cursor {
            lane.outstanding.contains(offset)
        } else {
            offset < lane.tail && !lane.ahead.contains(offset)
        };
        exists.then_some(lane)
    }

    /// The delivery of a message that is out.
    pub fn token_of(&self, place: Place, now: Timestamp) -> Option<LockToken> {
        let held = self.lanes[self.find(place.lane)?].locks.get(place.offset)?;
        let token = LockToken { place, sequence: held.sequence };
        held.until().is_none_or(|until| until > now).then_some(token)
    }

    /// How many go before a message that waits to be delivered.
    pub fn ahead_of(&self, place: Place) -> Option<u64> {
        let mut before = 0;
        for lane in self.lanes.iter().filter(|lane| lane.level >= place.lane) {
            if lane.level > place.lane {
                before += lane.ready();
                continue;
            }
            let offset = place.offset;
            if offset < lane.cursor {
                let is_ready = lane.is_waiting(offset);
                return is_ready.then(|| before + lane.waiting_before(offset));
            }
            if lane.parked.contains(offset) || offset >= lane.tail {
                return None;
            }
            let parked = match lane.n_parked_fresh {
                0 => 0,
                _ => lane.parked.range_cardinality(lane.cursor..offset),
            };
            return Some(
                before
                    + lane.n_returned
                    + lane.fair.len()
                    + (offset - lane.cursor).saturating_sub(parked),
            );
        }
        None
    }

    /// Takes a message out that nobody has; with the length of its body, and its group if it may
    /// wait behind others of that.
    pub fn handle_remove(
        &mut self,
        place: Place,
        (bytes, group): (u32, Option<u64>),
        now: Timestamp,
    ) -> Removal {
        self.advance(now);
        let Some(look) = self.look_at_one(place) else { return Removal::Gone };
        let offset = place.offset;
        match look.state {
            MessageState::Locked => return Removal::Locked,
            MessageState::Transferring(_) => return Removal::Gone,
            MessageState::Ready => self.state.not_ready(bytes),
            MessageState::Delayed => {
                self.state.delayed.remove(place);
                if let Some(group) = group {
                    self.state.groups.forget_waiting(place, group);
                }
                self.state.not_ready(bytes);
            }
            MessageState::Deferred | MessageState::Unreadable => {
                self.state.deferred.remove(&place);
                self.state.unreadable.remove(&place);
            }
        }
        let Some(at) = self.find(place.lane) else { return Removal::Gone };
        let lane = &mut self.lanes[at];
        lane.finish(offset, offset + 1);
        self.state.log(Record::Done(Run::one(place.lane, offset)));
        self.state.changes.removed(place.lane, offset, offset + 1);
        self.state.group_done(lane, offset);
        Removal::Removed
    }

    /// Another connection holds a delivery from here on; `false` when its lock is lost.
    pub fn handle_take_over(
        &mut self,
        token: LockToken,
        connection: ConnectionId,
        now: Timestamp,
    ) -> bool {
        self.advance(now);
        let Some(at) = self.find(token.place.lane) else { return false };
        let locks = &mut self.lanes[at].locks;
        let Some(held) = locks.get(token.place.offset).copied() else { return false };
        if held.sequence != token.sequence {
            return false;
        }
        if let Some(end) = held.until() {
            self.state.expiries.remove(&(end, token.place));
        }
        let held = Held::of_connection(held.sequence, connection, held.bytes);
        locks.insert(token.place.offset, held);
        true
    }

    /// Ends the wait of a message, where it waits for a time, and for this one if one is told;
    /// `false` when it does not.
    pub fn handle_due(&mut self, place: Place, only: Option<Timestamp>, now: Timestamp) -> bool {
        self.advance(now);
        let Some(until) = self.state.delayed.until(place) else { return false };
        if only.is_some_and(|only| only != until) {
            return false;
        }
        self.state.delayed.insert(place, now);
        let Place { lane, offset } = place;
        self.state.log(Record::Delayed { lane, offset, until: now.as_millis() });
        self.advance(now);
        true
    }
}
