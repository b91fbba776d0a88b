//! What resolves when something is durable.

use crate::{Broker, EnqueueError, Placed};
use futures_util::task::AtomicWaker;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tramline_queue::LockToken;
use tramline_store::LogStore;

/// How many commits are not durable yet. The committer wakes the waiter once, for the last.
pub(super) struct Outstanding {
    count: AtomicUsize,
    waker: AtomicWaker,
}

impl Outstanding {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(count), waker: AtomicWaker::new() })
    }

    pub(super) fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn done(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }

    fn is_over(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_over() {
            self.waker.register(cx.waker());
            if !self.is_over() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl Broker {
    /// Waits until something submitted is durable, and commits it on this thread where that is
    /// faster than to sleep: for who has nothing else to do meanwhile.
    pub async fn until_durable<T>(&self, waiting: impl Future<Output = T>) -> T {
        self.store().commit_now();
        waiting.await
    }
}

/// Resolves to one result per message, in order, when all that were taken are durable. Nothing
/// is undone when it is dropped.
pub struct Enqueuing {
    outstanding: Arc<Outstanding>,
    /// Is told that somebody waits, once somebody does.
    store: Option<Arc<dyn LogStore>>,
    results: Vec<Result<(), EnqueueError>>,
    placed: Vec<Placed>,
}

impl Enqueuing {
    pub(super) const fn new(
        outstanding: Arc<Outstanding>,
        results: Vec<Result<(), EnqueueError>>,
        placed: Vec<Placed>,
    ) -> Self {
        Self { outstanding, store: None, results, placed }
    }

    /// What it waits for was submitted behind.
    pub(super) fn behind(self, store: &Arc<dyn LogStore>) -> Self {
        Self { store: Some(Arc::clone(store)), ..self }
    }

    /// Whether nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.outstanding.is_over()
    }

    /// Where those lie whose place was wanted ([`crate::EnqueueOptions::tell_place`]), one entry
    /// for each queue, in the order of the call. Known at once.
    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }
}

impl Future for Enqueuing {
    type Output = Vec<Result<(), EnqueueError>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.outstanding.poll(cx).is_pending() {
            if let Some(store) = self.store.take() {
                store.commit_soon();
            }
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut self.results))
    }
}

/// Resolves when the outcomes are durable. Nothing is undone when it is dropped.
pub struct Settling {
    outstanding: Arc<Outstanding>,
    lost: Vec<LockToken>,
}

impl Settling {
    pub(super) const fn new(outstanding: Arc<Outstanding>, lost: Vec<LockToken>) -> Self {
        Self { outstanding, lost }
    }

    /// Those whose lock had expired or been settled: nothing happened to them. Known at once.
    pub fn lost(&self) -> &[LockToken] {
        &self.lost
    }
}

impl Future for Settling {
    type Output = Vec<LockToken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.outstanding.poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(&mut self.lost))
    }
}
