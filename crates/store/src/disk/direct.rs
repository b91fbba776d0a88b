//! Direct extents: what a heavy log has in one commit group goes straight into its segment, and
//! the write-ahead log carries a pointer with a checksum. Both are durable before anything is
//! acknowledged.

use super::beside::Write;
use super::frame::{Pointer, stamp};
use super::inner::Inner;
use super::intake::Pending;
use super::log::FileRef;
use super::segments::Segment;
use super::writer::Stop;
use crate::Op;
use crate::fs::{AlignedBuf, BLOCK};
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
/// Logs that have a segment open for direct writing.
const ACTIVE_MAX: usize = 64;

/// The segments that are being written directly, one per heavy log, and one that logs share.
#[derive(Default)]
pub(super) struct Direct {
    active: HashMap<Option<LogId>, Active>,
    extents: Vec<Extent>,
    /// Which extent a log's batches go to.
    members: HashMap<LogId, usize>,
    /// Per append of the group in order: which extent, and where in it.
    placed: Vec<Option<(usize, Placed)>>,
    writes: Vec<Write>,
    used: u64,
}

struct Active {
    segment: u64,
    next_capacity: u64,
    last_used: u64,
}

#[derive(Clone, Copy)]
struct Placed {
    at: usize,
    length: usize,
    crc: u32,
}

/// The bytes of one log in one group, or of several.
struct Extent {
    owner: Option<LogId>,
    bytes: usize,
    buf: AlignedBuf,
    /// Where it is written; `None`: it goes inline.
    home: Option<(u64, u64)>,
}

impl Extent {
    fn new(owner: Option<LogId>, bytes: usize) -> Self {
        Self { owner, bytes, buf: AlignedBuf::default(), home: None }
    }
}

/// A write failed.
pub(super) struct Failed;

impl Direct {
    /// Makes the extents of a group's heavy logs, to be written. The result gives, per append in
    /// order, its pointer, if it has one.
    pub(super) fn prepare<'a>(
        &mut self,
        inner: &Inner,
        commits: impl Iterator<Item = &'a Pending> + Clone,
        group: u64,
    ) -> Result<(Vec<Option<Pointer>>, Vec<Write>), Failed> {
        self.extents.clear();
        self.placed.clear();
        self.choose(inner, commits.clone());
        if self.extents.is_empty() {
            return Ok(Default::default());
        }
        for extent in &mut self.extents {
            extent.buf = inner.pool.take(extent.bytes + BLOCK);
        }
        self.gather(commits);
        for index in 0..self.extents.len() {
            self.place_extent(inner, index, group)?;
        }
        let pointer = |placed: &Option<_>| placed.and_then(|placed| self.pointer(placed));
        let pointers = self.placed.iter().map(pointer).collect();
        Ok((pointers, std::mem::take(&mut self.writes)))
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
        self.members.clear();
        let heavy_bytes = inner.options.direct_extent_bytes;
        let part = bytes.iter().filter(|(_, bytes)| **bytes >= heavy_bytes / SHARED_PART);
        let total = part.clone().map(|(_, bytes)| *bytes).sum::<usize>();
        if part.clone().count() > OWN_EXTENTS_MAX && total >= SHARED_FACTOR * heavy_bytes {
            self.members.extend(part.map(|(log, _)| (*log, 0)));
            self.extents.push(Extent::new(None, total));
            return;
        }
        let heavy = bytes.into_iter().filter(|(_, bytes)| *bytes >= heavy_bytes);
        self.extents.extend(heavy.map(|(log, bytes)| Extent::new(Some(log), bytes)));
        self.extents.sort_unstable_by_key(|extent| (Reverse(extent.bytes), extent.owner));
        self.extents.truncate(OWN_EXTENTS_MAX);
        let owners = self.extents.iter().map(|extent| extent.owner);
        self.members.extend(owners.enumerate().filter_map(|(at, owner)| Some((owner?, at))));
    }

    /// Copies the batches into the buffers, those of one log one behind the other.
    fn gather<'a>(&mut self, commits: impl Iterator<Item = &'a Pending>) {
        let mut parts = Vec::new();
        for op in commits.flat_map(|pending| &pending.commit.ops) {
            match op {
                Op::Append(append) => {
                    let target = append.targets.first();
                    let member = target.and_then(|target| self.members.get_key_value(&target.log));
                    if let Some((log, extent)) = member {
                        parts.push((*extent, *log, self.placed.len(), append));
                    }
                    self.placed.push(None);
                }
                Op::Replace(_, _, appends) => self.placed.extend(appends.iter().map(|_| None)),
                _ => {}
            }
        }
        parts.sort_by_key(|(extent, log, ..)| (*extent, *log));
        for (extent, _, index, append) in parts {
            let Some(target) = append.targets.first() else { continue };
            let buf = &mut self.extents[extent].buf;
            let (at, length) = (buf.len(), append.batch.len());
            buf.extend_from_slice(&append.batch);
            let batch = &mut buf.as_mut_slice()[at..];
            stamp(batch, target.base, target.leader_epoch);
            let placed = Placed { at, length, crc: crc32c::crc32c(batch) };
            self.placed[index] = Some((extent, placed));
        }
    }

    /// Finds a place for an extent. One that has none goes inline.
    fn place_extent(&mut self, inner: &Inner, index: usize, group: u64) -> Result<(), Failed> {
        let (owner, mut buf) =
            (self.extents[index].owner, std::mem::take(&mut self.extents[index].buf));
        buf.pad_to_block();
        let placed = self.place(inner, owner, buf.len() as u64, group);
        let placed = placed.map_err(|stop| inner.stopped(stop, "a heavy log is written inline"));
        let (segment, position) = match placed {
            Ok(Some(placed)) => placed,
            Err(()) if inner.has_failed() => return Err(Failed),
            Ok(None) | Err(()) => return Ok(()),
        };
        self.extents[index].home = Some((segment.id, position));
        let (capacity, bytes) = (buf.capacity(), inner.pool.share(buf));
        if let Ok(position) = u32::try_from(position) {
            // Found only through the index, which gets it when the group is durable.
            inner.cache.insert(FileRef::segment(segment.id), position, bytes.clone(), capacity);
        }
        self.writes.push(Write { segment, position, bytes });
        Ok(())
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

    fn pointer(&self, (index, placed): (usize, Placed)) -> Option<Pointer> {
        let (segment, position) = self.extents[index].home?;
        Some(Pointer {
            segment,
            position: u32::try_from(position + placed.at as u64).ok()?,
            length: u32::try_from(placed.length).ok()?,
            crc: placed.crc,
        })
    }
}
