//! Who may have something for this connection: the queues' threads say so here, its task asks.

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};
use tramline_broker::Wake;

/// The consumers of one connection that were woken.
#[derive(Default)]
pub(crate) struct Wakes {
    woken: Mutex<Vec<usize>>,
    any: AtomicBool,
    task: AtomicWaker,
}

impl Wakes {
    /// Called before the task looks for what woke it.
    pub(crate) fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Takes the woken consumers into `into`.
    pub(crate) fn take(&self, into: &mut Vec<usize>) {
        if self.any.swap(false, Ordering::AcqRel) {
            into.append(&mut self.woken.lock());
        }
    }

    /// Wakes the task, for whatever reason.
    pub(crate) fn wake_task(&self) {
        self.task.wake();
    }
}

/// One consumer's line to its connection.
pub(crate) struct ConsumerWake {
    wakes: Arc<Wakes>,
    consumer: usize,
}

impl ConsumerWake {
    pub(crate) fn new(wakes: &Arc<Wakes>, consumer: usize) -> Arc<Self> {
        Arc::new(Self { wakes: Arc::clone(wakes), consumer })
    }
}

impl Wake for ConsumerWake {
    fn wake(&self) {
        self.wakes.woken.lock().push(self.consumer);
        if !self.wakes.any.swap(true, Ordering::AcqRel) {
            self.wakes.wake_task();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_woken_consumer_is_seen_once() {
        let wakes = Arc::new(Wakes::default());
        let (mut seen, empty) = (Vec::new(), Vec::<usize>::new());
        wakes.take(&mut seen);
        assert_eq!(seen, empty);
        ConsumerWake::new(&wakes, 3).wake();
        ConsumerWake::new(&wakes, 1).wake();
        wakes.take(&mut seen);
        assert_eq!(seen, [3, 1]);
        seen.clear();
        wakes.take(&mut seen);
        assert_eq!(seen, empty);
    }
}
