//! What is remembered between requests, in memory and bounded: which queues were deleted or
//! purged a short while ago, when messages were first received, and what FIFO queues answered.

use crate::{Options, recent::Recent};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tramline_broker::{Delivery, Place};
use tramline_types::{Monotonic, QueueName, Timestamp};

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

/// The ids that a message got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) message: String,
    pub(crate) sequence: String,
}

/// What FIFO queues of one shard remember. Held while messages are put in, so that numbers and
/// places have the same order.
pub(crate) struct Fifo {
    last: u64,
    answers: Recent<OfQueue, Ids>,
}

impl Fifo {
    fn new() -> Self {
        Self { last: 0, answers: Recent::new(REPEATS, ANSWERS_MAX / SHARDS) }
    }

    /// The ids of a message: those of the first one with this deduplication id, or new ones.
    pub(crate) fn ids(
        &mut self,
        (queue, deduplication): (u64, &Bytes),
        (wall, now): (Timestamp, Monotonic),
        message: impl FnOnce() -> String,
    ) -> Ids {
        let key = (queue, deduplication.clone());
        if let Some(ids) = self.answers.get(&key, now) {
            return ids.clone();
        }
        let by_time = u64::try_from(wall.as_millis()).unwrap_or(0) << 20;
        self.last = by_time.max(self.last + 1);
        let ids = Ids { message: message(), sequence: format!("{:020}", self.last) };
        self.answers.insert(key, ids.clone(), now);
        ids
    }
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
    fifo: Vec<tokio::sync::Mutex<Fifo>>,
}

impl Memory {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            deleted: Mutex::new(Recent::new(options.deleted_window, QUEUES_MAX)),
            purged: Mutex::new(Recent::new(options.purged_window, QUEUES_MAX)),
            first_received: Mutex::new(Recent::new(IN_FLIGHT_MAX, RECEIVED_MAX)),
            attempts: Mutex::new(Recent::new(REPEATS, ATTEMPTS_MAX)),
            fifo: (0..SHARDS).map(|_| tokio::sync::Mutex::new(Fifo::new())).collect(),
        }
    }

    /// What FIFO queues like this one remember.
    pub(crate) fn fifo(&self, queue: u64) -> &tokio::sync::Mutex<Fifo> {
        let shards = u64::try_from(SHARDS).unwrap_or(1);
        &self.fifo[usize::try_from(queue % shards).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_gets_the_ids_of_the_first_and_numbers_grow() {
        let mut fifo = Fifo::new();
        let at = |seconds| {
            (Timestamp::from_millis(5), Monotonic::from_origin(Duration::from_secs(seconds)))
        };
        let mut ids = |queue, id: &'static str, seconds, message: &str| {
            let id = Bytes::from_static(id.as_bytes());
            fifo.ids((queue, &id), at(seconds), || message.to_owned())
        };
        let first = ids(1, "a", 0, "m1");
        assert_eq!(ids(1, "a", 299, "m2"), first);
        let other = ids(2, "a", 0, "m3");
        assert!(other.sequence > first.sequence && other.message == "m3");
        assert_eq!(first.sequence.len(), 20);
        let later = ids(1, "a", 300, "m4");
        assert!(later.sequence > other.sequence && later.message == "m4");
    }
}
