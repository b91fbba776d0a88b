//! Opening a data directory.

use super::apply::Replay;
use super::cache::{Cache, Pool};
use super::committer::{Committer, ENDS_BYTES_MIN, run};
use super::ends::Ends;
use super::inner::{Durable, Inner, Paths, io_error};
use super::intake::Intake;
use super::manifest::Manifest;
use super::manifest_file;
use super::reading::ReaderPool;
use super::recovery::{Recoverer, Resumption};
use super::retire::Retirer;
use super::segments::Segments;
use super::space::Space;
use super::spares::{Prewrite, Spares};
use super::stats::Counters;
use super::upkeep::Upkeep;
use super::wal::{self, FIRST_GROUP};
use super::writer::Stop;
use super::{DiskOptions, DiskStore, Recovery};
use crate::Error;
use crate::fs::{Files, OpenMode};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

/// The format that this version writes; older ones it reads.
const FORMAT: u32 = 2;
const READERS: usize = 2;

impl DiskStore {
    /// Opens a directory, made where it is missing, recovers what is there, and starts the
    /// back-end's threads. Blocks.
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        options: DiskOptions,
    ) -> Result<Arc<Self>, Error> {
        let (inner, committer, recovery) = open(files, dir, options, true)?;
        let mut threads = Vec::new();
        let (beside, writer) = (committer.beside(), Arc::clone(&inner));
        threads.push(spawn("tramline-extent", move || beside.run(&writer))?);
        let committer = Arc::new(Mutex::new(committer));
        let (runs, of) = (Arc::clone(&committer), Arc::clone(&inner));
        threads.push(spawn("tramline-commit", move || run(&runs, &of))?);
        let upkeep = Arc::clone(&inner);
        threads.push(spawn("tramline-upkeep", move || {
            upkeep.run_upkeep(Retirer::new(Arc::clone(&upkeep)))
        })?);
        for _ in 0..READERS {
            threads.push(spawn("tramline-read", inner.readers.worker())?);
        }
        let threads = Mutex::new(threads);
        Ok(Arc::new(Self { inner, recovery, committer, stepped: None, threads }))
    }

    /// The same without threads: the caller steps. For seeded simulation.
    pub fn open_stepped(
        files: Arc<dyn Files>,
        dir: &Path,
        options: DiskOptions,
    ) -> Result<Arc<Self>, Error> {
        let (inner, committer, recovery) = open(files, dir, options, false)?;
        let retirer = Retirer::new(Arc::clone(&inner));
        inner.refresh_space();
        let committer = Arc::new(Mutex::new(committer));
        let stepped = Some(Mutex::new(retirer));
        Ok(Arc::new(Self { inner, recovery, committer, stepped, threads: Mutex::default() }))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|e| Error::Directory(format!("a thread cannot be started: {e}")))
}

fn open(
    files: Arc<dyn Files>,
    dir: &Path,
    options: DiskOptions,
    threaded: bool,
) -> Result<(Arc<Inner>, Committer, Recovery), Error> {
    let options = options.checked();
    let before = options.clock.as_ref().map(|clock| clock.monotonic());
    let paths = Paths::new(dir);
    for dir in [&paths.dir, &paths.wal, &paths.segments, &paths.checkpoints, &paths.quarantine] {
        files.create_dir_all(dir).map_err(io_error("make", dir))?;
    }
    sync_names(&*files, &paths)?;
    let lock = take_lock(&*files, dir)?;
    let is_older = check_format(&*files, &paths)?;
    let free = files.free_bytes(&paths.dir).map_err(io_error("look at", &paths.dir))?;
    // A small disk is not all headroom; retiring one file must remain possible.
    let headroom = options.headroom_bytes.min((free / 4).max(options.wal_file_bytes));
    let unit_bytes_max = usize::try_from(options.wal_file_bytes).unwrap_or(usize::MAX);
    let inner = Arc::new(Inner {
        intake: Intake::default(),
        durable: Mutex::new(Durable::default()),
        logs: RwLock::default(),
        cache: Cache::new(options.cache_bytes),
        pool: Arc::new(Pool::default()),
        wal: Mutex::default(),
        spares: Spares::new(Arc::clone(&files), &paths.wal, options.wal_file_bytes),
        segments: Segments::new(Arc::clone(&files), &paths.segments, &options),
        space: Space::new(unit_bytes_max - FIRST_GROUP - ENDS_BYTES_MIN),
        readers: ReaderPool::new(threaded),
        counters: Counters::default(),
        damage: Mutex::default(),
        recovered: Mutex::default(),
        upkeep: Upkeep::default(),
        failed: AtomicBool::new(false),
        headroom,
        lock: Mutex::new(Some(lock)),
        files,
        paths,
        options,
    });
    let (mut recovery, link, ends) = recover(&inner)?;
    if is_older {
        // From here on it is written to in a way that the older version does not know.
        write_format(&*inner.files, &inner.paths)?;
    }
    if let (Some(clock), Some(before)) = (&inner.options.clock, before) {
        recovery.took = clock.monotonic().since(before);
    }
    let committer = Committer::new(Arc::clone(&inner), link, ends, !threaded);
    Ok((inner, committer, recovery))
}

/// Makes the names of the directories durable: those made just now, and those that a process made
/// which was killed before it came to this. So are the names in `wal/`: of two renames of a file
/// the later one must not be there without the one before. What lies in `seg/`, `ckpt/` and
/// `quarantine/` is synced before anything refers to it.
fn sync_names(files: &dyn Files, paths: &Paths) -> Result<(), Error> {
    files.sync_dir(&paths.wal).map_err(io_error("sync", &paths.wal))?;
    let dir = &*paths.dir;
    let parent = dir.parent().unwrap_or(dir);
    for ancestor in dir.ancestors() {
        let named = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        match files.sync_dir(named) {
            // Not one that a process with our rights has made.
            Err(e) if ancestor != dir && ancestor != parent && is_foreign(&e) => {}
            synced => synced.map_err(io_error("sync", named))?,
        }
    }
    Ok(())
}

/// A directory that we may not open, or that lies on a file system which cannot sync one.
fn is_foreign(e: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(e.kind(), PermissionDenied | InvalidInput | ReadOnlyFilesystem | Unsupported)
}

/// Brings the index up to what the directory holds.
fn recover(inner: &Inner) -> Result<(Recovery, wal::Link, Ends), Error> {
    let loaded = manifest_file::load(&*inner.files, &inner.paths)?;
    let (manifest, is_uneven, damaged) = loaded.map_or_else(Default::default, |loaded| {
        (loaded.manifest, loaded.is_uneven, loaded.damaged)
    });
    let recovered = inner.load(&manifest);
    inner.counters.generation.store(manifest.generation, Relaxed);
    let replay = Replay { snapshot: manifest.commit, recovered, segment_max: 0 };
    let mut recoverer = Recoverer::new(inner, replay);
    let resumption = recoverer.replay(&manifest)?;
    let ends = recoverer.finish_gaps();
    let Recoverer { mut report, replay, last_segments, .. } = recoverer;
    for log in inner.logs.read().values() {
        log.state.lock().close_gap();
    }
    *inner.recovered.lock() = replay.recovered;
    inner.intake.restore(inner.durable.lock().pairs.clone());
    inner.segments.start_at(
        manifest.next_segment.max(replay.segment_max.saturating_add(1)),
        manifest.next_checkpoint,
    );
    for (name, bytes) in damaged {
        tracing::warn!(name, "a copy of the manifest was damaged; the other one is whole");
        if inner.quarantine_copy(name, &bytes) {
            report.quarantined.push(name.to_owned());
        }
    }
    report.orphans = inner.check_files(&last_segments)?;
    let has_new_damage = *inner.damage.lock() != manifest.damage;
    if is_uneven {
        make_even(inner, &manifest)?;
    }
    if has_new_damage {
        // The next start may not see any more what it was told from.
        keep_damage(inner, &manifest)?;
    }
    inner.counters.applied_group.store(resumption.link.group, Relaxed);
    sync_segments(inner, &last_segments)?;
    let link = resume(inner, resumption)?;
    Ok((report, link, ends))
}

/// Writes both copies of the manifest again. On a full disk the one that was read does alone: its
/// content was synced before it got its name, and [`sync_names`] made that durable.
fn make_even(inner: &Inner, manifest: &Manifest) -> Result<(), Error> {
    match manifest_file::store(inner, manifest) {
        Ok(()) => Ok(()),
        Err(Stop::Later(error)) => {
            tracing::warn!(error = %error, "one copy of the manifest is behind until the next");
            Ok(())
        }
        Err(stop) => Err(refused(stop)),
    }
}

/// Stores what is known to be lost, with all else as it was found.
fn keep_damage(inner: &Inner, before: &Manifest) -> Result<(), Error> {
    let generation = before.generation + 1;
    let manifest = Manifest {
        generation,
        // No number was given out yet by this process.
        newest: before.newest,
        first_live: before.first_live,
        link: before.link,
        ..Manifest::collect(inner)
    };
    match manifest_file::store(inner, &manifest) {
        Ok(()) => inner.counters.generation.store(generation, Relaxed),
        Err(Stop::Later(error)) => tracing::warn!(error = %error, "the damage is not recorded"),
        Err(stop) => return Err(refused(stop)),
    }
    Ok(())
}

/// Nothing was acknowledged yet: opening fails, and the process need not end.
fn refused(stop: Stop) -> Error {
    let (Stop::Later(error) | Stop::Failed(error)) = stop;
    error
}

/// The last group's extents were read, which does not say that they are durable: they are written
/// beside their pointers, and the process may have ended before both were.
fn sync_segments(inner: &Inner, segments: &BTreeSet<u64>) -> Result<(), Error> {
    for id in segments {
        let path = inner.segments.path(*id);
        let synced = inner.files.open(&path, OpenMode::Direct).and_then(|file| file.sync());
        synced.map_err(io_error("sync", &path))?;
    }
    Ok(())
}

/// Makes what was read durable, and a file ready to write to.
fn resume(inner: &Inner, resumption: Resumption) -> Result<wal::Link, Error> {
    for (sequence, wal) in &*inner.wal.lock() {
        let path = inner.paths.wal.join(wal::name(*sequence));
        wal.file.sync().map_err(io_error("sync", &path))?;
    }
    inner.spares.start_above(resumption.newest);
    let size = inner.options.wal_file_bytes;
    let (reusable, other) =
        resumption.leftovers.into_iter().partition::<Vec<_>, _>(|leftover| leftover.bytes == size);
    let mut previous = Some(resumption.link.sequence);
    for leftover in reusable {
        inner.spares.recycle(&leftover, previous.take()).map_err(refused)?;
    }
    let made = match inner.spares.ready().0 {
        0 => inner.spares.make(Prewrite::Header, previous),
        _ => Ok(()),
    };
    // Only after the first prepared file is there, which tells that these are not missing.
    let unused = other.iter().map(|leftover| leftover.sequence).chain(resumption.strays);
    for sequence in unused {
        let path = inner.paths.wal.join(wal::name(sequence));
        inner.files.remove(&path).map_err(io_error("remove", &path))?;
    }
    if let Err(stop) = made {
        let free = inner.files.free_bytes(&inner.paths.dir).unwrap_or(u64::MAX);
        if free >= 2 * size {
            return Err(refused(stop));
        }
        // Everything can be read; writing goes on when there is space.
        tracing::warn!(free, "the disk is full: no write-ahead file can be prepared");
    }
    Ok(resumption.link)
}

fn take_lock(files: &dyn Files, dir: &Path) -> Result<Box<dyn Send + Sync>, Error> {
    let path = dir.join("LOCK");
    files.lock(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::WouldBlock => Error::Directory(format!(
            "`{}` is in use by another process; stop it, or choose another directory",
            dir.display()
        )),
        _ => io_error("lock", &path)(e),
    })
}

/// Refuses a newer format, and writes the version into a new directory. Whether the format is an
/// older one.
fn check_format(files: &dyn Files, paths: &Paths) -> Result<bool, Error> {
    let path = paths.dir.join("FORMAT");
    let names = files.list(&paths.dir).map_err(io_error("list", &paths.dir))?;
    if !names.iter().any(|name| name == "FORMAT") {
        check_empty(files, paths)?;
        return write_format(files, paths).map(|()| false);
    }
    let failed = |e| io_error("read", &path)(e);
    let file = files.open(&path, OpenMode::Read).map_err(failed)?;
    let mut text = [0; 32];
    let n = file.read_at(0, &mut text).map_err(failed)?;
    let text = String::from_utf8_lossy(&text[..n]);
    match text.trim().parse::<u32>() {
        Ok(format) if format <= FORMAT => Ok(format < FORMAT),
        Ok(format) => Err(Error::Directory(format!(
            "format {format} was written by a newer version; this one reads up to {FORMAT}"
        ))),
        Err(_) => Err(Error::Directory(format!(
            "`{}` holds no format version; it should hold `{FORMAT}`",
            path.display()
        ))),
    }
}

fn check_empty(files: &dyn Files, paths: &Paths) -> Result<(), Error> {
    let names = files.list(&paths.wal).map_err(io_error("list", &paths.wal))?;
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::Directory(format!(
        "`FORMAT` is missing beside stored data; write `{FORMAT}` into it to go on"
    )))
}

fn write_format(files: &dyn Files, paths: &Paths) -> Result<(), Error> {
    let (temporary, path) = (paths.dir.join("FORMAT.tmp"), paths.dir.join("FORMAT"));
    let written = files.open(&temporary, OpenMode::Write).and_then(|file| {
        file.write_at(0, format!("{FORMAT}\n").as_bytes())?;
        file.sync()?;
        files.rename(&temporary, &path)?;
        files.sync_dir(&paths.dir)
    });
    written.map_err(io_error("write", &path))
}
