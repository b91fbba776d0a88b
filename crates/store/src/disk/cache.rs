//! The tail cache: the very buffers that were written, kept until the budget is used up, the
//! oldest dropped first; and the pool that large buffers return to.

use super::log::{FileRef, Place};
use crate::fs::AlignedBuf;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Buffers below this come from the allocator: it does not give their pages back.
const POOLED_BYTES_MIN: usize = 64 * 1024;
/// What the pool keeps at most.
const POOL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Buffers for reuse, by size.
#[derive(Default)]
pub(super) struct Pool {
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    /// By capacity.
    buffers: BTreeMap<usize, Vec<AlignedBuf>>,
    bytes: usize,
}

impl Pool {
    /// An empty buffer of at least this capacity.
    pub(super) fn take(&self, bytes: usize) -> AlignedBuf {
        if bytes < POOLED_BYTES_MIN {
            return AlignedBuf::with_capacity(bytes);
        }
        let class = bytes.next_power_of_two();
        let mut free = self.free.lock();
        let buffer = free.buffers.get_mut(&class).and_then(Vec::pop);
        if let Some(mut buffer) = buffer {
            free.bytes -= class;
            buffer.clear();
            return buffer;
        }
        drop(free);
        AlignedBuf::with_capacity(class)
    }

    fn give_back(&self, buffer: AlignedBuf) {
        let class = buffer.capacity();
        let mut free = self.free.lock();
        if class.is_power_of_two()
            && class >= POOLED_BYTES_MIN
            && free.bytes + class <= POOL_BYTES_MAX
        {
            free.bytes += class;
            free.buffers.entry(class).or_default().push(buffer);
        }
    }

    /// Makes a buffer shareable; it returns to the pool when the last share is gone.
    pub(super) fn share(self: &Arc<Self>, buffer: AlignedBuf) -> Bytes {
        Bytes::from_owner(Shared { buffer, pool: Arc::clone(self) })
    }
}

struct Shared {
    buffer: AlignedBuf,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_slice()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.buffer));
    }
}

/// Written buffers by where they lie.
pub(super) struct Cache {
    budget: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    buffers: BTreeMap<(FileRef, u32), Bytes>,
    oldest: VecDeque<(FileRef, u32, usize)>,
    bytes: usize,
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, state: Mutex::default() }
    }

    /// Keeps what was written at a position; `bytes` is what the buffer holds in memory.
    pub(super) fn insert(&self, file: FileRef, position: u32, buffer: Bytes, bytes: usize) {
        let mut dropped = Vec::new();
        let mut state = self.state.lock();
        state.bytes += bytes;
        state.oldest.push_back((file, position, bytes));
        state.buffers.insert((file, position), buffer);
        while state.bytes > self.budget {
            let Some((file, position, bytes)) = state.oldest.pop_front() else { break };
            state.bytes -= bytes;
            dropped.extend(state.buffers.remove(&(file, position)));
        }
        drop(state);
        // Freeing takes longer than readers should wait.
        drop(dropped);
    }

    /// The bytes at these places, up to the first that is not here.
    pub(super) fn get(&self, places: impl Iterator<Item = Place>, out: &mut Vec<Bytes>) {
        let state = self.state.lock();
        let mut last: Option<(FileRef, u32, &Bytes)> = None;
        for place in places {
            let inside = last.and_then(|(file, start, buffer)| {
                (file == place.file).then(|| slice(buffer, start, place)).flatten()
            });
            let found = inside.or_else(|| {
                let range = ..=(place.file, place.position);
                let (&(file, start), buffer) = state.buffers.range(range).next_back()?;
                last = Some((file, start, buffer));
                (file == place.file).then(|| slice(buffer, start, place)).flatten()
            });
            match found {
                Some(bytes) => out.push(bytes),
                None => break,
            }
        }
    }

    /// The memory held.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

fn slice(buffer: &Bytes, start: u32, place: Place) -> Option<Bytes> {
    let from = usize::try_from(place.position.checked_sub(start)?).ok()?;
    let to = from.checked_add(usize::try_from(place.length).ok()?)?;
    (to <= buffer.len()).then(|| buffer.slice(from..to))
}
