//! A message as every protocol sees it.

use crate::Timestamp;
use bytes::Bytes;

/// One header. Names may repeat (legal in Kafka) and keep their order; the value may be absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name: UTF-8 in every protocol that we speak, kept as it came.
    pub name: Bytes,
    /// The value; `None` is Kafka's null.
    pub value: Option<Bytes>,
}

/// A message: stored as one Kafka record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Partition, routing or ordering key.
    pub key: Option<Bytes>,
    /// The body; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// Headers in the order in which they were sent.
    pub headers: Vec<Header>,
    /// When the sender made it; the broker's time when the sender did not say.
    pub timestamp: Option<Timestamp>,
}
