//! Jobs as JSON.

use serde::Serialize;
use serde_json::Value;
use tramline_broker::{Attempt, Broker, JobState, JobStatus, Progress, Worker};
use tramline_types::Timestamp;

/// The answer of GET `/v1/jobs`.
#[derive(Serialize)]
pub(crate) struct JobList {
    pub(crate) jobs: Vec<Job>,
    /// Where the next page begins: `before`.
    pub(crate) next: Option<u64>,
}

/// A job. Times are milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, Serialize)]
pub(crate) struct Job {
    id: String,
    queue: String,
    state: &'static str,
    /// Nothing more happens to it by itself.
    is_final: bool,
    /// How many messages go before it, while it is queued.
    pub(crate) position: Option<u64>,
    attempts: u32,
    worker: Option<String>,
    progress: Option<Progress>,
    enqueued_at: i64,
    started_at: Option<i64>,
    /// When a scheduled one is due, or a failed one is tried again.
    due_at: Option<i64>,
    finished_at: Option<i64>,
    result: Option<Value>,
    error: Option<String>,
    /// Why it is dead.
    reason: Option<&'static str>,
    cancel_requested: bool,
    parent: Option<String>,
    /// What has to be done first.
    after: Vec<String>,
    children: Option<Children>,
    history: Vec<AttemptOf>,
}

/// How the children of a job are.
#[derive(Clone, PartialEq, Serialize)]
struct Children {
    ids: Vec<String>,
    total: usize,
    done: usize,
    failed: usize,
    /// Those that are not forgotten.
    #[serde(skip)]
    known: usize,
}

#[derive(Clone, PartialEq, Serialize)]
struct AttemptOf {
    attempt: u32,
    started_at: i64,
    ended_at: Option<i64>,
    worker: Option<String>,
}

impl Job {
    /// As it is now; its place and its children are looked up.
    pub(crate) fn of(broker: &Broker, job: &JobStatus) -> Self {
        let last = job.history.last();
        let current = last.filter(|_| job.state == JobState::Processing);
        Self {
            id: job.id.to_string(),
            queue: job.queue.clone(),
            state: job.state.as_str(),
            is_final: job.state.is_final(),
            position: broker.job_position(job),
            attempts: job.attempts,
            worker: current.and_then(|attempt| worker(&attempt.worker)),
            progress: job.progress.clone(),
            enqueued_at: job.enqueued_at.as_millis(),
            started_at: last.map(|attempt| attempt.started.as_millis()),
            due_at: job.until.map(Timestamp::as_millis),
            finished_at: job.finished_at.map(Timestamp::as_millis),
            result: job.result.as_ref().and_then(|it| serde_json::from_slice(it).ok()),
            error: job.error.clone(),
            reason: job.reason.map(tramline_broker::DeadReason::as_str),
            cancel_requested: job.cancel_requested,
            parent: job.parent.as_ref().map(ToString::to_string),
            after: job.after.iter().map(ToString::to_string).collect(),
            children: children(broker, job),
            history: job.history.iter().map(attempt).collect(),
        }
    }
}

impl Job {
    /// Some of its children are not over.
    pub(crate) fn awaits_children(&self) -> bool {
        self.children.as_ref().is_some_and(|of| of.done + of.failed < of.known)
    }
}

fn children(broker: &Broker, job: &JobStatus) -> Option<Children> {
    if job.children.is_empty() {
        return None;
    }
    let states = broker.job_states(&job.children);
    let count = |which: fn(JobState) -> bool| states.iter().filter(|it| which(**it)).count();
    Some(Children {
        ids: job.children.iter().map(ToString::to_string).collect(),
        total: job.children.len(),
        known: states.len(),
        done: count(|state| state == JobState::Done),
        failed: count(|state| state.is_final() && state != JobState::Done),
    })
}

fn attempt(attempt: &Attempt) -> AttemptOf {
    AttemptOf {
        attempt: attempt.number,
        started_at: attempt.started.as_millis(),
        ended_at: attempt.ended.map(Timestamp::as_millis),
        worker: worker(&attempt.worker),
    }
}

fn worker(worker: &Worker) -> Option<String> {
    match worker {
        Worker::Unnamed => None,
        Worker::Connection(id) => Some(format!("connection {}", id.0)),
        Worker::Named(name) => Some(name.to_string()),
    }
}
