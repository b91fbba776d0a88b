//! What the parts of the disk back-end share.
//!
//! Locks, in the order in which they may nest: `durable`, the map of logs, one log. All others
//! are taken alone.

use super::apply::Recovered;
use super::cache::{Cache, Pool};
use super::intake::Intake;
use super::log::{FileRef, Freed, Log};
use super::options::DiskOptions;
use super::reading::ReaderPool;
use super::segments::{Segment, Segments};
use super::space::Space;
use super::spares::Spares;
use super::stats::Counters;
use super::wal::WalFile;
use crate::fs::{File, Files, OpenMode};
use crate::{Damage, Error};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tramline_types::LogId;

/// The directories of a store.
pub(super) struct Paths {
    pub(super) dir: PathBuf,
    pub(super) wal: PathBuf,
    pub(super) segments: PathBuf,
    pub(super) checkpoints: PathBuf,
    pub(super) quarantine: PathBuf,
}

impl Paths {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            wal: dir.join("wal"),
            segments: dir.join("seg"),
            checkpoints: dir.join("ckpt"),
            quarantine: dir.join("quarantine"),
        }
    }
}

/// What is durable besides the logs; locked while a group is applied, so that a snapshot sees
/// whole groups.
#[derive(Default)]
pub(super) struct Durable {
    pub(super) pairs: BTreeMap<Bytes, Bytes>,
    /// The last commit applied.
    pub(super) commit: u64,
}

pub(super) struct Inner {
    pub(super) files: Arc<dyn Files>,
    pub(super) paths: Paths,
    pub(super) options: DiskOptions,
    pub(super) intake: Intake,
    pub(super) durable: Mutex<Durable>,
    pub(super) logs: RwLock<HashMap<LogId, Arc<Log>>>,
    pub(super) cache: Cache,
    pub(super) pool: Arc<Pool>,
    /// Files in use, by sequence number: read from until retired.
    pub(super) wal: Mutex<BTreeMap<u64, Arc<WalFile>>>,
    pub(super) spares: Spares,
    pub(super) segments: Segments,
    pub(super) space: Arc<Space>,
    pub(super) readers: ReaderPool,
    pub(super) counters: Counters,
    pub(super) damage: Mutex<Vec<Damage>>,
    pub(super) recovered: Mutex<HashMap<LogId, Recovered>>,
    pub(super) upkeep: super::upkeep::Upkeep,
    pub(super) failed: AtomicBool,
    /// What publishers leave free of this file system.
    pub(super) headroom: u64,
    /// Given up when the store is closed.
    pub(super) lock: Mutex<Option<Box<dyn Send + Sync>>>,
}

/// A file kept from being recycled or forgotten while it is read.
pub(super) enum Pinned {
    Wal(Arc<WalFile>),
    Segment(Arc<Segment>),
}

impl Pinned {
    pub(super) fn file(&self) -> &dyn File {
        match self {
            Self::Wal(wal) => &*wal.file,
            Self::Segment(segment) => &*segment.file,
        }
    }
}

impl Inner {
    pub(super) fn log(&self, id: LogId) -> Option<Arc<Log>> {
        self.logs.read().get(&id).cloned()
    }

    /// The file, unless it is retired.
    pub(super) fn pin(&self, file: FileRef) -> Option<io::Result<Pinned>> {
        match (file.as_wal(), file.as_segment()) {
            (Some(sequence), _) => {
                self.wal.lock().get(&sequence).cloned().map(|wal| Ok(Pinned::Wal(wal)))
            }
            (_, Some(id)) => Some(self.segments.get(id)?.map(Pinned::Segment)),
            _ => None,
        }
    }

    /// Keeps a copy of a damaged file: the file itself is used again some day.
    pub(super) fn quarantine_copy(&self, name: &str, image: &[u8]) -> bool {
        let path = self.paths.quarantine.join(name);
        let copied = self.files.open(&path, OpenMode::Write).and_then(|copy| {
            copy.write_at(0, image)?;
            copy.sync()?;
            self.files.sync_dir(&self.paths.quarantine)
        });
        if let Err(e) = &copied {
            tracing::error!(file = %name, error = %e, "no copy in quarantine");
        }
        copied.is_ok()
    }

    /// A write or a sync failed. Nothing is retried, nothing more is acknowledged.
    pub(super) fn fail(&self, reason: &str) {
        if !self.failed.swap(true, Ordering::SeqCst) {
            (self.options.on_failure)(reason);
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Accounts for what a change of a log let go of.
    pub(super) fn release(&self, freed: &Freed) {
        self.counters.dense_entries_removed(freed.dense_entries);
        let mut dead = false;
        for change in &freed.segments {
            dead |= self.segments.change(change);
        }
        freed.checkpoints.iter().for_each(|change| self.segments.change_checkpoint(change));
        if dead {
            self.upkeep.wake();
        }
    }

    pub(super) fn report(&self, damage: Damage) {
        let mut known = self.damage.lock();
        if !known.contains(&damage) {
            tracing::error!(log = ?damage.log, offsets = ?damage.offsets, detail = %damage.detail,
                "stored data is damaged");
            known.push(damage);
        }
    }
}

/// Names what failed.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |e| Error::Io { action, path: path.display().to_string(), detail: e.to_string() }
}
