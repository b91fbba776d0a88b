//! Ordered groups: one message of a group out at a time, in the order of their offsets.
//!
//! Only groups that have a message out, or ready again, are known here. Invariant: `heads` has
//! exactly the head of every group in `active`, and what waits for it is parked.

use roaring::RoaringTreemap;
use std::collections::{BTreeMap, HashMap};

use crate::Place;

#[derive(Default)]
pub(crate) struct Groups {
    active: HashMap<(u16, u64), Active>,
    heads: BTreeMap<Place, u64>,
}

/// See [`Groups::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It goes before all others of its group from here on.
    First,
    /// It does already.
    Head,
    /// It waits.
    No,
}

struct Active {
    head: u64,
    waiting: RoaringTreemap,
}

impl Groups {
    /// Whether a message may go out; if not, it waits for its group's head.
    pub(crate) fn admit(&mut self, place: Place, group: u64) -> Admitted {
        match self.active.get_mut(&(place.lane, group)) {
            None => {
                self.set_head(place, group);
                Admitted::First
            }
            Some(active) if active.head == place.offset => Admitted::Head,
            Some(active) => {
                active.waiting.insert(place.offset);
                Admitted::No
            }
        }
    }

    /// A message goes before all others of its group.
    pub(crate) fn set_head(&mut self, place: Place, group: u64) {
        let active = Active { head: place.offset, waiting: RoaringTreemap::new() };
        if let Some(before) = self.active.insert((place.lane, group), active) {
            self.heads.remove(&Place { lane: place.lane, offset: before.head });
        }
        self.heads.insert(place, group);
    }

    /// The messages that go before all others of their groups.
    pub(crate) fn heads(&self) -> impl ExactSizeIterator<Item = (Place, u64)> {
        self.heads.iter().map(|(place, group)| (*place, *group))
    }

    /// Takes out everything that waits for a head.
    pub(crate) fn take_waiting(&mut self) -> Vec<Place> {
        let waiting = self.active.iter_mut().flat_map(|((lane, _), active)| {
            let lane = *lane;
            let offsets = std::mem::take(&mut active.waiting);
            offsets.into_iter().map(move |offset| Place { lane, offset })
        });
        waiting.collect()
    }

    /// Nothing of these is to be delivered any more.
    pub(crate) fn forget(&mut self, lane: u16, from: u64, to: u64) {
        let place = |offset| Place { lane, offset };
        while let Some((head, group)) =
            self.heads.range(place(from)..place(to)).next().map(|(head, group)| (*head, *group))
        {
            self.heads.remove(&head);
            self.active.remove(&(lane, group));
        }
    }

    /// A message is done with: the next of its group, which may go out now.
    pub(crate) fn done(&mut self, place: Place) -> Option<(Place, u64)> {
        let group = self.heads.remove(&place)?;
        let key = (place.lane, group);
        let active = self.active.get_mut(&key)?;
        let Some(offset) = active.waiting.min() else {
            self.active.remove(&key);
            return None;
        };
        active.waiting.remove(offset);
        active.head = offset;
        let next = Place { lane: place.lane, offset };
        self.heads.insert(next, group);
        Some((next, group))
    }
}
