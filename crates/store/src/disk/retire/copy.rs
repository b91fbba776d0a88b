//! Copies what lives into segments and a checkpoint file. Nothing refers to the copies yet.

use super::super::inner::Inner;
use super::super::log::{BlobHome, Entry, FileRef, Moved, Place, StateBlob};
use super::super::reading::is_whole;
use super::super::segments::checkpoint_name;
use super::super::wal;
use super::super::writer::{SegmentWriter, Stop, fatal, later, seal};
use super::{Plan, Retirer, Run};
use crate::Damage;
use crate::fs::{AlignedBuf, OpenMode};
use bytes::Bytes;
use std::collections::HashSet;
use tramline_types::Offset;

/// Logs with at least this much to keep get a segment of their own.
const OWN_SEGMENT_BYTES: u64 = 1024 * 1024;
const CHECKPOINT_MAGIC: &[u8; 8] = b"TRAMCKP1";
const CHECKPOINT_HEADER_BYTES: u32 = 16;

/// A batch of a segment that is rewritten.
struct Rewrite {
    plan: usize,
    segment: u64,
    entry: Entry,
    bytes: Bytes,
}

impl Retirer {
    /// Writes the batches of the write-ahead files into segments.
    pub(super) fn write_segments(&self, run: &mut Run) -> Result<(), Stop> {
        let shared_places = shared_places(&run.plans);
        let is_own = |plan: &Plan| {
            plan.entries.iter().map(|entry| u64::from(entry.place.length)).sum::<u64>()
                >= OWN_SEGMENT_BYTES
                && !plan.entries.iter().any(|entry| shared_places.contains(&entry.place))
        };
        let mut plans = std::mem::take(&mut run.plans);
        let shared = plans.iter().filter(|plan| !is_own(plan));
        let sizes = shared.clone().flat_map(|plan| &plan.entries);
        let bytes = sizes.clone().map(|entry| u64::from(entry.place.length)).sum::<u64>();
        let batches = sizes.count();
        let rewrites = self.read_sparse(run, &plans);
        let rewritten_bytes = rewrites.iter().map(|r| r.bytes.len() as u64).sum::<u64>();
        if batches + rewrites.len() > 0 {
            let mut writer = SegmentWriter::create(
                &self.inner,
                bytes + rewritten_bytes,
                batches + rewrites.len(),
            )?;
            let shared = plans.iter().map(|plan| !is_own(plan)).collect::<Vec<_>>();
            for (index, plan) in plans.iter_mut().enumerate() {
                let entries = if shared[index] { plan.entries.clone() } else { Vec::new() };
                let rewrites = rewrites.iter().filter(|rewrite| rewrite.plan == index);
                let mut rewrites = rewrites.collect::<Vec<_>>();
                rewrites.sort_by_key(|rewrite| rewrite.entry.base);
                write_plan(&self.inner, run, plan, (&entries, &rewrites), &mut writer)?;
            }
            self.finish_segment(writer)?;
        }
        for plan in plans.iter_mut().filter(|plan| is_own(plan)) {
            let bytes = plan.entries.iter().map(|entry| u64::from(entry.place.length)).sum();
            let mut writer = SegmentWriter::create(&self.inner, bytes, plan.entries.len())?;
            let entries = plan.entries.clone();
            write_plan(&self.inner, run, plan, (&entries, &[]), &mut writer)?;
            self.finish_segment(writer)?;
        }
        run.plans = plans;
        Ok(())
    }

    fn finish_segment(&self, writer: SegmentWriter<'_>) -> Result<(), Stop> {
        let id = writer.id;
        let length = writer.finish()?;
        self.inner.segments.add_sealed(id, length, 0);
        Ok(())
    }

    /// Reads what still lives in the segments that are rewritten. One that cannot be read
    /// stays as it is.
    fn read_sparse(&self, run: &mut Run, plans: &[Plan]) -> Vec<Rewrite> {
        let mut all = Vec::new();
        let mut kept = Vec::new();
        for &segment in &run.sparse {
            let mut batches = Vec::new();
            let whole = plans.iter().enumerate().all(|(index, plan)| {
                let extents = {
                    let state = plan.log.state.lock();
                    let extents = state.extents.iter();
                    extents.filter(|e| e.segment == segment).copied().collect::<Vec<_>>()
                };
                extents.iter().all(|extent| {
                    let read = self.inner.read_whole_extent(plan.log.id, extent);
                    let Ok(mut read) = read else { return false };
                    let state = plan.log.state.lock();
                    read.retain(|(e, _)| !state.is_discarded(&(e.base..e.next())));
                    drop(state);
                    batches.extend(read.into_iter().map(|(entry, bytes)| Rewrite {
                        plan: index,
                        segment,
                        entry,
                        bytes,
                    }));
                    true
                })
            });
            if whole {
                all.append(&mut batches);
                kept.push(segment);
            }
        }
        run.sparse = kept;
        all
    }

    pub(super) fn seal_direct(&self, run: &mut Run) -> Result<(), Stop> {
        for id in std::mem::take(&mut run.direct) {
            let mut entries = Vec::new();
            for plan in &mut run.plans {
                let mut before = None;
                for entry in plan.direct.iter().filter(|e| e.place.file == FileRef::segment(id)) {
                    entries.push((plan.log.id, *entry, breaks(plan, entry, &mut before)));
                }
            }
            let readable = self.inner.segments.get(id).is_some_and(|file| file.is_ok());
            if entries.is_empty() || !readable {
                run.direct.push(id);
                continue;
            }
            let length = seal(&self.inner, id, &entries)?;
            run.sealed.push((id, length));
            for plan in &mut run.plans {
                let here = plan.direct.iter().filter(|e| e.place.file == FileRef::segment(id));
                plan.moved.extend(here.map(|entry| moved(entry, id)));
            }
            run.direct.push(id);
        }
        for plan in &mut run.plans {
            plan.moved.sort_by_key(|moved| moved.base);
        }
        self.sync_dir(&self.inner.paths.segments)
    }

    #[track_caller]
    fn sync_dir(&self, dir: &std::path::Path) -> Result<(), Stop> {
        self.inner.files.sync_dir(dir).map_err(fatal("sync", dir))
    }

    /// Copies the state that lives in the files into one checkpoint file.
    pub(super) fn write_checkpoint(&self, run: &mut Run) -> Result<(), Stop> {
        let inner = &self.inner;
        if run.plans.iter().all(|plan| plan.state.is_empty()) {
            return Ok(());
        }
        let id = inner.segments.next_checkpoint();
        let mut buf = AlignedBuf::default();
        buf.extend_from_slice(CHECKPOINT_MAGIC);
        buf.extend_from_slice(&id.to_le_bytes());
        debug_assert_eq!(buf.len(), CHECKPOINT_HEADER_BYTES as usize);
        for plan in &mut run.plans {
            for blob in &plan.state {
                let image = match blob.home {
                    BlobHome::Wal(sequence) => run.images.get(&sequence),
                    BlobHome::Checkpoint(id) => run.sparse_checkpoints.get(&id),
                };
                let bytes = image.and_then(|image| part(image, blob.position, blob.length));
                let bytes = bytes.filter(|bytes| crc32c::crc32c(bytes) == blob.crc);
                let (Some(bytes), Ok(position)) = (bytes, u32::try_from(buf.len())) else {
                    let detail = "a change of state cannot be read back".to_owned();
                    let log = Some(plan.log.id);
                    inner.report(Damage { log, offsets: None, detail });
                    continue;
                };
                buf.extend_from_slice(&bytes);
                let to = StateBlob { home: BlobHome::Checkpoint(id), position, ..*blob };
                plan.moved_state.push((*blob, to));
            }
        }
        buf.pad_to_block();
        let path = inner.paths.checkpoints.join(checkpoint_name(id));
        let file = inner.files.open(&path, OpenMode::Direct).map_err(later("make", &path))?;
        if let Err(e) = file.allocate(buf.len() as u64) {
            let _ = inner.files.remove(&path);
            return Err(later("allocate", &path)(e));
        }
        let written = file.write_at(0, &buf).and_then(|()| file.sync());
        written.map_err(fatal("write", &path))?;
        inner.segments.add_checkpoint(id, buf.len() as u64, 0);
        self.sync_dir(&inner.paths.checkpoints)
    }
}

/// The places that more than one log refers to.
fn shared_places(plans: &[Plan]) -> HashSet<Place> {
    let entries = plans.iter().flat_map(|plan| &plan.entries);
    entries.filter(|entry| entry.foreign).map(|entry| entry.place).collect()
}

/// Writes one log's batches in the order of offsets: what is retired, and between it what comes
/// from segments that are rewritten.
fn write_plan(
    inner: &Inner,
    run: &Run,
    plan: &mut Plan,
    (entries, rewrites): (&[Entry], &[&Rewrite]),
    writer: &mut SegmentWriter<'_>,
) -> Result<(), Stop> {
    let mut rewrites = rewrites.iter().peekable();
    let mut before = None;
    for entry in entries {
        while let Some(rewrite) = rewrites.next_if(|r| r.entry.base < entry.base) {
            write_again(plan, rewrite, &mut before, writer)?;
        }
        let image = entry.place.file.as_wal().and_then(|sequence| run.images.get(&sequence));
        let bytes = image.and_then(|i| part(i, entry.place.position, entry.place.length));
        match bytes.filter(|bytes| is_whole(bytes, entry)) {
            Some(bytes) => {
                writer.push(plan.log.id, entry, &bytes, breaks(plan, entry, &mut before))?;
                plan.moved.push(moved(entry, writer.id));
            }
            None => quarantine(inner, run, entry),
        }
    }
    rewrites.try_for_each(|rewrite| write_again(plan, rewrite, &mut before, writer))
}

/// Whether something of the log that is not written here lies before an entry, behind the one
/// written before it.
fn breaks(plan: &Plan, entry: &Entry, before: &mut Option<Offset>) -> bool {
    before.replace(entry.next()).is_none_or(|before| plan.log.lies_between(before, entry.base))
}

/// Writes a batch of a segment that is rewritten.
fn write_again(
    plan: &mut Plan,
    rewrite: &Rewrite,
    before: &mut Option<Offset>,
    writer: &mut SegmentWriter<'_>,
) -> Result<(), Stop> {
    let breaks = breaks(plan, &rewrite.entry, before);
    writer.push(plan.log.id, &rewrite.entry, &rewrite.bytes, breaks)?;
    let moved = moved(&rewrite.entry, writer.id);
    match plan.rewritten.iter_mut().find(|(id, _)| *id == rewrite.segment) {
        Some((_, list)) => list.push(moved),
        None => plan.rewritten.push((rewrite.segment, vec![moved])),
    }
    Ok(())
}

/// Keeps a copy of a damaged file before it is used again.
fn quarantine(inner: &Inner, run: &Run, entry: &Entry) {
    let Some(sequence) = entry.place.file.as_wal() else { return };
    if let Some(image) = run.images.get(&sequence) {
        inner.quarantine_copy(&wal::name(sequence), image);
    }
}

fn part(image: &Bytes, position: u32, length: u32) -> Option<Bytes> {
    let from = usize::try_from(position).ok()?;
    let to = from.checked_add(usize::try_from(length).ok()?)?;
    (to <= image.len()).then(|| image.slice(from..to))
}

fn moved(entry: &Entry, segment: u64) -> Moved {
    Moved {
        base: entry.base,
        next: entry.next(),
        max_timestamp: entry.max_timestamp,
        from: entry.place,
        segment,
    }
}
