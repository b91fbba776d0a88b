//! Which deduplication ids were seen, on which message, and until when they count.

use crate::Place;
use std::collections::{HashMap, VecDeque};

#[derive(Default)]
pub(crate) struct Seen {
    known: HashMap<u128, (i64, Place)>,
    order: VecDeque<(i64, u128)>,
}

impl Seen {
    /// The message that has this id.
    pub(crate) fn find(&self, hash: u128, now: i64) -> Option<Place> {
        self.known.get(&hash).filter(|(until, _)| *until > now).map(|(_, place)| *place)
    }

    pub(crate) fn insert(&mut self, hash: u128, until: i64, place: Place) {
        self.known.insert(hash, (until, place));
        self.order.push_back((until, hash));
    }

    pub(crate) fn expire(&mut self, now: i64) {
        while let Some(&(until, hash)) = self.order.front()
            && until <= now
        {
            self.order.pop_front();
            // A later sighting counts longer.
            if self.known.get(&hash).is_some_and(|(known, _)| *known == until) {
                self.known.remove(&hash);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, i64, Place)> {
        self.order.iter().filter_map(|(until, hash)| {
            let (known, place) = self.known.get(hash)?;
            (known == until).then_some((*hash, *until, *place))
        })
    }
}
