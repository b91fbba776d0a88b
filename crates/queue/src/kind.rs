//! The words of the engine: places, tokens, locks and outcomes.

use std::time::Duration;
use tramline_types::{ConnectionId, Timestamp};

/// Where a message lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The priority level of a queue, or the partition of a topic.
    pub lane: u16,
    /// The offset in that log.
    pub offset: u64,
}

/// Names one delivery. Redelivery gets a new token, so that a late settle cannot hit the wrong
/// one; tokens are not given twice, also across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockToken {
    /// The message.
    pub place: Place,
    /// The delivery.
    pub sequence: u64,
}

impl LockToken {
    /// The length of [`LockToken::to_bytes`].
    pub const BYTES: usize = 18;

    /// A form for receipt handles and lock ids.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&self.place.lane.to_be_bytes());
        bytes[2..10].copy_from_slice(&self.place.offset.to_be_bytes());
        bytes[10..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    /// Reads [`LockToken::to_bytes`]; any bytes of that length are some token.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (lane, rest) = bytes.split_first_chunk().expect("18 bytes have 2");
        let (offset, rest) = rest.split_first_chunk().expect("16 bytes have 8");
        let (sequence, _) = rest.split_first_chunk().expect("8 bytes have 8");
        Self {
            place: Place { lane: u16::from_be_bytes(*lane), offset: u64::from_be_bytes(*offset) },
            sequence: u64::from_be_bytes(*sequence),
        }
    }
}

/// What holds a delivery until it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nothing: it is settled by the delivery itself.
    None,
    /// The connection: the lock ends with it, or with a restart.
    Connection(ConnectionId),
    /// Time: the lock ends when it has passed and survives a restart.
    Timed(Duration),
}

/// How a delivery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done with.
    Accepted,
    /// Back to its place, at once or after a delay.
    Released {
        /// Whether the delivery counts towards `deliveries_max`.
        count: bool,
        /// Not to be delivered before this has passed, in milliseconds.
        delay_ms: Option<u64>,
    },
    /// Not wanted: dead-lettered where the queue has a dead-letter target, dropped otherwise.
    Rejected {
        /// Whether to dead-letter; else it is dropped.
        dead_letter: bool,
        /// Why, in the consumer's words.
        reason: Option<String>,
    },
    /// Set aside until it is asked for by its place.
    Deferred,
}

/// Why a message is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadReason {
    /// Its time to live passed.
    Expired,
    /// A consumer rejected it.
    Rejected,
    /// It was dropped from the head of a queue at its bound.
    MaxLength,
    /// It was delivered too often.
    DeliveryLimit,
}

impl DeadReason {
    /// The text that RabbitMQ uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// How many messages are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Could be delivered now.
    pub ready: u64,
    /// Wait behind others of their ordered group; those that no receive has come to yet are among
    /// the ready ones.
    pub blocked: u64,
    /// Delivered and not settled.
    pub locked: u64,
    /// Wait for their time.
    pub delayed: u64,
    /// Wait to be asked for.
    pub deferred: u64,
    /// On their way to the dead-letter target.
    pub transferring: u64,
    /// Kept, because their log cannot be read there.
    pub unreadable: u64,
    /// The bodies of the ready ones, in bytes; an estimate after a restart.
    pub bytes_ready: u64,
    /// Dropped since the start: dead without a dead-letter target, or rejected for good.
    pub dropped: u64,
    /// Attached consumers.
    pub consumers: u64,
    /// The time of the oldest message that could be delivered, where it is known.
    pub oldest: Option<Timestamp>,
}
