//! Which deduplication ids were seen, and until when they count.

use std::collections::{HashMap, VecDeque};

#[derive(Default)]
pub(crate) struct Seen {
    until: HashMap<u128, i64>,
    order: VecDeque<(i64, u128)>,
}

impl Seen {
    pub(crate) fn contains(&self, hash: u128, now: i64) -> bool {
        self.until.get(&hash).is_some_and(|until| *until > now)
    }

    pub(crate) fn insert(&mut self, hash: u128, until: i64) {
        self.until.insert(hash, until);
        self.order.push_back((until, hash));
    }

    pub(crate) fn expire(&mut self, now: i64) {
        while let Some(&(until, hash)) = self.order.front()
            && until <= now
        {
            self.order.pop_front();
            // A later sighting counts longer.
            if self.until.get(&hash) == Some(&until) {
                self.until.remove(&hash);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u128, i64)> {
        self.order
            .iter()
            .filter(|(until, hash)| self.until.get(hash) == Some(until))
            .map(|(until, hash)| (*hash, *until))
    }
}
