//! Counters of the disk back-end.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the sync times, in microseconds.
const BOUNDS: [u64; 14] = [
    50,
    100,
    200,
    400,
    800,
    1_600,
    3_200,
    6_400,
    12_800,
    25_600,
    51_200,
    102_400,
    409_600,
    u64::MAX,
];

#[derive(Default)]
pub(super) struct Counters {
    pub(super) commits: AtomicU64,
    pub(super) groups: AtomicU64,
    pub(super) bytes_committed: AtomicU64,
    /// The newest manifest.
    pub(super) generation: AtomicU64,
    /// The last commit group that was applied.
    pub(super) applied_group: AtomicU64,
    /// What is left of the current write-ahead file.
    pub(super) room: AtomicU64,
    dense_entries: AtomicUsize,
    syncs: Mutex<([u64; BOUNDS.len()], u64)>,
}

impl Counters {
    pub(super) fn group(&self, commits: u64, bytes: u64) {
        self.commits.fetch_add(commits, Relaxed);
        self.groups.fetch_add(1, Relaxed);
        self.bytes_committed.fetch_add(bytes, Relaxed);
    }

    pub(super) fn sync(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < micros);
        let mut syncs = self.syncs.lock();
        syncs.0[at] += 1;
        syncs.1 = syncs.1.saturating_add(micros);
    }

    pub(super) fn sync_micros(&self) -> (Vec<(u64, u64)>, u64) {
        let syncs = self.syncs.lock();
        (BOUNDS.iter().copied().zip(syncs.0).collect(), syncs.1)
    }

    pub(super) fn dense_entries_added(&self, n: usize) {
        self.dense_entries.fetch_add(n, Relaxed);
    }

    pub(super) fn dense_entries_removed(&self, n: usize) {
        self.dense_entries.fetch_sub(n, Relaxed);
    }

    pub(super) fn dense_entries(&self) -> usize {
        self.dense_entries.load(Relaxed)
    }
}
