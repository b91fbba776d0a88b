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
    /// Records that the topic does not take.
    #[error("{0}")]
    InvalidRecords(RecordErrors),
    /// Records that cannot be opened, where the topic's settings need them to be.
    #[error("the batch cannot be opened: {0}")]
    Unopenable(String),
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

/// A topic's rule that a record breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRule {
    /// `cleanup.policy=compact`: every record needs a key.
    Key,
    /// `message.timestamp.before.max.ms` and `message.timestamp.after.max.ms`.
    Timestamp,
}

/// The records of a batch that break a rule of the topic; nothing of the batch is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordErrors {
    /// The rule that the batch is refused by.
    pub rule: RecordRule,
    /// Each record's place in the batch, from 0, and the rule that it breaks; no more than
    /// [`tramline_types::limits::RECORD_ERRORS_MAX`].
    pub records: Vec<(i32, RecordRule)>,
}

impl RecordRule {
    /// What is wrong with a record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "a record without a key, in a topic that is compacted",
            Self::Timestamp => "a timestamp outside what `message.timestamp.*` allows",
        }
    }
}

impl std::fmt::Display for RecordErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, at) = (self.records.len(), self.records.first().map_or(0, |first| first.0));
        write!(f, "{}: record {at}, {count} in the batch", self.rule.as_str())
    }
}

impl Error {
    /// What the caller should do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::OffsetOutOfRange { .. } => ErrorKind::OutOfRange,
            Self::MessageTooLarge { .. }
            | Self::InvalidRecords(_)
            | Self::Unopenable(_)
            | Self::InvalidRecord(_) => ErrorKind::InvalidArgument,
            Self::OutOfOrderSequence { .. } => ErrorKind::FailedPrecondition,
            Self::InvalidProducerEpoch { .. } => ErrorKind::Aborted,
            Self::Deleted => ErrorKind::NotFound,
            Self::Unreadable(_) => ErrorKind::DataLoss,
            Self::Store(error) => error.kind(),
        }
    }
}
