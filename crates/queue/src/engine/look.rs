//! Looking at messages without taking them.

use super::Engine;
use crate::{DeadReason, Place, lane::Lane};
use tramline_types::Timestamp;

/// What is the matter with a message that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Could be delivered now.
    Ready,
    /// Delivered and not settled.
    Locked,
    /// Waits for its time, or behind another one of its group.
    Delayed,
    /// Set aside by its consumer.
    Deferred,
    /// Dead, on its way to the dead-letter target.
    Transferring(DeadReason),
    /// Its log cannot be read there.
    Unreadable,
}

/// A message as it is seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Where it lies.
    pub place: Place,
    /// What is the matter with it.
    pub state: MessageState,
    /// How often it was delivered, a delivery that is out included.
    pub deliveries: u32,
    /// Until when it is locked or delayed, where that is a matter of time.
    pub until: Option<Timestamp>,
}

impl Look {
    /// Whether it waits to be delivered, maybe behind another one of its group.
    pub const fn is_waiting(&self) -> bool {
        match self.state {
            MessageState::Ready => true,
            MessageState::Delayed => self.until.is_none(),
            _ => false,
        }
    }
}

impl Engine {
    /// Messages that are not done, from a place on, in the order of delivery.
    pub fn look(&self, from: Option<Place>, n_max: usize) -> Vec<Look> {
        let mut looks = Vec::new();
        for lane in &self.lanes {
            let start = match from {
                Some(from) if lane.level > from.lane => continue,
                Some(from) if lane.level == from.lane => from.offset,
                _ => 0,
            };
            let mut below = lane.outstanding.iter();
            below.advance_to(start);
            let below = below.take_while(|offset| *offset < lane.end);
            let fresh = (lane.cursor.max(start)..lane.end.max(lane.cursor))
                .filter(|offset| lane.ahead.is_empty() || !lane.ahead.contains(*offset));
            let wanted = n_max - looks.len();
            looks.extend(below.chain(fresh).take(wanted).map(|offset| self.look_at(lane, offset)));
        }
        looks
    }

    pub(super) fn look_at(&self, lane: &Lane, offset: u64) -> Look {
        let place = lane.place(offset);
        let mut until = None;
        let state = if let Some(held) = lane.locks.get(offset) {
            until = held.until();
            MessageState::Locked
        } else if !lane.parked.contains(offset) {
            MessageState::Ready
        } else if let Some(reason) = self.state.transferring.get(&place) {
            MessageState::Transferring(*reason)
        } else if self.state.deferred.contains(&place) {
            MessageState::Deferred
        } else if self.state.unreadable.contains(&place) {
            MessageState::Unreadable
        } else {
            until = self.state.delayed.until(place);
            MessageState::Delayed
        };
        Look { place, state, deliveries: lane.count(offset), until }
    }
}
