//! Partitions: ordered logs of record batches over a [`tramline_store::LogStore`].
//!
//! A [`Partition`] assigns offsets, keeps what idempotent producers sent last, and knows how far
//! its log is durable: the high watermark, above which nothing is ever shown.

mod epochs;
mod error;
mod partition;
mod producers;
mod retention;
mod state;
mod timestamps;
mod watch;

pub use epochs::EpochEnd;
pub use error::Error;
pub use partition::{
    Appended, Bases, Durability, Partition, PartitionSettings, Reading, TimestampRule, Together,
    append_together,
};
pub use producers::{ProducerDescription, SEQUENCES_KEPT};
pub use retention::Retention;
pub use timestamps::FoundTimestamp;
pub use watch::Watcher;
