//! The only mapping of errors to Kafka's codes.

use tramline_broker as broker;
use tramline_types::NameError;

/// One of Kafka's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorCode(i16);

impl ErrorCode {
    pub(crate) const NONE: i16 = 0;
    pub(crate) const OFFSET_OUT_OF_RANGE: Self = Self(1);
    pub(crate) const CORRUPT_MESSAGE: Self = Self(2);
    pub(crate) const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    pub(crate) const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    pub(crate) const MESSAGE_TOO_LARGE: Self = Self(10);
    pub(crate) const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    pub(crate) const NOT_COORDINATOR: Self = Self(16);
    pub(crate) const INVALID_TOPIC_EXCEPTION: Self = Self(17);
    pub(crate) const INVALID_REQUIRED_ACKS: Self = Self(21);
    pub(crate) const INVALID_GROUP_ID: Self = Self(24);
    pub(crate) const INVALID_TIMESTAMP: Self = Self(32);
    pub(crate) const UNSUPPORTED_VERSION: Self = Self(35);
    pub(crate) const INVALID_PARTITIONS: Self = Self(37);
    pub(crate) const INVALID_REPLICA_ASSIGNMENT: Self = Self(39);
    pub(crate) const INVALID_CONFIG: Self = Self(40);
    pub(crate) const INVALID_REQUEST: Self = Self(42);
    pub(crate) const UNSUPPORTED_FOR_MESSAGE_FORMAT: Self = Self(43);
    pub(crate) const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Self = Self(53);
    pub(crate) const KAFKA_STORAGE_ERROR: Self = Self(56);
    pub(crate) const GROUP_ID_NOT_FOUND: Self = Self(69);
    pub(crate) const FETCH_SESSION_ID_NOT_FOUND: Self = Self(70);
    pub(crate) const FENCED_LEADER_EPOCH: Self = Self(74);
    pub(crate) const UNKNOWN_LEADER_EPOCH: Self = Self(75);
    pub(crate) const UNSUPPORTED_COMPRESSION_TYPE: Self = Self(76);
    pub(crate) const ELECTION_NOT_NEEDED: Self = Self(84);
    pub(crate) const GROUP_SUBSCRIBED_TO_TOPIC: Self = Self(86);
    pub(crate) const INVALID_RECORD: Self = Self(87);
    pub(crate) const MISMATCHED_ENDPOINT_TYPE: Self = Self(114);

    /// The number on the wire.
    pub(crate) const fn code(self) -> i16 {
        self.0
    }

    /// For requests about a group: what is wrong with the store or the broker reads as "try the
    /// coordinator again", because clients take other codes there as fatal.
    pub(crate) fn of_coordinator(error: &broker::Error) -> Self {
        match Self::from(error) {
            Self(-1 | 6 | 56) => Self::COORDINATOR_NOT_AVAILABLE,
            code => code,
        }
    }
}

impl From<&broker::Error> for ErrorCode {
    fn from(error: &broker::Error) -> Self {
        use broker::Error as E;
        // No `_` arm: a new error must be given a code here before anything compiles.
        Self(match error {
            E::OffsetOutOfRange { .. } => 1,
            E::CorruptBatch(_) | E::DataDamaged(_) => 2,
            E::UnknownTopic(_) | E::UnknownPartition { .. } => 3,
            // Retriable: the client asks for the metadata and tries again.
            E::Closed => 6,
            E::MessageTooLarge { .. } => 10,
            E::OffsetMetadataTooLarge => 12,
            // What Kafka says to a producer of one of its internal topics.
            E::InvalidTopicName(_) | E::OrderedView { .. } => 17,
            // Retriable, and only ever said to members of groups.
            E::Busy(_) => 15,
            E::IllegalGeneration => 22,
            E::InconsistentProtocol => 23,
            E::InvalidGroup(_) => 24,
            E::UnknownMember => 25,
            E::InvalidSessionTimeout => 26,
            E::RebalanceInProgress => 27,
            E::InvalidRecords(errors) => match errors.rule {
                broker::RecordRule::Timestamp => 32,
                broker::RecordRule::Key => 87,
            },
            E::TopicExists(_) => 36,
            E::InvalidPartitions(_) => 37,
            E::InvalidReplicationFactor(_) => 38,
            E::InvalidSetting { .. } => 40,
            E::LimitExceeded(_) | E::RecordsNotDeletable(_) => 44,
            E::OutOfOrderSequence(_) => 45,
            E::InvalidProducerEpoch(_) => 47,
            // Retriable, as a full or failing disk is in Kafka.
            E::StorageFull | E::Storage(_) => 56,
            E::NonEmptyGroup => 68,
            E::UnknownGroup(_) => 69,
            E::TopicDeletionDisabled => 73,
            E::UnsupportedCompression => 76,
            E::MemberIdRequired(_) => 79,
            E::GroupFull => 81,
            E::FencedInstance => 82,
            E::InvalidRecord(_) => 87,
            E::UnknownTopicId => 100,
            E::Queue(error) => of_queue(error),
        })
    }
}

/// What a queue says to a Kafka client, which sees it as a topic.
const fn of_queue(error: &broker::QueueError) -> i16 {
    use broker::QueueError as Q;
    match error {
        Q::UnknownQueue(_) | Q::UnknownExchange(_) | Q::Deleted(_) => 3,
        Q::AccessRefused(_) | Q::Locked(_) => 29,
        Q::NameTaken(..) => 36,
        Q::InvalidSetting { .. } | Q::Inequivalent { .. } => 40,
        Q::InUse(_) | Q::NotEmpty(_) | Q::ExclusiveConsumer(_) | Q::LockLost => 42,
        Q::LimitExceeded(_) => 44,
    }
}

impl From<broker::Error> for ErrorCode {
    fn from(error: broker::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&broker::EnqueueError> for ErrorCode {
    fn from(error: &broker::EnqueueError) -> Self {
        use broker::EnqueueError as E;
        Self(match error {
            // A subscription is no topic to these clients.
            E::Deleted | E::Subscription(_) => 3,
            E::TooLarge { .. } => 10,
            // Final: the application is told at once, as a publisher with confirms is.
            E::Overflow => 44,
            // Retriable, as above.
            E::StorageFull | E::Storage(_) => 56,
        })
    }
}

impl From<&tramline_record::Error> for ErrorCode {
    fn from(error: &tramline_record::Error) -> Self {
        use tramline_record::Error as E;
        match error {
            E::Truncated { .. } | E::Length(_) | E::Crc { .. } | E::Decompress { .. } => {
                Self::CORRUPT_MESSAGE
            }
            E::TrailingBytes(_)
            | E::InvalidHeader(_)
            | E::InvalidProducerBatch(_)
            | E::InvalidRecord { .. }
            | E::Empty
            | E::Compress { .. } => Self::INVALID_RECORD,
            E::Magic(_) => Self::UNSUPPORTED_FOR_MESSAGE_FORMAT,
            E::UnknownCompression(_) => Self::UNSUPPORTED_COMPRESSION_TYPE,
            E::ProducerLogAppendTime => Self::INVALID_TIMESTAMP,
            E::OpenedTooLarge(_) | E::BuiltTooLarge(_) => Self::MESSAGE_TOO_LARGE,
        }
    }
}

impl From<NameError> for ErrorCode {
    fn from(_: NameError) -> Self {
        Self::INVALID_TOPIC_EXCEPTION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_requests_never_answer_a_code_that_clients_take_as_fatal() {
        for error in [broker::Error::Closed, broker::Error::StorageFull] {
            assert_eq!(
                ErrorCode::of_coordinator(&error),
                ErrorCode::COORDINATOR_NOT_AVAILABLE,
                "{error}"
            );
        }
        let fenced = ErrorCode::of_coordinator(&broker::Error::FencedInstance);
        assert_eq!(fenced.code(), 82);
    }
}
