//! What is remembered between requests, in memory and bounded: which queues were deleted or
//! purged a short while ago, when messages were first received, and what FIFO queues answered.

use crate::{Options, recent::Recent};
use bytes::Bytes;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use tramline_broker::{Delivery, Place};
use tramline_types::{Monotonic, QueueName, Timestamp};
use uuid::Uuid;

/// Queues that were deleted or purged.
const QUEUES_MAX: usize = 100_000;
/// Messages that were received and not deleted.
const RECEIVED_MAX: usize = 200_000;
/// Messages whose repeats get the first one's ids.
const ANSWERS_MAX: usize = 200_000;
/// Receives of FIFO queues that can be repeated.
const ATTEMPTS_MAX: usize = 1_000;
/// How long FIFO queues tell repeats.
pub(crate) const REPEATS: Duration = Duration::from_secs(300);
/// The longest that a message is in flight.
pub(crate) const IN_FLIGHT_MAX: Duration = Duration::from_secs(12 * 3600);
/// FIFO queues share so many locks.
const SHARDS: usize = 64;

/// A FIFO queue's id and what tells repeats.
type OfQueue = (u64, Bytes);
/// The same, in little room.
type Hashed = (u64, [u8; 16]);

/// The ids that a message got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) message: String,
    pub(crate) sequence: String,
}

/// The same, in little room.
#[derive(Clone, Copy)]
struct Given {
    message: Uuid,
    sequence: u64,
}

/// The last number that a FIFO queue of one shard gave. Held while messages are put in, so that
/// numbers and places have the same order.
#[derive(Default)]
pub(crate) struct Fifo {
    last: u64,
}

/// What a receive got, and when: its handles say so.
pub(crate) struct Received {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) at: Timestamp,
}

/// What is remembered.
pub(crate) struct Memory {
    /// Names of queues that were deleted.
    pub(crate) deleted: Mutex<Recent<QueueName, ()>>,
    /// Ids of queues that were purged.
    pub(crate) purged: Mutex<Recent<u64, ()>>,
    /// When messages were first received.
    pub(crate) first_received: Mutex<Recent<(u64, Place), Timestamp>>,
    /// What receives of FIFO queues answered.
    pub(crate) attempts: Mutex<Recent<OfQueue, Arc<Received>>>,
    /// What FIFO queues answered to messages.
    answers: Mutex<Recent<Hashed, Given>>,
    fifo: Vec<tokio::sync::Mutex<Fifo>>,
}

impl Memory {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            deleted: Mutex::new(Recent::new(options.deleted_window, QUEUES_MAX)),
            purged: Mutex::new(Recent::new(options.purged_window, QUEUES_MAX)),
            first_received: Mutex::new(Recent::new(IN_FLIGHT_MAX, RECEIVED_MAX)),
            attempts: Mutex::new(Recent::new(REPEATS, ATTEMPTS_MAX)),
            answers: Mutex::new(Recent::new(REPEATS, ANSWERS_MAX)),
            fifo: (0..SHARDS).map(|_| tokio::sync::Mutex::default()).collect(),
        }
    }

    /// What FIFO queues like this one remember.
    pub(crate) fn fifo(&self, queue: u64) -> &tokio::sync::Mutex<Fifo> {
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        &self.fifo[usize::try_from(queue % shards).unwrap_or(0)]
    }

    /// The ids of a message: those of the first one with this deduplication id, or new ones.
    pub(crate) fn ids(
        &self,
        fifo: &mut Fifo,
        (queue, deduplication): (u64, &[u8]),
        (wall, now): (Timestamp, Monotonic),
        message: Uuid,
    ) -> Ids {
        let digest: [u8; 32] = Sha256::digest(deduplication).into();
        let (hash, _) = digest.split_first_chunk().expect("the digest is longer");
        let key = (queue, *hash);
        let mut answers = self.answers.lock();
        let given = answers.get(&key, now).copied().unwrap_or_else(|| {
            let by_time = u64::try_from(wall.as_millis()).unwrap_or(0) << 20;
            fifo.last = by_time.max(fifo.last + 1);
            let given = Given { message, sequence: fifo.last };
            answers.insert(key, given, now);
            given
        });
        Ids { message: given.message.to_string(), sequence: format!("{:020}", given.sequence) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_gets_the_ids_of_the_first_and_numbers_grow() {
        let (memory, mut fifo) = (Memory::new(&Options::default()), Fifo::default());
        let at = |seconds| {
            (Timestamp::from_millis(5), Monotonic::from_origin(Duration::from_secs(seconds)))
        };
        let mut ids = |queue, id: &str, seconds, message: u128| {
            memory.ids(&mut fifo, (queue, id.as_bytes()), at(seconds), Uuid::from_u128(message))
        };
        let first = ids(1, "a", 0, 1);
        // However many come in between.
        (0..10_000).for_each(|n| drop(ids(1, &format!("b{n}"), 100, 5)));
        assert_eq!(ids(1, "a", 299, 2), first);
        let other = ids(2, "a", 299, 3);
        assert!(other.sequence > first.sequence);
        assert_eq!(other.message, Uuid::from_u128(3).to_string());
        assert_eq!(first.sequence.len(), 20);
        let later = ids(1, "a", 300, 4);
        assert!(later.sequence > other.sequence);
        assert_eq!(later.message, Uuid::from_u128(4).to_string());
    }
}
