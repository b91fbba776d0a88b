//! What is asked of a queue with every message.
//!
//! It stands beside the settings, on cache lines that nothing else is written to: publishers and
//! consumers on several cores read it without waiting for each other.

use super::Queue;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tramline_catalog::{Overflow, QueueDurability, QueueKind, QueueSettings};

#[repr(align(64))]
pub(super) struct Hot {
    durability: QueueDurability,
    kind: QueueKind,
    overflow: Overflow,
    priority_max: u8,
    /// Publishes are refused at a bound.
    bounded: bool,
    subscription: bool,
    gone: AtomicBool,
    track: AtomicBool,
    delay_ms: AtomicU64,
    keep_ms: AtomicU64,
}

/// Nothing is kept that is done.
const KEEPS_NOTHING: u64 = u64::MAX;

fn keep_ms(settings: &QueueSettings) -> u64 {
    settings.retention_after_settle_ms.unwrap_or(KEEPS_NOTHING)
}

impl Hot {
    pub(super) fn new(settings: &QueueSettings, subscription: bool) -> Self {
        let has_bound = settings.length_max.is_some() || settings.bytes_max.is_some();
        Self {
            durability: settings.durability,
            kind: settings.kind,
            overflow: settings.overflow,
            priority_max: settings.priority_max,
            bounded: has_bound && settings.overflow != Overflow::DropHead,
            subscription,
            gone: AtomicBool::new(false),
            track: AtomicBool::new(settings.track),
            delay_ms: AtomicU64::new(settings.delay_ms),
            keep_ms: AtomicU64::new(keep_ms(settings)),
        }
    }

    /// Takes what can change while the queue is used.
    pub(super) fn set(&self, settings: &QueueSettings) {
        self.track.store(settings.track, Ordering::Relaxed);
        self.delay_ms.store(settings.delay_ms, Ordering::Relaxed);
        self.keep_ms.store(keep_ms(settings), Ordering::Relaxed);
    }

    /// Said under the lock of the queue's state.
    pub(super) fn set_gone(&self, gone: bool) {
        self.gone.store(gone, Ordering::Release);
    }
}

impl Queue {
    /// Whether it is deleted, or about to be. Set under the lock of the state.
    pub(super) fn is_gone(&self) -> bool {
        self.hot.gone.load(Ordering::Acquire)
    }

    /// Whether its messages are the records of a topic; never changes.
    pub const fn is_subscription(&self) -> bool {
        self.hot.subscription
    }

    /// Whether it outlives a restart; never changes.
    pub const fn durability(&self) -> QueueDurability {
        self.hot.durability
    }

    /// What it was declared as; never changes.
    pub const fn kind(&self) -> QueueKind {
        self.hot.kind
    }

    /// Whether its messages live in memory; never changes.
    pub(super) const fn is_transient(&self) -> bool {
        matches!(self.hot.durability, QueueDurability::Transient)
    }

    /// Whether publishes are refused at a bound; never changes.
    pub(super) const fn is_bounded(&self) -> bool {
        self.hot.bounded
    }

    /// What happens at a bound; never changes.
    pub(super) const fn overflow(&self) -> Overflow {
        self.hot.overflow
    }

    /// The level of a message of this priority.
    pub(super) fn level(&self, priority: u8) -> u16 {
        priority.min(self.hot.priority_max).into()
    }

    /// Whether it tells of all its messages as jobs.
    pub(crate) fn tracks(&self) -> bool {
        self.hot.track.load(Ordering::Relaxed)
    }

    /// How long every message waits here before its first delivery.
    pub(super) fn delay_ms(&self) -> u64 {
        self.hot.delay_ms.load(Ordering::Relaxed)
    }
    /// How long messages are kept after they are done.
    pub(super) fn keep_ms(&self) -> Option<u64> {
        Some(self.hot.keep_ms.load(Ordering::Relaxed)).filter(|keep| *keep != KEEPS_NOTHING)
    }
}
