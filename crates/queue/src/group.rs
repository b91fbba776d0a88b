//! Ordered groups: messages of one group go out in the order of their offsets, one at a time or
//! a run of them in one receive, and none while some are out.
//!
//! Only groups of which messages are *known* are here: those that went out and are not done, and
//! the one that goes next. Invariant: `known` has exactly the known messages of every group in
//! `active`; what waits for its group is parked.

use roaring::RoaringTreemap;
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};

use crate::Place;

#[derive(Default)]
pub(crate) struct Groups {
    active: HashMap<(u16, u64), Active>,
    known: BTreeMap<Place, u64>,
    /// How many wait for their group.
    n_waiting: u64,
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

#[derive(Default)]
struct Active {
    /// The known ones in order, and whether they are out.
    known: SmallVec<[(u64, bool); 1]>,
    n_out: u32,
    /// Those that wait; most groups have none.
    waiting: Option<Box<RoaringTreemap>>,
    /// The receive that they are out by; 0 for none.
    receive: u64,
}

impl Active {
    /// Makes a message known; gives whether it was out, if it was known before.
    fn set(&mut self, offset: u64, out: bool) -> Option<bool> {
        let before = match self.known.binary_search_by_key(&offset, |(known, _)| *known) {
            Ok(at) => Some(std::mem::replace(&mut self.known[at].1, out)),
            Err(at) => {
                self.known.insert(at, (offset, out));
                None
            }
        };
        self.n_out += u32::from(out);
        self.n_out -= u32::from(before == Some(true));
        before
    }

    fn remove(&mut self, offset: u64) {
        if let Ok(at) = self.known.binary_search_by_key(&offset, |(known, _)| *known) {
            let (_, out) = self.known.remove(at);
            self.n_out -= u32::from(out);
        }
    }

    fn is_free(&self, offset: u64, receive: Option<u64>) -> bool {
        if self.n_out > 0 && receive.is_none_or(|receive| receive != self.receive) {
            return false;
        }
        // Whatever came before it and is not out goes first.
        let known = self.known.iter().find(|(_, out)| !out).map(|(first, _)| *first);
        known.into_iter().chain(self.first_waiting()).all(|first| first >= offset)
    }

    /// The next to go out, when none is, if it waits.
    fn poll_next(&mut self) -> Option<u64> {
        if self.n_out > 0 {
            return None;
        }
        // One that is known may have another before it that was not when it became so.
        let known = self.known.first().map(|(offset, _)| *offset);
        let next = known.into_iter().chain(self.first_waiting()).min()?;
        self.stop_waiting(next).then_some(next)
    }

    fn first_waiting(&self) -> Option<u64> {
        self.waiting.as_ref()?.min()
    }

    /// `false` where it waits already.
    fn start_waiting(&mut self, offset: u64) -> bool {
        self.waiting.get_or_insert_default().insert(offset)
    }

    /// `false` where it does not wait.
    fn stop_waiting(&mut self, offset: u64) -> bool {
        let Some(waiting) = &mut self.waiting else { return false };
        let was_there = waiting.remove(offset);
        if waiting.is_empty() {
            self.waiting = None;
        }
        was_there
    }
}

impl Groups {
    /// Whether a message would be admitted.
    pub(crate) fn is_free(&self, place: Place, group: u64, receive: Option<u64>) -> bool {
        let active = self.active.get(&(place.lane, group));
        active.is_none_or(|active| active.is_free(place.offset, receive))
    }

    /// Whether a message may go out, which it does then; if not, it waits for its group.
    /// Messages of one group that go out by the same receive do not wait for each other.
    pub(crate) fn admit(&mut self, place: Place, group: u64, receive: Option<u64>) -> Admitted {
        let active = self.active.entry((place.lane, group)).or_default();
        if !active.is_free(place.offset, receive) {
            self.n_waiting += u64::from(active.start_waiting(place.offset));
            return Admitted::No;
        }
        active.receive = receive.unwrap_or(0);
        match active.set(place.offset, true) {
            Some(_) => Admitted::Again,
            None => {
                self.known.insert(place, group);
                Admitted::First
            }
        }
    }

    /// A message is known; nobody has it.
    pub(crate) fn set_known(&mut self, place: Place, group: u64) {
        if let Some(before) = self.known.insert(place, group)
            && before != group
        {
            // Only damaged state says so.
            self.remove(place, before);
            self.known.insert(place, group);
        }
        let active = self.active.entry((place.lane, group)).or_default();
        if active.known.binary_search_by_key(&place.offset, |(known, _)| *known).is_err() {
            active.set(place.offset, false);
        }
    }

    /// A message is out; where its group is known.
    pub(crate) fn set_out(&mut self, place: Place) {
        let Some(group) = self.known.get(&place) else { return };
        if let Some(active) = self.active.get_mut(&(place.lane, *group)) {
            active.set(place.offset, true);
        }
    }

    /// The known messages.
    pub(crate) fn known(&self) -> impl ExactSizeIterator<Item = (Place, u64)> {
        self.known.iter().map(|(place, group)| (*place, *group))
    }

    /// How many wait for their group.
    pub(crate) const fn n_waiting(&self) -> u64 {
        self.n_waiting
    }

    /// Takes out everything that waits behind a message of its group that is known.
    pub(crate) fn take_waiting(&mut self) -> Vec<Place> {
        self.n_waiting = 0;
        let waiting = self.active.iter_mut().flat_map(|((lane, _), active)| {
            let lane = *lane;
            let offsets = active.waiting.take();
            offsets
                .into_iter()
                .flat_map(|offsets| *offsets)
                .map(move |offset| Place { lane, offset })
        });
        waiting.collect()
    }

    /// A message that waits behind another one of its group does not any more.
    pub(crate) fn forget_waiting(&mut self, place: Place) {
        let of_lane = self.active.iter_mut().filter(|((lane, _), _)| *lane == place.lane);
        for (_, active) in of_lane {
            if active.stop_waiting(place.offset) {
                self.n_waiting = self.n_waiting.saturating_sub(1);
                return;
            }
        }
    }

    /// Nothing of these is to be delivered any more.
    pub(crate) fn forget(&mut self, lane: u16, from: u64, to: u64) {
        let place = |offset| Place { lane, offset };
        while let Some((known, group)) =
            self.known.range(place(from)..place(to)).next().map(|(known, group)| (*known, *group))
        {
            self.remove(known, group);
        }
    }

    /// Nothing of a lane below this is there any more, except what is out: those that may go out
    /// for that, as [`Groups::done`] gives them.
    pub(crate) fn forget_below(&mut self, lane: u16, to: u64) -> Vec<(Place, u64)> {
        let of_lane = self.active.keys().filter(|(of, _)| *of == lane);
        let groups: Vec<u64> = of_lane.map(|(_, group)| *group).collect();
        let mut next = Vec::new();
        for group in groups {
            let Some(active) = self.active.get_mut(&(lane, group)) else { continue };
            if let Some(waiting) = &mut active.waiting {
                self.n_waiting = self.n_waiting.saturating_sub(waiting.remove_range(..to));
                if waiting.is_empty() {
                    active.waiting = None;
                }
            }
            let is_gone = |(offset, out): &&(u64, bool)| *offset < to && !out;
            let gone: Vec<u64> = active.known.iter().filter(is_gone).map(|known| known.0).collect();
            for offset in gone {
                self.remove(Place { lane, offset }, group);
            }
            next.extend(self.poll_next(lane, group));
        }
        next
    }

    fn remove(&mut self, place: Place, group: u64) {
        self.known.remove(&place);
        let key = (place.lane, group);
        let Some(active) = self.active.get_mut(&key) else { return };
        active.remove(place.offset);
        if active.known.is_empty() && active.waiting.is_none() {
            self.active.remove(&key);
        }
    }

    /// A message is done with: the next of its group that waited, and may go out now; it is
    /// known from here on, and has to be logged where it was not.
    pub(crate) fn done(&mut self, place: Place) -> Option<(Place, u64)> {
        let group = *self.known.get(&place)?;
        self.remove(place, group);
        self.poll_next(place.lane, group)
    }

    /// A message is not out any more, and not done: as [`Groups::done`].
    pub(crate) fn released(&mut self, place: Place) -> Option<(Place, u64)> {
        let group = *self.known.get(&place)?;
        let active = self.active.get_mut(&(place.lane, group))?;
        active.set(place.offset, false);
        self.poll_next(place.lane, group)
    }

    fn poll_next(&mut self, lane: u16, group: u64) -> Option<(Place, u64)> {
        let offset = self.active.get_mut(&(lane, group))?.poll_next()?;
        self.n_waiting = self.n_waiting.saturating_sub(1);
        let next = Place { lane, offset };
        self.set_known(next, group);
        Some((next, group))
    }

    /// The message of a group that waits behind one that goes out, to go out by the same receive.
    pub(crate) fn poll_follower(&mut self, lane: u16, group: u64) -> Option<Place> {
        let active = self.active.get_mut(&(lane, group))?;
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
