//! Compaction of one partition: of each key only the latest record stays (Kafka
//! `cleanup.policy=compact`), at its offset.
//!
//! A [`Pass`] is driven in steps by its owner. First it reads what came since the last pass and
//! notes each key's latest offset, as many as its budget holds; then it goes through the log from
//! the front up to there, about a mebibyte at a time, and gives out a [`Replacement`] for each
//! run of batches in which something goes. Every replacement is one atomic commit and is right
//! by itself: what it takes out is superseded by a durable record above it. A pass that ends
//! half-way has lost nothing, and the next one begins again. Appends are never held up.
//!
//! Invariant: below `dirty_from` no record is superseded by another one below `dirty_from`. A
//! tombstone therefore goes only when nothing is left that it deletes: the pass comes by all
//! that lies in front of it first.
//!
//! Stored in the key-value space with the pass's last replacement: `compacted/<log>` →
//! `<dirty_from> <ms since 1970 when the next tombstone may go, or ->`.

mod key_map;
mod unit;

use crate::{Error, Partition};
use bytes::Bytes;
use key_map::KeyMap;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use tramline_record::Batch;
use tramline_store::{Batches, Commit, Completion, Op, Reservation};
use tramline_types::{LogId, Offset, Timestamp, limits};
use unit::{Met, Replacing, Rule, offset_of};

/// When a partition is compacted, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionRules {
    /// How long a tombstone stays after the first pass that meets it (`delete.retention.ms`).
    pub delete_retention_ms: i64,
    /// Records younger than this are not touched (`min.compaction.lag.ms`).
    pub lag_ms_min: i64,
    /// Records older than this are due whatever the ratio (`max.compaction.lag.ms`).
    pub lag_ms_max: i64,
    /// Due when more than this share of the bytes, in millionths, came since the last pass
    /// (`min.cleanable.dirty.ratio`).
    pub dirty_millionths_min: u32,
}

/// How far a partition's compaction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompactionStatus {
    /// Everything below was compacted.
    pub dirty_from: Offset,
    /// When the next tombstone may go.
    pub horizon_next: Option<Timestamp>,
    /// Passes finished since start.
    pub passes: u64,
    /// Records taken out since start.
    pub records_removed: u64,
    /// Batches met in the last pass that could not be read or written anew: kept as they are.
    pub batches_unreadable: u64,
}

/// What to read per step.
const READ_BYTES: usize = 1024 * 1024;
/// What a replacement is not made smaller than: it holds one batch at least.
const REPLACED_BYTES_MIN: usize = 1024;
/// What is worth a write of its own when nothing else has to be written.
const NOTED_BYTES_MIN: u64 = 1024 * 1024;

/// What a step did.
pub enum Step {
    /// It read so many bytes.
    Read(usize),
    /// This has to be made durable before the next step.
    Replace(Replacement),
    /// The pass is through.
    Done,
}

/// A change that a pass wants to be made durable.
pub struct Replacement {
    partition: Arc<Partition>,
    ops: SmallVec<[Op; 1]>,
    bytes: usize,
    /// The partition's status once this is submitted, with the last one of a pass.
    after: Option<CompactionStatus>,
}

impl Replacement {
    /// How many bytes it stores.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many operations it takes.
    pub fn ops(&self) -> usize {
        let appends = |op: &Op| match op {
            Op::Replace(_, _, appends) => 1 + appends.len(),
            _ => 1,
        };
        self.ops.iter().map(appends).sum()
    }

    /// Submits it, unless the topic is deleted; `done` is called when it is durable.
    pub fn submit(self, reservation: Reservation, done: Completion) {
        let commit = Commit { ops: self.ops, on_durable: done };
        self.partition.submit_unless_deleted(commit, reservation);
        if let Some(after) = self.after {
            self.partition.compacted(after);
        }
    }
}

enum Phase {
    /// Notes keys from here on.
    Noting(Offset),
    /// Takes records out from here on.
    Replacing(Offset),
    Through,
}

/// One pass over a partition.
pub struct Pass {
    partition: Arc<Partition>,
    rules: CompactionRules,
    now: Timestamp,
    map: KeyMap,
    map_end: Offset,
    /// The high watermark when it began.
    end: Offset,
    phase: Phase,
    met: Met,
    read_bytes: u64,
    is_written: bool,
    /// What to replace at a time.
    replaced_bytes_max: usize,
    /// Where the last replacement began, and what had been met until then.
    replaced_from: (Offset, Met),
}

impl Partition {
    /// A pass, if one is due. `map_bytes_max` bounds the memory for keys.
    pub async fn compaction_due(
        self: &Arc<Self>,
        now: Timestamp,
        map_bytes_max: usize,
    ) -> Result<Option<Pass>, Error> {
        let Some(rules) = self.settings().compaction else { return Ok(None) };
        let status = self.compaction_status();
        let (start, end) = (self.log_start(), self.durable_end());
        let dirty_from = status.dirty_from.max(start).min(end);
        let has_tombstones = status.horizon_next.is_some_and(|horizon| horizon <= now);
        if dirty_from == end && !has_tombstones {
            return Ok(None);
        }
        let is_due = has_tombstones
            || self.dirty_enough(&rules, (start, dirty_from), now).await?
            || self.waited_too_long(&rules, dirty_from, now).await?;
        Ok(is_due.then(|| Pass {
            partition: Self::clone_handle(self),
            rules,
            now,
            map: KeyMap::new(end.get() - dirty_from.get(), map_bytes_max),
            map_end: dirty_from,
            end,
            phase: Phase::Noting(dirty_from),
            met: Met::default(),
            read_bytes: 0,
            is_written: false,
            replaced_bytes_max: READ_BYTES,
            replaced_from: (start, Met::default()),
        }))
    }

    async fn dirty_enough(
        &self,
        rules: &CompactionRules,
        (start, dirty_from): (Offset, Offset),
        now: Timestamp,
    ) -> Result<bool, Error> {
        let too_young = rules.too_young(now);
        let chunks = self.store().chunks(self.log(), start).await?;
        let (mut clean, mut dirty) = (0_u64, 0_u64);
        for chunk in chunks {
            if chunk.next <= dirty_from {
                clean += chunk.bytes;
            } else if too_young.is_none_or(|from| chunk.max_timestamp < from) {
                dirty += chunk.bytes;
            } else {
                break;
            }
        }
        let (dirty, all) = (u128::from(dirty), u128::from(clean) + u128::from(dirty));
        Ok(dirty * 1_000_000 > all * u128::from(rules.dirty_millionths_min))
    }

    async fn waited_too_long(
        &self,
        rules: &CompactionRules,
        dirty_from: Offset,
        now: Timestamp,
    ) -> Result<bool, Error> {
        if rules.lag_ms_max == i64::MAX || dirty_from >= self.durable_end() {
            return Ok(false);
        }
        let read = self.read_stored(dirty_from, 1).await?;
        let first = batches(&read)?.into_iter().next();
        Ok(first.is_some_and(|batch| {
            let since = batch.header().base_timestamp.min(batch.header().newest_timestamp());
            since >= 0 && since <= now.minus_millis(rules.lag_ms_max).as_millis()
        }))
    }

    async fn read_stored(&self, from: Offset, bytes_max: usize) -> Result<Batches, Error> {
        Ok(match self.store().read(self.log(), from, bytes_max) {
            tramline_store::Reading::Ready(read) => read?,
            tramline_store::Reading::Pending(read) => read.await?,
        })
    }
}

impl CompactionRules {
    /// From which time on records are too young to be touched.
    fn too_young(&self, now: Timestamp) -> Option<Timestamp> {
        (self.lag_ms_min > 0).then(|| now.minus_millis(self.lag_ms_min))
    }
}

impl Pass {
    /// Does one bounded step. An error ends the pass; nothing is lost by it.
    pub async fn step(&mut self) -> Result<Step, Error> {
        match self.phase {
            Phase::Noting(from) => self.note(from).await,
            Phase::Replacing(from) => self.replace(from).await,
            Phase::Through => Ok(Step::Done),
        }
    }

    /// Where to go on where the log's beginning was dropped meanwhile.
    fn untrimmed(&self, from: Offset) -> Offset {
        from.max(self.partition.log_start())
    }

    async fn note(&mut self, from: Offset) -> Result<Step, Error> {
        let from = self.untrimmed(from);
        if from >= self.end {
            return Ok(self.noted(from));
        }
        let read = self.partition.read_stored(from, READ_BYTES).await?;
        let bytes = read_bytes(&read);
        self.read_bytes += bytes as u64;
        if read.next <= from {
            return Ok(self.noted(from));
        }
        for batch in batches(&read)? {
            let too_young = self.rules.too_young(self.now);
            let newest = Timestamp::from_millis(batch.header().newest_timestamp());
            let base = base_of(&batch)?;
            if base >= self.end || too_young.is_some_and(|from| newest >= from) {
                return Ok(self.noted(base));
            }
            if let Some(full_at) = self.note_batch(&batch, base, from) {
                return Ok(self.noted(full_at));
            }
        }
        self.phase = Phase::Noting(read.next);
        Ok(Step::Read(bytes))
    }

    /// Where the map had no room any more.
    fn note_batch(&mut self, batch: &Batch, base: Offset, from: Offset) -> Option<Offset> {
        if batch.header().attributes.is_control() {
            return None;
        }
        // What cannot be opened is met again, and told, when the pass comes by to replace.
        let records = batch.open(limits::BATCH_BYTES_OPENED_MAX).ok()?;
        for record in records {
            let Ok(record) = record else { break };
            let offset = offset_of(base, &record)?;
            if let Some(key) = &record.key
                && offset >= from
                && !self.map.put(key, offset)
            {
                return Some(offset);
            }
        }
        None
    }

    fn noted(&mut self, end: Offset) -> Step {
        self.map_end = end.min(self.end).max(self.map_end);
        self.phase = Phase::Replacing(self.partition.log_start());
        Step::Read(0)
    }

    async fn replace(&mut self, from: Offset) -> Result<Step, Error> {
        let from = self.untrimmed(from);
        if from >= self.map_end {
            return Ok(self.finish(None));
        }
        let read = self.partition.read_stored(from, self.replaced_bytes_max).await?;
        let bytes = read_bytes(&read);
        self.read_bytes += bytes as u64;
        self.replaced_from = (from, self.met);
        let batches = batches(&read)?;
        if read.next <= from || batches.is_empty() {
            return Ok(self.finish(None));
        }
        let rule = Rule {
            log: self.partition.log(),
            map: &self.map,
            rules: self.rules,
            map_end: self.map_end,
            last: self.end.get().checked_sub(1).and_then(Offset::new),
            now: self.now,
        };
        let replacing = rule.apply(&batches, &mut self.met);
        if read.next >= self.map_end {
            return Ok(self.finish(replacing));
        }
        self.phase = Phase::Replacing(read.next);
        Ok(match replacing {
            Some(replacing) => {
                self.is_written = true;
                Step::Replace(self.replacement(Some(replacing), None))
            }
            None => Step::Read(bytes),
        })
    }

    /// The last replacement, with the note of how far the pass came.
    fn finish(&mut self, replacing: Option<Replacing>) -> Step {
        self.phase = Phase::Through;
        self.is_written |= replacing.is_some();
        let before = self.partition.compaction_status();
        let after = CompactionStatus {
            dirty_from: self.met.behind.map_or(self.map_end, |behind| behind.min(self.map_end)),
            horizon_next: self.met.horizon_next,
            passes: before.passes + 1,
            records_removed: before.records_removed + self.met.records_removed,
            batches_unreadable: self.met.batches_unreadable,
        };
        if !self.is_written && self.read_bytes < NOTED_BYTES_MIN {
            self.partition.compacted(after);
            return Step::Done;
        }
        Step::Replace(self.replacement(replacing, Some(after)))
    }

    fn replacement(
        &self,
        replacing: Option<Replacing>,
        after: Option<CompactionStatus>,
    ) -> Replacement {
        let mut ops: SmallVec<[Op; 1]> = smallvec![];
        let mut bytes = 0;
        if let Some(Replacing { range, appends }) = replacing {
            bytes += appends.iter().map(|append| append.batch.len()).sum::<usize>();
            ops.push(Op::Replace(self.partition.log(), range, appends));
        }
        if let Some(after) = &after {
            bytes += NOTE_BYTES_MAX;
            ops.push(Op::Put(key(self.partition.log()), encode(after)));
        }
        Replacement { partition: Partition::clone_handle(&self.partition), ops, bytes, after }
    }

    /// Makes the next replacement begin where the last one did, and smaller: the store does not
    /// take so much at once. `false` when it was as small as can be.
    pub fn shrink(&mut self) -> bool {
        if self.replaced_bytes_max <= REPLACED_BYTES_MIN {
            return false;
        }
        self.replaced_bytes_max /= 4;
        let (from, met) = self.replaced_from;
        (self.phase, self.met) = (Phase::Replacing(from), met);
        true
    }

    /// Records taken out so far.
    pub const fn records_removed(&self) -> u64 {
        self.met.records_removed
    }

    /// Batches that could not be read or written anew so far.
    pub const fn batches_unreadable(&self) -> u64 {
        self.met.batches_unreadable
    }

    /// How many keys it knows the latest offset of.
    pub const fn keys(&self) -> usize {
        self.map.len()
    }
}

/// A key and a value of [`encode`] take less.
const NOTE_BYTES_MAX: usize = 128;

/// The key of the note on how far a log's compaction is; it goes with the log.
pub(crate) fn key(log: LogId) -> Bytes {
    Bytes::from(format!("compacted/{}", log.0))
}

fn encode(status: &CompactionStatus) -> Bytes {
    let horizon = status.horizon_next.map(|horizon| horizon.as_millis().to_string());
    Bytes::from(format!("{} {}", status.dirty_from, horizon.as_deref().unwrap_or("-")))
}

/// What a note says; nothing where there is none: then all is compacted once more.
pub(crate) fn decode(note: Option<&[u8]>) -> CompactionStatus {
    let text = note.and_then(|note| std::str::from_utf8(note).ok()).unwrap_or_default();
    let (dirty_from, horizon) = text.split_once(' ').unwrap_or_default();
    CompactionStatus {
        dirty_from: dirty_from.parse().ok().and_then(Offset::new).unwrap_or_default(),
        horizon_next: horizon.parse().ok().map(Timestamp::from_millis),
        ..CompactionStatus::default()
    }
}

fn read_bytes(read: &Batches) -> usize {
    read.pieces.iter().map(Bytes::len).sum()
}

fn batches(read: &Batches) -> Result<Vec<Batch>, Error> {
    let mut batches = Vec::new();
    for piece in &read.pieces {
        let mut piece = piece.clone();
        while let Some(batch) = Batch::decode_first_trusted(&mut piece).map_err(unreadable)? {
            batches.push(batch);
        }
    }
    Ok(batches)
}

fn base_of(batch: &Batch) -> Result<Offset, Error> {
    Offset::from_i64(batch.header().base_offset)
        .ok_or_else(|| Error::Unreadable("a stored batch has no offset".to_owned()))
}

fn unreadable(error: tramline_record::Error) -> Error {
    Error::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests;
