//! Where everything durable lives: logs of record batches, the state that goes with them, and a
//! small ordered key-value space, all committed in the same groups.
//!
//! [`LogStore`] is the one trait that every back-end implements. File positions never cross it.
//! A back-end never interprets a record batch beyond its 61-byte header, which it stamps with
//! the base offset and the leader epoch of the target.

mod commit;
pub mod disk;
mod error;
pub mod fs;
mod memory;

pub use commit::{Append, Commit, Completion, Op, Target};
pub use disk::{DiskOptions, DiskStore};
pub use error::Error;
pub use memory::MemoryStore;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::sync::Weak;
use tramline_types::{LogId, Offset, Timestamp};

/// A store of logs. One instance is one shard: every [`Commit`] is atomic within it.
///
/// The order of [`LogStore::submit`] calls is the order of commits. Whoever owns a log calls it
/// under the log's own lock, so that offsets and commits have the same order; `submit` takes
/// its own lock last and for a few instructions only, and never blocks.
pub trait LogStore: Send + Sync + 'static {
    /// Sets space aside before a step is applied, so that what is submitted becomes durable or
    /// the process dies. `bytes` is the sum of the batches' and values' lengths; the back-end
    /// adds its own overhead for `ops` operations.
    fn reserve(&self, purpose: Purpose, bytes: usize, ops: usize) -> Reserving;

    /// Queues a commit. Its completion is called, in commit order, when it is durable and
    /// readable. Consumes what was reserved for it.
    fn submit(&self, commit: Commit, reservation: Reservation);

    /// Somebody waits for what was submitted with [`Reservation::behind`].
    fn commit_soon(&self) {}

    /// Commits on this thread what was submitted, where that takes no longer than to wait for the
    /// back-end's own thread: for who is about to sleep until it is durable. Whether anything
    /// became so. Runs completions: to be called with no lock held.
    fn commit_now(&self) -> bool {
        false
    }

    /// Reads whole batches from the one that holds `from` (or the next existing one, where
    /// `from` lies in a gap), in offset order, up to `bytes_max` but always at least one.
    /// Empty at or above the durable end. Below the log's start: [`Error::BelowStart`].
    fn read(&self, log: LogId, from: Offset, bytes_max: usize) -> Reading;

    /// A log's first readable and next offset to be written, as far as durable.
    fn ends(&self, log: LogId) -> Result<Ends, Error>;

    /// The stored chunks of a log in offset order: what retention and look-ups by time go by.
    /// Empty when none lies at or above `from`.
    fn chunks(&self, log: LogId, from: Offset) -> BoxFuture<'static, Result<Vec<Chunk>, Error>>;

    /// The stored bytes of one log.
    fn usage(&self, log: LogId) -> Result<u64, Error>;

    /// A log's state as recovered at start: the last checkpoint, if any, and every later delta,
    /// in commit order. Handed out once; later calls give nothing.
    fn take_state(&self, log: LogId) -> Result<RecoveredState, Error>;

    /// Whether commits of a log were lost to damage, with their appends and changes of state,
    /// and what is missing lies in the log still. Of state that seems never to have been stored
    /// it cannot be told then.
    fn has_lost(&self, log: LogId) -> Result<bool, Error>;

    /// Every log that exists.
    fn logs(&self) -> Vec<LogId>;

    /// A value of the key-value space, as submitted last (not necessarily durable yet).
    fn get(&self, key: &[u8]) -> Option<Bytes>;

    /// Every pair whose key starts with `prefix`, in key order, as submitted last.
    fn scan(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)>;

    /// What the metrics and `doctor` show.
    fn stats(&self) -> Stats;

    /// Stored ranges that are damaged: quarantined, reported, never deleted.
    fn damage(&self) -> Vec<Damage>;

    /// Makes everything submitted durable, then stops the back-end's threads.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// Who asks for space: publishers are refused first, so that settling and administration still
/// work on a full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// New messages.
    Publish,
    /// Settling, committing offsets, trimming, administration: may use the headroom.
    Upkeep,
}

/// An answer to [`LogStore::reserve`].
pub enum Reserving {
    /// Space is there.
    Ready(Reservation),
    /// The write-ahead log is at its bound; resolves when space is there or refused.
    Wait(BoxFuture<'static, Result<Reservation, Error>>),
    /// Refused; retry later.
    Refused(Error),
}

impl Reserving {
    /// Waits where one has to.
    pub async fn wait(self) -> Result<Reservation, Error> {
        match self {
            Self::Ready(reservation) => Ok(reservation),
            Self::Wait(future) => future.await,
            Self::Refused(error) => Err(error),
        }
    }
}

/// Where space was set aside.
pub trait Reserve: Send + Sync {
    /// Takes back what was not used.
    fn give_back(&self, bytes: usize);
}

/// Space set aside; given back when dropped without a submit.
#[must_use]
pub struct Reservation {
    bytes: usize,
    is_urgent: bool,
    from: Option<Weak<dyn Reserve>>,
}

impl Reservation {
    /// For back-ends: `bytes` set aside there.
    pub fn new(bytes: usize, from: Weak<dyn Reserve>) -> Self {
        Self { bytes, is_urgent: true, from: Some(from) }
    }

    /// For back-ends without bounds.
    pub const fn unbounded() -> Self {
        Self { bytes: 0, is_urgent: true, from: None }
    }

    /// For what nobody waits for, or not yet: it is committed with what comes next, or when
    /// somebody says [`LogStore::commit_soon`], or a few milliseconds later.
    pub const fn behind(mut self) -> Self {
        self.is_urgent = false;
        self
    }

    /// For back-ends: whether the commit begins at once.
    pub const fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// For back-ends, at `submit`: the space is now the commit's.
    #[must_use]
    pub fn take(mut self) -> usize {
        self.from = None;
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(from) = self.from.take().and_then(|from| from.upgrade()) {
            from.give_back(self.bytes);
        }
    }
}

/// An answer to [`LogStore::read`].
pub enum Reading {
    /// From memory.
    Ready(Result<Batches, Error>),
    /// From the disk or further away.
    Pending(BoxFuture<'static, Result<Batches, Error>>),
}

/// Whole record batches in offset order, stamped with their offsets, ready to be sent.
#[derive(Clone, Debug, Default)]
pub struct Batches {
    /// Each piece holds one or more whole batches. Shared, never copied to change owner.
    pub pieces: Vec<Bytes>,
    /// The offset after the last batch; where the next read goes on.
    pub next: Offset,
}

/// The durable extent of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that may be read.
    pub start: Offset,
    /// The next offset to be written: everything below is durable.
    pub next: Offset,
}

/// A run of a log's stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its first offset.
    pub base: Offset,
    /// The offset after its last.
    pub next: Offset,
    /// Its stored length.
    pub bytes: u64,
    /// The largest timestamp within.
    pub max_timestamp: Timestamp,
}

/// A log's state at start.
#[derive(Clone, Debug, Default)]
pub struct RecoveredState {
    /// The last checkpoint.
    pub checkpoint: Option<Bytes>,
    /// What was committed after it.
    pub deltas: Vec<Bytes>,
}

/// A stored range that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The log, where it is known.
    pub log: Option<LogId>,
    /// The first and the last offset affected, where they are known.
    pub offsets: Option<(Offset, Offset)>,
    /// The file and what is wrong with it, for the operator.
    pub detail: String,
}

/// Counters and gauges of a back-end.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Commits since start.
    pub commits: u64,
    /// Commit groups since start: one sync each.
    pub groups: u64,
    /// Bytes of batches and state committed since start.
    pub bytes_committed: u64,
    /// The time of syncs since start, in microseconds: count by upper bound.
    pub sync_micros: Vec<(u64, u64)>,
    /// The sum of those times.
    pub sync_micros_sum: u64,
    /// Unretired write-ahead log.
    pub wal_bytes: u64,
    /// Segments and checkpoints.
    pub segment_bytes: u64,
    /// Memory held by the tail cache.
    pub cache_bytes: u64,
    /// Free space of the file system, where there is one.
    pub disk_free_bytes: Option<u64>,
    /// The size of the file system, where there is one.
    pub disk_total_bytes: Option<u64>,
    /// Publishers are refused for lack of space.
    pub full: bool,
}
