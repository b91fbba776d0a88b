//! The one task that wakes groups for rebalances and sessions, and beside it, since it waits for
//! the store, the retention of offsets.

use super::Shared;
use parking_lot::Mutex;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::Notify;
use tramline_types::{GroupId, Monotonic};

/// When which group wants to be woken. A group may stand here more than once.
pub(super) struct Timers {
    queue: Mutex<BTreeSet<(Monotonic, GroupId)>>,
    changed: Notify,
    options_changed: Notify,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::new(BTreeSet::new()),
            changed: Notify::new(),
            options_changed: Notify::new(),
        }
    }

    pub(super) fn schedule(&self, at: Monotonic, group: GroupId) {
        let is_first = {
            let mut queue = self.queue.lock();
            let is_first = queue.first().is_none_or(|(first, _)| at < *first);
            queue.insert((at, group));
            is_first
        };
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Looks again when offsets are to be looked at.
    pub(super) fn wake(&self) {
        self.options_changed.notify_one();
    }

    fn first(&self) -> Option<Monotonic> {
        self.queue.lock().first().map(|(at, _)| *at)
    }

    fn pop_due(&self, now: Monotonic) -> Option<(Monotonic, GroupId)> {
        let mut queue = self.queue.lock();
        let is_due = queue.first().is_some_and(|(at, _)| *at <= now);
        if is_due { queue.pop_first() } else { None }
    }
}

pub(super) async fn run(shared: Arc<Shared>) {
    tokio::join!(fire_all(&shared), sweep_all(&shared));
}

async fn fire_all(shared: &Shared) {
    loop {
        tokio::select! {
            biased; // What is due first, or a busy node would expire nobody.
            () = shared.clock.sleep_until(shared.timers.first()) => {
                let now = shared.clock.monotonic();
                while let Some((at, group)) = shared.timers.pop_due(now) {
                    shared.fire(&group, at);
                }
            }
            () = shared.timers.changed.notified() => {}
        }
    }
}

async fn sweep_all(shared: &Shared) {
    let mut swept_at = shared.clock.monotonic();
    loop {
        let sweep_at = swept_at.plus(shared.options().offsets_check_interval);
        tokio::select! {
            () = shared.clock.sleep_until(Some(sweep_at)) => {
                swept_at = shared.clock.monotonic();
                shared.sweep().await;
            }
            () = shared.timers.options_changed.notified() => {}
        }
    }
}
