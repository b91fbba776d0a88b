//! What a queue counts from the start on, for metrics.

use super::Queue;
use std::sync::atomic::{AtomicU64, Ordering};
use tramline_queue::{Delivery, Lock};

/// How many messages went which way since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Came in.
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
}

impl Counters {
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

fn add(counter: &AtomicU64, n: usize) {
    if n > 0 {
        counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Queue {
    /// What it counted since the start.
    pub fn traffic(&self) -> Traffic {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Traffic {
            enqueued: of(&counters.enqueued),
            delivered: of(&counters.delivered),
            redelivered: of(&counters.redelivered),
            settled: of(&counters.settled),
            dead_lettered: of(&counters.dead_lettered),
        }
    }
}
