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

struct Active {
    head: u64,
    waiting: RoaringTreemap,
}

impl Groups {
    /// Whether a message may go out; if not, it waits for its group's head.
    pub(crate) fn admit(&mut self, place: Place, group: u64) -> bool {
        match self.active.get_mut(&(place.lane, group)) {
            None => {
                let active = Active { head: place.offset, waiting: RoaringTreemap::new() };
                self.active.insert((place.lane, group), active);
                self.heads.insert(place, group);
                true
            }
            Some(active) if active.head == place.offset => true,
            Some(active) => {
                active.waiting.insert(place.offset);
                false
            }
        }
    }

    /// A message is done with: the next of its group, which may go out now.
    pub(crate) fn done(&mut self, place: Place) -> Option<Place> {
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
        Some(next)
    }
}
