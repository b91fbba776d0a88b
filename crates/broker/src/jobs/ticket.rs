//! Who is told when: a change is told when the commit is durable that it is part of.

use super::{Jobs, status::JobStatus, tracker::Telling};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{Notify, broadcast};

/// The changes of jobs, in order. `Lagged` when too many were missed.
pub type JobEvents = broadcast::Receiver<Arc<JobStatus>>;

/// The groups of changes that are not durable yet.
#[derive(Default)]
pub(super) struct Tickets {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Vec<Telling>>>,
    closed: Notify,
}

/// A group of changes. When this is dropped they are durable, or nothing came of them: whoever
/// follows is told.
pub(crate) struct Ticket {
    jobs: Arc<Jobs>,
    pub(super) number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        for telling in self.jobs.tickets.close(self.number) {
            // That nobody listens any more is theirs to decide.
            drop(telling.to.send(telling.status));
        }
    }
}

impl Jobs {
    /// A group of changes that become durable together.
    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        let number = self.tickets.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.tickets.open.lock().insert(number, Vec::new());
        Ticket { jobs: Arc::clone(self), number }
    }
}

impl Tickets {
    pub(super) fn add(&self, ticket: u64, told: Vec<Telling>) {
        if !told.is_empty()
            && let Some(open) = self.open.lock().get_mut(&ticket)
        {
            open.extend(told);
        }
    }

    fn close(&self, ticket: u64) -> Vec<Telling> {
        let told = self.open.lock().remove(&ticket).unwrap_or_default();
        self.closed.notify_waiters();
        told
    }

    pub(super) fn is_open(&self, ticket: u64) -> bool {
        self.open.lock().contains_key(&ticket)
    }

    /// Resolves when a group is durable.
    pub(super) async fn closed(&self, ticket: u64) {
        loop {
            let closed = self.closed.notified();
            if !self.is_open(ticket) {
                return;
            }
            closed.await;
        }
    }
}
