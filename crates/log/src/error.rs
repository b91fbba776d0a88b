//! Why a partition refuses.

use tramline_types::{ErrorKind, Offset};

/// Why a partition refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Outside what is stored.
    #[error("offset {offset} is out of range: the log holds {start} to {next}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// The log's first offset.
        start: Offset,
        /// The log's next offset.
        next: Offset,
    },
    /// A batch above the topic's limit.
    #[error("a batch of {bytes} bytes is larger than `max.message.bytes` = {limit}")]
    MessageTooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A timestamp outside what the topic allows.
    #[error("the timestamp {timestamp} is outside what `message.timestamp.*` allows")]
    InvalidTimestamp {
        /// The batch's largest timestamp, in milliseconds.
        timestamp: i64,
    },
    /// A gap in an idempotent producer's sequence.
    #[error("producer {producer_id} sent sequence {sequence} where {expected} was expected")]
    OutOfOrderSequence {
        /// The producer.
        producer_id: i64,
        /// What came.
        sequence: i32,
        /// What would have been next.
        expected: i32,
    },
    /// A producer that another instance has replaced.
    #[error("producer {producer_id} has epoch {current}, the batch has {epoch}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: i64,
        /// The batch's epoch.
        epoch: i16,
        /// The current one.
        current: i16,
    },
    /// A batch that only the broker, or a transaction, may write.
    #[error("invalid record: {0}")]
    InvalidRecord(&'static str),
    /// Stored records that cannot be opened.
    #[error("stored records cannot be opened: {0}")]
    Unreadable(String),
    /// The partition's topic is deleted.
    #[error("the topic is deleted")]
    Deleted,
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] tramline_store::Error),
}

impl Error {
    /// What the caller should do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::OffsetOutOfRange { .. } => ErrorKind::OutOfRange,
            Self::MessageTooLarge { .. }
            | Self::InvalidTimestamp { .. }
            | Self::InvalidRecord(_) => ErrorKind::InvalidArgument,
            Self::OutOfOrderSequence { .. } => ErrorKind::FailedPrecondition,
            Self::InvalidProducerEpoch { .. } => ErrorKind::Aborted,
            Self::Deleted => ErrorKind::NotFound,
            Self::Unreadable(_) => ErrorKind::DataLoss,
            Self::Store(error) => error.kind(),
        }
    }
}
