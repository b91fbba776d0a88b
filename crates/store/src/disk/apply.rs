//! Applies durable frames to the index: the same way after a group's sync and at recovery.
//!
//! At recovery the manifest's snapshot may be newer than the oldest frames: everything here
//! gives the same result when it is applied again, and what would not is skipped by its commit
//! number.

use super::frame::{Blob, Frame, StoredAppend, StoredOp, StoredPlace};
use super::inner::{Durable, Inner};
use super::log::{BlobHome, BlobKind, Entry, FileRef, Log, LogState, Place, StateBlob};
use crate::{Damage, RecoveredState, Target};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tramline_types::{LogId, Offset};

/// What recovery adds to applying.
pub(super) struct Replay {
    /// The last commit that the manifest's log table and pairs include.
    pub(super) snapshot: u64,
    /// State for its owners to take.
    pub(super) recovered: HashMap<LogId, Recovered>,
    /// The largest segment id that a frame points to.
    pub(super) segment_max: u64,
}

pub(super) struct Applier<'a> {
    inner: &'a Inner,
    durable: &'a mut Durable,
    replay: Option<&'a mut Replay>,
    sequence: u64,
    commit: u64,
    group: u64,
    last: Option<Arc<Log>>,
    replacing: Option<Replacing>,
    added: usize,
}

struct Replacing {
    log: LogId,
    range: Range<Offset>,
    left: usize,
    entries: Vec<Entry>,
}

impl<'a> Applier<'a> {
    pub(super) fn new(
        inner: &'a Inner,
        durable: &'a mut Durable,
        replay: Option<&'a mut Replay>,
    ) -> Self {
        Self {
            inner,
            durable,
            replay,
            sequence: 0,
            commit: 0,
            group: 0,
            last: None,
            replacing: None,
            added: 0,
        }
    }

    /// Applies one frame of a write-ahead file.
    pub(super) fn frame(&mut self, sequence: u64, frame: &Frame<'_>) {
        self.sequence = sequence;
        self.commit = frame.header.commit;
        self.group = frame.header.group;
        for op in frame.ops() {
            match op {
                Ok(op) => self.op(op),
                Err(_) => self.inner.report(Damage {
                    log: None,
                    offsets: None,
                    detail: format!(
                        "commit {} holds an operation that cannot be read",
                        self.commit
                    ),
                }),
            }
        }
        self.finish_replace();
        self.durable.commit = self.durable.commit.max(self.commit);
        self.inner.counters.dense_entries_added(std::mem::take(&mut self.added));
    }

    /// Takes what a damaged frame says as a hint only: its appends become lost ranges where they
    /// fit, so that their offsets are never given out again.
    pub(super) fn damaged_frame(&mut self, frame: &Frame<'_>, detail: &str) {
        for op in frame.ops().map_while(Result::ok) {
            match op {
                StoredOp::Append(append) => {
                    for target in append.targets() {
                        let next = Offset::new(
                            target.base.get().saturating_add(u64::from(append.offsets)),
                        );
                        let (Some(log), Some(next)) = (self.log(target.log), next) else {
                            continue;
                        };
                        let mut state = log.state.lock();
                        if state.next == target.base && next > target.base {
                            state.lose(target.base..next, detail.to_owned());
                            drop(state);
                            self.report(target.log, Some(target.base..next), detail);
                        }
                    }
                }
                StoredOp::Delta(log, _) | StoredOp::Checkpoint(log, _)
                    if self.log(log).is_some() =>
                {
                    self.report(log, None, &format!("{detail}: a change of state is lost"));
                }
                _ => {}
            }
        }
    }

    fn report(&self, log: LogId, range: Option<Range<Offset>>, detail: &str) {
        let last = |end: Offset| Offset::new(end.get() - 1).unwrap_or_default();
        let offsets = range.map(|range| (range.start, last(range.end)));
        self.inner.report(Damage { log: Some(log), offsets, detail: detail.to_owned() });
    }

    /// Whether the manifest's log table and pairs already include this commit.
    fn is_in_snapshot(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| self.commit <= replay.snapshot)
    }

    fn log(&mut self, id: LogId) -> Option<Arc<Log>> {
        if self.last.as_ref().is_none_or(|log| log.id != id) {
            self.last = self.inner.log(id);
        }
        self.last.clone()
    }

    fn op(&mut self, op: StoredOp<'_>) {
        match op {
            StoredOp::Append(append) => self.append(&append),
            StoredOp::Create(log, start) => self.create(log, start),
            StoredOp::Delta(log, blob) => self.state(log, BlobKind::Delta, blob),
            StoredOp::Checkpoint(log, blob) => self.state(log, BlobKind::Checkpoint, blob),
            StoredOp::Trim(log, start) => {
                if let Some(log) = self.log(log) {
                    let freed = log.state.lock().trim(start);
                    self.inner.release(&freed);
                }
            }
            StoredOp::Discard(log, ranges) => {
                if let Some(log) = self.log(log) {
                    let mut state = log.state.lock();
                    let freed = ranges.iter().map(|range| state.discard(range)).collect::<Vec<_>>();
                    drop(state);
                    freed.iter().for_each(|freed| self.inner.release(freed));
                }
            }
            StoredOp::Replace { log, start, end, appends } => {
                self.finish_replace();
                let entries = Vec::new();
                self.replacing = Some(Replacing { log, range: start..end, left: appends, entries });
            }
            StoredOp::Delete(log) => self.delete(log),
            StoredOp::Put(key, value) => {
                if !self.is_in_snapshot() {
                    let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                    self.durable.pairs.insert(key, value);
                }
            }
            StoredOp::Remove(key) => {
                if !self.is_in_snapshot() {
                    self.durable.pairs.remove(key);
                }
            }
        }
        if self.replacing.as_ref().is_some_and(|replacing| replacing.left == 0) {
            self.finish_replace();
        }
    }

    fn create(&mut self, id: LogId, start: Offset) {
        if !self.is_in_snapshot() {
            let log = Log { id, state: Mutex::new(LogState::new(start)) };
            self.inner.logs.write().entry(id).or_insert_with(|| Arc::new(log));
            self.last = None;
        }
    }

    fn delete(&mut self, id: LogId) {
        self.last = None;
        let log = self.inner.logs.write().remove(&id);
        if let Some(log) = log {
            let freed = log.state.lock().delete();
            self.inner.release(&freed);
        }
        if let Some(replay) = &mut self.replay {
            replay.recovered.remove(&id);
        }
    }

    fn state(&mut self, id: LogId, kind: BlobKind, blob: Blob<'_>) {
        let Some(log) = self.log(id) else { return };
        let length = u32::try_from(blob.bytes.len()).expect("its length was stored as u32");
        let position = u32::try_from(blob.at).expect("write-ahead files are below 4 GiB");
        let home = BlobHome::Wal(self.sequence);
        let crc = crc32c::crc32c(blob.bytes);
        let stored = StateBlob { kind, commit: self.commit, home, position, length, crc };
        let freed = log.state.lock().put_state(stored);
        self.inner.release(&freed);
        if let Some(replay) = &mut self.replay {
            let recovered = replay.recovered.entry(id).or_default();
            recovered.put(kind, Bytes::copy_from_slice(blob.bytes));
        }
    }

    fn append(&mut self, append: &StoredAppend<'_>) {
        let (file, position, crc) = match append.place {
            StoredPlace::Inline(blob) => {
                let position = u32::try_from(blob.at).expect("write-ahead files are below 4 GiB");
                (FileRef::wal(self.sequence), position, 0)
            }
            StoredPlace::Extent(pointer) => {
                if let Some(replay) = &mut self.replay {
                    replay.segment_max = replay.segment_max.max(pointer.segment);
                }
                (FileRef::segment(pointer.segment), pointer.position, pointer.crc)
            }
        };
        let place = Place { file, position, length: append.length() };
        for (index, target) in append.targets().enumerate() {
            let entry = Entry {
                base: target.base,
                offsets: append.offsets,
                leader_epoch: target.leader_epoch,
                max_timestamp: append.max_timestamp,
                place,
                crc,
                foreign: index > 0,
                replacing: self.replacing.is_some(),
            };
            match &mut self.replacing {
                Some(replacing) if replacing.log == target.log => replacing.entries.push(entry),
                _ => self.add(target, entry),
            }
        }
        if let Some(replacing) = &mut self.replacing {
            replacing.left = replacing.left.saturating_sub(1);
        }
    }

    fn add(&mut self, target: Target, entry: Entry) {
        let Some(log) = self.log(target.log) else { return };
        let mut state = log.state.lock();
        if entry.base < state.next {
            drop(state);
            self.overlapping(target, &entry);
            return;
        }
        let gap = state.next..entry.base;
        let is_lost = gap.start < gap.end && gap.end > state.start;
        let detail = || format!("write-ahead file {:x}: commits are missing", self.sequence);
        if is_lost {
            assert!(self.replay.is_some(), "an append to `{}` skips offsets", log.id);
            let from = gap.start.max(state.start);
            state.lose(from..gap.end, detail());
        }
        let is_trimmed = entry.next() <= state.start;
        let is_settled = is_trimmed || (self.replay.is_some() && state.has_settled(&entry));
        if is_settled {
            state.next = entry.next();
        } else {
            state.append(entry);
        }
        drop(state);
        if is_lost {
            self.report(target.log, Some(gap), &detail());
        }
        if is_settled {
            return;
        }
        self.added += 1;
        self.inner.segments.refer(entry.place, self.group, self.sequence);
    }

    /// An append below the log's end: at recovery it is one that was retired before, or trimmed.
    fn overlapping(&self, target: Target, entry: &Entry) {
        assert!(
            self.replay.is_some(),
            "an append to `{}` at {} is below its end",
            target.log,
            entry.base
        );
    }

    fn finish_replace(&mut self) {
        let Some(replacing) = self.replacing.take() else { return };
        let Some(log) = self.log(replacing.log) else { return };
        for entry in &replacing.entries {
            self.inner.segments.refer(entry.place, self.group, self.sequence);
        }
        self.added += replacing.entries.len();
        let freed = log.state.lock().replace(&replacing.range, &replacing.entries);
        self.inner.counters.dense_entries_added(std::mem::take(&mut self.added));
        self.inner.release(&freed);
    }
}

/// State as read at start, kept until its owner takes it.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) state: RecoveredState,
}

impl Recovered {
    pub(super) fn put(&mut self, kind: BlobKind, bytes: Bytes) {
        match kind {
            BlobKind::Checkpoint => {
                self.state.checkpoint = Some(bytes);
                self.state.deltas.clear();
            }
            BlobKind::Delta => self.state.deltas.push(bytes),
        }
    }
}
