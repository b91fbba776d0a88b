//! Partitions: ordered logs of record batches over a [`tramline_store::LogStore`].
//!
//! A [`Partition`] assigns offsets, keeps what idempotent producers sent last, and knows how far
//! its log is durable: the high watermark, above which nothing is ever shown.

mod admission;
mod compaction;
mod epochs;
mod error;
mod partition;
mod producers;
mod retention;
mod state;
mod timestamps;
mod watch;

pub use admission::Admitted;
pub use compaction::{CompactionRules, CompactionStatus, Pass, Replacement, Step};
pub use epochs::EpochEnd;
pub use error::{Error, RecordErrors, RecordRule};
pub use partition::{
    Appended, Around, Bases, Durability, Ending, Partition, PartitionSettings, Reading,
    TimestampRule, Together, append_together,
};
pub use producers::{ProducerDescription, SEQUENCES_KEPT};
pub use retention::{Expired, Retention};
pub use timestamps::FoundTimestamp;
pub use watch::Watcher;
