//! Ids that never repeat, also across crashes.

use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use tramline_store::{LogStore, Op};

/// Hands out ascending numbers. Every user puts [`Counter::next`]'s operation into the commit
/// that first uses the number; the stored bound lies a whole block ahead, so that commits that
/// overtake each other cannot bring a number back.
pub struct Counter {
    key: &'static [u8],
    next: AtomicU64,
}

const BLOCK: u64 = 1024;

impl Counter {
    /// The allocator of log ids. Numbers at or below `used_max` are taken.
    pub fn log_ids(store: &dyn LogStore, used_max: u64) -> Self {
        Self::load(store, b"log-ids", used_max)
    }

    /// The allocator of producer ids.
    pub fn producer_ids(store: &dyn LogStore) -> Self {
        Self::load(store, b"producer-ids", 0)
    }

    fn load(store: &dyn LogStore, key: &'static [u8], used_max: u64) -> Self {
        let stored = store
            .get(key)
            .and_then(|bytes| std::str::from_utf8(&bytes).ok()?.parse::<u64>().ok())
            .unwrap_or(0);
        Self { key, next: AtomicU64::new(stored.max(used_max) + 1) }
    }

    /// All numbers handed out so far are below this.
    pub fn bound(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The next number, and what to commit together with its first use.
    pub fn next(&self) -> (u64, Op) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let bound = (id / BLOCK + 2) * BLOCK;
        (id, Op::Put(Bytes::from_static(self.key), Bytes::from(bound.to_string())))
    }
}
