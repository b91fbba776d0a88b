//! What a queue counts from the start on, for metrics.

use super::{Queue, context::Context};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tramline_queue::{Delivery, Lock, LockToken};
use tramline_types::{ConnectionId, Timestamp};

/// Deliveries of one queue whose processing is timed at a time.
const TIMED_MAX: usize = 64;
/// The bounds of the processing times that are counted, in milliseconds; above the last: more.
pub(crate) const PROCESSING_BOUNDS_MS: [u64; 11] =
    [5, 20, 100, 500, 1_000, 5_000, 20_000, 60_000, 300_000, 1_800_000, 7_200_000];

/// How long deliveries were out until they were settled: a sample of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessingTimes {
    /// How many took at most as long as each bound, and longer than the bound before; the last
    /// ones longer than all.
    pub counts: [u64; PROCESSING_BOUNDS_MS.len() + 1],
    /// All of their times, in milliseconds.
    pub sum_ms: u64,
}

/// Deliveries that are timed, and the times of those before.
#[derive(Default)]
struct Timed {
    out: HashMap<LockToken, (Timestamp, Lock)>,
    times: ProcessingTimes,
}

impl Timed {
    /// Makes room where there is none: of deliveries whose locks have ended, as far as they were
    /// not extended.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.out.len() < TIMED_MAX {
            return true;
        }
        self.out.retain(|_, (since, lock)| match lock {
            Lock::Timed(span) => since.plus_millis(millis(*span)) > now,
            Lock::Connection(_) | Lock::None => true,
        });
        self.out.len() < TIMED_MAX
    }
}

/// How many messages went which way since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Came in; to the topic, of a subscription.
    pub enqueued: u64,
    /// Were delivered, each time.
    pub delivered: u64,
    /// Of those, that had been delivered before.
    pub redelivered: u64,
    /// Deliveries that were settled, whatever the outcome.
    pub settled: u64,
    /// Moved to the dead-letter target.
    pub dead_lettered: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    enqueued: AtomicU64,
    delivered: AtomicU64,
    redelivered: AtomicU64,
    settled: AtomicU64,
    dead_lettered: AtomicU64,
    /// Nothing is kept of a queue that never delivered under a lock.
    timed: Mutex<Option<Box<Timed>>>,
}

impl Counters {
    /// Deliveries go out now; the first of them is timed, where there is a place.
    pub(super) fn time(&self, deliveries: &[Delivery], lock: Lock, now: Timestamp) {
        let Some(first) = deliveries.first().filter(|_| lock != Lock::None) else { return };
        let mut timed = self.timed.lock();
        let timed = timed.get_or_insert_default();
        if timed.has_room(now) {
            timed.out.insert(first.token, (now, lock));
        }
    }

    /// The deliveries of a connection are given back, unsettled.
    pub(super) fn time_released(&self, connection: ConnectionId) {
        if let Some(timed) = self.timed.lock().as_deref_mut() {
            timed.out.retain(|_, (_, lock)| *lock != Lock::Connection(connection));
        }
    }

    /// Deliveries are settled now.
    pub(super) fn time_settled(&self, tokens: impl Iterator<Item = LockToken>, context: &Context) {
        let mut timed = self.timed.lock();
        let Some(timed) = timed.as_deref_mut().filter(|timed| !timed.out.is_empty()) else {
            return;
        };
        let now = context.now();
        for token in tokens {
            let Some((since, _)) = timed.out.remove(&token) else { continue };
            let took =
                u64::try_from(now.as_millis().saturating_sub(since.as_millis())).unwrap_or(0);
            let place = PROCESSING_BOUNDS_MS.partition_point(|bound| *bound < took);
            timed.times.counts[place] += 1;
            timed.times.sum_ms = timed.times.sum_ms.saturating_add(took);
        }
    }

    pub(super) fn enqueued(&self, n: usize) {
        add(&self.enqueued, n);
    }

    pub(super) fn delivered(&self, deliveries: &[Delivery], lock: Lock) {
        add(&self.delivered, deliveries.len());
        if lock == Lock::None {
            add(&self.settled, deliveries.len());
        }
        let again = deliveries.iter().filter(|delivery| delivery.redelivered).count();
        add(&self.redelivered, again);
    }

    pub(super) fn settled(&self, n: usize) {
        add(&self.settled, n);
    }

    pub(super) fn dead_lettered(&self, n: usize) {
        add(&self.dead_lettered, n);
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn add(counter: &AtomicU64, n: usize) {
    if n > 0 {
        counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Queue {
    /// How long deliveries were out until they were settled, of a sample since the start; `None`:
    /// nothing was delivered under a lock.
    pub fn processing_times(&self) -> Option<ProcessingTimes> {
        self.counters.timed.lock().as_ref().map(|timed| timed.times)
    }

    /// What it counted since the start.
    pub fn traffic(&self) -> Traffic {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Traffic {
            enqueued: match self.is_subscription() {
                true => self.records_arrived(),
                false => of(&counters.enqueued),
            },
            delivered: of(&counters.delivered),
            redelivered: of(&counters.redelivered),
            settled: of(&counters.settled),
            dead_lettered: of(&counters.dead_lettered),
        }
    }
}
