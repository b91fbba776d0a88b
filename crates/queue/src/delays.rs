//! Which messages wait for a time: in the order of the times, and by place.
//!
//! Invariant: both say the same; a message waits for one time.

use crate::{Place, by_offset::ByOffset};
use std::collections::{BTreeMap, BTreeSet};
use tramline_types::Timestamp;

/// See above.
#[derive(Default)]
pub(crate) struct Delays {
    order: BTreeSet<(Timestamp, Place)>,
    by_lane: BTreeMap<u16, ByOffset<Timestamp>>,
}

impl Delays {
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The next time that a message waits for.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        self.order.first().map(|(until, _)| *until)
    }

    /// What a message waits for.
    pub(crate) fn until(&self, place: Place) -> Option<Timestamp> {
        self.by_lane.get(&place.lane)?.get(place.offset).copied()
    }

    /// A message waits for this time, and for no other any more.
    pub(crate) fn insert(&mut self, place: Place, until: Timestamp) {
        let before = self.by_lane.entry(place.lane).or_default().insert(place.offset, until);
        if let Some(before) = before {
            self.order.remove(&(before, place));
        }
        self.order.insert((until, place));
    }

    /// A message does not wait any more; `false` when it did not.
    pub(crate) fn remove(&mut self, place: Place) -> bool {
        let of_lane = self.by_lane.get_mut(&place.lane);
        let Some(until) = of_lane.and_then(|lane| lane.remove(place.offset)) else { return false };
        self.order.remove(&(until, place))
    }

    /// None of these waits any more.
    pub(crate) fn forget(&mut self, lane: u16, from: u64, to: u64) {
        let Some(of_lane) = self.by_lane.get(&lane).filter(|of_lane| !of_lane.is_empty()) else {
            return;
        };
        for (offset, _) in of_lane.range(from, to) {
            self.remove(Place { lane, offset });
        }
    }

    /// One whose time has come; it does not wait any more.
    pub(crate) fn pop(&mut self, now: Timestamp) -> Option<Place> {
        let (_, place) = self.order.first().copied().filter(|(until, _)| *until <= now)?;
        self.remove(place).then_some(place)
    }

    /// All of them, in the order of their times.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (Place, Timestamp)> {
        self.order.iter().map(|(until, place)| (*place, *until))
    }

    /// Only these wait any more.
    pub(crate) fn retain(&mut self, which: impl Fn(&Place) -> bool) {
        let gone = self.order.iter().map(|(_, place)| *place).filter(|place| !which(place));
        for place in gone.collect::<Vec<_>>() {
            self.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_message_waits_for_the_time_that_was_told_last() {
        let place = |offset| Place { lane: 3, offset };
        let mut delays = Delays::default();
        delays.insert(place(1), at(50));
        delays.insert(place(2), at(40));
        delays.insert(place(1), at(10));
        assert_eq!(
            (delays.len(), delays.until(place(1)), delays.first()),
            (2, Some(at(10)), Some(at(10)))
        );
        assert_eq!((delays.pop(at(39)), delays.pop(at(39))), (Some(place(1)), None));
        assert!(delays.remove(place(2)) && !delays.remove(place(2)) && delays.is_empty());
    }
}
