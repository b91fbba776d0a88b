//! Retirement: what is still alive in the oldest write-ahead files moves to segments and
//! checkpoint files, the manifest says so, and the files are used again.
//!
//! Nothing is referred to before it is durable, and nothing goes away before both copies of the
//! manifest no longer need it. A run that finds no space changes nothing and is tried again.

use super::inner::Inner;
use super::log::{BlobHome, Entry, FileRef, Log, Moved, Place, Reference, StateBlob};
use super::manifest::Manifest;
use super::manifest_file;
use super::reading::read_file;
use super::segments::checkpoint_name;
use super::wal::{self, WalFile};
use super::writer::{SegmentWriter, Stop, fatal, later, seal};
use crate::Damage;
use crate::fs::{AlignedBuf, OpenMode};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;
use tramline_types::{LogId, Offset};

/// Logs with at least this much to keep get a segment of their own.
const OWN_SEGMENT_BYTES: u64 = 1024 * 1024;
/// How much one run takes from the write-ahead log, and from sparse segments besides.
const RUN_BYTES_MAX: u64 = 64 * 1024 * 1024;
const REWRITE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Prepared files kept; more are removed.
const SPARES_MAX: usize = 3;
const CHECKPOINT_MAGIC: &[u8; 8] = b"TRAMCKP1";
const CHECKPOINT_HEADER_BYTES: u32 = 16;

/// Frees write-ahead files. One thread, or the test, steps it.
pub(super) struct Retirer {
    inner: Arc<Inner>,
    /// Retired, but still being read.
    pinned: Vec<Arc<WalFile>>,
    /// Rewritten segments and superseded checkpoint files, which the manifest on disk may still
    /// need.
    superseded: Vec<u64>,
    dead_checkpoints: Vec<u64>,
}

/// One log's part in a run.
struct Plan {
    log: Arc<Log>,
    entries: Vec<Entry>,
    direct: Vec<Entry>,
    state: Vec<StateBlob>,
    moved: Vec<Moved>,
    /// From segments that are rewritten: the segment and its batches.
    rewritten: Vec<(u64, Vec<Moved>)>,
    moved_state: Vec<(StateBlob, StateBlob)>,
}

/// What a run works on.
struct Run {
    files: Vec<Arc<WalFile>>,
    images: HashMap<u64, Bytes>,
    /// Direct segments to be sealed; their lengths once they are.
    direct: Vec<u64>,
    sealed: Vec<(u64, u64)>,
    sparse: Vec<u64>,
    sparse_checkpoints: HashMap<u64, Bytes>,
    plans: Vec<Plan>,
}

impl Retirer {
    pub(super) const fn new(inner: Arc<Inner>) -> Self {
        Self { inner, pinned: Vec::new(), superseded: Vec::new(), dead_checkpoints: Vec::new() }
    }

    /// Does what is to be done, or a run in any case; true when anything was.
    pub(super) fn step(&mut self, force: bool) -> bool {
        if self.inner.has_failed() {
            return false;
        }
        let mut did = self.remove_dead_segments();
        did |= self.reuse_pinned();
        if force || self.is_due() {
            match self.run() {
                Ok(ran) => did |= ran,
                Err(stop) => self.inner.stopped(stop, "retirement waits"),
            }
        }
        did
    }

    fn is_due(&self) -> bool {
        let inner = &self.inner;
        let files = inner.wal.lock().len();
        let index_bytes = inner.counters.dense_entries() * size_of::<Entry>();
        files > 1
            && (inner.wal_bytes() > inner.options.wal_retire_bytes
                || index_bytes > inner.options.index_bytes
                || inner.space.is_full())
    }

    /// Segments that nothing refers to go as soon as no pointer to them can be in the last
    /// group: recovery looks at those only.
    fn remove_dead_segments(&self) -> bool {
        let group = self.inner.counters.applied_group.load(Acquire);
        let dead = self.inner.segments.take_dead(group);
        for &id in &dead {
            if let Err(e) = self.inner.segments.remove(id) {
                tracing::warn!(error = %e, "a dead segment stays until the next start");
            }
        }
        !dead.is_empty()
    }

    fn reuse_pinned(&mut self) -> bool {
        let (free, pinned) = std::mem::take(&mut self.pinned)
            .into_iter()
            .partition::<Vec<_>, _>(|wal| Arc::strong_count(wal) == 1);
        self.pinned = pinned;
        free.iter().for_each(|wal| self.reuse(wal));
        !free.is_empty()
    }

    fn reuse(&self, wal: &WalFile) {
        let spares_max = if self.inner.space.is_full() { 1 } else { SPARES_MAX };
        let spares = &self.inner.spares;
        if spares.ready().0 < spares_max && wal.bytes == self.inner.options.wal_file_bytes {
            if let Err(stop) = spares.recycle(wal, None) {
                self.inner.stopped(stop, "a retired write-ahead file cannot be used again");
            }
            return;
        }
        let path = self.inner.paths.wal.join(wal::name(wal.sequence));
        if let Err(error) = self.inner.files.remove(&path) {
            tracing::warn!(error = %error, "a retired write-ahead file stays until the next start");
        }
    }

    fn run(&mut self) -> Result<bool, Stop> {
        let Some(mut run) = self.prepare()? else { return Ok(false) };
        self.collect(&mut run);
        self.write_segments(&mut run)?;
        self.seal_direct(&mut run)?;
        self.write_checkpoint(&mut run)?;
        self.install(&run);
        self.finish(run)?;
        Ok(true)
    }

    /// Chooses and reads the files.
    fn prepare(&self) -> Result<Option<Run>, Stop> {
        let inner = &self.inner;
        let files = {
            let wal = inner.wal.lock();
            let all_but_newest = wal.len().saturating_sub(1);
            let limit = if inner.space.is_full() { 1 } else { RUN_BYTES_MAX };
            let mut bytes = 0;
            let files = wal.values().take(all_but_newest).take_while(|file| {
                bytes += file.bytes;
                bytes <= limit || bytes == file.bytes
            });
            files.cloned().collect::<Vec<_>>()
        };
        let Some(last) = files.last() else { return Ok(None) };
        let closed = inner.segments.close_direct(last.sequence);
        let group = closed.iter().map(|(_, group)| *group).max().unwrap_or(0);
        while inner.counters.applied_group.load(Acquire) < group {
            // The group that is just being written still goes into such a segment.
            if inner.has_failed() || !inner.upkeep.wait(Some(Duration::from_millis(1))) {
                return Ok(None);
            }
        }
        let mut images = HashMap::new();
        for wal in &files {
            let path = inner.paths.wal.join(wal::name(wal.sequence));
            let image = read_file(&*wal.file, true, 0, wal.bytes).map_err(later("read", &path))?;
            images.insert(wal.sequence, image);
        }
        let direct = closed.into_iter().map(|(id, _)| id).collect();
        let mut budget = REWRITE_BYTES_MAX;
        let sparse = inner.segments.sparse().into_iter().take_while(|(_, live)| {
            let fits = *live <= budget;
            budget = budget.saturating_sub(*live);
            fits
        });
        let sparse = sparse.map(|(id, _)| id).collect();
        let mut run = Run {
            files,
            images,
            direct,
            sealed: Vec::new(),
            sparse,
            sparse_checkpoints: HashMap::new(),
            plans: Vec::new(),
        };
        for (id, _) in inner.segments.sparse_checkpoints() {
            if let Some(bytes) = self.read_checkpoint(id) {
                run.sparse_checkpoints.insert(id, bytes);
            }
        }
        Ok(Some(run))
    }

    fn read_checkpoint(&self, id: u64) -> Option<Bytes> {
        let path = self.inner.paths.checkpoints.join(checkpoint_name(id));
        let file = self.inner.files.open(&path, OpenMode::Read).ok()?;
        read_file(&*file, false, 0, file.len().ok()?).ok()
    }

    /// Finds what lives in the files.
    fn collect(&self, run: &mut Run) {
        let inner = &self.inner;
        let mut logs = inner.logs.read().values().cloned().collect::<Vec<_>>();
        logs.sort_unstable_by_key(|log| log.id);
        for log in logs {
            let mut plan = Plan {
                log: Arc::clone(&log),
                entries: Vec::new(),
                direct: Vec::new(),
                state: Vec::new(),
                moved: Vec::new(),
                rewritten: Vec::new(),
                moved_state: Vec::new(),
            };
            let state = log.state.lock();
            for entry in &state.dense {
                if !run.retires(entry) || state.is_discarded(&(entry.base..entry.next())) {
                    continue;
                }
                match entry.place.file.as_wal() {
                    Some(_) => plan.entries.push(*entry),
                    None => plan.direct.push(*entry),
                }
            }
            let blobs = state.state.iter().filter(|blob| match blob.home {
                BlobHome::Wal(sequence) => run.images.contains_key(&sequence),
                BlobHome::Checkpoint(id) => run.sparse_checkpoints.contains_key(&id),
            });
            plan.state.extend(blobs.copied());
            let sparse = state.extents.iter().any(|extent| run.sparse.contains(&extent.segment));
            let is_empty =
                plan.entries.is_empty() && plan.direct.is_empty() && plan.state.is_empty();
            // A log whose entries were all discarded has them taken out of its index, too.
            if !is_empty || sparse || state.dense.iter().any(|entry| run.retires(entry)) {
                drop(state);
                run.plans.push(plan);
            }
        }
    }

    /// Writes the batches of the write-ahead files into segments.
    fn write_segments(&self, run: &mut Run) -> Result<(), Stop> {
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

    fn seal_direct(&self, run: &mut Run) -> Result<(), Stop> {
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

    fn sync_dir(&self, dir: &std::path::Path) -> Result<(), Stop> {
        self.inner.files.sync_dir(dir).map_err(fatal("sync", dir))
    }

    /// Copies the state that lives in the files into one checkpoint file.
    fn write_checkpoint(&self, run: &mut Run) -> Result<(), Stop> {
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

    /// Lets readers find everything in its new place.
    fn install(&mut self, run: &Run) {
        let inner = Arc::clone(&self.inner);
        for &segment in &run.sparse {
            // Kept for the manifest on disk until there is another one.
            inner.segments.change(&Reference::taken(segment, 0));
        }
        for plan in &run.plans {
            let detail = "the batch did not match its checksum when it was retired";
            let mut state = plan.log.state.lock();
            if state.deleted {
                continue;
            }
            let mut retired = vec![state.retire(|e| run.retires(e), &plan.moved, detail)];
            for &segment in &run.sparse {
                let moved = plan.rewritten.iter().find(|(id, _)| *id == segment);
                let moved = moved.map_or(&[][..], |(_, moved)| moved);
                retired.push(state.retire_segment(segment, moved));
            }
            for retired in &retired {
                for change in &retired.segments {
                    inner.segments.change(change);
                }
                inner.counters.dense_entries_removed(retired.entries);
            }
            for (from, blob) in state.move_state(&plan.moved_state) {
                if let BlobHome::Checkpoint(id) = from.home {
                    let change = Reference::dropped(id, u64::from(from.length));
                    inner.segments.change_checkpoint(&change);
                }
                if let BlobHome::Checkpoint(id) = blob.home {
                    let change = Reference::taken(id, u64::from(blob.length));
                    inner.segments.change_checkpoint(&change);
                }
            }
            drop(state);
            for range in retired.into_iter().flat_map(|retired| retired.lost) {
                inner.report(Damage {
                    log: Some(plan.log.id),
                    offsets: Some((range.start, range.end)),
                    detail: detail.to_owned(),
                });
            }
        }
        for &(segment, length) in &run.sealed {
            inner.segments.set_sealed(segment, length);
        }
        self.superseded.extend(&run.sparse);
    }

    /// Writes the manifest, then frees what it no longer needs.
    fn finish(&mut self, run: Run) -> Result<(), Stop> {
        let inner = Arc::clone(&self.inner);
        let Some(last) = run.files.last().map(|wal| wal.sequence) else { return Ok(()) };
        let live = inner.wal.lock().range(last + 1..).next().map(|(_, wal)| Arc::clone(wal));
        let Some(live) = live else { return Ok(()) };
        let generation = inner.counters.generation.load(Relaxed) + 1;
        self.dead_checkpoints.append(&mut inner.segments.take_dead_checkpoints());
        let mut manifest = Manifest::collect(&inner);
        manifest.generation = generation;
        manifest.first_live = live.sequence;
        manifest.link = live.before;
        drop(live);
        manifest_file::store(&inner, &manifest)?;
        inner.counters.generation.store(generation, Relaxed);
        for segment in self.superseded.drain(..) {
            inner.segments.abandon(segment);
        }
        for id in self.dead_checkpoints.drain(..) {
            let path = inner.paths.checkpoints.join(checkpoint_name(id));
            if let Err(e) = inner.files.remove(&path) {
                tracing::warn!(error = %e, "a dead checkpoint file stays until the next start");
            }
        }
        let mut wal = inner.wal.lock();
        for file in &run.files {
            wal.remove(&file.sequence);
        }
        drop(wal);
        self.pinned.extend(run.files);
        self.reuse_pinned();
        self.remove_dead_segments();
        Ok(())
    }
}

/// A batch of a segment that is rewritten.
struct Rewrite {
    plan: usize,
    segment: u64,
    entry: Entry,
    bytes: Bytes,
}

impl Run {
    /// Whether the entry's file goes away, or gets a footer.
    fn retires(&self, entry: &Entry) -> bool {
        let file = entry.place.file;
        file.as_wal().is_some_and(|sequence| self.images.contains_key(&sequence))
            || file.as_segment().is_some_and(|id| self.direct.contains(&id))
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
        match bytes.filter(|bytes| super::reading::is_whole(bytes, entry)) {
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

impl Manifest {
    /// Everything but the write-ahead log: files, log table, pairs, damage.
    pub(super) fn collect(inner: &Inner) -> Self {
        let (commit, pairs, logs) = {
            let durable = inner.durable.lock();
            let logs = inner.logs.read().values().cloned().collect::<Vec<_>>();
            (durable.commit, durable.pairs.clone(), logs)
        };
        let mut stored = BTreeMap::<LogId, _>::new();
        for log in logs {
            let state = log.state.lock();
            if !state.deleted {
                stored.insert(log.id, state.stored(log.id));
            }
        }
        let (segments, checkpoints) = inner.segments.stored();
        let (next_segment, next_checkpoint) = inner.segments.next_ids();
        Self {
            newest: inner.spares.newest(),
            commit,
            next_segment,
            next_checkpoint,
            segments,
            checkpoints,
            logs: stored.into_values().collect(),
            pairs,
            damage: inner.damage.lock().clone(),
            ..Self::default()
        }
    }
}
