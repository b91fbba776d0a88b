//! Ordered groups: messages of one group go out in the order of their offsets, one at a time or
//! a run of them in one receive, and none while some are out.
//!
//! Only groups of which messages are *known* are here: those that went out and are not done, and
//! the one that goes next. Invariant: `known` has exactly the known messages of every group in
//! `active`; what waits for its group is parked.

use crate::{Place, by_offset::ByOffset};
use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashMap};

#[derive(Default)]
pub(crate) struct Groups {
    lanes: BTreeMap<u16, OfLane>,
    /// How many wait for their group.
    n_waiting: u64,
}

#[derive(Default)]
struct OfLane {
    active: HashMap<u64, Active>,
    /// The group of each known message.
    known: ByOffset<u64>,
}

/// See [`Groups::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It is known from here on, and has to be logged.
    First,
    /// It was known already.
    Again,
    /// It waits.
    No,
}

/// A known message: its offset, twice, and one where it is out.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known(u64);

impl Known {
    fn new(offset: u64, out: bool) -> Self {
        Self(offset << 1 | u64::from(out))
    }

    const fn offset(self) -> u64 {
        self.0 >> 1
    }

    const fn is_out(self) -> bool {
        self.0 & 1 == 1
    }
}

/// A group. Most have one known message and nothing that waits, and take 32 bytes.
#[derive(Default)]
struct Active {
    /// The first of the known ones.
    first: Option<Known>,
    more: Option<Box<More>>,
    /// The receive that they are out by; 0 for none.
    receive: u64,
}

#[derive(Default)]
struct More {
    /// The known ones after the first, in order.
    known: Vec<Known>,
    waiting: RoaringTreemap,
}

impl Active {
    /// The known ones, in order.
    fn known(&self) -> impl Iterator<Item = Known> {
        self.first.into_iter().chain(self.more.iter().flat_map(|more| more.known.iter().copied()))
    }

    fn is_out(&self) -> bool {
        self.known().any(Known::is_out)
    }

    fn is_over(&self) -> bool {
        self.first.is_none() && self.more.is_none()
    }

    /// Makes a message known; gives whether it was out, if it was known before.
    fn set(&mut self, offset: u64, out: bool) -> Option<bool> {
        let known = Known::new(offset, out);
        let Some(first) = self.first else {
            self.first = Some(known);
            return None;
        };
        if first.offset() == offset {
            self.first = Some(known);
            return Some(first.is_out());
        }
        let is_first = offset < first.offset();
        let behind = if is_first { first } else { known };
        if is_first {
            self.first = Some(known);
        }
        let others = &mut self.more.get_or_insert_default().known;
        match others.binary_search_by_key(&behind.offset(), |other| other.offset()) {
            Ok(at) => Some(std::mem::replace(&mut others[at], behind).is_out()),
            Err(at) => {
                others.insert(at, behind);
                None
            }
        }
    }

    fn remove(&mut self, offset: u64) {
        let is_first = self.first.is_some_and(|first| first.offset() == offset);
        let Some(more) = &mut self.more else {
            self.first = self.first.filter(|_| !is_first);
            return;
        };
        if is_first {
            self.first = (!more.known.is_empty()).then(|| more.known.remove(0));
        } else if let Ok(at) = more.known.binary_search_by_key(&offset, |known| known.offset()) {
            more.known.remove(at);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        let is_idle = |more: &More| more.known.is_empty() && more.waiting.is_empty();
        if self.more.as_deref().is_some_and(is_idle) {
            self.more = None;
        }
    }

    fn knows(&self, offset: u64) -> bool {
        self.known().any(|known| known.offset() == offset)
    }

    fn is_free(&self, offset: u64, receive: Option<u64>) -> bool {
        if receive.is_none_or(|receive| receive != self.receive) && self.is_out() {
            return false;
        }
        // Whatever came before it and is not out goes first.
        let known = self.known().find(|known| !known.is_out()).map(Known::offset);
        known.into_iter().chain(self.first_waiting()).all(|first| first >= offset)
    }

    /// The next to go out, when none is, if it waits.
    fn poll_next(&mut self) -> Option<u64> {
        if self.is_out() {
            return None;
        }
        // One that is known may have another before it that was not when it became so.
        let known = self.first.map(Known::offset);
        let next = known.into_iter().chain(self.first_waiting()).min()?;
        self.stop_waiting(next).then_some(next)
    }

    fn first_waiting(&self) -> Option<u64> {
        self.more.as_ref()?.waiting.min()
    }

    /// `false` where it waits already.
    fn start_waiting(&mut self, offset: u64) -> bool {
        self.more.get_or_insert_default().waiting.insert(offset)
    }

    /// `false` where it does not wait.
    fn stop_waiting(&mut self, offset: u64) -> bool {
        let Some(more) = &mut self.more else { return false };
        let was_there = more.waiting.remove(offset);
        self.tidy();
        was_there
    }
}

impl Groups {
    fn active(&self, lane: u16, group: u64) -> Option<&Active> {
        self.lanes.get(&lane)?.active.get(&group)
    }

    fn active_mut(&mut self, lane: u16, group: u64) -> Option<&mut Active> {
        self.lanes.get_mut(&lane)?.active.get_mut(&group)
    }

    fn group_of(&self, place: Place) -> Option<u64> {
        self.lanes.get(&place.lane)?.known.get(place.offset).copied()
    }

    /// Whether a message would be admitted.
    pub(crate) fn is_free(&self, place: Place, group: u64, receive: Option<u64>) -> bool {
        let active = self.active(place.lane, group);
        active.is_none_or(|active| active.is_free(place.offset, receive))
    }

    /// Whether a message may go out, which it does then; if not, it waits for its group.
    /// Messages of one group that go out by the same receive do not wait for each other.
    pub(crate) fn admit(&mut self, place: Place, group: u64, receive: Option<u64>) -> Admitted {
        let lane = self.lanes.entry(place.lane).or_default();
        let active = lane.active.entry(group).or_default();
        if !active.is_free(place.offset, receive) {
            self.n_waiting += u64::from(active.start_waiting(place.offset));
            return Admitted::No;
        }
        active.receive = receive.unwrap_or(0);
        match active.set(place.offset, true) {
            Some(_) => Admitted::Again,
            None => {
                lane.known.insert(place.offset, group);
                Admitted::First
            }
        }
    }

    /// A message is known; nobody has it.
    pub(crate) fn set_known(&mut self, place: Place, group: u64) {
        if let Some(before) = self.group_of(place).filter(|before| *before != group) {
            // Only damaged state says so.
            self.remove(place, before);
        }
        let lane = self.lanes.entry(place.lane).or_default();
        lane.known.insert(place.offset, group);
        let active = lane.active.entry(group).or_default();
        if !active.knows(place.offset) {
            active.set(place.offset, false);
        }
    }

    /// A message is out; where its group is known.
    pub(crate) fn set_out(&mut self, place: Place) {
        let Some(group) = self.group_of(place) else { return };
        if let Some(active) = self.active_mut(place.lane, group) {
            active.set(place.offset, true);
        }
    }

    /// The known messages, in order.
    pub(crate) fn known(&self) -> Vec<(Place, u64)> {
        let of_lane = |(lane, of): (&u16, &OfLane)| {
            let lane = *lane;
            let known = of.known.iter();
            known.map(|(offset, group)| (Place { lane, offset }, *group)).collect::<Vec<_>>()
        };
        let mut known: Vec<(Place, u64)> = self.lanes.iter().flat_map(of_lane).collect();
        known.sort_unstable();
        known
    }

    /// How many wait for their group.
    pub(crate) const fn n_waiting(&self) -> u64 {
        self.n_waiting
    }

    /// Takes out everything that waits behind a message of its group that is known.
    pub(crate) fn take_waiting(&mut self) -> Vec<Place> {
        self.n_waiting = 0;
        let mut taken = Vec::new();
        for (lane, of) in &mut self.lanes {
            for active in of.active.values_mut() {
                if let Some(more) = &mut active.more {
                    let waiting = std::mem::take(&mut more.waiting);
                    taken.extend(waiting.into_iter().map(|offset| Place { lane: *lane, offset }));
                }
                active.tidy();
            }
            of.active.retain(|_, active| !active.is_over());
        }
        taken
    }

    /// A message that waits behind another one of its group does not any more.
    pub(crate) fn forget_waiting(&mut self, place: Place, group: u64) {
        let active = self.active_mut(place.lane, group);
        if active.is_some_and(|active| active.stop_waiting(place.offset)) {
            self.n_waiting = self.n_waiting.saturating_sub(1);
        }
    }

    /// Nothing of these is to be delivered any more.
    pub(crate) fn forget(&mut self, lane: u16, from: u64, to: u64) {
        let Some(of) = self.lanes.get(&lane).filter(|of| !of.known.is_empty()) else { return };
        for (offset, group) in of.known.range(from, to) {
            self.remove(Place { lane, offset }, group);
        }
    }

    /// Nothing of a lane below this is there any more, except what is out: those that may go out
    /// for that, as [`Groups::done`] gives them.
    pub(crate) fn forget_below(&mut self, lane: u16, to: u64) -> Vec<(Place, u64)> {
        let Some(of) = self.lanes.get(&lane) else { return Vec::new() };
        let groups: Vec<u64> = of.active.keys().copied().collect();
        let (mut next, mut n_gone) = (Vec::new(), 0);
        for group in groups {
            let Some(active) = self.active_mut(lane, group) else { continue };
            if let Some(more) = &mut active.more {
                n_gone += more.waiting.remove_range(..to);
            }
            active.tidy();
            let is_gone = |known: &Known| known.offset() < to && !known.is_out();
            let gone: Vec<u64> = active.known().filter(is_gone).map(Known::offset).collect();
            for offset in gone {
                self.remove(Place { lane, offset }, group);
            }
            next.extend(self.poll_next(lane, group));
        }
        if let Some(of) = self.lanes.get_mut(&lane) {
            of.active.retain(|_, active| !active.is_over());
        }
        self.n_waiting = self.n_waiting.saturating_sub(n_gone);
        next
    }

    fn remove(&mut self, place: Place, group: u64) {
        let Some(lane) = self.lanes.get_mut(&place.lane) else { return };
        lane.known.remove(place.offset);
        let Some(active) = lane.active.get_mut(&group) else { return };
        active.remove(place.offset);
        if active.is_over() {
            lane.active.remove(&group);
            if lane.active.is_empty() && lane.active.capacity() > 1024 {
                lane.active = HashMap::new();
            }
        }
    }

    /// A message is done with: the next of its group that waited, and may go out now; it is
    /// known from here on, and has to be logged where it was not.
    pub(crate) fn done(&mut self, place: Place) -> Option<(Place, u64)> {
        let group = self.group_of(place)?;
        self.remove(place, group);
        self.poll_next(place.lane, group)
    }

    /// A message is not out any more, and not done: as [`Groups::done`].
    pub(crate) fn released(&mut self, place: Place) -> Option<(Place, u64)> {
        let group = self.group_of(place)?;
        self.active_mut(place.lane, group)?.set(place.offset, false);
        self.poll_next(place.lane, group)
    }

    fn poll_next(&mut self, lane: u16, group: u64) -> Option<(Place, u64)> {
        let offset = self.active_mut(lane, group)?.poll_next()?;
        self.n_waiting = self.n_waiting.saturating_sub(1);
        let next = Place { lane, offset };
        self.set_known(next, group);
        Some((next, group))
    }

    /// The message of a group that waits behind one that goes out, to go out by the same receive.
    pub(crate) fn poll_follower(&mut self, lane: u16, group: u64) -> Option<Place> {
        let active = self.active_mut(lane, group)?;
        let offset = active.first_waiting()?;
        active.stop_waiting(offset);
        self.n_waiting = self.n_waiting.saturating_sub(1);
        Some(Place { lane, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: u64 = 7;

    fn at(offset: u64) -> Place {
        Place { lane: 0, offset }
    }

    fn admit(groups: &mut Groups, offset: u64, receive: u64) -> bool {
        groups.admit(at(offset), GROUP, Some(receive)) != Admitted::No
    }

    /// The second was about to follow the first in one receive, which then had no room for it.
    fn second_is_ready_and_third_goes_next() -> Groups {
        let mut groups = Groups::default();
        assert!(admit(&mut groups, 1, 1));
        assert!(!admit(&mut groups, 5, 2) && !admit(&mut groups, 9, 2));
        assert_eq!(groups.poll_follower(0, GROUP), Some(at(5)));
        assert_eq!(groups.done(at(1)), Some((at(9), GROUP)));
        groups
    }

    #[test]
    fn a_group_takes_32_bytes() {
        assert_eq!(size_of::<Active>(), 32);
    }

    #[test]
    fn one_that_waits_again_goes_before_those_behind_it() {
        let mut groups = second_is_ready_and_third_goes_next();
        assert!(admit(&mut groups, 3, 3));
        assert!(!admit(&mut groups, 5, 4) && !admit(&mut groups, 9, 4));
        assert_eq!(groups.done(at(3)), Some((at(5), GROUP)));
        assert!(admit(&mut groups, 5, 5));
        assert_eq!(groups.done(at(5)), Some((at(9), GROUP)));
        assert_eq!(groups.n_waiting(), 0);
    }

    #[test]
    fn a_run_does_not_go_past_one_that_waits() {
        let mut groups = Groups::default();
        assert!(admit(&mut groups, 1, 1));
        assert!(!admit(&mut groups, 5, 2));
        assert!(!admit(&mut groups, 9, 1), "5 waits");
        assert_eq!(groups.poll_follower(0, GROUP), Some(at(5)));
        assert!(admit(&mut groups, 5, 1));
        assert_eq!(groups.poll_follower(0, GROUP), Some(at(9)));
        assert!(admit(&mut groups, 9, 1));
    }
}
