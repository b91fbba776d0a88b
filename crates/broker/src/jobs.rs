//! Jobs: messages whose fate somebody follows, from any protocol. What a queue does to a tracked
//! message is noted under the queue's lock, and what the queue's own delivery state does not
//! remember (that there is such a job, its end, its result) is logged in the same commit.
//!
//! Lock order: a queue's state, then the tracker, then the tickets or the store's intake. Nobody
//! is told of a change before it is durable.

mod act;
mod after;
mod hook;
mod id;
mod job;
mod log;
mod record;
mod report;
mod status;
mod ticket;
mod token;
mod tracker;
mod upkeep;

pub use act::JobError;
pub use job::{Attempt, JobState, Worker};
pub use report::{Progress, Report};
pub use status::{JobFilter, JobPage, JobStatus};
pub use ticket::JobEvents;

pub(crate) use after::run as run_waiters;
pub(crate) use hook::{Arriving, Following, Tag, Tags};
pub(crate) use id::of as id_of;
pub(crate) use job::Home;
pub(crate) use ticket::Ticket;
use tracker::Arrived;
pub(crate) use upkeep::run;

use crate::Error;
use bytes::Bytes;
use job::Job;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use ticket::Tickets;
use tracker::{Step, Tracker};
use tramline_queue::{Engine, Look, MessageState, Place};
use tramline_store::LogStore;
use tramline_types::{LogId, Timestamp};

/// Changes that room is kept for between the steps of a queue.
const STEP_ROOM: usize = 1024;

/// Every job of this node.
pub(crate) struct Jobs {
    tracker: Mutex<Tracker>,
    tickets: Tickets,
    /// Something is or was tracked.
    is_used: AtomicBool,
    first_used: tokio::sync::Notify,
    logs: Mutex<log::Logs>,
    has_log: AtomicBool,
    /// Held while jobs are logged again.
    compacting: tokio::sync::Mutex<()>,
    /// Live jobs as they were logged, by their queue's id, until their queue is taken up.
    recovered: Mutex<HashMap<u64, Vec<Job>>>,
    waiters: after::Waiters,
    key: token::Key,
}

/// What a step in a queue is to commit beside its own changes, and whom it is to tell.
struct Noted {
    log: LogId,
    deltas: Vec<Bytes>,
}

impl Jobs {
    /// Takes up what was logged.
    pub(crate) fn load(store: &Arc<dyn LogStore>, log_bytes_min: usize) -> Result<Self, Error> {
        let (logs, found) = log::Logs::load(store, log_bytes_min)?;
        let mut tracker = Tracker::new();
        tracker.log = logs.current();
        let mut recovered: HashMap<u64, Vec<Job>> = HashMap::new();
        let mut found: Vec<Job> = found.jobs.into_values().collect();
        found.sort_unstable_by(|a, b| (a.enqueued_at, &a.id).cmp(&(b.enqueued_at, &b.id)));
        for job in found {
            if job.state.is_final() {
                tracker.put(job);
            } else {
                recovered.entry(job.home.id).or_default().push(job);
            }
        }
        let is_used = AtomicBool::new(!recovered.is_empty() || tracker.len() > 0);
        Ok(Self {
            tracker: Mutex::new(tracker),
            tickets: Tickets::default(),
            is_used,
            first_used: tokio::sync::Notify::new(),
            has_log: AtomicBool::new(logs.current().is_some()),
            logs: Mutex::new(logs),
            compacting: tokio::sync::Mutex::new(()),
            recovered: Mutex::new(recovered),
            waiters: after::Waiters::default(),
            key: token::Key::load(store),
        })
    }

    /// Whether any message is or was tracked.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    pub(crate) fn set_used(&self) {
        if !self.is_used() {
            self.is_used.store(true, Ordering::Release);
            self.first_used.notify_one();
        }
    }

    /// Resolves when something is tracked.
    pub(crate) async fn used(&self) {
        while !self.is_used() {
            self.first_used.notified().await;
        }
    }

    /// What a queue went through since the last call, for the same commit. Called under the
    /// queue's lock.
    fn note(
        &self,
        following: &mut Following,
        engine: &mut Engine,
        (now, ticket): (Timestamp, u64),
    ) -> Option<Noted> {
        let Following { home, arrived, changes } = following;
        engine.take_changes(changes);
        if arrived.is_empty() && changes.is_empty() {
            return None;
        }
        let (applied, log) = {
            let mut tracker = self.tracker.lock();
            let applied = tracker.apply(Step { home, arrived, changes, now, ticket });
            (applied, tracker.log)
        };
        arrived.shrink_to(STEP_ROOM);
        changes.shrink_to(STEP_ROOM);
        for (place, bytes) in applied.removals {
            // It was worked on: it does not wait behind others.
            engine.handle_remove(place, (bytes, None), now);
        }
        // The jobs of these are over already.
        engine.take_changes(changes);
        self.tickets.add(ticket, applied.told);
        self.waiters.push(applied.waiters);
        let deltas: Vec<Bytes> = applied.deltas.into_iter().map(Bytes::from).collect();
        log.filter(|_| !deltas.is_empty()).map(|log| Noted { log, deltas })
    }

    /// A queue was taken up after a restart: what became of its jobs. Whether there are any.
    pub(crate) fn resume(&self, home: &Arc<Home>, engine: &mut Engine) -> bool {
        let Some(jobs) = self.recovered.lock().remove(&home.id) else { return false };
        let places: Vec<Place> = jobs.iter().map(|job| job.place).collect();
        let looks = engine.look_at_each(&places);
        let mut tracker = self.tracker.lock();
        let mut any = false;
        for (mut job, look) in jobs.into_iter().zip(looks) {
            let Some(look) = look else {
                // Its end would have been in the same commit: only damage can say this.
                tracing::warn!(queue = home.name, job = %job.id, "its end is not known");
                continue;
            };
            job.home = Arc::clone(home);
            take_up(&mut job, &look);
            tracker.put(job);
            any = true;
        }
        any
    }

    /// What is left of jobs whose queue does not exist any more is forgotten.
    pub(crate) fn resumed(&self) {
        self.recovered.lock().clear();
        let mut tracker = self.tracker.lock();
        tracker.link_all();
        let waiters = tracker.wait_all();
        drop(tracker);
        self.waiters.push(waiters);
    }
}

/// A live job as its queue's delivery state has it.
fn take_up(job: &mut Job, look: &Look) {
    job.attempts = look.deliveries;
    // When a delivery ended that a restart ended is not known.
    let ended = job.history.last().map(|last| last.started);
    if let Some(last) = job.history.last_mut().filter(|last| last.ended.is_none())
        && look.state != MessageState::Locked
    {
        last.ended = ended;
    }
    job.until = None;
    job.state = match look.state {
        MessageState::Locked => JobState::Processing,
        MessageState::Delayed if look.until.is_some() => {
            job.until = look.until;
            if job.attempt() == 0 { JobState::Scheduled } else { JobState::Failed }
        }
        MessageState::Transferring(reason) => {
            // Without its own record: from before it was tracked.
            job.reason = Some(reason);
            JobState::Queued
        }
        MessageState::Ready
        | MessageState::Delayed
        | MessageState::Deferred
        | MessageState::Unreadable => JobState::Queued,
    };
}
