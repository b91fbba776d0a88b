//! Direct extents: what a heavy log has in one commit group goes straight into its segment, and
//! the write-ahead log carries a pointer with a checksum. Both are durable before anything is
//! acknowledged.

use super::beside::{Beside, Write};
use super::frame::{Pointer, stamp};
use super::inner::Inner;
use super::intake::Pending;
use super::log::FileRef;
use super::segments::Segment;
use super::writer::Stop;
use crate::fs::BLOCK;
use crate::{Op, Target};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use tramline_types::LogId;

/// The first segment of a log that turns out heavy; each further one is twice as large.
const FIRST_SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// So many heavy logs of a group get an extent each, which costs a sync. More share one, in which
/// a log takes part that has this part of what makes a log heavy, where they have this many times
/// that together.
const OWN_EXTENTS_MAX: usize = 2;
const SHARED_PART: usize = 8;
const SHARED_FACTOR: usize = 4;
/// An extent that has so many times what makes a log heavy is written while the next is gathered.
const EXTENT_FACTOR: usize = 4;
/// Logs that have a segment open for direct writing.
const ACTIVE_MAX: usize = 64;

/// The segments that are being written directly, one per heavy log, and one that logs share.
#[derive(Default)]
pub(super) struct Direct {
    active: HashMap<Option<LogId>, Active>,
    /// Whose extents a group has, those of a shared segment under `None`.
    owners: Vec<Option<LogId>>,
    /// Which owner's extents a log's batches go to.
    members: HashMap<LogId, usize>,
    /// Per append of the group in order: where it is, unless it goes inline.
    pointers: Vec<Option<Pointer>>,
    used: u64,
}

struct Active {
    segment: u64,
    next_capacity: u64,
    last_used: u64,
}

/// One append of a group that goes to an extent.
struct Part<'a> {
    owner: usize,
    target: &'a Target,
    /// Which of the group's appends it is.
    index: usize,
    batch: &'a [u8],
}

/// A write failed.
pub(super) struct Failed;

impl Direct {
    /// Gathers the extents of a group's heavy logs; each is on its way to the disk while the next
    /// is gathered. The result gives, per append in order, its pointer, if it has one.
    pub(super) fn prepare<'a>(
        &mut self,
        inner: &Inner,
        commits: impl Iterator<Item = &'a Pending> + Clone,
        group: u64,
        beside: &Beside,
    ) -> Result<Vec<Option<Pointer>>, Failed> {
        self.owners.clear();
        self.members.clear();
        self.pointers.clear();
        self.choose(inner, commits.clone());
        if self.owners.is_empty() {
            return Ok(Vec::new());
        }
        let parts = self.parts(commits);
        let enough = EXTENT_FACTOR * inner.options.direct_extent_bytes;
        let mut rest = parts.as_slice();
        while let Some(first) = rest.first() {
            let mut bytes = 0;
            let full = rest.iter().take_while(|part| {
                let goes_on = part.owner == first.owner && bytes < enough;
                bytes += if goes_on { part.batch.len() } else { 0 };
                goes_on
            });
            let (extent, others) = rest.split_at(full.count());
            let owner = self.owners[first.owner];
            if let Some(write) = self.extent(inner, owner, (extent, bytes), group)? {
                beside.begin(write);
            }
            rest = others;
        }
        Ok(std::mem::take(&mut self.pointers))
    }

    /// Decides what goes where: a few heavy logs each to a segment of its own, many together to
    /// one that they share, where that is much.
    fn choose<'a>(&mut self, inner: &Inner, commits: impl Iterator<Item = &'a Pending>) {
        let mut bytes = HashMap::<LogId, usize>::new();
        for op in commits.flat_map(|pending| &pending.commit.ops) {
            if let Op::Append(append) = op
                && let Some(target) = append.targets.first()
            {
                *bytes.entry(target.log).or_default() += append.batch.len();
            }
        }
        let heavy_bytes = inner.options.direct_extent_bytes;
        let part = bytes.iter().filter(|(_, bytes)| **bytes >= heavy_bytes / SHARED_PART);
        let total = part.clone().map(|(_, bytes)| *bytes).sum::<usize>();
        if part.clone().count() > OWN_EXTENTS_MAX && total >= SHARED_FACTOR * heavy_bytes {
            self.members.extend(part.map(|(log, _)| (*log, 0)));
            self.owners.push(None);
            return;
        }
        let heavy = bytes.into_iter().filter(|(_, bytes)| *bytes >= heavy_bytes);
        let mut heavy = heavy.map(|(log, bytes)| (Reverse(bytes), log)).collect::<Vec<_>>();
        heavy.sort_unstable();
        heavy.truncate(OWN_EXTENTS_MAX);
        self.members.extend(heavy.iter().enumerate().map(|(at, (_, log))| (*log, at)));
        self.owners.extend(heavy.into_iter().map(|(_, log)| Some(log)));
    }

    /// The appends that go to extents, those of one log one behind the other.
    fn parts<'a>(&mut self, commits: impl Iterator<Item = &'a Pending>) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        for op in commits.flat_map(|pending| &pending.commit.ops) {
            match op {
                Op::Append(append) => {
                    if let Some(target) = append.targets.first()
                        && let Some(&owner) = self.members.get(&target.log)
                    {
                        let index = self.pointers.len();
                        parts.push(Part { owner, target, index, batch: &append.batch });
                    }
                    self.pointers.push(None);
                }
                Op::Replace(_, _, appends) => self.pointers.extend(appends.iter().map(|_| None)),
                _ => {}
            }
        }
        parts.sort_by_key(|part| (part.owner, part.target.log));
        parts
    }

    /// Copies batches into an extent and finds a place for it. Without one they go inline.
    fn extent(
        &mut self,
        inner: &Inner,
        owner: Option<LogId>,
        (parts, bytes): (&[Part], usize),
        group: u64,
    ) -> Result<Option<Write>, Failed> {
        let place = self.place(inner, owner, bytes.next_multiple_of(BLOCK) as u64, group);
        let place = place.map_err(|stop| inner.stopped(stop, "a heavy log is written inline"));
        let (segment, position) = match place {
            Ok(Some(place)) => place,
            Err(()) if inner.has_failed() => return Err(Failed),
            Ok(None) | Err(()) => return Ok(None),
        };
        let mut buf = inner.pool.take(bytes + BLOCK);
        for part in parts {
            let at = buf.len();
            buf.extend_from_slice(part.batch);
            let batch = &mut buf.as_mut_slice()[at..];
            stamp(batch, part.target.base, part.target.leader_epoch);
            let crc = crc32c::crc32c(batch);
            self.pointers[part.index] = pointer(segment.id, position + at as u64, batch.len(), crc);
        }
        buf.pad_to_block();
        let (capacity, bytes) = (buf.capacity(), inner.pool.share(buf));
        if let Ok(position) = u32::try_from(position) {
            // Found only through the index, which gets it when the group is durable.
            inner.cache.insert(FileRef::segment(segment.id), position, bytes.clone(), capacity);
        }
        Ok(Some(Write { segment, position, bytes }))
    }

    /// Space in the owner's segment, in another one where it is full. `None` where the disk has
    /// none: the bytes then go inline, which was set aside for them.
    fn place(
        &mut self,
        inner: &Inner,
        owner: Option<LogId>,
        bytes: u64,
        group: u64,
    ) -> Result<Option<(Arc<Segment>, u64)>, Stop> {
        self.used += 1;
        let mut capacity = FIRST_SEGMENT_BYTES;
        if let Some(active) = self.active.get_mut(&owner) {
            active.last_used = self.used;
            if let Some(placed) = inner.segments.place_direct(active.segment, bytes, group) {
                return Ok(Some(placed));
            }
            capacity = active.next_capacity;
            self.active.remove(&owner);
        }
        let capacity = capacity.min(inner.options.segment_bytes_max).max(bytes);
        let free = inner.files.free_bytes(&inner.paths.dir).unwrap_or(0);
        if free < capacity.saturating_add(inner.headroom) && !inner.segments.has_spare() {
            return Ok(None);
        }
        let segment = inner.segments.create_direct(capacity)?;
        let placed = inner.segments.place_direct(segment, bytes, group);
        let next_capacity = capacity.saturating_mul(2);
        self.active.insert(owner, Active { segment, next_capacity, last_used: self.used });
        if self.active.len() > ACTIVE_MAX {
            self.forget_oldest(inner);
        }
        Ok(placed)
    }

    fn forget_oldest(&mut self, inner: &Inner) {
        let oldest = self.active.iter().min_by_key(|(_, active)| active.last_used);
        let oldest = oldest.map(|(owner, _)| *owner);
        if let Some(active) = oldest.and_then(|oldest| self.active.remove(&oldest)) {
            inner.segments.stop_direct(active.segment);
        }
    }
}

fn pointer(segment: u64, position: u64, length: usize, crc: u32) -> Option<Pointer> {
    let (position, length) = (u32::try_from(position).ok()?, u32::try_from(length).ok()?);
    Some(Pointer { segment, position, length, crc })
}
