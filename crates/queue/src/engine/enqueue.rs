//! Messages come in.

use super::{Engine, State, plus};
use crate::{
    DeadReason, Place,
    delta::{Record, Run},
    lane::Lane,
    source::{Loaded, Source},
};
use tramline_types::Timestamp;

/// A message that comes in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The message.
    pub loaded: Loaded,
    /// Not to be delivered before this.
    pub deliver_at: Option<Timestamp>,
    /// The hash of its deduplication id.
    pub deduplication: Option<u128>,
}

impl Engine {
    /// Whether so many more messages, and bytes of bodies, are within the bounds.
    pub fn has_room(&self, messages: u64, bytes: u64) -> bool {
        let rules = &self.state.rules;
        rules.length_max.is_none_or(|max| self.enqueued() + messages <= max)
            && rules.bytes_max.is_none_or(|max| self.state.bytes_ready + bytes <= max)
    }

    fn enqueued(&self) -> u64 {
        self.lanes.iter().map(Lane::enqueued).sum()
    }

    /// Messages were appended to a lane's log from this offset on, and are not durable yet; in
    /// a transient queue they are in at once, and `base` does not count. `placed` is
    /// told where each lies, and the message that it repeats, which is delivered in its stead.
    pub fn handle_enqueued(
        &mut self,
        (level, base): (u16, u64),
        arrivals: impl IntoIterator<Item = Arrival>,
        now: Timestamp,
        mut placed: impl FnMut(Place, Option<Place>),
    ) {
        self.advance(now);
        if !self.has_lane(level) {
            self.open_lane(level, base, base);
        }
        if self.enqueued() == 0 && self.state.delayed.is_empty() {
            // What was estimated, or not known, ends here.
            self.state.bytes_ready = 0;
        }
        let Some(at) = self.find(level) else { return };
        let (lane, state) = (&mut self.lanes[at], &mut self.state);
        let mut offset =
            if let Source::Memory(memory) = &lane.source { memory.next() } else { base };
        for arrival in arrivals {
            let first = state.arrive(lane, offset, arrival, now);
            placed(lane.place(offset), first);
            offset += 1;
        }
        lane.tail = lane.tail.max(offset);
        if state.rules.transient {
            lane.end = lane.tail;
        }
        self.drop_surplus();
    }

    fn drop_surplus(&mut self) {
        if !self.state.rules.drop_head {
            return;
        }
        while !self.has_room(0, 0) {
            // One that is not in memory counts as the others on average.
            let mean = self.state.bytes_ready.checked_div(self.enqueued()).unwrap_or(0);
            let mean = u32::try_from(mean).unwrap_or(u32::MAX);
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.enqueued() > 0) else { return };
            lane.fold_turns();
            let offset = loop {
                if let Some(offset) = lane.returned.min() {
                    break offset;
                }
                if lane.n_parked_fresh == 0 || !lane.parked.contains(lane.cursor) {
                    break lane.cursor;
                }
                lane.pass(lane.cursor + 1);
            };
            let known = lane.head().filter(|head| head.0 == offset).map(|head| head.1.bytes);
            self.state.not_ready(known.unwrap_or(mean));
            self.state.dead(lane, offset, DeadReason::MaxLength);
        }
    }
}

impl State {
    /// One message comes in; gives the one that it repeats.
    fn arrive(
        &mut self,
        lane: &mut Lane,
        offset: u64,
        arrival: Arrival,
        now: Timestamp,
    ) -> Option<Place> {
        let Arrival { loaded, deliver_at, deduplication } = arrival;
        let bytes = loaded.bytes;
        if loaded.expires_at.is_some() && !self.perishable {
            self.perishable = true;
            self.log(Record::Perishable);
        }
        let place = lane.place(offset);
        let first = self.first_of(place, deduplication, now);
        let delayed = deliver_at.filter(|until| *until > now && first.is_none());
        if let Some(until) = delayed {
            lane.park(offset);
            self.delayed.insert(place, until);
            self.log(Record::Delayed { lane: lane.level, offset, until: until.as_millis() });
        }
        match &mut lane.source {
            Source::Memory(memory) => memory.push(loaded),
            Source::Log(window) if delayed.is_some() || first.is_some() => {
                window.push_absent(offset, lane.cursor);
            }
            Source::Log(window) => {
                window.push(offset, lane.cursor, loaded, self.rules.window_bytes_max);
            }
        }
        if first.is_some() {
            // It has its offset all the same: its confirmation waits for that of the first.
            lane.tail = lane.tail.max(offset + 1);
            lane.finish(offset, offset + 1);
            self.log(Record::Done(Run::one(lane.level, offset)));
        } else {
            self.bytes_ready += u64::from(bytes);
        }
        first
    }

    /// The message that had this deduplication id before.
    fn first_of(&mut self, place: Place, id: Option<u128>, now: Timestamp) -> Option<Place> {
        let (hash, span) = (id?, self.rules.deduplication_ms?);
        let first = self.seen.find(hash, now.as_millis());
        if first.is_none() {
            let until = plus(now, span).as_millis();
            self.seen.insert(hash, until, place);
            let Place { lane, offset } = place;
            self.log(Record::Seen { hash, until, lane, offset });
        }
        first
    }
}
