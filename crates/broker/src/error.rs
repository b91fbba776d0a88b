//! Why the broker refuses. Front-ends map every variant, without a catch-all arm.

use crate::QueueError;
use tramline_types::{ErrorKind, NameError, Offset};

/// Why the broker refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No topic of this name.
    #[error("topic `{0}` does not exist")]
    UnknownTopic(String),
    /// No topic of this id.
    #[error("no topic has this id")]
    UnknownTopicId,
    /// The topic has fewer partitions.
    #[error("topic `{topic}` has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: i64,
    },
    /// The name is taken.
    #[error("topic `{0}` exists already")]
    TopicExists(String),
    /// The ordered view of a topic, which is only read.
    #[error("`{view}` is the ordered view of `{topic}`: it is read-only, and goes with that topic")]
    OrderedView {
        /// The view.
        view: String,
        /// Its topic.
        topic: String,
    },
    /// Not a name.
    #[error(transparent)]
    InvalidTopicName(#[from] NameError),
    /// A partition count that cannot be.
    #[error("{0}")]
    InvalidPartitions(String),
    /// More copies than there are.
    #[error("replication factor {0} is more than the real number of copies, which is 1")]
    InvalidReplicationFactor(i16),
    /// A setting's name or value is wrong.
    #[error("`{name}`: {detail}")]
    InvalidSetting {
        /// The setting.
        name: String,
        /// What is wrong and what is allowed.
        detail: String,
    },
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
    /// A batch that does not hold together.
    #[error("corrupt batch: {0}")]
    CorruptBatch(String),
    /// A record that this topic cannot take.
    #[error("invalid record: {0}")]
    InvalidRecord(String),
    /// Records that break a rule of the topic.
    #[error("{0}")]
    InvalidRecords(tramline_log::RecordErrors),
    /// `cleanup.policy` is `compact` alone: nothing goes but what a later record replaces.
    #[error("records of `{0}` cannot be deleted: `delete` is not in its `cleanup.policy`")]
    RecordsNotDeletable(String),
    /// The operator forbids it.
    #[error("topics cannot be deleted: `delete.topic.enable` is false")]
    TopicDeletionDisabled,
    /// A compression that is not known.
    #[error("this compression is not supported; use none, gzip, snappy, lz4 or zstd")]
    UnsupportedCompression,
    /// A gap in an idempotent producer's sequence.
    #[error("out of order: {0}")]
    OutOfOrderSequence(String),
    /// A producer that another instance has replaced.
    #[error("fenced: {0}")]
    InvalidProducerEpoch(String),
    /// No space for new messages; retry later.
    #[error("the disk is full: messages are refused until there is space")]
    StorageFull,
    /// The store is at fault.
    #[error("storage: {0}")]
    Storage(String),
    /// A stored range is damaged.
    #[error("damaged data: {0}")]
    DataDamaged(String),
    /// Not a member of the group.
    #[error("not a member of this group: join again")]
    UnknownMember,
    /// A generation that is over.
    #[error("the generation is not the group's current one: join again")]
    IllegalGeneration,
    /// The group forms its next generation.
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress,
    /// No strategy that all members know.
    #[error("the member shares no assignment strategy with the group")]
    InconsistentProtocol,
    /// Outside the configured bounds.
    #[error("the session timeout is outside the configured bounds")]
    InvalidSessionTimeout,
    /// The first join: come back with this id.
    #[error("join again with the member id `{0}`")]
    MemberIdRequired(String),
    /// Another client with the same static name took over.
    #[error("another client with this `group.instance.id` took over")]
    FencedInstance,
    /// Not a group id, or one of another kind.
    #[error("{0}")]
    InvalidGroup(String),
    /// The group is at its limit.
    #[error("the group has its maximum of members")]
    GroupFull,
    /// Members are there.
    #[error("the group has members: stop them first")]
    NonEmptyGroup,
    /// No such group.
    #[error("group `{0}` does not exist")]
    UnknownGroup(String),
    /// Commit metadata above the limit.
    #[error("the offset's metadata is larger than the limit")]
    OffsetMetadataTooLarge,
    /// Some other limit is reached.
    #[error("{0}")]
    LimitExceeded(String),
    /// A queue or an exchange refuses.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The memory for this is used up; retry later.
    #[error("busy: {0} take all the memory that `memory_budget` leaves them; retry later")]
    Busy(String),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Closed,
}

impl Error {
    /// What the caller should do.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownTopic(_)
            | Self::UnknownTopicId
            | Self::UnknownPartition { .. }
            | Self::UnknownGroup(_) => ErrorKind::NotFound,
            Self::TopicExists(_) => ErrorKind::AlreadyExists,
            Self::InvalidTopicName(_)
            | Self::InvalidPartitions(_)
            | Self::InvalidReplicationFactor(_)
            | Self::InvalidSetting { .. }
            | Self::MessageTooLarge { .. }
            | Self::CorruptBatch(_)
            | Self::InvalidRecord(_)
            | Self::InvalidRecords(_)
            | Self::UnsupportedCompression
            | Self::InconsistentProtocol
            | Self::InvalidSessionTimeout
            | Self::InvalidGroup(_)
            | Self::OffsetMetadataTooLarge => ErrorKind::InvalidArgument,
            Self::OffsetOutOfRange { .. } => ErrorKind::OutOfRange,
            Self::OrderedView { .. }
            | Self::RecordsNotDeletable(_)
            | Self::TopicDeletionDisabled
            | Self::OutOfOrderSequence(_)
            | Self::NonEmptyGroup => ErrorKind::FailedPrecondition,
            Self::InvalidProducerEpoch(_)
            | Self::UnknownMember
            | Self::IllegalGeneration
            | Self::RebalanceInProgress
            | Self::MemberIdRequired(_)
            | Self::FencedInstance => ErrorKind::Aborted,
            Self::StorageFull | Self::GroupFull | Self::LimitExceeded(_) => {
                ErrorKind::ResourceExhausted
            }
            Self::Storage(_) => ErrorKind::Internal,
            Self::DataDamaged(_) => ErrorKind::DataLoss,
            Self::Queue(error) => error.kind(),
            Self::Busy(_) | Self::Closed => ErrorKind::Unavailable,
        }
    }
}

impl From<tramline_store::Error> for Error {
    fn from(error: tramline_store::Error) -> Self {
        match error {
            tramline_store::Error::Full { .. } => Self::StorageFull,
            tramline_store::Error::TooLarge { bytes, limit } => {
                Self::MessageTooLarge { bytes, limit }
            }
            tramline_store::Error::BelowStart { from, start, .. } => {
                Self::OffsetOutOfRange { offset: from.as_i64(), start, next: start }
            }
            tramline_store::Error::Damaged { .. } => Self::DataDamaged(error.to_string()),
            tramline_store::Error::Closed => Self::Closed,
            tramline_store::Error::UnknownLog(_)
            | tramline_store::Error::Directory(_)
            | tramline_store::Error::Io { .. } => Self::Storage(error.to_string()),
        }
    }
}

impl From<tramline_log::Error> for Error {
    fn from(error: tramline_log::Error) -> Self {
        match error {
            tramline_log::Error::OffsetOutOfRange { offset, start, next } => {
                Self::OffsetOutOfRange { offset, start, next }
            }
            tramline_log::Error::MessageTooLarge { bytes, limit } => {
                Self::MessageTooLarge { bytes, limit }
            }
            tramline_log::Error::InvalidRecords(errors) => Self::InvalidRecords(errors),
            tramline_log::Error::Unopenable(detail) => Self::CorruptBatch(detail),
            tramline_log::Error::OutOfOrderSequence { .. } => {
                Self::OutOfOrderSequence(error.to_string())
            }
            tramline_log::Error::InvalidProducerEpoch { .. } => {
                Self::InvalidProducerEpoch(error.to_string())
            }
            tramline_log::Error::InvalidRecord(detail) => Self::InvalidRecord(detail.to_owned()),
            tramline_log::Error::Unreadable(detail) => Self::DataDamaged(detail),
            tramline_log::Error::Deleted => Self::UnknownTopic("(deleted)".to_owned()),
            tramline_log::Error::Store(error) => error.into(),
        }
    }
}

impl From<tramline_catalog::Error> for Error {
    fn from(error: tramline_catalog::Error) -> Self {
        match error {
            tramline_catalog::Error::InvalidSetting { name, detail } => {
                Self::InvalidSetting { name, detail }
            }
            tramline_catalog::Error::Damaged { .. } => Self::DataDamaged(error.to_string()),
        }
    }
}
