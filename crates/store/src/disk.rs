//! The disk back-end: one write-ahead log for the node, in files that are prepared ahead and
//! used again; segments and checkpoint files for what outlives them. `docs/format.md` draws
//! every stored byte.
//!
//! A commit is applied to the index after its group's sync, by the committer alone, and then
//! acknowledged: what readers see is durable. A failed write or sync ends the process.

mod apply;
mod beside;
mod cache;
mod codec;
mod committer;
mod direct;
mod ends;
mod extent;
mod footer;
mod frame;
mod inner;
mod intake;
mod load;
mod log;
mod manifest;
mod manifest_file;
mod oneshot;
mod open;
mod options;
mod reading;
mod recovery;
mod retire;
mod segments;
mod space;
mod spares;
mod stats;
mod upkeep;
mod wal;
mod writer;

pub use options::{DiskOptions, OnFailure};
pub use recovery::Recovery;

use crate::{
    Chunk, Commit, Damage, Ends, Error, LogStore, Purpose, Reading, RecoveredState, Reservation,
    Reserving, Stats,
};
use bytes::Bytes;
use committer::Committer;
use futures_util::future::BoxFuture;
use inner::Inner;
use intake::Pending;
use parking_lot::Mutex;
use retire::Retirer;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use tramline_types::{LogId, Offset};

/// A store in one directory of a file system.
pub struct DiskStore {
    inner: Arc<Inner>,
    recovery: Recovery,
    /// Worked by its thread, or by who submitted something.
    committer: Arc<Mutex<Committer>>,
    /// Without threads: what the test steps besides.
    stepped: Option<Mutex<Retirer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl DiskStore {
    /// What was found at start.
    pub const fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Without threads: commits one group; false when nothing was queued.
    pub fn step_commit(&self) -> bool {
        self.stepped.is_some() && self.committer.lock().step()
    }

    /// Without threads: does what upkeep is due, or retires the oldest files in any case; true
    /// when anything was done.
    pub fn step_retire(&self, force: bool) -> bool {
        let did = self.stepped.as_ref().is_some_and(|retirer| retirer.lock().step(force));
        self.inner.refresh_space();
        did
    }

    /// Without threads: makes sure that a prepared file is there.
    pub fn step_prepare(&self) {
        self.inner.prepare_spares();
    }

    fn stop(&self) {
        self.inner.intake.close();
        self.inner.space.close();
        while self.step_commit() {}
        let this = std::thread::current().id();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.thread().id() != this && thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
            // Only the first thread is the committer; when it has ended, all is durable.
            self.inner.upkeep.stop();
            self.inner.spares.close();
            self.inner.readers.close();
        }
        self.inner.lock.lock().take();
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if self.stepped.is_none() {
            self.stop();
        }
    }
}

impl LogStore for DiskStore {
    fn reserve(&self, purpose: Purpose, bytes: usize, ops: usize) -> Reserving {
        self.inner.space.reserve(purpose, bytes, ops)
    }

    fn submit(&self, commit: Commit, reservation: Reservation) {
        let is_urgent = reservation.is_urgent();
        let reserved = reservation.take();
        if !self.inner.intake.push(Pending { commit, reserved }, is_urgent) {
            self.inner.space.release(reserved);
        }
    }

    fn commit_soon(&self) {
        self.inner.intake.hurry();
    }

    fn commit_now(&self) -> bool {
        let committer = self.stepped.is_none().then(|| self.committer.try_lock()).flatten();
        committer.is_some_and(|mut committer| committer.step_now())
    }

    fn read(&self, log: LogId, from: Offset, bytes_max: usize) -> Reading {
        self.inner.read(log, from, bytes_max)
    }

    fn ends(&self, log: LogId) -> Result<Ends, Error> {
        let log = self.inner.log(log).ok_or(Error::UnknownLog(log))?;
        let ends = log.state.lock().ends();
        Ok(ends)
    }

    fn chunks(&self, log: LogId, from: Offset) -> BoxFuture<'static, Result<Vec<Chunk>, Error>> {
        let inner = Arc::clone(&self.inner);
        self.inner.readers.run(move || inner.chunks(log, from))
    }

    fn usage(&self, log: LogId) -> Result<u64, Error> {
        let log = self.inner.log(log).ok_or(Error::UnknownLog(log))?;
        let bytes = log.state.lock().bytes();
        Ok(bytes)
    }

    fn take_state(&self, log: LogId) -> Result<RecoveredState, Error> {
        self.inner.log(log).ok_or(Error::UnknownLog(log))?;
        let recovered = self.inner.recovered.lock().remove(&log);
        Ok(recovered.map(|recovered| recovered.state).unwrap_or_default())
    }

    fn has_lost(&self, log: LogId) -> Result<bool, Error> {
        let log = self.inner.log(log).ok_or(Error::UnknownLog(log))?;
        let has_lost = !log.state.lock().lost.is_empty();
        Ok(has_lost)
    }

    fn logs(&self) -> Vec<LogId> {
        let mut logs = self.inner.logs.read().keys().copied().collect::<Vec<_>>();
        logs.sort_unstable();
        logs
    }

    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.inner.intake.get(key)
    }

    fn scan(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        self.inner.intake.scan(prefix)
    }

    fn stats(&self) -> Stats {
        let counters = &self.inner.counters;
        let (sync_micros, sync_micros_sum) = counters.sync_micros();
        Stats {
            commits: counters.commits.load(Relaxed),
            groups: counters.groups.load(Relaxed),
            bytes_committed: counters.bytes_committed.load(Relaxed),
            sync_micros,
            sync_micros_sum,
            wal_bytes: self.inner.wal_bytes(),
            segment_bytes: self.inner.segments.bytes(),
            cache_bytes: self.inner.cache.bytes() as u64,
            disk_free_bytes: self.inner.files.free_bytes(&self.inner.paths.dir).ok(),
            disk_total_bytes: self.inner.files.total_bytes(&self.inner.paths.dir).ok(),
            full: self.inner.space.is_full(),
        }
    }

    fn damage(&self) -> Vec<Damage> {
        self.inner.damage.lock().clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.stop();
        Box::pin(async {})
    }
}

/// Walks arbitrary bytes as a write-ahead file, for fuzzing.
#[doc(hidden)]
pub fn fuzz_wal(bytes: &[u8]) -> usize {
    wal::walk_any(bytes)
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
