//! One log's index: where each of its batches and each piece of its state lies.
//!
//! Invariant: `extents` (sealed segments) and `dense` (single batches, not retired) are each
//! ordered by offset, and no offset lies in two places. `start` and `next` never move back.

mod moving;

pub(super) use moving::Moved;

use super::manifest::StoredLog;
use crate::{Chunk, Ends};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::ops::Range;
use tramline_types::{LogId, Offset, Timestamp};

/// Runs of batches are told to retention in pieces of this size.
pub(super) const CHUNK_BYTES: u64 = 64 * 1024;

/// Names a file that holds batches: a use of a write-ahead file, or a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileRef(u64);

impl FileRef {
    const SEGMENT: u64 = 1 << 63;

    /// One use of a write-ahead file.
    pub(super) const fn wal(sequence: u64) -> Self {
        Self(sequence & !Self::SEGMENT)
    }

    /// A segment.
    pub(super) const fn segment(id: u64) -> Self {
        Self(id | Self::SEGMENT)
    }

    /// The segment's id, if it is one.
    pub(super) const fn as_segment(self) -> Option<u64> {
        if self.0 & Self::SEGMENT != 0 { Some(self.0 & !Self::SEGMENT) } else { None }
    }

    /// The write-ahead file's sequence number, if it is one.
    pub(super) const fn as_wal(self) -> Option<u64> {
        if self.0 & Self::SEGMENT == 0 { Some(self.0) } else { None }
    }
}

/// A run of bytes in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) file: FileRef,
    pub(super) position: u32,
    pub(super) length: u32,
}

/// One batch that is not retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) base: Offset,
    pub(super) offsets: u32,
    pub(super) leader_epoch: i32,
    pub(super) max_timestamp: Timestamp,
    pub(super) place: Place,
    /// CRC32C of the stored bytes where they lie in a segment; in the write-ahead log the
    /// batch's own checksum and stamp tell.
    pub(super) crc: u32,
    /// The stored header carries another target's stamp.
    pub(super) foreign: bool,
    /// Put in place of others: not where the log ended.
    pub(super) replacing: bool,
}

impl Entry {
    pub(super) fn next(&self) -> Offset {
        self.base.plus(u64::from(self.offsets))
    }
}

/// A run of a log's batches in a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) segment: u64,
    /// What of it counts: the first offset and the one after the last.
    pub(super) base: Offset,
    pub(super) next: Offset,
    pub(super) bytes: u64,
    pub(super) max_timestamp: Timestamp,
}

/// What a piece of state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlobKind {
    Checkpoint,
    Delta,
}

/// Where a piece of state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StateBlob {
    pub(super) kind: BlobKind,
    pub(super) commit: u64,
    pub(super) home: BlobHome,
    pub(super) position: u32,
    pub(super) length: u32,
    /// CRC32C of the bytes.
    pub(super) crc: u32,
}

/// The file that a piece of state lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlobHome {
    Wal(u64),
    Checkpoint(u64),
}

/// Offsets that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) range: Range<Offset>,
    pub(super) detail: String,
}

/// A log: short lock, taken last.
pub(super) struct Log {
    pub(super) id: LogId,
    pub(super) state: Mutex<LogState>,
}

impl Log {
    /// Whether anything starts within these offsets.
    pub(super) fn lies_between(&self, from: Offset, to: Offset) -> bool {
        if from >= to {
            return from > to;
        }
        let state = self.state.lock();
        let at = state.dense.partition_point(|entry| entry.base < from);
        state.dense.get(at).is_some_and(|entry| entry.base < to) || state.has_extent(from..to)
    }
}

/// What the index knows of one log.
#[derive(Debug, Default)]
pub(super) struct LogState {
    pub(super) start: Offset,
    pub(super) next: Offset,
    pub(super) extents: VecDeque<Extent>,
    pub(super) dense: VecDeque<Entry>,
    pub(super) dense_bytes: u64,
    pub(super) discards: Vec<Range<Offset>>,
    pub(super) state: Vec<StateBlob>,
    pub(super) lost: Vec<Lost>,
    /// Deleted while somebody still held it.
    pub(super) deleted: bool,
}

/// A change of how much of a file is needed: a file is dead when no reference to it is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub(super) file: u64,
    pub(super) bytes: i64,
    pub(super) count: i64,
}

impl Reference {
    /// One reference more.
    pub(super) fn taken(file: u64, bytes: u64) -> Self {
        Self { file, bytes: bytes.cast_signed(), count: 1 }
    }

    /// One reference less.
    pub(super) fn dropped(file: u64, bytes: u64) -> Self {
        Self { file, bytes: -bytes.cast_signed(), count: -1 }
    }
}

/// What a change let go of.
#[derive(Debug, Default)]
pub(super) struct Freed {
    pub(super) dense_entries: usize,
    /// Of segments, sealed or direct.
    pub(super) segments: SmallVec<[Reference; 2]>,
    /// Of checkpoint files.
    pub(super) checkpoints: SmallVec<[Reference; 2]>,
}

impl Freed {
    fn entry(&mut self, entry: &Entry) {
        self.dense_entries += 1;
        if let Some(segment) = entry.place.file.as_segment() {
            self.segments.push(Reference::dropped(segment, u64::from(entry.place.length)));
        }
    }

    fn blob(&mut self, blob: &StateBlob) {
        if let BlobHome::Checkpoint(id) = blob.home {
            self.checkpoints.push(Reference::dropped(id, u64::from(blob.length)));
        }
    }
}

/// Where a read goes on.
#[derive(Debug)]
pub(super) enum Found {
    /// Single batches.
    Dense(Vec<Entry>),
    /// In a sealed segment; the run of it ends where the next thing begins.
    Extent(Extent),
    Lost(Lost),
    Nothing,
}

impl LogState {
    pub(super) fn new(start: Offset) -> Self {
        Self { start, next: start, ..Self::default() }
    }

    /// As the manifest has it.
    pub(super) fn from_stored(stored: StoredLog) -> Self {
        Self {
            start: stored.start,
            next: stored.next,
            extents: stored.extents.into(),
            discards: stored.discards,
            state: stored.state,
            lost: stored.lost,
            ..Self::default()
        }
    }

    pub(super) const fn ends(&self) -> Ends {
        Ends { start: self.start, next: self.next }
    }

    /// Adds a batch at the end. An entry that starts further on leaves a lost range.
    pub(super) fn append(&mut self, entry: Entry) {
        debug_assert!(entry.base >= self.next);
        self.next = entry.next();
        self.dense_bytes += u64::from(entry.place.length);
        self.dense.push_back(entry);
    }

    /// Notes offsets that cannot be read any more.
    pub(super) fn lose(&mut self, range: Range<Offset>, detail: String) {
        self.next = self.next.max(range.end);
        let holds = |lost: &Lost| lost.range.start <= range.start && range.end <= lost.range.end;
        if self.lost.iter().any(holds) {
            return;
        }
        self.lost.push(Lost { range, detail });
        self.lost.sort_by_key(|lost| lost.range.start);
    }

    pub(super) fn trim(&mut self, start: Offset) -> Freed {
        let mut freed = Freed::default();
        let start = start.min(self.next);
        self.start = self.start.max(start);
        while let Some(entry) = self.dense.pop_front_if(|entry| entry.next() <= self.start) {
            self.dense_bytes -= u64::from(entry.place.length);
            freed.entry(&entry);
        }
        let start = self.start;
        while let Some(extent) = self.extents.pop_front_if(|extent| extent.next <= start) {
            freed.segments.push(Reference::dropped(extent.segment, extent.bytes));
        }
        self.discards.retain(|range| range.end > start);
        self.lost.retain(|lost| lost.range.end > start);
        if self.dense.is_empty() {
            self.dense = VecDeque::new();
        }
        freed
    }

    /// Adds to the offsets that are never rewritten.
    pub(super) fn discard(&mut self, range: Range<Offset>) -> Freed {
        let mut freed = Freed::default();
        let mut merged = range.start.max(self.start)..range.end.min(self.next);
        if merged.start >= merged.end {
            return freed;
        }
        let from = self.discards.partition_point(|known| known.end < merged.start);
        let to = self.discards.partition_point(|known| known.start <= merged.end);
        if let (Some(first), Some(last)) =
            (self.discards.get(from), to.checked_sub(1).and_then(|last| self.discards.get(last)))
            && from < to
        {
            merged = first.start.min(merged.start)..last.end.max(merged.end);
        }
        self.discards.splice(from..to, [merged.clone()]);
        self.extents.retain(|extent| {
            let is_gone = extent.base >= merged.start && extent.next <= merged.end;
            if is_gone {
                freed.segments.push(Reference::dropped(extent.segment, extent.bytes));
            }
            !is_gone
        });
        freed
    }

    /// What the manifest keeps of it.
    pub(super) fn stored(&self, id: LogId) -> StoredLog {
        let is_stored = |blob: &&StateBlob| matches!(blob.home, BlobHome::Checkpoint(_));
        StoredLog {
            id: id.0,
            start: self.start,
            next: self.retired_next(),
            extents: self.extents.iter().copied().collect(),
            discards: self.discards.clone(),
            state: self.state.iter().filter(is_stored).copied().collect(),
            lost: self.lost.clone(),
        }
    }

    /// After recovery: what was trimmed or lost counts as written.
    pub(super) fn close_gap(&mut self) {
        let lost = self.lost.iter().map(|lost| lost.range.end).max();
        self.next = self.next.max(self.start).max(lost.unwrap_or_default());
    }

    /// The base of the first append that is not retired; the end, where all are.
    pub(super) fn retired_next(&self) -> Offset {
        self.dense.iter().find(|entry| !entry.replacing).map_or(self.next, |entry| entry.base)
    }

    /// Whether an append that is replayed needs no entry: it was retired, or discarded.
    pub(super) fn has_settled(&self, entry: &Entry) -> bool {
        let at = self.extents.partition_point(|extent| extent.next <= entry.base);
        self.extents.get(at).is_some_and(|extent| extent.base <= entry.base)
            || self.is_discarded(&(entry.base..entry.next()))
    }

    /// Whether all these offsets were discarded.
    pub(super) fn is_discarded(&self, range: &Range<Offset>) -> bool {
        let at = self.discards.partition_point(|known| known.end < range.end);
        self.discards.get(at).is_some_and(|known| known.start <= range.start)
    }

    /// Puts these entries in place of all batches that start in the range, as far as they are
    /// not trimmed.
    pub(super) fn replace(&mut self, range: &Range<Offset>, entries: &[Entry]) -> Freed {
        let mut freed = self.cut_extents(range);
        let from = self.dense.partition_point(|entry| entry.base < range.start);
        let to = self.dense.partition_point(|entry| entry.base < range.end);
        for entry in self.dense.drain(from..to) {
            self.dense_bytes -= u64::from(entry.place.length);
            freed.entry(&entry);
        }
        let tail = self.dense.split_off(from);
        for entry in entries {
            if entry.next() <= self.start {
                freed.entry(entry);
            } else {
                self.dense_bytes += u64::from(entry.place.length);
                self.dense.push_back(*entry);
            }
        }
        self.dense.extend(tail);
        freed
    }

    /// Takes a range of offsets out of the extents.
    fn cut_extents(&mut self, range: &Range<Offset>) -> Freed {
        let mut freed = Freed::default();
        let touched = |extent: &Extent| extent.base < range.end && extent.next > range.start;
        if !self.extents.iter().any(touched) {
            return freed;
        }
        for extent in std::mem::take(&mut self.extents) {
            if !touched(&extent) {
                self.extents.push_back(extent);
                continue;
            }
            let head = extent.part(extent.base, range.start);
            let tail = extent.part(range.end, extent.next);
            let kept = [head, tail].into_iter().flatten();
            let references = kept.clone().map(|part| Reference::taken(part.segment, part.bytes));
            freed.segments.extend(references);
            freed.segments.push(Reference::dropped(extent.segment, extent.bytes));
            self.extents.extend(kept);
        }
        freed
    }

    /// Adds state, superseding what was before where it is a checkpoint.
    pub(super) fn put_state(&mut self, blob: StateBlob) -> Freed {
        let mut freed = Freed::default();
        if blob.kind == BlobKind::Checkpoint {
            for old in self.state.drain(..) {
                freed.blob(&old);
            }
        }
        self.state.push(blob);
        freed
    }

    pub(super) fn delete(&mut self) -> Freed {
        let mut freed = self.trim(self.next);
        for entry in self.dense.drain(..) {
            freed.entry(&entry);
        }
        for extent in self.extents.drain(..) {
            freed.segments.push(Reference::dropped(extent.segment, extent.bytes));
        }
        for blob in std::mem::take(&mut self.state) {
            freed.blob(&blob);
        }
        self.dense_bytes = 0;
        self.deleted = true;
        freed
    }

    /// What lies at an offset, or behind it where it lies in a gap.
    pub(super) fn find(&self, from: Offset, bytes_max: usize) -> Found {
        if from >= self.next {
            return Found::Nothing;
        }
        let lost = self.lost.iter().find(|lost| lost.range.end > from);
        let stop = lost.map_or(Offset::MAX, |lost| lost.range.start);
        if let Some(lost) = lost.filter(|lost| lost.range.start <= from) {
            return Found::Lost(lost.clone());
        }
        let at = self.extents.partition_point(|extent| extent.next <= from);
        let extent = self.extents.get(at);
        let dense_at = self.dense.partition_point(|entry| entry.next() <= from);
        let entry = self.dense.get(dense_at);
        match (extent, entry) {
            (Some(extent), entry)
                if extent.base < stop && entry.is_none_or(|entry| extent.base < entry.base) =>
            {
                Found::Extent(*extent)
            }
            (extent, Some(entry)) if entry.base < stop => {
                let stop = extent.map_or(stop, |extent| stop.min(extent.base));
                Found::Dense(self.run(dense_at, bytes_max, stop))
            }
            _ => lost.cloned().map_or(Found::Nothing, Found::Lost),
        }
    }

    fn run(&self, at: usize, bytes_max: usize, stop: Offset) -> Vec<Entry> {
        let mut bytes = 0usize;
        let mut run = Vec::new();
        for entry in self.dense.range(at..).take_while(|entry| entry.base < stop) {
            bytes = bytes.saturating_add(usize::try_from(entry.place.length).unwrap_or(usize::MAX));
            if bytes > bytes_max && !run.is_empty() {
                break;
            }
            run.push(*entry);
        }
        run
    }

    /// Whether an extent starts within these offsets.
    fn has_extent(&self, range: Range<Offset>) -> bool {
        let at = self.extents.partition_point(|extent| extent.base < range.start);
        self.extents.get(at).is_some_and(|extent| extent.base < range.end)
    }

    /// The stored bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.dense_bytes + self.extents.iter().map(|extent| extent.bytes).sum::<u64>()
    }

    /// The batches that are not retired, in runs.
    pub(super) fn dense_chunks(&self, from: Offset, chunks: &mut Vec<Chunk>) {
        let at = self.dense.partition_point(|entry| entry.next() <= from);
        let mut open: Option<Chunk> = None;
        for entry in self.dense.range(at..) {
            let bytes = u64::from(entry.place.length);
            match &mut open {
                Some(chunk)
                    if chunk.bytes + bytes <= CHUNK_BYTES
                        && !self.has_extent(chunk.next..entry.base) =>
                {
                    chunk.next = entry.next();
                    chunk.bytes += bytes;
                    chunk.max_timestamp = chunk.max_timestamp.max(entry.max_timestamp);
                }
                _ => {
                    chunks.extend(open.replace(Chunk {
                        base: entry.base,
                        next: entry.next(),
                        bytes,
                        max_timestamp: entry.max_timestamp,
                    }));
                }
            }
        }
        chunks.extend(open);
    }
}

impl Extent {
    /// The part of it between two offsets, its bytes in proportion.
    pub(super) fn part(&self, from: Offset, to: Offset) -> Option<Self> {
        let base = self.base.max(from);
        let next = self.next.min(to);
        if base >= next {
            return None;
        }
        let span = u128::from(self.next.get() - self.base.get());
        let bytes = u128::from(self.bytes) * u128::from(next.get() - base.get()) / span;
        let bytes = u64::try_from(bytes).unwrap_or(self.bytes);
        Some(Self { base, next, bytes, ..*self })
    }
}
