//! Ids that are never reused.

use std::fmt;

/// Names one log in the store. Allocated upwards and never reused, so a stored frame of an
/// unknown id is garbage and can belong to nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u64);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log-{}", self.0)
    }
}

/// A topic's 128-bit id (Kafka KIP-516): a topic deleted and made again gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// "No id given": the all-zero UUID.
    pub const ZERO: Self = Self([0; 16]);
}

/// An idempotent or transactional producer's id (Kafka KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub i64);

/// One client connection, for as long as the process lives: what exclusive queues and
/// connection-bound locks belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);
