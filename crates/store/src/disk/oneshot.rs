//! One value from a thread to a future.

use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

enum Slot<T> {
    Waiting(Option<Waker>),
    Full(T),
    /// The sender is gone, or the value was taken.
    Over,
}

/// Gives the value.
pub(super) struct Sender<T>(Arc<Mutex<Slot<T>>>);

/// Resolves to the value; to `None` when the sender went away without one.
pub(super) struct Receiver<T>(Arc<Mutex<Slot<T>>>);

pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
    (Sender(Arc::clone(&slot)), Receiver(slot))
}

impl<T> Sender<T> {
    pub(super) fn send(self, value: T) {
        self.set(Slot::Full(value));
    }

    /// Whether nobody waits any more.
    pub(super) fn is_abandoned(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    fn set(&self, value: Slot<T>) {
        let mut slot = self.0.lock();
        if let Slot::Waiting(waker) = &mut *slot {
            let waker = waker.take();
            *slot = value;
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.set(Slot::Over);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.lock();
        match &mut *slot {
            Slot::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            full => match std::mem::replace(full, Slot::Over) {
                Slot::Full(value) => Poll::Ready(Some(value)),
                _ => Poll::Ready(None),
            },
        }
    }
}
