//! Lanes over logs that are somebody else's: the partitions of a topic, read by its subscriptions.
//!
//! The lanes are equals and served in turn. Their logs are cut at the front by their owner, and
//! what is gone there is done with. That is not logged: a restart opens each lane where its log
//! begins by then.

use super::{
    Engine, Load, Taking,
    receive::{Room, Step},
};
use crate::{
    Place,
    delta::{Record, Run},
    lane::Lane,
    source::Source,
};

impl Engine {
    /// Everything in a lane up to here is done with: the subscription begins there.
    pub fn begin(&mut self, level: u16, at: u64) {
        let Some(found) = self.find(level) else { return };
        let lane = &mut self.lanes[found];
        let from = lane.cursor;
        if from < at {
            lane.finish(from, at);
            self.state.log(Record::Done(Run { lane: level, from, to: at }));
        }
    }

    /// A lane's log begins here: what lay before it is gone, and done with. What of that is out
    /// stays so until it is settled.
    pub fn set_start(&mut self, level: u16, start: u64) {
        let Some(at) = self.find(level) else { return };
        let lane = &mut self.lanes[at];
        let is_waiting = lane.returned.min().is_some_and(|first| first < start);
        if start <= lane.start && !is_waiting {
            return;
        }
        lane.start = start;
        lane.end = lane.end.max(start);
        lane.tail = lane.tail.max(start);
        let mut held: Vec<u64> = lane.locks.offsets().filter(|offset| *offset < start).collect();
        held.sort_unstable();
        let mut from = lane.floor();
        for offset in held.into_iter().chain([start]) {
            if from < offset {
                self.gone(at, from, offset);
            }
            from = offset + 1;
        }
        self.groups_gone(at, start);
    }

    /// Nothing of these is there any more, and none is out.
    fn gone(&mut self, at: usize, from: u64, to: u64) {
        let (lane, state) = (&mut self.lanes[at], &mut self.state);
        let level = lane.level;
        lane.finish(from, to);
        let place = |offset| Place { lane: level, offset };
        let range = place(from)..place(to);
        state.delayed.forget(level, from, to);
        state.deferred.retain(|place| !range.contains(place));
        state.unreadable.retain(|place| !range.contains(place));
        state.transfers.retain(|place| !range.contains(place));
        state.transferring.retain(|place, _| !range.contains(place));
        state.explanations.retain(|place, _| !range.contains(place));
    }

    /// Groups wait for nothing that is gone.
    fn groups_gone(&mut self, at: usize, start: u64) {
        if !self.state.rules.ordered_groups {
            return;
        }
        let lane = &mut self.lanes[at];
        for (next, group) in self.state.groups.forget_below(lane.level, start) {
            self.state.goes_next(lane, next, group);
        }
    }

    /// Hands out what each lane has, from the one whose turn it is; those behind one that has to
    /// be read first go on.
    pub(super) fn receive_in_turn(&mut self, room: &mut Room<'_>) -> Taking {
        let n = self.lanes.len();
        let had = room.out.len();
        let (mut load, mut is_full) = (None, false);
        let turn = self.turn;
        for at in (0..n).map(|step| (turn + step) % n) {
            let before = room.out.len();
            let lane = &mut self.lanes[at];
            let step = self.state.serve(lane, room);
            if let Step::Load = step {
                load = load.or(Some(lane.load()));
            }
            if room.out.len() > before {
                self.turn = (at + 1) % n;
            }
            if let Step::Full = step {
                is_full = true;
                break;
            }
        }
        // Where much is in memory, that goes first: it is not left lying while more is read.
        let is_wanted = room.out.len() == had || self.window_bytes() < self.window_bytes_max();
        match load.filter(|_| is_wanted) {
            Some(load) => Taking::Load(load),
            None if is_full => Taking::Full,
            None => Taking::Empty,
        }
    }

    /// As [`Engine::poll_ahead`]: the memory is that of all lanes together.
    pub(super) fn poll_ahead_in_turn(&self) -> Option<Load> {
        if self.window_bytes() >= self.window_bytes_max() / 2 {
            return None;
        }
        let lanes = self.lanes.iter().filter(|lane| lane.ready() > 0);
        let loads =
            lanes.filter_map(|lane| Some((window_bytes(lane), lane.load_ahead(usize::MAX)?)));
        loads.min_by_key(|(bytes, _)| *bytes).map(|(_, load)| load)
    }

    fn window_bytes(&self) -> usize {
        self.lanes.iter().map(window_bytes).sum()
    }

    const fn window_bytes_max(&self) -> usize {
        self.state.rules.window_bytes_max
    }
}

fn window_bytes(lane: &Lane) -> usize {
    match &lane.source {
        Source::Log(window) => window.bytes(),
        Source::Memory(_) => 0,
    }
}
