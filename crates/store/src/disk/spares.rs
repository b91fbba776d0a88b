//! Prepared write-ahead files: allocated, written over once and durable, so that the committer
//! only overwrites. Sequence numbers are given out here, upwards, each once.

use super::wal::{self, Header, Link, WalFile};
use super::writer::{Stop, fatal, later};
use crate::fs::{AlignedBuf, BLOCK, File, Files, OpenMode};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A file that is being made.
const TEMPORARY: &str = "prepare.tmp";
const ZEROS_BYTES: usize = 256 * 1024;

/// How much of a file is written before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prewrite {
    /// Only the header: quick, for the first file.
    Header,
    /// All of it, so that the committer's writes change no metadata.
    Whole,
}

pub(super) struct Spares {
    files: Arc<dyn Files>,
    dir: PathBuf,
    file_bytes: u64,
    state: Mutex<State>,
    added: Condvar,
    /// Held while a file is made or recycled: sequence numbers follow each other on disk, too.
    making: Mutex<()>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<WalFile>,
    /// The newest sequence number given to a file.
    newest: u64,
    closed: bool,
}

impl Spares {
    pub(super) fn new(files: Arc<dyn Files>, dir: &Path, file_bytes: u64) -> Self {
        let state = Mutex::default();
        let (added, making) = (Condvar::new(), Mutex::default());
        Self { files, dir: dir.to_owned(), file_bytes, state, added, making }
    }

    /// After recovery: sequence numbers go on above `newest`.
    pub(super) fn start_above(&self, newest: u64) {
        self.state.lock().newest = newest;
    }

    /// How many are ready, and the bytes of groups that they hold.
    pub(super) fn ready(&self) -> (usize, u64) {
        let state = self.state.lock();
        let bytes = state.ready.iter().map(|file| file.bytes - BLOCK as u64).sum();
        (state.ready.len(), bytes)
    }

    /// The largest sequence number given out.
    pub(super) fn newest(&self) -> u64 {
        self.state.lock().newest
    }

    /// Makes one from nothing. `previous` is the file
    /// in use before it, where that is not simply the sequence number before.
    pub(super) fn make(&self, prewrite: Prewrite, previous: Option<u64>) -> Result<(), Stop> {
        let _making = self.making.lock();
        let sequence = self.newest() + 1;
        // Under its name a file is whole at any time: a shorter one was damaged.
        let temporary = self.dir.join(TEMPORARY);
        let path = self.dir.join(wal::name(sequence));
        let file = self.files.open(&temporary, OpenMode::Direct);
        let file = file.map_err(later("make", &temporary))?;
        if let Err(e) = file.truncate(0).and_then(|()| file.allocate(self.file_bytes)) {
            // Without this a full disk would keep the half-made file.
            let _ = self.files.remove(&temporary);
            return Err(later("allocate", &temporary)(e));
        }
        let before = Link::default();
        let wal = WalFile { sequence, bytes: self.file_bytes, file, before };
        let made = self.fill(&*wal.file, prewrite).and_then(|()| {
            wal.file.write_at(0, &prepared_header(&wal, previous))?;
            wal.file.sync()?;
            self.files.rename(&temporary, &path)?;
            self.files.sync_dir(&self.dir)
        });
        made.map_err(fatal("prepare", &path))?;
        self.add(wal);
        Ok(())
    }

    fn fill(&self, file: &dyn File, prewrite: Prewrite) -> std::io::Result<()> {
        if prewrite == Prewrite::Whole {
            let zeros = AlignedBuf::zeroed(ZEROS_BYTES);
            let mut at = 0;
            while at < self.file_bytes {
                let n = usize::try_from(self.file_bytes - at).unwrap_or(ZEROS_BYTES);
                let n = n.min(ZEROS_BYTES);
                file.write_at(at, &zeros[..n])?;
                at += n as u64;
            }
        }
        Ok(())
    }

    /// Makes one of a file that holds nothing needed any more.
    pub(super) fn recycle(&self, old: &WalFile, previous: Option<u64>) -> Result<(), Stop> {
        let _making = self.making.lock();
        let sequence = self.newest() + 1;
        let from = self.dir.join(wal::name(old.sequence));
        let path = self.dir.join(wal::name(sequence));
        let failed = |e| fatal("recycle", &path)(e);
        let (file, before) = (Arc::clone(&old.file), Link::default());
        let wal = WalFile { sequence, bytes: old.bytes, file, before };
        // The header first: under its new name the file must at no moment seem to be in use.
        let header = prepared_header(&wal, previous);
        wal.file.write_at(0, &header).and_then(|()| wal.file.sync()).map_err(failed)?;
        self.files.rename(&from, &path).map_err(failed)?;
        self.files.sync_dir(&self.dir).map_err(failed)?;
        self.add(wal);
        Ok(())
    }

    fn add(&self, file: WalFile) {
        let mut state = self.state.lock();
        state.newest = file.sequence;
        state.ready.push_back(file);
        drop(state);
        self.added.notify_all();
    }

    /// The next file to use, if one is ready.
    pub(super) fn take(&self) -> Option<WalFile> {
        self.state.lock().ready.pop_front()
    }

    /// Waits for a file to be ready; `None` after `close` or when the time is up.
    pub(super) fn wait(&self, patience: Duration) -> Option<WalFile> {
        let mut state = self.state.lock();
        if state.ready.is_empty() && !state.closed {
            self.added.wait_for(&mut state, patience);
        }
        state.ready.pop_front()
    }

    /// Ends all waiting.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.added.notify_all();
    }
}

fn prepared_header(wal: &WalFile, previous: Option<u64>) -> AlignedBuf {
    let sequence = wal.sequence;
    let previous = previous.unwrap_or(sequence - 1);
    let mut block = AlignedBuf::with_capacity(BLOCK);
    Header::Prepared { sequence, previous, blocks: wal.blocks() }.encode(&mut block);
    block
}
