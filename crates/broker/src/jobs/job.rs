//! One job: a message whose fate somebody follows. Pure state: what happens comes in with its
//! time, and the job says what it is after that.
//!
//! ```text
//! scheduled -> queued -> processing -> done
//!                 ^          |-> failed -> queued ...
//!                 '----------'-> dead-lettered | expired | cancelled
//! ```
//! Invariant: a final state is left only by a new message with the job's id.

use super::{report::Progress, tracker::IdHash};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use tramline_queue::{DeadReason, Place};
use tramline_types::{ConnectionId, Timestamp, limits};

/// The queue that a job is in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// Nothing of it is logged: its messages live in memory.
    pub(crate) transient: bool,
    /// How long final states are kept.
    pub(crate) result_ttl_ms: u64,
}

/// What a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    /// Its time has not come.
    Scheduled,
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Processing,
    /// An attempt failed; the next one has its time.
    Failed,
    /// Done.
    Done,
    /// Given up.
    DeadLettered,
    /// Its time to live was over.
    Expired,
    /// Taken out on request, or by a purge.
    Cancelled,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Scheduled,
        Self::Queued,
        Self::Processing,
        Self::Failed,
        Self::Done,
        Self::DeadLettered,
        Self::Expired,
        Self::Cancelled,
    ];

    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::DeadLettered => "dead-lettered",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads [`JobState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether nothing more happens to the job by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::DeadLettered | Self::Expired | Self::Cancelled)
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Scheduled => 0,
            Self::Queued => 1,
            Self::Processing => 2,
            Self::Failed => 3,
            Self::Done => 4,
            Self::DeadLettered => 5,
            Self::Expired => 6,
            Self::Cancelled => 7,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// Who works on a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Nobody has said: the lock is timed.
    Unnamed,
    /// A connection.
    Connection(ConnectionId),
    /// As it called itself.
    Named(Arc<str>),
}

/// One delivery of a job to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which one, from 1.
    pub number: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The worker.
    pub worker: Worker,
}

/// A job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: Arc<str>,
    pub(crate) home: Arc<Home>,
    pub(crate) place: Place,
    pub(crate) bytes: u32,
    pub(crate) state: JobState,
    pub(crate) enqueued_at: Timestamp,
    /// When a scheduled one is due, or a failed one is tried again.
    pub(crate) until: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// Made at places where it was before.
    pub(crate) attempts_before: u32,
    pub(crate) attempts: u32,
    /// The last ones.
    pub(crate) history: SmallVec<[Attempt; 1]>,
    pub(crate) reason: Option<DeadReason>,
    pub(crate) cancel_requested: bool,
    /// That it exists is logged: its end need not say all of it again.
    pub(crate) is_logged: bool,
    pub(crate) details: Option<Box<Details>>,
    /// The group of changes that it was last part of.
    pub(crate) ticket: u64,
    /// Higher after each change.
    pub(crate) version: u64,
    /// Its place in the order of arrival.
    pub(crate) number: u64,
    pub(super) hash: IdHash,
}

/// What most jobs have nothing of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) progress: Option<Box<Progress>>,
    pub(crate) result: Option<Bytes>,
    pub(crate) error: Option<Box<str>>,
    pub(crate) parent: Option<Arc<str>>,
    /// What has to be done first.
    pub(crate) after: Vec<Arc<str>>,
    pub(crate) children: Vec<Arc<str>>,
}

impl Details {
    const NONE: &Self = &Self {
        progress: None,
        result: None,
        error: None,
        parent: None,
        after: Vec::new(),
        children: Vec::new(),
    };

    fn size(&self) -> usize {
        let texts = self.result.as_ref().map_or(0, Bytes::len)
            + self.error.as_ref().map_or(0, |error| error.len())
            + self.progress.as_ref().map_or(0, |progress| progress.size());
        let n_ids = self.children.len() + self.after.len();
        size_of::<Self>() + texts + n_ids * 64
    }
}

/// What a job takes in the tables that it is found by, about.
const INDEXED_BYTES: usize = 128;

impl Job {
    pub(crate) fn details(&self) -> &Details {
        self.details.as_deref().unwrap_or(Details::NONE)
    }

    pub(crate) fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// What it takes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let earlier = if self.history.spilled() { self.history.len() } else { 0 };
        let details = self.details.as_deref().map_or(0, Details::size);
        size_of::<Self>() + INDEXED_BYTES + self.id.len() + earlier * size_of::<Attempt>() + details
    }

    /// A message that carries its id is in a queue.
    pub(crate) fn handle_enqueued(&mut self, home: &Arc<Home>, arrived: &super::Arrived) {
        if self.state.is_final() {
            self.history.clear();
            (self.attempts, self.attempts_before) = (0, 0);
            if let Some(details) = &mut self.details {
                (details.progress, details.result, details.error) = (None, None, None);
            }
            (self.finished_at, self.cancel_requested, self.reason) = (None, false, None);
            self.enqueued_at = arrived.at;
        } else {
            self.handle_attempt_ended(arrived.at);
            self.attempts_before += std::mem::take(&mut self.attempts);
        }
        if !Arc::ptr_eq(&self.home, home) {
            self.home = Arc::clone(home);
        }
        self.place = arrived.place;
        self.bytes = arrived.bytes;
        self.until = arrived.until;
        if self.details.is_some() || arrived.related.is_some() {
            let (parent, after) = arrived.related.as_deref().cloned().unwrap_or_default();
            let details = self.details_mut();
            details.parent = parent.or(details.parent.take());
            details.after = after;
        }
        self.state = if arrived.until.is_some() { JobState::Scheduled } else { JobState::Queued };
    }

    /// A worker gets it.
    pub(crate) fn handle_delivered(
        &mut self,
        deliveries: u32,
        connection: Option<ConnectionId>,
        now: Timestamp,
    ) {
        self.state = JobState::Processing;
        self.until = None;
        self.attempts = deliveries;
        let worker = connection.map_or(Worker::Unnamed, Worker::Connection);
        let attempt = Attempt { number: self.attempt(), started: now, ended: None, worker };
        if self.history.len() >= limits::JOB_ATTEMPTS_KEPT {
            self.history.remove(0);
        }
        self.history.push(attempt);
        if let Some(details) = &mut self.details {
            // It is the last attempt's.
            details.progress = None;
        }
    }

    /// Attempts so far.
    pub(crate) const fn attempt(&self) -> u32 {
        self.attempts_before.saturating_add(self.attempts)
    }

    fn handle_attempt_ended(&mut self, now: Timestamp) {
        if let Some(attempt) = self.history.last_mut().filter(|last| last.ended.is_none()) {
            attempt.ended = Some(now);
        }
    }

    /// Its worker does not have it any more.
    pub(crate) fn handle_released(&mut self, until: Option<Timestamp>, now: Timestamp) {
        self.handle_attempt_ended(now);
        self.until = until;
        self.state = match until {
            None => JobState::Queued,
            Some(_) if self.attempt() == 0 => JobState::Scheduled,
            Some(_) => JobState::Failed,
        };
    }

    /// Its wait is over.
    pub(crate) fn handle_due(&mut self) {
        self.until = None;
        self.state = JobState::Queued;
    }

    /// Nothing more happens to it.
    pub(crate) fn handle_final(&mut self, state: JobState, now: Timestamp) {
        self.handle_attempt_ended(now);
        self.until = None;
        self.state = state;
        self.finished_at = Some(now);
    }

    /// It is dead.
    pub(crate) fn handle_dead(&mut self, reason: DeadReason, moves: bool, now: Timestamp) {
        self.reason = Some(reason);
        // One that moves is looked at by people; one that is dropped for its age is just late.
        let expired = reason == DeadReason::Expired && !moves;
        self.handle_final(if expired { JobState::Expired } else { JobState::DeadLettered }, now);
    }

    /// When its final state is forgotten.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        let ttl = i64::try_from(self.home.result_ttl_ms).unwrap_or(i64::MAX);
        let finished = self.finished_at?.as_millis();
        Some(Timestamp::from_millis(finished.saturating_add(ttl)))
    }
}

#[cfg(test)]
pub(crate) mod tests;
