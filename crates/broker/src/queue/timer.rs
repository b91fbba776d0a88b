//! Queues that time alone will change: one timer for all.

use super::{Queue, load::Progress};
use crate::Broker;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering},
};
use tokio::sync::Notify;
use tramline_types::Timestamp;

/// Who wants to be called when.
#[derive(Default)]
pub(super) struct Timers {
    due: Mutex<BTreeMap<(Timestamp, u64), Weak<Queue>>>,
    earlier: Notify,
}

impl Timers {
    /// Calls a queue at this time; an earlier call leaves it in place.
    pub(super) fn set(&self, at: Timestamp, queue: &Arc<Queue>) {
        let mut due = self.due.lock();
        let is_first = due.first_key_value().is_none_or(|((first, _), _)| at < *first);
        due.insert((at, queue.id), Arc::downgrade(queue));
        drop(due);
        if is_first {
            self.earlier.notify_one();
        }
    }

    fn first(&self) -> Option<Timestamp> {
        self.due.lock().first_key_value().map(|((at, _), _)| *at)
    }

    fn pop(&self, now: Timestamp) -> Option<Weak<Queue>> {
        let mut due = self.due.lock();
        let first = due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// Runs until the broker closes.
pub(crate) async fn run(broker: Broker) {
    let context = Arc::clone(&broker.queues_map().context);
    loop {
        let wake = context.timers.first().map(|at| context.monotonic_at(at));
        tokio::select! {
            () = context.clock.sleep_until(wake) => {}
            () = context.timers.earlier.notified() => {}
            () = broker.closed() => return,
        }
        while let Some(queue) = context.timers.pop(context.now()) {
            if let Some(queue) = queue.upgrade() {
                queue.handle_timer();
            }
        }
    }
}

impl Queue {
    /// Has the queue looked at when it may have been unused for too long.
    pub(super) fn schedule_expiry(self: &Arc<Self>) {
        if let Some(span) = self.settings().expires_ms {
            let span = i64::try_from(span).unwrap_or(i64::MAX);
            let used = self.used.load(Ordering::Relaxed);
            let at = Timestamp::from_millis(used.saturating_add(span));
            // One millisecond later than the last at which it is still used.
            self.context.timers.set(at.max(self.context.now()), self);
        }
    }

    /// Whether it was unused for too long.
    fn is_expired(&self) -> bool {
        let Some(span) = self.settings().expires_ms else { return false };
        let unused = self.context.now().as_millis() - self.used.load(Ordering::Relaxed);
        u64::try_from(unused).is_ok_and(|unused| unused >= span) && self.consumers.lock().is_empty()
    }

    /// Time passed.
    pub(super) fn handle_timer(self: &Arc<Self>) {
        if self.is_expired() {
            tracing::info!(queue = %self.name, "expired unused");
            self.context.remove_later(self);
            if self.is_gone() {
                return;
            }
        }
        if self.settings().expires_ms.is_some() && !self.consumers.lock().is_empty() {
            self.touch();
        }
        self.schedule_expiry();
        loop {
            let mut state = self.state.lock();
            let now = self.context.now();
            if self.is_gone() {
                return;
            }
            if state.timer_at.is_some_and(|at| at <= now) {
                state.timer_at = None;
            }
            state.retry(&self.context);
            state.sync_ends();
            let Some(engine) = &mut state.engine else { return };
            engine.handle_timeout(now);
            let head = engine.poll_head();
            let ready = engine.ready();
            state.submit(&self.context, now, None);
            let load = head.filter(|_| !state.loading);
            state.loading |= load.is_some();
            let after = self.after_step(&mut state);
            drop(state);
            self.finish_step(after);
            match load.map(|load| self.load(load)) {
                Some(Progress::Done) => {}
                Some(Progress::Pending) | None => return self.wake(ready),
            }
        }
    }
}
