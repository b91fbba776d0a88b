//! What the disk back-end may use, and whom it tells when it cannot go on.

use crate::fs::BLOCK;
use std::{fmt, sync::Arc};
use tramline_types::Clock;

/// Called once with the reason when a write or a sync failed: nothing may be retried then.
/// Must not return in a real process; a simulation notes it and returns.
pub type OnFailure = Arc<dyn Fn(&str) + Send + Sync>;

/// Sizes and bounds of a [`super::DiskStore`].
#[derive(Clone)]
pub struct DiskOptions {
    /// The size of one write-ahead file.
    pub wal_file_bytes: u64,
    /// Above this much unretired write-ahead log, the oldest files are retired.
    pub wal_retire_bytes: u64,
    /// At this much unretired write-ahead log, publishers wait.
    pub wal_bytes_max: u64,
    /// What publishers leave free: of the file system, and of the write-ahead log's bound.
    pub headroom_bytes: u64,
    /// The budget of the tail cache.
    pub cache_bytes: usize,
    /// The budget of the dense index of what is not retired.
    pub index_bytes: usize,
    /// A log with this much in one commit group has it written to its own segment at once.
    pub direct_extent_bytes: usize,
    /// The largest segment.
    pub segment_bytes_max: u64,
    /// Sealed segments kept open for reading.
    pub segments_open_max: usize,
    /// The largest commit group, unless one commit alone is larger.
    pub group_bytes_max: usize,
    /// Measures syncs; without a clock they are not measured.
    pub clock: Option<Arc<dyn Clock>>,
    /// Ends the process after a failed write or sync.
    pub on_failure: OnFailure,
}

impl Default for DiskOptions {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            wal_file_bytes: 16 * MIB,
            wal_retire_bytes: 64 * MIB,
            wal_bytes_max: 1024 * MIB,
            headroom_bytes: 32 * MIB,
            cache_bytes: 64 * 1024 * 1024,
            index_bytes: 32 * 1024 * 1024,
            direct_extent_bytes: 256 * 1024,
            segment_bytes_max: 64 * MIB,
            segments_open_max: 256,
            group_bytes_max: 8 * 1024 * 1024,
            clock: None,
            on_failure: Arc::new(abort),
        }
    }
}

impl DiskOptions {
    /// The same with every size brought into the range that works.
    pub(super) fn checked(mut self) -> Self {
        let block = BLOCK as u64;
        self.wal_file_bytes = self.wal_file_bytes.next_multiple_of(block).max(4 * block);
        self.wal_file_bytes = self.wal_file_bytes.min(1 << 30);
        self.segment_bytes_max = self.segment_bytes_max.next_multiple_of(block).max(block);
        self.segment_bytes_max = self.segment_bytes_max.min(1 << 31);
        self.wal_bytes_max = self.wal_bytes_max.max(3 * self.wal_file_bytes);
        self.wal_retire_bytes = self.wal_retire_bytes.min(self.wal_bytes_max / 2);
        self
    }
}

impl fmt::Debug for DiskOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskOptions")
            .field("wal_file_bytes", &self.wal_file_bytes)
            .field("wal_retire_bytes", &self.wal_retire_bytes)
            .field("wal_bytes_max", &self.wal_bytes_max)
            .field("headroom_bytes", &self.headroom_bytes)
            .field("cache_bytes", &self.cache_bytes)
            .field("index_bytes", &self.index_bytes)
            .field("direct_extent_bytes", &self.direct_extent_bytes)
            .field("segment_bytes_max", &self.segment_bytes_max)
            .field("segments_open_max", &self.segments_open_max)
            .field("group_bytes_max", &self.group_bytes_max)
            .finish_non_exhaustive()
    }
}

fn abort(reason: &str) {
    tracing::error!(reason, "a write or sync failed: the process ends, recovery follows at start");
    std::process::abort();
}
