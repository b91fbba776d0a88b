//! One lane's deliveries that are out, by offset.
//!
//! They come in runs: 64 offsets share a chunk, a bitmap of those that are out and what is known
//! of each, in order. A lock takes its 24 bytes and little more, and nothing is ever rehashed.

use crate::lane::OffsetMap;
use tramline_types::{ConnectionId, Timestamp};

/// One delivery that is out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) sequence: u64,
    /// The connection; of a timed lock its end, in milliseconds.
    by: u64,
    pub(crate) bytes: u32,
    is_timed: bool,
}

impl Held {
    /// A delivery that is held until a time.
    pub(crate) const fn timed(sequence: u64, until: Timestamp, bytes: u32) -> Self {
        Self { sequence, by: until.as_millis().cast_unsigned(), bytes, is_timed: true }
    }

    /// A delivery that a connection holds.
    pub(crate) const fn of_connection(sequence: u64, connection: ConnectionId, bytes: u32) -> Self {
        Self { sequence, by: connection.0, bytes, is_timed: false }
    }

    /// Who holds it.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        (!self.is_timed).then_some(ConnectionId(self.by))
    }

    /// When a timed lock ends.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.is_timed.then_some(Timestamp::from_millis(self.by.cast_signed()))
    }

    /// A timed lock ends at another time.
    pub(crate) const fn set_until(&mut self, until: Timestamp) {
        self.by = until.as_millis().cast_unsigned();
    }
}

/// See above.
#[derive(Default)]
pub(crate) struct Locks {
    chunks: OffsetMap<Chunk>,
    len: usize,
}

#[derive(Default)]
struct Chunk {
    members: u64,
    held: Vec<Held>,
}

const CHUNK: u64 = u64::BITS as u64;

/// The chunk of an offset, and its bit there.
const fn split(offset: u64) -> (u64, u64) {
    (offset / CHUNK, 1 << (offset % CHUNK))
}

impl Chunk {
    /// Where an offset's lock is, or would be.
    fn rank(&self, bit: u64) -> usize {
        usize::try_from((self.members & (bit - 1)).count_ones()).unwrap_or(usize::MAX)
    }

    const fn has(&self, bit: u64) -> bool {
        self.members & bit != 0
    }

    fn offsets(&self, chunk: u64) -> impl Iterator<Item = u64> + use<> {
        let mut left = self.members;
        std::iter::from_fn(move || {
            let place = (left != 0).then(|| u64::from(left.trailing_zeros()))?;
            left &= left - 1;
            Some(chunk * CHUNK + place)
        })
    }
}

impl Locks {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, offset: u64) -> Option<&Held> {
        let (chunk, bit) = split(offset);
        let chunk = self.chunks.get(&chunk).filter(|chunk| chunk.has(bit))?;
        chunk.held.get(chunk.rank(bit))
    }

    pub(crate) fn get_mut(&mut self, offset: u64) -> Option<&mut Held> {
        let (chunk, bit) = split(offset);
        let chunk = self.chunks.get_mut(&chunk).filter(|chunk| chunk.has(bit))?;
        let rank = chunk.rank(bit);
        chunk.held.get_mut(rank)
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.get(offset).is_some()
    }

    /// Adds one, in place of one that is there.
    pub(crate) fn insert(&mut self, offset: u64, held: Held) {
        let (chunk, bit) = split(offset);
        let chunk = self.chunks.entry(chunk).or_default();
        let rank = chunk.rank(bit);
        if chunk.has(bit) {
            chunk.held[rank] = held;
            return;
        }
        chunk.members |= bit;
        chunk.held.insert(rank, held);
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, offset: u64) -> Option<Held> {
        let (key, bit) = split(offset);
        let chunk = self.chunks.get_mut(&key).filter(|chunk| chunk.has(bit))?;
        let held = chunk.held.remove(chunk.rank(bit));
        chunk.members &= !bit;
        if chunk.members == 0 {
            self.chunks.remove(&key);
            if self.chunks.is_empty() && self.chunks.capacity() > 1024 {
                self.chunks = OffsetMap::default();
            }
        }
        self.len -= 1;
        Some(held)
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Held)> {
        self.chunks.iter().flat_map(|(key, chunk)| chunk.offsets(*key).zip(&chunk.held))
    }

    /// The offsets of all, in no order.
    pub(crate) fn offsets(&self) -> impl Iterator<Item = u64> {
        self.chunks.iter().flat_map(|(key, chunk)| chunk.offsets(*key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn held(sequence: u64) -> Held {
        Held::timed(sequence, Timestamp::from_millis(1), 0)
    }

    #[test]
    fn locks_are_found_as_in_a_map() {
        let (mut locks, mut model) = (Locks::default(), BTreeMap::new());
        let mut random = 1_u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = (random >> 33) % 300;
            if random >> 63 == 0 {
                locks.insert(offset, held(step));
                model.insert(offset, step);
            } else {
                let removed = locks.remove(offset).map(|held| held.sequence);
                assert_eq!(removed, model.remove(&offset));
            }
            assert_eq!(locks.len(), model.len());
        }
        let mut all: Vec<(u64, u64)> = locks.iter().map(|(at, held)| (at, held.sequence)).collect();
        all.sort_unstable();
        assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        let mut offsets: Vec<u64> = locks.offsets().collect();
        offsets.sort_unstable();
        assert!(offsets.iter().all(|offset| locks.contains(*offset)));
        offsets.iter().for_each(|offset| _ = locks.remove(*offset));
        assert!(locks.is_empty() && locks.chunks.is_empty());
    }

    #[test]
    fn a_lock_takes_24_bytes() {
        assert_eq!(size_of::<Held>(), 24);
    }
}
