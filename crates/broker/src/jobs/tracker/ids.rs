//! Jobs by their ids. Ids are kept with the jobs alone; senders choose them, so they are hashed
//! with a key that nobody knows.

use super::{super::job::Job, slots::Slot, slots::Slots};
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};

/// A part of an id's hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct IdHash(u32);

impl IdHash {
    /// Its bits where the table looks for them: at the top and at the bottom.
    const fn spread(self) -> u64 {
        let spread = (self.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        spread ^ (spread >> 32)
    }
}

#[derive(Default)]
pub(super) struct Ids {
    table: HashTable<(IdHash, Slot)>,
    key: RandomState,
}

impl Ids {
    pub(super) fn hash(&self, id: &str) -> IdHash {
        let [a, b, c, d, ..] = self.key.hash_one(id).to_le_bytes();
        IdHash(u32::from_le_bytes([a, b, c, d]))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn find(&self, hash: IdHash, id: &str, jobs: &Slots) -> Option<Slot> {
        let is_of = |job: &Job| *job.id == *id;
        let is_it =
            |(known, slot): &(IdHash, Slot)| *known == hash && jobs.get(*slot).is_some_and(is_of);
        self.table.find(hash.spread(), is_it).map(|(_, slot)| *slot)
    }

    /// Takes in one that is not there.
    pub(super) fn insert(&mut self, hash: IdHash, slot: Slot) {
        self.table.insert_unique(hash.spread(), (hash, slot), |(known, _)| known.spread());
    }

    pub(super) fn remove(&mut self, hash: IdHash, slot: Slot) {
        if let Ok(found) = self.table.find_entry(hash.spread(), |(_, at)| *at == slot) {
            found.remove();
        }
    }

    /// Gives back what many that are gone took.
    pub(super) fn shrink(&mut self) {
        if self.table.capacity() > 4 * self.table.len() + 1024 {
            self.table.shrink_to(2 * self.table.len(), |(known, _)| known.spread());
        }
    }
}
