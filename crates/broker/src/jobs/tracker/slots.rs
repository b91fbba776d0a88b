//! Where jobs are kept: in chunks, so that none is moved when more come. Holes that forgotten
//! jobs leave are filled first; a chunk without jobs gives its memory back.
//!
//! Invariant: `open` has exactly the chunks with room, each once.

use super::super::job::Job;
use std::num::NonZeroU32;

/// Jobs of a chunk.
const CHUNK: usize = 128;

/// Where a job is: the same for as long as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(NonZeroU32);

impl Slot {
    fn new(chunk: usize, within: usize) -> Self {
        let number = u32::try_from(chunk * CHUNK + within + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("jobs are bounded far below that"))
    }

    const fn parts(self) -> (usize, usize) {
        let number = self.0.get() as usize - 1;
        (number / CHUNK, number % CHUNK)
    }
}

#[derive(Default)]
pub(super) struct Slots {
    chunks: Vec<Chunk>,
    open: Vec<usize>,
    len: usize,
}

#[derive(Default)]
struct Chunk {
    jobs: Vec<Option<Job>>,
    holes: Vec<usize>,
    len: usize,
}

impl Slots {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Job> {
        let (chunk, within) = slot.parts();
        self.chunks.get(chunk)?.jobs.get(within)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Job> {
        let (chunk, within) = slot.parts();
        self.chunks.get_mut(chunk)?.jobs.get_mut(within)?.as_mut()
    }

    pub(super) fn insert(&mut self, job: Job) -> Slot {
        let at = self.open.last().copied().unwrap_or_else(|| {
            self.chunks.push(Chunk::default());
            self.open.push(self.chunks.len() - 1);
            self.chunks.len() - 1
        });
        let chunk = &mut self.chunks[at];
        let within = match chunk.holes.pop() {
            Some(hole) => {
                chunk.jobs[hole] = Some(job);
                hole
            }
            None => {
                if chunk.jobs.is_empty() {
                    chunk.jobs.reserve_exact(CHUNK);
                }
                chunk.jobs.push(Some(job));
                chunk.jobs.len() - 1
            }
        };
        chunk.len += 1;
        if chunk.len == CHUNK {
            self.open.pop();
        }
        self.len += 1;
        Slot::new(at, within)
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Job> {
        let (at, within) = slot.parts();
        let chunk = self.chunks.get_mut(at)?;
        let job = chunk.jobs.get_mut(within)?.take()?;
        if chunk.len == CHUNK {
            self.open.push(at);
        }
        chunk.len -= 1;
        self.len -= 1;
        if chunk.len == 0 {
            *chunk = Chunk::default();
        } else {
            chunk.holes.push(within);
        }
        Some(job)
    }
}
