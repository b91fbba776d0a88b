//! The ends of logs, told again at the end of every commit group: where a part of the
//! write-ahead log is damaged or missing, what follows tells which logs it was about and where
//! they ended.
//!
//! ```text
//! 0  from u64       every log that was touched in this group or a later one is in the list
//! 8  entries, 24 bytes each, the one touched last first:
//!    0 log u64 | 8 next u64 (0: not known) | 16 touched u32 | 20 flags u32
//! ```
//! *Touched* counts the operations on the log in this file; with flag 1, in the file before.
//! The first group of a file tells all logs that were touched in the file before.

use super::codec::{Cursor, Malformed, Sink};
use super::frame::{Frame, StoredOp};
use crate::fs::AlignedBuf;
use crate::{Append, Op};
use std::collections::{HashMap, VecDeque};
use tramline_types::{LogId, Offset};

/// The length of one entry.
pub(super) const END_BYTES: usize = 24;
const FLAG_FILE_BEFORE: u32 = 1;
/// Entries that no longer count are swept when there are so many.
const STALE_MIN: usize = 1024;

/// One log's end as told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) log: LogId,
    /// The offset after its last append; 0 where none is known.
    pub(super) next: Offset,
    pub(super) touched: u32,
    /// `touched` counts the file before.
    pub(super) in_file_before: bool,
}

/// What one group tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) from: u64,
    entries: &'a [u8],
}

impl<'a> Told<'a> {
    pub(super) fn decode(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body);
        let from = cursor.u64()?;
        let entries = &body[cursor.position()..];
        if entries.len().is_multiple_of(END_BYTES) {
            Ok(Self { from, entries })
        } else {
            Err(Malformed)
        }
    }

    pub(super) fn ends(&self) -> impl Iterator<Item = End> + use<'a> {
        let (entries, _) = self.entries.as_chunks::<END_BYTES>();
        entries.iter().filter_map(|entry| {
            let mut cursor = Cursor::new(entry);
            let (log, next) = (LogId(cursor.u64().ok()?), cursor.offset().ok()?);
            let (touched, flags) = (cursor.u32().ok()?, cursor.u32().ok()?);
            Some(End { log, next, touched, in_file_before: flags & FLAG_FILE_BEFORE != 0 })
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Touch {
    log: LogId,
    next: Offset,
    /// How many operations of the file `sequence` were on it.
    count: u32,
    sequence: u64,
    /// The last group with one.
    group: u64,
}

/// The logs that were touched in the current file and in the one before. The committer keeps
/// it, and recovery does in the same way, to compare it with what it is told.
#[derive(Debug, Default)]
pub(super) struct Ends {
    by_log: HashMap<LogId, usize>,
    touches: Vec<Touch>,
    /// By last group; one that has been touched later counts there.
    recent: VecDeque<(u64, usize)>,
    current: u64,
    before: u64,
    /// The first group of the current file.
    began: u64,
    /// Every log that was touched in this group or a later one is here.
    from: u64,
}

impl Ends {
    /// Goes on in another file, whose first group this is.
    pub(super) fn begin(&mut self, sequence: u64, before: u64, group: u64) {
        let kept = self.current;
        let mut recent = std::mem::take(&mut self.recent);
        let mut touches = Vec::new();
        self.by_log.clear();
        recent.retain_mut(|(group, at)| {
            let touch = self.touches[*at];
            let is_kept = touch.sequence == kept && touch.group == *group;
            if is_kept && !self.by_log.contains_key(&touch.log) {
                *at = touches.len();
                self.by_log.insert(touch.log, touches.len());
                touches.push(touch);
                return true;
            }
            false
        });
        (self.recent, self.touches) = (recent, touches);
        (self.from, self.began) = (self.began, group);
        (self.current, self.before) = (sequence, before);
    }

    /// Which file is the one before the current one.
    pub(super) const fn file_before(&self) -> u64 {
        self.before
    }

    /// Which file is the current one.
    pub(super) const fn file(&self) -> u64 {
        self.current
    }

    /// Takes in the operations of a commit.
    pub(super) fn commit(&mut self, ops: &[Op], group: u64) {
        for op in ops {
            match op {
                Op::Create(log, start) => self.touch(*log, *start, group),
                Op::Append(append) => self.append(append, group),
                Op::Delta(log, _)
                | Op::Checkpoint(log, _)
                | Op::Trim(log, _)
                | Op::Discard(log, _) => self.touch(*log, Offset::ZERO, group),
                Op::Replace(log, _, appends) => {
                    self.touch(*log, Offset::ZERO, group);
                    appends.iter().for_each(|append| self.append(append, group));
                }
                Op::Delete(log) => self.forget(*log),
                Op::Put(..) | Op::Remove(_) => {}
            }
        }
    }

    fn append(&mut self, append: &Append, group: u64) {
        for target in &append.targets {
            self.touch(target.log, target.base.plus(u64::from(append.offsets)), group);
        }
    }

    /// The same of a commit as stored; `each` is told which logs it is about.
    pub(super) fn frame(&mut self, frame: &Frame<'_>, mut each: impl FnMut(LogId)) {
        let group = frame.header.group;
        for op in frame.ops().filter_map(Result::ok) {
            match op {
                StoredOp::Create(log, start) => {
                    each(log);
                    self.touch(log, start, group);
                }
                StoredOp::Append(append) => {
                    for target in append.targets() {
                        each(target.log);
                        let next = target.base.plus(u64::from(append.offsets));
                        self.touch(target.log, next, group);
                    }
                }
                StoredOp::Delta(log, _)
                | StoredOp::Checkpoint(log, _)
                | StoredOp::Trim(log, _)
                | StoredOp::Discard(log, _)
                | StoredOp::Replace { log, .. } => self.touch(log, Offset::ZERO, group),
                StoredOp::Delete(log) => self.forget(log),
                StoredOp::Put(..) | StoredOp::Remove(_) => {}
            }
        }
    }

    fn touch(&mut self, log: LogId, next: Offset, group: u64) {
        let at = *self.by_log.entry(log).or_insert(self.touches.len());
        if at == self.touches.len() {
            let sequence = self.current;
            self.touches.push(Touch { log, next, count: 0, sequence, group: u64::MAX });
        }
        let touch = &mut self.touches[at];
        if touch.sequence != self.current {
            (touch.sequence, touch.count) = (self.current, 0);
        }
        touch.count = touch.count.saturating_add(1);
        touch.next = touch.next.max(next);
        if touch.group != group {
            touch.group = group;
            self.recent.push_back((group, at));
            if self.recent.len() > STALE_MIN + 2 * self.touches.len() {
                let touches = &self.touches;
                self.recent.retain(|(group, at)| touches[*at].group == *group);
            }
        }
    }

    fn forget(&mut self, log: LogId) {
        if let Some(at) = self.by_log.remove(&log) {
            // No group has this number: what is recent does not lead here any more.
            self.touches[at].group = u64::MAX;
        }
    }

    /// How many operations of a file were on a log.
    pub(super) fn touched(&self, log: LogId, sequence: u64) -> u32 {
        let touch = self.by_log.get(&log).map(|at| &self.touches[*at]);
        touch.filter(|touch| touch.sequence == sequence).map_or(0, |touch| touch.count)
    }

    /// Takes what was told for true.
    pub(super) fn correct(&mut self, end: &End, group: u64) {
        let sequence = if end.in_file_before { self.before } else { self.current };
        self.touch(end.log, end.next, group);
        if let Some(at) = self.by_log.get(&end.log) {
            (self.touches[*at].count, self.touches[*at].sequence) = (end.touched, sequence);
        }
    }

    /// After damage every log is told once more: whoever reads the damage again goes by it.
    pub(super) fn tell_all(
        &mut self,
        logs: impl Iterator<Item = (LogId, Offset)>,
        group: u64,
        is_urgent: impl Fn(LogId) -> bool,
    ) {
        for (log, next) in logs {
            let is_urgent = is_urgent(log);
            if let Some(at) = self.by_log.get(&log).copied() {
                let touch = &mut self.touches[at];
                touch.next = touch.next.max(next);
                if touch.sequence != self.current {
                    (touch.sequence, touch.count) = (self.current, 0);
                }
                continue;
            }
            let at = self.touches.len();
            let (group, sequence) = (if is_urgent { group } else { 0 }, self.current);
            self.by_log.insert(log, at);
            self.touches.push(Touch { log, next, count: 0, sequence, group });
            match is_urgent {
                true => self.recent.push_back((group, at)),
                false => self.recent.push_front((group, at)),
            }
        }
        (self.began, self.from) = (0, 0);
    }

    /// Whether the next group is the first that tells of the file before.
    pub(super) fn is_first(&self, group: u64) -> bool {
        self.began == group
    }

    /// How many logs there are to tell.
    pub(super) fn len(&self) -> usize {
        self.by_log.len()
    }

    /// Appends the list, at most so many logs. Returns how many it has.
    pub(super) fn encode(&self, buf: &mut AlignedBuf, entries_max: usize) -> u32 {
        let from_at = buf.len();
        buf.put_u64(self.from);
        let (mut from, mut entries) = (self.from, 0);
        let touches = self.recent.iter().rev().map(|(group, at)| (*group, &self.touches[*at]));
        for (group, touch) in touches.filter(|(group, touch)| touch.group == *group) {
            if entries == entries_max {
                from = from.max(group + 1);
                break;
            }
            entries += 1;
            let mut fields = [0; END_BYTES];
            fields[0..8].copy_from_slice(&touch.log.0.to_le_bytes());
            fields[8..16].copy_from_slice(&touch.next.get().to_le_bytes());
            fields[16..20].copy_from_slice(&touch.count.to_le_bytes());
            let flags = if touch.sequence == self.current { 0 } else { FLAG_FILE_BEFORE };
            fields[20..24].copy_from_slice(&flags.to_le_bytes());
            buf.put(&fields);
        }
        buf.as_mut_slice()[from_at..from_at + 8].copy_from_slice(&from.to_le_bytes());
        u32::try_from(entries).expect("bounded by the file size")
    }
}

#[cfg(test)]
mod tests;
