//! Groups take turns: what could be delivered is looked at ahead and set aside by group.

use super::{State, receive::Step};
use crate::{
    delta::{Record, Run},
    fair::AHEAD_MAX,
    lane::Lane,
    source::Source,
};
use tramline_types::Timestamp;

/// Messages that one step looks at.
const LOOKED_MAX: u64 = 256;

impl State {
    /// Whether a message waits for the turn of its group.
    pub(super) fn takes_turns(&self, group: Option<u64>) -> bool {
        self.rules.fair_groups && group.is_some() && !self.rules.ordered_groups
    }

    /// A message that could be delivered waits for the turn of its group. Half of the memory is
    /// left to those whose turn comes.
    pub(super) fn set_aside(&self, lane: &mut Lane, offset: u64, group: Option<u64>) {
        lane.set_aside(offset, group);
        if let Source::Log(window) = &lane.source
            && window.bytes() > self.rules.window_bytes_max / 2
        {
            lane.source.drop_loaded(offset);
        }
    }

    /// The message whose turn it is becomes the next to be delivered.
    pub(super) fn deliver_in_turn(&mut self, lane: &mut Lane, now: Timestamp) -> Step {
        if let Step::Load = self.look_ahead(lane, now) {
            // A group with few messages may be behind what is in memory.
            return Step::Load;
        }
        lane.take_turn();
        Step::Go
    }

    /// Sets the messages at the cursor aside, as far as they are in memory.
    pub(super) fn look_ahead(&mut self, lane: &mut Lane, now: Timestamp) -> Step {
        let to_max = lane.end.min(lane.cursor.saturating_add(LOOKED_MAX));
        let mut from = lane.cursor;
        loop {
            let at = lane.cursor;
            if at >= to_max || lane.fair.len() >= AHEAD_MAX {
                self.log_passed(lane, from);
                return Step::Go;
            }
            let is_parked = lane.n_parked_fresh > 0 && lane.parked.contains(at);
            let fresh = lane.source.fresh(at).filter(|(offset, _)| *offset == at && !is_parked);
            let expires = fresh.and_then(|(_, loaded)| self.expires(loaded));
            if fresh.is_none() || expires.is_some_and(|expires| expires <= now) {
                self.log_passed(lane, from);
                match self.clear_cursor(lane, now) {
                    Some(Step::Go) => from = lane.cursor,
                    step => return step.unwrap_or(Step::Go),
                }
            } else if let Some(loaded) = lane.source.take_fresh(at) {
                let group = loaded.group;
                lane.pass(at + 1);
                if let Source::Log(window) = &mut lane.source {
                    window.insert_recalled(at, loaded);
                }
                self.set_aside(lane, at, group);
            }
        }
    }

    fn log_passed(&mut self, lane: &Lane, from: u64) {
        if lane.cursor > from {
            self.log(Record::Passed(Run { lane: lane.level, from, to: lane.cursor }));
        }
    }
}
