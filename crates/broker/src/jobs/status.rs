//! A job as it is seen from outside.

use super::{
    after::WHENEVER,
    job::{Attempt, Job, JobState},
    report::Progress,
};
use bytes::Bytes;
use std::sync::Arc;
use tramline_queue::{DeadReason, Place};
use tramline_types::{Timestamp, limits};

/// What became of a job, and what came of it.
#[derive(Clone, Debug)]
pub struct JobStatus {
    /// Its id.
    pub id: Arc<str>,
    /// Its number in the order of arrival.
    pub number: u64,
    /// The queue that it is in, or was in last.
    pub queue: String,
    /// That queue's id.
    pub queue_id: u64,
    /// Where the message lies.
    pub place: Place,
    /// What it is.
    pub state: JobState,
    /// How often it was given to a worker.
    pub attempts: u32,
    /// The last of those, since the start of the broker.
    pub history: Vec<Attempt>,
    /// When it came.
    pub enqueued_at: Timestamp,
    /// When it is due, or tried again.
    pub until: Option<Timestamp>,
    /// When it became what it is for good.
    pub finished_at: Option<Timestamp>,
    /// How far its worker says that it is.
    pub progress: Option<Progress>,
    /// What came of it, as JSON.
    pub result: Option<Bytes>,
    /// What its worker says went wrong.
    pub error: Option<String>,
    /// Why it is dead.
    pub reason: Option<DeadReason>,
    /// Somebody asked to have it cancelled.
    pub cancel_requested: bool,
    /// The job whose being done made this one.
    pub parent: Option<Arc<str>>,
    /// What has to be done first.
    pub after: Vec<Arc<str>>,
    /// The jobs that its being done made.
    pub children: Vec<Arc<str>>,
    /// Higher after each change since the start of the broker.
    pub version: u64,
    pub(super) ticket: u64,
}

impl JobStatus {
    pub(super) fn of(job: &Job) -> Self {
        let details = job.details();
        Self {
            id: Arc::clone(&job.id),
            number: job.number,
            queue: job.home.name.clone(),
            queue_id: job.home.id,
            place: job.place,
            state: job.state,
            attempts: job.attempt(),
            history: job.history.to_vec(),
            enqueued_at: job.enqueued_at,
            until: job.until.filter(|until| *until < WHENEVER),
            finished_at: job.finished_at,
            progress: details.progress.as_deref().cloned(),
            result: details.result.clone(),
            error: details.error.as_deref().map(str::to_owned),
            reason: job.reason,
            cancel_requested: job.cancel_requested,
            parent: details.parent.clone(),
            after: details.after.clone(),
            children: details.children.clone(),
            version: job.version,
            ticket: job.ticket,
        }
    }
}

impl JobStatus {
    /// What it is logged as, at most, with another progress.
    pub(super) fn logged_bytes(&self) -> usize {
        let texts = self.result.as_ref().map_or(0, Bytes::len)
            + self.error.as_ref().map_or(0, String::len)
            + self.after.iter().map(|id| id.len() + 2).sum::<usize>();
        let attempts = (self.history.len() + 1) * (64 + limits::JOB_ID_BYTES_MAX);
        // Names and ids, and what JSON makes of a progress.
        2048 + texts + attempts + 6 * self.progress.as_ref().map_or(0, Progress::size)
    }
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this queue.
    pub queue: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// The children of this job.
    pub parent: Option<String>,
}

impl JobFilter {
    pub(super) fn admits_job(&self, job: &Job) -> bool {
        self.queue.as_ref().is_none_or(|queue| *queue == job.home.name)
            && self.state.is_none_or(|state| state == job.state)
            && self
                .parent
                .as_ref()
                .is_none_or(|parent| job.details().parent.as_deref() == Some(parent))
    }

    /// Whether a status is among what is asked for.
    pub fn admits(&self, status: &JobStatus) -> bool {
        self.queue.as_ref().is_none_or(|queue| *queue == status.queue)
            && self.state.is_none_or(|state| state == status.state)
            && self.parent.as_ref().is_none_or(|parent| status.parent.as_deref() == Some(parent))
    }
}

/// A page of jobs, the newest first.
#[derive(Clone, Debug, Default)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobStatus>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<u64>,
}
