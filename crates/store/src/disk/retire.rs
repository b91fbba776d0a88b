//! Retirement: what is still alive in the oldest write-ahead files moves to segments and
//! checkpoint files, the manifest says so, and the files are used again.
//!
//! Nothing is referred to before it is durable, and nothing goes away before both copies of the
//! manifest no longer need it. A run that finds no space changes nothing and is tried again.

mod copy;

use super::inner::Inner;
use super::log::{BlobHome, Entry, Log, Moved, Reference, StateBlob};
use super::manifest::Manifest;
use super::manifest_file;
use super::reading::read_file;
use super::segments::{self, checkpoint_name};
use super::wal::{self, WalFile};
use super::writer::{Stop, later};
use crate::Damage;
use crate::fs::OpenMode;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;
use tramline_types::LogId;

/// How much one run takes from the write-ahead log, and from sparse segments besides.
const RUN_BYTES_MAX: u64 = 32 * 1024 * 1024;
const REWRITE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Dead segments are kept to be written again where so many times their space is free.
const ROOMY_FACTOR: u64 = 4;
/// Prepared files kept; more are removed.
const SPARES_MAX: usize = 3;

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
        let inner = &self.inner;
        let group = inner.counters.applied_group.load(Acquire);
        let free = inner.files.free_bytes(&inner.paths.dir).unwrap_or(0);
        let (count, gone) = inner.segments.take_dead(group, free >= inner.roomy_bytes());
        for &id in &gone {
            if let Err(e) = inner.segments.remove(id) {
                tracing::warn!(error = %e, "a dead segment stays until the next start");
            }
        }
        count + gone.len() > 0
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

impl Inner {
    /// With so much free, what dead segments take makes no difference.
    fn roomy_bytes(&self) -> u64 {
        let spares = segments::SPARES_MAX as u64 * self.options.segment_bytes_max;
        self.headroom.saturating_add(ROOMY_FACTOR.saturating_mul(spares))
    }
}

impl Run {
    /// Whether the entry's file goes away, or gets a footer.
    fn retires(&self, entry: &Entry) -> bool {
        let file = entry.place.file;
        file.as_wal().is_some_and(|sequence| self.images.contains_key(&sequence))
            || file.as_segment().is_some_and(|id| self.direct.contains(&id))
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
