//! What goes wrong on purpose: calls that fail, and syncs that do nothing.

use super::Site;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path, PathBuf},
};

/// What a sync is for, by the names that the disk back-end gives its files and directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncKind {
    /// A synced write into a file of `wal/`: a commit group.
    WalWrite,
    /// The sync of a file of `wal/`.
    WalFile,
    /// The sync of a file of `seg/`, or a synced write into one.
    SegmentFile,
    /// The sync of a file of `ckpt/`, or a synced write into one.
    CheckpointFile,
    /// The sync of a `MANIFEST` file, or a synced write into one.
    ManifestFile,
    /// The sync of the `FORMAT` file, or a synced write into it.
    FormatFile,
    /// The sync of any other file, or a synced write into it.
    OtherFile,
    /// The sync of the directory `wal/`.
    WalDirectory,
    /// The sync of the directory `seg/`.
    SegmentDirectory,
    /// The sync of the directory `ckpt/`.
    CheckpointDirectory,
    /// The sync of the directory `quarantine/`.
    QuarantineDirectory,
    /// The sync of the data directory itself, with the `MANIFEST` files.
    DataDirectory,
    /// The sync of the root of the file system, with the data directory.
    FileSystemRoot,
}

impl SyncKind {
    pub(super) fn of_write(path: &Path) -> Self {
        match Self::of_file(path) {
            Self::WalFile => Self::WalWrite,
            kind => kind,
        }
    }

    pub(super) fn of_file(path: &Path) -> Self {
        let name = name_of(path);
        match path.parent().map(name_of).as_deref() {
            Some("wal") => Self::WalFile,
            Some("seg") => Self::SegmentFile,
            Some("ckpt") => Self::CheckpointFile,
            _ if name.starts_with("MANIFEST") => Self::ManifestFile,
            _ if name.starts_with("FORMAT") => Self::FormatFile,
            _ => Self::OtherFile,
        }
    }

    pub(super) fn of_directory(path: &Path) -> Self {
        match name_of(path).as_str() {
            "" => Self::FileSystemRoot,
            "wal" => Self::WalDirectory,
            "seg" => Self::SegmentDirectory,
            "ckpt" => Self::CheckpointDirectory,
            "quarantine" => Self::QuarantineDirectory,
            _ => Self::DataDirectory,
        }
    }
}

fn name_of(path: &Path) -> String {
    match path.components().next_back() {
        Some(Component::Normal(name)) => name.to_string_lossy().into_owned(),
        _ => String::new(),
    }
}

/// One place in the source that asks for a sync, and of what: in a loop, of each directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncSite {
    /// The place in the source.
    pub site: Site,
    /// What it syncs.
    pub kind: SyncKind,
    /// Which directory; empty for files.
    pub directory: PathBuf,
}

impl SyncSite {
    pub(super) fn of_file(kind: SyncKind, site: Site) -> Self {
        Self { site, kind, directory: PathBuf::new() }
    }
}

/// Which calls something holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// All from now on.
    All,
    /// Only the one of this number, counted from 1 and from the file system's beginning.
    Nth(u64),
}

/// A kind of call that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// Reads of files.
    Read,
    /// Writes that are not synced.
    Write,
    /// Syncs of files and directories, and synced writes.
    Sync,
}

#[derive(Clone, Default)]
pub(super) struct Faults {
    disabled: Vec<(SyncKind, Times)>,
    disabled_sites: Vec<SyncSite>,
    sites: BTreeSet<SyncSite>,
    seen: BTreeMap<SyncKind, u64>,
    /// How many calls go well before one fails.
    failing: BTreeMap<Call, u64>,
}

impl Faults {
    pub(super) fn disable(&mut self, kind: SyncKind, times: Times) {
        self.disabled.push((kind, times));
    }

    pub(super) fn disable_site(&mut self, site: &SyncSite) {
        self.disabled_sites.push(site.clone());
    }

    pub(super) fn sites(&self) -> Vec<SyncSite> {
        self.sites.iter().cloned().collect()
    }

    pub(super) fn fail(&mut self, call: Call, nth: u64) {
        self.failing.insert(call, nth);
    }

    pub(super) fn is_to_fail(&self, call: Call) -> bool {
        self.failing.contains_key(&call)
    }

    pub(super) fn seen(&self, kind: SyncKind) -> u64 {
        self.seen.get(&kind).copied().unwrap_or(0)
    }

    /// Counts a sync and tells whether it does anything.
    pub(super) fn takes_effect(&mut self, site: SyncSite) -> bool {
        let seen = self.seen.entry(site.kind).or_default();
        *seen += 1;
        let seen = *seen;
        let is_disabled = self.disabled_sites.contains(&site)
            || self.disabled.iter().any(|(disabled, times)| {
                *disabled == site.kind && (*times == Times::All || *times == Times::Nth(seen))
            });
        self.sites.insert(site);
        !is_disabled
    }

    /// Counts a call and fails it if it was its turn.
    pub(super) fn check(&mut self, call: Call) -> io::Result<()> {
        let Some(left) = self.failing.get_mut(&call) else { return Ok(()) };
        *left = left.saturating_sub(1);
        if *left > 0 {
            return Ok(());
        }
        self.failing.remove(&call);
        Err(io::Error::from_raw_os_error(EIO))
    }

    /// For the next process: what was to fail once does not any more.
    pub(super) fn restart(&mut self) {
        self.failing.clear();
    }
}

const EIO: i32 = 5;
const EBADF: i32 = 9;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

pub(super) fn invalid() -> io::Error {
    io::Error::from_raw_os_error(EINVAL)
}

pub(super) fn not_writable() -> io::Error {
    io::Error::from_raw_os_error(EBADF)
}

pub(super) fn full() -> io::Error {
    io::Error::from_raw_os_error(ENOSPC)
}
