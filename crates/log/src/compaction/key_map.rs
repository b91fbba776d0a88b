//! The latest offset of each key, within a byte budget.
//!
//! ```text
//! slot = 128 bits of keyed hash | offset + 1, 0 where the slot is empty
//! ```
//! Keys are told apart by their hash alone. The hash has a secret key, so that nobody can send
//! two keys that collide; by chance it happens once in 2^128 / n² keys.

use std::hash::{BuildHasher, RandomState};
use tramline_types::Offset;

#[derive(Clone, Copy, Default)]
struct Slot {
    hash: [u64; 2],
    offset_plus_one: u64,
}

/// What one slot takes.
const SLOT_BYTES: usize = size_of::<Slot>();
/// A smaller map than this is not worth a pass.
const SLOTS_MIN: usize = 64;

/// Latest offsets by key; [`KeyMap::put`] refuses when it is full.
pub(crate) struct KeyMap {
    slots: Vec<Slot>,
    used: usize,
    hashers: [RandomState; 2],
}

impl KeyMap {
    /// A map for up to `keys_max` keys, as far as the budget goes.
    pub(crate) fn new(keys_max: u64, bytes_max: usize) -> Self {
        let wanted = usize::try_from(keys_max).unwrap_or(usize::MAX);
        let wanted = wanted.saturating_add(wanted / 4).saturating_add(SLOTS_MIN);
        let slots = wanted.min((bytes_max / SLOT_BYTES).max(SLOTS_MIN));
        Self {
            slots: vec![Slot::default(); slots],
            used: 0,
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// Notes a key's offset, which is above all noted before. `false` when there is no room.
    pub(crate) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.slot(hash);
        if self.slots[at].offset_plus_one == 0 {
            if self.used >= self.slots.len() / 8 * 7 {
                return false;
            }
            self.used += 1;
        }
        self.slots[at] = Slot { hash, offset_plus_one: offset.get() + 1 };
        true
    }

    /// A key's latest offset.
    pub(crate) fn latest(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.slot(self.hash(key))];
        slot.offset_plus_one.checked_sub(1).and_then(Offset::new)
    }

    /// How many keys it holds.
    pub(crate) const fn len(&self) -> usize {
        self.used
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [self.hashers[0].hash_one(key), self.hashers[1].hash_one(key)]
    }

    /// The slot of this hash, or the empty one where it belongs. There always is one: an eighth
    /// of the slots stays empty.
    fn slot(&self, hash: [u64; 2]) -> usize {
        let slots = self.slots.len();
        let first = usize::try_from(hash[0] % slots as u64).expect("below the number of slots");
        (first..slots)
            .chain(0..first)
            .find(|at| self.slots[*at].offset_plus_one == 0 || self.slots[*at].hash == hash)
            .expect("an eighth of the slots is empty")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Offset {
        Offset::new(offset).unwrap()
    }

    #[test]
    fn the_latest_offset_of_each_key_is_known_until_the_budget_is_used_up() {
        let mut map = KeyMap::new(u64::MAX, 100 * SLOT_BYTES);
        let key = |n: u64| n.to_be_bytes();
        let taken = (0..).take_while(|n| map.put(&key(*n), at(*n))).count() as u64;
        assert!((80..100).contains(&taken), "{taken}");
        assert!(map.put(&key(3), at(1000)), "a known key needs no room");
        assert_eq!(map.latest(&key(3)), Some(at(1000)));
        assert_eq!(map.latest(&key(4)), Some(at(4)));
        assert_eq!(map.latest(&key(taken)), None);
        assert_eq!(map.len() as u64, taken);
    }

    #[test]
    fn few_keys_take_little_memory_and_always_find_room() {
        for keys in [0, 1, 10, 1000] {
            let mut map = KeyMap::new(keys, usize::MAX);
            assert!(map.slots.len() as u64 <= keys * 2 + 64);
            assert!((0..keys).all(|n| map.put(&n.to_be_bytes(), at(n))), "{keys}");
        }
    }
}
