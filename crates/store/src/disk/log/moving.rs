//! What retirement changes in a log's index: batches and state that moved to other files.

use super::{Entry, Extent, LogState, Place, Reference, StateBlob};
use std::collections::VecDeque;
use std::ops::Range;
use tramline_types::{Offset, Timestamp};

/// A batch's new home in a segment.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Moved {
    pub(in super::super) base: Offset,
    pub(in super::super) next: Offset,
    pub(in super::super) max_timestamp: Timestamp,
    /// Where it was.
    pub(in super::super) from: Place,
    pub(in super::super) segment: u64,
}

/// What a retirement changed in one log.
#[derive(Debug, Default)]
pub(in super::super) struct Retired {
    pub(in super::super) entries: usize,
    pub(in super::super) segments: Vec<Reference>,
    pub(in super::super) lost: Vec<Range<Offset>>,
}

/// Joins batches that moved together into extents.
#[derive(Default)]
struct Runs {
    open: Option<(usize, Extent)>,
    done: Vec<Extent>,
}

impl Runs {
    /// `at` numbers the batches: neighbours have neighbouring numbers.
    fn push(&mut self, at: usize, moved: &Moved) {
        let bytes = u64::from(moved.from.length);
        match &mut self.open {
            Some((last, extent)) if *last + 1 == at && extent.segment == moved.segment => {
                *last = at;
                extent.next = moved.next;
                extent.bytes += bytes;
                extent.max_timestamp = extent.max_timestamp.max(moved.max_timestamp);
            }
            _ => {
                self.close();
                let extent = Extent {
                    segment: moved.segment,
                    base: moved.base,
                    next: moved.next,
                    bytes,
                    max_timestamp: moved.max_timestamp,
                };
                self.open = Some((at, extent));
            }
        }
    }

    /// Where the open extent ends.
    fn end(&self) -> Option<Offset> {
        self.open.as_ref().map(|(_, extent)| extent.next)
    }

    fn close(&mut self) {
        self.done.extend(self.open.take().map(|(_, extent)| extent));
    }

    fn finish(mut self) -> Vec<Extent> {
        self.close();
        self.done
    }
}

impl LogState {
    /// Swaps entries of files that go away for extents of the segments that they moved to.
    /// `moved` is ordered by offset. An entry that is in neither is lost, unless it was
    /// discarded.
    pub(in super::super) fn retire(
        &mut self,
        is_gone: impl Fn(&Entry) -> bool,
        moved: &[Moved],
        detail: &str,
    ) -> Retired {
        let mut retired = Retired::default();
        let mut kept = VecDeque::new();
        let mut runs = Runs::default();
        let gone = self.dense.iter().rposition(&is_gone).map_or(0, |last| last + 1);
        let rest = self.dense.split_off(gone);
        let mut extents_before = 0;
        for entry in std::mem::replace(&mut self.dense, rest) {
            // A direct segment is sealed before the write-ahead files that still point into it
            // are: its extents may lie between these entries.
            let extents = self.extents.partition_point(|extent| extent.base < entry.base);
            if std::mem::replace(&mut extents_before, extents) != extents {
                runs.close();
            }
            if !is_gone(&entry) {
                runs.close();
                kept.push_back(entry);
                continue;
            }
            retired.entries += 1;
            self.dense_bytes -= u64::from(entry.place.length);
            let at = moved.partition_point(|moved| moved.base < entry.base);
            let home = moved.get(at).filter(|m| m.base == entry.base && m.from == entry.place);
            let range = entry.base..entry.next();
            if let Some(segment) = entry.place.file.as_segment() {
                retired.segments.push(Reference::dropped(segment, entry.place.length.into()));
            }
            if let Some(home) = home {
                // An extent over what lies elsewhere, or is lost, would read past it.
                let between = runs.end().filter(|end| *end < entry.base);
                if between.is_some_and(|end| self.breaks_run(end..entry.base)) {
                    runs.close();
                }
                runs.push(at, home);
            } else if !self.is_discarded(&range) {
                runs.close();
                self.lose(range.clone(), detail.to_owned());
                retired.lost.push(range);
            }
        }
        for entry in kept.into_iter().rev() {
            self.dense.push_front(entry);
        }
        self.add_extents(runs.finish(), &mut retired);
        retired
    }

    fn breaks_run(&self, range: Range<Offset>) -> bool {
        let lost = self.lost.iter().map(|lost| &lost.range);
        let mut within = lost.filter(|lost| lost.start < range.end && range.start < lost.end);
        within.next().is_some() || self.has_extent(range)
    }

    /// The same for the extents of a segment that goes away.
    pub(in super::super) fn retire_segment(&mut self, segment: u64, moved: &[Moved]) -> Retired {
        let mut retired = Retired::default();
        let mut runs = Runs::default();
        for extent in std::mem::take(&mut self.extents) {
            if extent.segment != segment {
                self.extents.push_back(extent);
                continue;
            }
            runs.close();
            retired.segments.push(Reference::dropped(segment, extent.bytes));
            let from = moved.partition_point(|moved| moved.base < extent.base);
            let to = moved.partition_point(|moved| moved.base < extent.next);
            (from..to).for_each(|at| runs.push(at, &moved[at]));
        }
        self.add_extents(runs.finish(), &mut retired);
        retired
    }

    fn add_extents(&mut self, extents: Vec<Extent>, retired: &mut Retired) {
        let taken = extents.iter().map(|extent| Reference::taken(extent.segment, extent.bytes));
        retired.segments.extend(taken);
        self.extents.extend(extents);
        self.extents.make_contiguous().sort_by_key(|extent| extent.base);
    }

    /// Moves state to a checkpoint file: those pieces that are still part of it.
    pub(in super::super) fn move_state(
        &mut self,
        moved: &[(StateBlob, StateBlob)],
    ) -> Vec<(StateBlob, StateBlob)> {
        let mut now = Vec::new();
        let mut moved = moved.iter();
        // Both are in commit order.
        for blob in &mut self.state {
            if let Some(at) = moved.as_slice().iter().position(|(from, _)| from == blob)
                && let Some((from, to)) = moved.nth(at)
            {
                now.push((*from, *to));
                *blob = *to;
            }
        }
        now
    }
}
