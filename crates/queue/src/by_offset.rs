//! Something about many offsets of one lane.
//!
//! They come in runs: 64 offsets share a chunk, a bitmap of those that are there and their
//! values, in order. A value takes its size and little more, and none is ever rehashed.

use crate::lane::OffsetMap;

/// See above.
pub(crate) struct ByOffset<T> {
    chunks: OffsetMap<Chunk<T>>,
    len: usize,
}

impl<T> Default for ByOffset<T> {
    fn default() -> Self {
        Self { chunks: OffsetMap::default(), len: 0 }
    }
}

struct Chunk<T> {
    members: u64,
    values: Vec<T>,
}

impl<T> Default for Chunk<T> {
    fn default() -> Self {
        Self { members: 0, values: Vec::new() }
    }
}

const CHUNK: u64 = u64::BITS as u64;
/// Room for so many values is not given up before the last of them goes.
const KEPT_CAPACITY: usize = 8;

/// The chunk of an offset, and its bit there.
const fn split(offset: u64) -> (u64, u64) {
    (offset / CHUNK, 1 << (offset % CHUNK))
}

impl<T> Chunk<T> {
    /// Where an offset's value is, or would be.
    fn rank(&self, bit: u64) -> usize {
        usize::try_from((self.members & (bit - 1)).count_ones()).unwrap_or(usize::MAX)
    }

    const fn has(&self, bit: u64) -> bool {
        self.members & bit != 0
    }

    fn offsets(&self, chunk: u64) -> impl Iterator<Item = u64> + use<T> {
        let mut left = self.members;
        std::iter::from_fn(move || {
            let place = (left != 0).then(|| u64::from(left.trailing_zeros()))?;
            left &= left - 1;
            Some(chunk * CHUNK + place)
        })
    }
}

impl<T> ByOffset<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, offset: u64) -> Option<&T> {
        let (chunk, bit) = split(offset);
        let chunk = self.chunks.get(&chunk).filter(|chunk| chunk.has(bit))?;
        chunk.values.get(chunk.rank(bit))
    }

    pub(crate) fn get_mut(&mut self, offset: u64) -> Option<&mut T> {
        let (chunk, bit) = split(offset);
        let chunk = self.chunks.get_mut(&chunk).filter(|chunk| chunk.has(bit))?;
        let rank = chunk.rank(bit);
        chunk.values.get_mut(rank)
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.get(offset).is_some()
    }

    /// Adds one; gives the one that was there.
    pub(crate) fn insert(&mut self, offset: u64, value: T) -> Option<T> {
        let (chunk, bit) = split(offset);
        let chunk = self.chunks.entry(chunk).or_default();
        let rank = chunk.rank(bit);
        if chunk.has(bit) {
            return Some(std::mem::replace(&mut chunk.values[rank], value));
        }
        chunk.members |= bit;
        chunk.values.insert(rank, value);
        self.len += 1;
        None
    }

    pub(crate) fn remove(&mut self, offset: u64) -> Option<T> {
        let (key, bit) = split(offset);
        let chunk = self.chunks.get_mut(&key).filter(|chunk| chunk.has(bit))?;
        let value = chunk.values.remove(chunk.rank(bit));
        chunk.members &= !bit;
        let (len, capacity) = (chunk.values.len(), chunk.values.capacity());
        if capacity > KEPT_CAPACITY && len * 2 <= capacity {
            // With some room, so that one more and one less do not make it go to and fro.
            chunk.values.shrink_to(len + len / 4);
        }
        if chunk.members == 0 {
            self.chunks.remove(&key);
            if self.chunks.is_empty() && self.chunks.capacity() > 1024 {
                self.chunks = OffsetMap::default();
            }
        }
        self.len -= 1;
        Some(value)
    }

    /// All of them, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.chunks.iter().flat_map(|(key, chunk)| chunk.offsets(*key).zip(&chunk.values))
    }

    /// Those of a range, in order.
    pub(crate) fn range(&self, from: u64, to: u64) -> Vec<(u64, T)>
    where
        T: Copy,
    {
        let (first, last) = (from / CHUNK, to.div_ceil(CHUNK));
        let of_chunk = |(key, chunk): (u64, &Chunk<T>)| {
            let all = chunk.offsets(key).zip(chunk.values.iter().copied());
            all.filter(|(offset, _)| (from..to).contains(offset)).collect::<Vec<_>>()
        };
        if last - first < u64::try_from(self.chunks.len()).unwrap_or(u64::MAX) {
            let chunks = (first..last).filter_map(|key| Some((key, self.chunks.get(&key)?)));
            return chunks.flat_map(of_chunk).collect();
        }
        let is_near = |(key, _): &(&u64, &Chunk<T>)| (first..last).contains(*key);
        let chunks = self.chunks.iter().filter(is_near).map(|(key, chunk)| (*key, chunk));
        let mut found: Vec<(u64, T)> = chunks.flat_map(of_chunk).collect();
        found.sort_unstable_by_key(|(offset, _)| *offset);
        found
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

    #[test]
    fn values_are_found_as_in_a_map() {
        let (mut values, mut model) = (ByOffset::default(), BTreeMap::new());
        let mut random = 1_u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = (random >> 33) % 300;
            if random >> 63 == 0 {
                assert_eq!(values.insert(offset, step), model.insert(offset, step));
            } else {
                assert_eq!(values.remove(offset), model.remove(&offset));
            }
            assert_eq!(values.len(), model.len());
        }
        let mut all: Vec<(u64, u64)> = values.iter().map(|(at, value)| (at, *value)).collect();
        all.sort_unstable();
        assert_eq!(all, model.iter().map(|(at, it)| (*at, *it)).collect::<Vec<_>>());
        let near = |(from, to): (u64, u64)| values.range(from, to);
        let wanted =
            |(from, to)| model.range(from..to).map(|(at, it)| (*at, *it)).collect::<Vec<_>>();
        for range in [(0, 300), (17, 18), (60, 70), (5, 5), (100, 5000)] {
            assert_eq!(near(range), wanted(range));
        }
        let mut offsets: Vec<u64> = values.offsets().collect();
        offsets.sort_unstable();
        assert!(offsets.iter().all(|offset| values.contains(*offset)));
        offsets.iter().for_each(|offset| _ = values.remove(*offset));
        assert!(values.is_empty() && values.chunks.is_empty());
    }
}
