//! Commits that are missing from the write-ahead log, and which logs they were about.
//!
//! Commits are numbered, so that a gap shows; what follows it tells the ends of logs. Where it
//! does not tell all of them, the logs of which nothing more is heard go on behind every offset
//! that the missing bytes can have held: no offset is given out twice.

use super::super::ends::{End, Ends};
use super::super::frame::{Frame, FrameHeader};
use super::super::inner::Inner;
use super::super::wal::Link;
use crate::Damage;
use crate::fs::BLOCK;
use std::collections::HashSet;
use std::ops::Range;
use tramline_types::{LogId, Offset};

/// An append takes at least so much, and at most 2^32 offsets.
const APPEND_BYTES_MIN: u64 = 61;
const DETAIL: &str = "write-ahead log: commits are missing";

#[derive(Default)]
pub(super) struct Gaps {
    pub(super) ends: Ends,
    /// The last commit and its group, and whether that group was whole.
    commit: u64,
    group: u64,
    is_whole: bool,
    /// What was damaged or missing since the last frame.
    bytes: u64,
    /// A gap that nothing has told all about yet.
    open: Option<Gap>,
    was_any: bool,
    /// The logs that are known since the gap.
    told: HashSet<LogId>,
    /// The logs that have lost anything.
    changed: HashSet<LogId>,
}

#[derive(Clone, Copy)]
struct Gap {
    /// The first group that may be in it.
    group: u64,
    bytes: u64,
}

impl Gaps {
    pub(super) fn after(link: Link) -> Self {
        Self { commit: link.commit, group: link.group, is_whole: true, ..Self::default() }
    }

    /// Bytes that were in use are damaged or missing.
    pub(super) const fn damaged(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Another file says what came before it.
    pub(super) fn file(&mut self, sequence: u64, before: Link) {
        if before.commit > self.commit {
            self.lose();
            (self.commit, self.group, self.is_whole) = (before.commit, before.group, true);
        }
        self.bytes = 0;
        self.ends.begin(sequence, before.sequence, before.group + 1);
    }

    /// What is missing held commits.
    pub(super) fn lose(&mut self) {
        let group = self.group + u64::from(self.is_whole);
        let gap = self.open.unwrap_or(Gap { group, bytes: 0 });
        let bytes = gap.bytes.saturating_add(std::mem::take(&mut self.bytes).max(BLOCK as u64));
        self.open = Some(Gap { bytes, ..gap });
        self.was_any = true;
        self.told.clear();
    }

    /// The next frame, a commit or not.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) {
        let FrameHeader { group, commit, last, .. } = frame.header;
        if commit > self.commit + u64::from(frame.is_commit()) {
            self.lose();
        }
        self.bytes = 0;
        (self.commit, self.group, self.is_whole) = (commit, group, last);
        let (is_open, told) = (self.open.is_some(), &mut self.told);
        self.ends.frame(frame, |log| {
            if is_open {
                told.insert(log);
            }
        });
    }

    /// Compares what a frame tells of the ends of logs with what was found of them.
    /// `first_live`: the first file that ought to be here.
    pub(super) fn tell(&mut self, inner: &Inner, frame: &Frame<'_>, first_live: u64) {
        let Some(told) = frame.told() else { return };
        for end in told.ends() {
            let ends = &self.ends;
            let file = if end.in_file_before { ends.file_before() } else { ends.file() };
            let is_less = file >= first_live && ends.touched(end.log, file) < end.touched;
            let is_lost = lose_up_to(inner, &end, is_less);
            if is_lost || is_less {
                self.ends.correct(&end, frame.header.group);
                self.changed.insert(end.log);
            }
            if self.open.is_some() {
                self.told.insert(end.log);
            }
        }
        self.open = self.open.filter(|gap| gap.group < told.from);
    }

    /// At the end: where it is still not known which logs have lost something, those of which
    /// nothing was heard since go on further up.
    pub(super) fn finish(mut self, inner: &Inner) -> Ends {
        if !self.was_any {
            return self.ends;
        }
        let logs = inner.logs.read().values().cloned().collect::<Vec<_>>();
        if let Some(gap) = self.open {
            let offsets = (gap.bytes / APPEND_BYTES_MIN + 1) << 32;
            for log in logs.iter().filter(|log| !self.told.contains(&log.id)) {
                self.changed.insert(log.id);
                let mut state = log.state.lock();
                let next = state.next.max(state.start);
                let end = Offset::new(next.get().saturating_add(offsets)).unwrap_or(next);
                state.lose(next..end, DETAIL.to_owned());
                drop(state);
                report(inner, log.id, Some(next..end));
            }
        }
        let ends = logs.iter().map(|log| (log.id, log.state.lock().next));
        self.ends.tell_all(ends, self.group, |log| self.changed.contains(&log));
        self.ends
    }
}

/// Notes what a log lacks of what was told; true where that is more than is known already.
fn lose_up_to(inner: &Inner, end: &End, is_less: bool) -> bool {
    let Some(log) = inner.log(end.log) else { return false };
    let mut state = log.state.lock();
    let range = state.next.max(state.start)..end.next;
    if range.start >= range.end {
        drop(state);
        if is_less {
            report(inner, end.log, None);
        }
        return is_less;
    }
    let is_known = state
        .lost
        .iter()
        .any(|lost| lost.range.start <= range.start && range.end <= lost.range.end);
    state.lose(range.clone(), DETAIL.to_owned());
    drop(state);
    report(inner, end.log, Some(range));
    !is_known
}

fn report(inner: &Inner, log: LogId, range: Option<Range<Offset>>) {
    let last = |end: Offset| Offset::new(end.get().saturating_sub(1)).unwrap_or_default();
    let offsets = range.map(|range| (range.start, last(range.end)));
    inner.report(Damage { log: Some(log), offsets, detail: DETAIL.to_owned() });
}
