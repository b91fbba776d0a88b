//! What of a run of batches stays: pure.

use super::key_map::KeyMap;
use crate::CompactionRules;
use bytes::Bytes;
use smallvec::smallvec;
use std::ops::Range;
use tramline_record::{Batch, Record};
use tramline_store::{Append, Target};
use tramline_types::{LogId, Offset, Timestamp, limits};

/// What a pass goes by.
pub(super) struct Rule<'a> {
    pub(super) log: LogId,
    pub(super) map: &'a KeyMap,
    pub(super) rules: CompactionRules,
    /// The map knows every key below this.
    pub(super) map_end: Offset,
    /// The log's last record stays, whatever it is.
    pub(super) last: Option<Offset>,
    pub(super) now: Timestamp,
}

/// What a pass has met so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    /// Records taken out.
    pub(super) records_removed: u64,
    /// Batches whose records are not known: kept as they are.
    pub(super) batches_unreadable: u64,
    /// When the next tombstone may go.
    pub(super) horizon_next: Option<Timestamp>,
    /// The first batch that holds what should have gone: it was too large to be written anew.
    pub(super) behind: Option<Offset>,
}

/// What is put in place of what.
#[derive(Debug)]
pub(super) struct Replacing {
    pub(super) range: Range<Offset>,
    pub(super) appends: Vec<Append>,
}

/// What becomes of one batch.
enum Fate {
    Stays,
    Changed(Batch),
    Vanishes,
}

impl Rule<'_> {
    /// Looks through a run of batches; `None` when all stay as they are.
    pub(super) fn apply(&self, batches: &[Batch], met: &mut Met) -> Option<Replacing> {
        let mut is_changed = false;
        let mut range: Option<Range<Offset>> = None;
        let mut appends = Vec::new();
        for batch in batches {
            let base = Offset::from_i64(batch.header().base_offset)?;
            let next = base.plus(span(batch));
            range = Some(range.map_or(base, |range| range.start)..next);
            let kept = match self.fate(batch, base, met) {
                Fate::Stays => Some(batch.clone()),
                Fate::Changed(changed) => {
                    is_changed = true;
                    Some(changed)
                }
                Fate::Vanishes => {
                    is_changed = true;
                    None
                }
            };
            appends.extend(kept.map(|batch| self.append(&batch, base)));
        }
        range.filter(|_| is_changed).map(|range| Replacing { range, appends })
    }

    fn fate(&self, batch: &Batch, base: Offset, met: &mut Met) -> Fate {
        // What a transaction's end says goes with the transaction, not with a key.
        if base >= self.map_end || batch.header().attributes.is_control() {
            return Fate::Stays;
        }
        let Ok(records) = batch.records(limits::BATCH_BYTES_OPENED_MAX) else {
            met.batches_unreadable += 1;
            return Fate::Stays;
        };
        let horizon = batch.header().delete_horizon();
        let count = records.len();
        let mut has_tombstones = false;
        let mut kept = Vec::with_capacity(count);
        for record in records {
            let Some(offset) = offset_of(base, &record) else { return Fate::Stays };
            if self.keeps(&record, offset, horizon, met) {
                has_tombstones |= record.value.is_none() && self.may_go_later(offset, met);
                kept.push(record);
            }
        }
        let set_horizon = (has_tombstones && horizon.is_none())
            .then(|| self.now.plus_millis(self.rules.delete_retention_ms));
        if has_tombstones {
            let next = horizon.or(set_horizon);
            met.horizon_next = [met.horizon_next, next].into_iter().flatten().min();
        }
        if kept.len() == count && set_horizon.is_none() {
            return Fate::Stays;
        }
        if kept.is_empty() {
            met.records_removed += count as u64;
            return Fate::Vanishes;
        }
        let removed = (count - kept.len()) as u64;
        match batch.with_records(&kept, set_horizon) {
            Ok(changed) if changed.bytes().len() <= limits::BATCH_BYTES_MAX => {
                met.records_removed += removed;
                Fate::Changed(changed)
            }
            // Its codec's default level may make more of it than its producer's did.
            _ => {
                met.batches_unreadable += 1;
                met.behind = met.behind.or(Some(base));
                Fate::Stays
            }
        }
    }

    fn keeps(
        &self,
        record: &Record,
        offset: Offset,
        horizon: Option<Timestamp>,
        met: &Met,
    ) -> bool {
        if offset >= self.map_end || Some(offset) == self.last {
            return true;
        }
        let Some(key) = &record.key else { return false };
        if self.map.latest(key).is_some_and(|latest| latest > offset) {
            return false;
        }
        let is_due = horizon.is_some_and(|horizon| horizon <= self.now);
        record.value.is_some() || !is_due || !self.may_go_later(offset, met)
    }

    /// Whether a tombstone's time will come. Not behind a batch that could not be read: what it
    /// deletes may be in there.
    fn may_go_later(&self, offset: Offset, met: &Met) -> bool {
        met.batches_unreadable == 0 && Some(offset) != self.last && offset < self.map_end
    }

    fn append(&self, batch: &Batch, base: Offset) -> Append {
        let header = batch.header();
        let target = Target { log: self.log, base, leader_epoch: header.leader_epoch };
        let newest = Some(header.newest_timestamp()).filter(|newest| *newest >= 0);
        Append {
            targets: smallvec![target],
            offsets: u32::try_from(span(batch)).expect("a batch spans at most 2^31 offsets"),
            max_timestamp: newest.map_or(self.now, Timestamp::from_millis),
            batch: Bytes::clone(batch.bytes()),
        }
    }
}

/// How many offsets a batch spans.
pub(super) fn span(batch: &Batch) -> u64 {
    u64::try_from(batch.header().last_offset_delta).unwrap_or(0) + 1
}

/// A record's offset.
pub(super) fn offset_of(base: Offset, record: &Record) -> Option<Offset> {
    u64::try_from(record.offset_delta).ok().map(|delta| base.plus(delta))
}
