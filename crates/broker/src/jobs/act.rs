//! What can be asked of jobs, and done with them.

use super::{
    Home, JobEvents, JobFilter, JobPage, JobState, JobStatus, Jobs, Report, after::WHENEVER,
    hook::Following, job::Job, report::Progress, ticket::Ticket, tracker::Applied,
    upkeep::PIECE_BYTES_MAX,
};
use crate::{Broker, Content, Error, NewPublication, Queue, QueueError};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use smallvec::smallvec;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_queue::{Outcome, Place, Removal};
use tramline_store::{Commit, Op, Purpose, Reservation};
use tramline_types::{ChannelName, LogId, QueueName, Timestamp, limits};

/// Why something cannot be done with a job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is none of this id, or none any more.
    #[error("there is no job `{0}`")]
    Unknown(String),
    /// It is in another state.
    #[error("job `{id}` is {}", state.as_str())]
    WrongState {
        /// The job.
        id: String,
        /// What it is.
        state: JobState,
    },
    /// A report of an attempt that is over.
    #[error("attempt {reported} of job `{id}` is over: it is at attempt {attempt}")]
    AttemptOver {
        /// The job.
        id: String,
        /// What the report is about.
        reported: u32,
        /// The attempt under way, or the last one.
        attempt: u32,
    },
    /// A report that is too large, or makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The broker refuses.
    #[error(transparent)]
    Broker(#[from] Error),
}

impl From<QueueError> for JobError {
    fn from(error: QueueError) -> Self {
        Self::Broker(error.into())
    }
}

impl Broker {
    /// What became of a job. What is told is durable.
    pub async fn job(&self, id: &str) -> Option<JobStatus> {
        let jobs = self.jobs();
        let status = jobs.status(id)?;
        jobs.tickets.closed(status.ticket).await;
        Some(status)
    }

    /// Some jobs, the newest first; the next page begins at `before`.
    pub async fn list_jobs(
        &self,
        filter: &JobFilter,
        before: Option<u64>,
        n_max: usize,
    ) -> JobPage {
        let jobs = self.jobs();
        let page = jobs.tracker.lock().list(filter, before, n_max);
        for job in &page.jobs {
            jobs.tickets.closed(job.ticket).await;
        }
        page
    }

    /// What a job's worker said came of it.
    pub(crate) fn job_result(&self, id: &str) -> Option<Bytes> {
        self.jobs().tracker.lock().get(id)?.details().result.clone()
    }

    /// What these jobs are, those that are not known left out.
    pub fn job_states(&self, ids: &[Arc<str>]) -> Vec<JobState> {
        let jobs = self.jobs();
        let tracker = jobs.tracker.lock();
        let state = |job: &Job| match jobs.tickets.is_open(job.ticket) {
            // What is not durable may not have been its end.
            true if job.state.is_final() => JobState::Processing,
            _ => job.state,
        };
        ids.iter().filter_map(|id| tracker.get(id)).map(state).collect()
    }

    /// How many jobs are in which state.
    pub fn job_counts(&self) -> BTreeMap<JobState, u64> {
        self.jobs().tracker.lock().counts()
    }

    /// Changes of jobs since the start, and tracked messages that found no room.
    pub fn job_traffic(&self) -> (u64, u64) {
        let tracker = self.jobs().tracker.lock();
        (tracker.n_transitions, tracker.n_refused)
    }

    /// A job, and every change of it after that.
    pub async fn watch_job(&self, id: &str) -> Option<(JobStatus, JobEvents)> {
        let jobs = self.jobs();
        let (status, events) = {
            let mut tracker = jobs.tracker.lock();
            let events = tracker.watch(id)?;
            (JobStatus::of(tracker.get(id)?), events)
        };
        jobs.tickets.closed(status.ticket).await;
        Some((status, events))
    }

    /// The changes of all jobs from here on.
    pub fn watch_jobs(&self) -> JobEvents {
        self.jobs().tracker.lock().all.subscribe()
    }

    /// How many messages go before a job that is queued.
    pub fn job_position(&self, job: &JobStatus) -> Option<u64> {
        let queue = self.home_of(job).filter(|_| job.state == JobState::Queued)?;
        queue.ahead_of(job.place)
    }

    fn home_of(&self, job: &JobStatus) -> Option<Arc<Queue>> {
        let queue = self.queue(&QueueName::parse(&job.queue).ok()?).ok()?;
        (queue.id() == job.queue_id).then_some(queue)
    }

    /// Takes a worker's word for it; durable on return.
    ///
    /// # Errors
    /// [`JobError::WrongState`] where nobody works on the job, [`JobError::AttemptOver`],
    /// [`JobError::Invalid`].
    pub async fn report_job(&self, id: &str, report: Report) -> Result<JobStatus, JobError> {
        let status = self.known(id)?;
        match report {
            Report::Progress(progress) => {
                progress.check().map_err(JobError::Invalid)?;
                let states = &[JobState::Processing];
                let allowed = Allowed { states, attempt: progress.attempt };
                allowed.check(id, status.state, status.attempts)?;
                self.admit_report(&status, progress.size()).await?;
                self.extend_lock(&status);
                let progress = progress.stamped(self.clock().now());
                self.say(&status, allowed, |job| job.handle_progress(progress)).await?;
            }
            Report::Result { result, accept } => {
                if result.len() > limits::JOB_RESULT_BYTES_MAX {
                    let limit = limits::JOB_RESULT_BYTES_MAX;
                    return Err(JobError::Invalid(format!("a result has up to {limit} bytes")));
                }
                let states = &[JobState::Processing, JobState::Done];
                let allowed = Allowed { states, attempt: None };
                self.admit_report(&status, result.len()).await?;
                let state = self.say(&status, allowed, |job| job.handle_result(result)).await?;
                if accept && state == JobState::Processing {
                    self.settle_job(&status, Outcome::Accepted).await?;
                }
            }
            Report::Failure { mut error, retry, delay_ms } => {
                shorten(&mut error);
                let reason = Some(error.clone());
                let allowed = Allowed { states: &[JobState::Processing], attempt: None };
                self.say(&status, allowed, |job| job.details_mut().error = Some(error.into()))
                    .await?;
                let outcome = match retry {
                    true => Outcome::Released { count: true, delay_ms },
                    false => Outcome::Rejected { dead_letter: true, reason },
                };
                self.settle_job(&status, outcome).await?;
            }
        }
        self.job(id).await.ok_or_else(|| JobError::Unknown(id.to_owned()))
    }

    fn known(&self, id: &str) -> Result<JobStatus, JobError> {
        self.jobs().status(id).ok_or_else(|| JobError::Unknown(id.to_owned()))
    }

    fn extend_lock(&self, job: &JobStatus) {
        let Some(queue) = self.home_of(job) else { return };
        let lock = queue.lock_duration();
        queue.extend_at(job.place, lock);
    }

    async fn settle_job(&self, job: &JobStatus, outcome: Outcome) -> Result<(), JobError> {
        let queue = self.home_of(job).ok_or_else(|| JobError::Unknown(job.id.to_string()))?;
        let Some(token) = queue.token_at(job.place) else {
            return Err(QueueError::LockLost.into());
        };
        let settling = queue.settle(&[(token, outcome)]);
        if !settling.lost().is_empty() {
            return Err(QueueError::LockLost.into());
        }
        settling.await;
        Ok(())
    }

    /// Waits for room in the store; a full disk refuses reports as it refuses messages.
    async fn admit_report(&self, status: &JobStatus, more: usize) -> Result<(), JobError> {
        let bytes = status.logged_bytes() + more;
        let room = self.store().reserve(Purpose::Publish, bytes, 1).wait().await;
        room.map(drop).map_err(|error| Error::from(error).into())
    }

    /// Changes what is known of a job; durable on return. The state that it was said in.
    async fn say(
        &self,
        status: &JobStatus,
        allowed: Allowed<'_>,
        say: impl FnOnce(&mut Job),
    ) -> Result<JobState, JobError> {
        let jobs = self.jobs();
        let Some(queue) = self.home_of(status) else {
            return Err(JobError::WrongState { id: status.id.to_string(), state: status.state });
        };
        let mut said = Err(JobError::Unknown(status.id.to_string()));
        queue.between_steps(|| {
            let mut tracker = jobs.tracker.lock();
            if !tracker.make_room(0) {
                let text = "what is known of jobs takes all the memory that it may".to_owned();
                said = Err(Error::LimitExceeded(text).into());
                return None;
            }
            let job = tracker.get(&status.id).filter(|job| job.home.id == status.queue_id)?;
            let state = job.state;
            if let Err(error) = allowed.check(&status.id, state, job.attempt()) {
                said = Err(error);
                return None;
            }
            let ticket = jobs.ticket();
            said = Ok((state, ticket.number));
            let applied = tracker.report(&status.id, ticket.number, say)?;
            jobs.take_in(applied, (ticket, tracker.log))
        });
        let (state, number) = said?;
        jobs.tickets.closed(number).await;
        Ok(state)
    }

    /// Cancels a job. One that waits is taken out; of one that is worked on the worker is told,
    /// and it is not tried again. Durable on return.
    ///
    /// # Errors
    /// [`JobError::WrongState`] where it is over.
    pub async fn cancel_job(&self, id: &str) -> Result<JobStatus, JobError> {
        let status = self.known(id)?;
        if status.state.is_final() {
            return Err(JobError::WrongState { id: id.to_owned(), state: status.state });
        }
        let Some(queue) = self.home_of(&status) else {
            return Err(JobError::Unknown(id.to_owned()));
        };
        if queue.remove(status.place).await? == Removal::Locked {
            let allowed = Allowed { states: &WAITING, attempt: None };
            self.say(&status, allowed, |job| job.cancel_requested = true).await?;
        }
        self.job(id).await.ok_or_else(|| JobError::Unknown(id.to_owned()))
    }

    /// Ends the wait of a job for others; durable on return.
    pub(super) async fn begin_job(&self, job: &JobStatus) {
        if let Some(queue) = self.home_of(job) {
            let place = job.place;
            queue
                .on_engine_durably(|engine, now| engine.handle_due(place, Some(WHENEVER), now))
                .await;
        }
    }

    /// Notes what went wrong with a job; durable on return.
    pub(super) async fn note_job_error(
        &self,
        job: &JobStatus,
        error: String,
    ) -> Result<(), JobError> {
        let allowed = Allowed { states: &WAITING, attempt: None };
        self.say(job, allowed, |job| job.details_mut().error = Some(error.into())).await.map(drop)
    }

    /// A token by which anybody may watch a job for so long.
    pub fn job_token(&self, id: &str, lasts: Duration) -> (String, Timestamp) {
        let now = self.clock().now().as_millis();
        let expires = Timestamp::from_millis(now.saturating_add(millis(lasts)));
        (self.jobs().key.sign(id, expires), expires)
    }

    /// Whether a token is for a job, and still good.
    pub fn admits_job_token(&self, id: &str, token: &str) -> bool {
        self.jobs().key.admits(id, token, self.clock().now())
    }

    /// A message to `$jobs/{id}/progress`: a report as JSON. `None` when the name is no such.
    pub(crate) fn report_by_message(
        &self,
        name: &str,
        body: &[u8],
    ) -> Option<BoxFuture<'static, Result<(), JobError>>> {
        let id = job_of_channel(name)?.to_owned();
        let progress = serde_json::from_slice::<Progress>(body);
        let broker = self.clone();
        Some(Box::pin(async move {
            let invalid = |error| JobError::Invalid(format!("progress: {error}"));
            let report = Report::Progress(progress.map_err(invalid)?);
            broker.report_job(&id, report).await.map(drop)
        }))
    }

    /// Whether messages under this name are reports of a job that is known: `$jobs.{id}.progress`,
    /// or `$jobs/{id}/progress`.
    pub fn takes_job_reports(&self, name: &str) -> bool {
        let jobs = self.jobs();
        job_of_channel(name).is_some_and(|id| jobs.tracker.lock().get(id).is_some())
    }

    /// Takes such a message: as one on the job's channel. Durable on return.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`] where the report is refused.
    pub async fn publish_job_report(&self, name: &str, body: Bytes) -> Result<(), Error> {
        let id = job_of_channel(name).unwrap_or_default();
        let Ok(channel) = ChannelName::parse(&format!("$jobs/{id}/progress")) else {
            // No channel can have its name, so nobody listens.
            let Some(report) = self.report_by_message(name, &body) else { return Ok(()) };
            return report.await.map_err(refused);
        };
        let (key, content, retain) = (None, Content::Json, false);
        let publication = NewPublication { channel, key, content, data: body, retain };
        self.publish_on_channel(publication).await.map(drop).map_err(refused)
    }

    async fn end_jobs_of(&self, home: &Home) -> Result<(), Error> {
        let jobs = self.jobs();
        let mut numbers = jobs.tracker.lock().alive_in(home).into_iter().peekable();
        while numbers.peek().is_some() {
            let reservation = self.reserve_for_jobs(PIECE_BYTES_MAX).await?;
            let ticket = jobs.ticket();
            let mut tracker = jobs.tracker.lock();
            let step = (self.queues_map().now(), ticket.number);
            let applied = tracker.queue_gone(&mut numbers, step);
            jobs.submit(self, applied, (ticket, tracker.log), reservation);
        }
        Ok(())
    }
}

fn refused(error: JobError) -> Error {
    match error {
        JobError::Broker(error) => error,
        error => Error::InvalidRecord(error.to_string()),
    }
}

/// The job that a channel `$jobs/{id}/progress` is about; AMQP writes it with dots.
pub(crate) fn job_of_channel(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("$jobs")?;
    let strip = |mark: &str| rest.strip_prefix(mark)?.strip_suffix("progress")?.strip_suffix(mark);
    strip("/").or_else(|| strip(".")).filter(|id| !id.is_empty())
}

/// The states that are not final.
const WAITING: [JobState; 4] =
    [JobState::Scheduled, JobState::Queued, JobState::Processing, JobState::Failed];

/// When a word about a job is taken.
#[derive(Clone, Copy)]
struct Allowed<'a> {
    states: &'a [JobState],
    attempt: Option<u32>,
}

impl Allowed<'_> {
    fn check(self, id: &str, state: JobState, attempt: u32) -> Result<(), JobError> {
        if !self.states.contains(&state) {
            return Err(JobError::WrongState { id: id.to_owned(), state });
        }
        match self.attempt {
            Some(reported) if reported != attempt => {
                Err(JobError::AttemptOver { id: id.to_owned(), reported, attempt })
            }
            _ => Ok(()),
        }
    }
}

fn shorten(text: &mut String) {
    text.truncate(text.floor_char_boundary(limits::JOB_TEXT_BYTES_MAX));
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

impl Jobs {
    fn status(&self, id: &str) -> Option<JobStatus> {
        self.tracker.lock().get(id).map(JobStatus::of)
    }

    /// What is to be committed of a word about a job. Called under the tracker's lock.
    fn take_in(
        &self,
        applied: Applied,
        (ticket, log): (Ticket, Option<LogId>),
    ) -> Option<(LogId, Bytes, Ticket)> {
        self.tickets.add(ticket.number, applied.told);
        self.waiters.push(applied.waiters);
        let delta = Bytes::from(applied.deltas.concat());
        let log = log.filter(|_| !delta.is_empty())?;
        self.logs.lock().wrote(delta.len());
        Some((log, delta, ticket))
    }

    /// Commits the end of a queue's jobs. Called under the tracker's lock.
    fn submit(
        &self,
        broker: &Broker,
        applied: Applied,
        held: (Ticket, Option<LogId>),
        reservation: Reservation,
    ) {
        let Some((log, delta, ticket)) = self.take_in(applied, held) else { return };
        let ops = smallvec![Op::Delta(log, delta)];
        let on_durable = Box::new(move || drop(ticket));
        broker.store().submit(Commit { ops, on_durable }, reservation);
    }
}

impl Following {
    /// Ends the jobs of a queue that is deleted.
    pub(crate) async fn end(self, broker: &Broker) -> Result<(), Error> {
        broker.end_jobs_of(self.home()).await
    }
}

/// What a queue is asked for one of its messages.
impl Queue {
    fn extend_at(self: &Arc<Self>, place: Place, lock: Duration) {
        self.on_engine(|engine, now| {
            let until = engine.look_at_each(&[place]).first().copied().flatten();
            let until = until.and_then(|look| look.until);
            // A worker that has asked for more keeps it.
            let is_later = until.is_some_and(|until| {
                until.as_millis().saturating_sub(now.as_millis()) < millis(lock)
            });
            if let Some(token) = engine.token_of(place, now).filter(|_| is_later) {
                engine.handle_extend(token, lock, now);
            }
        });
    }

    fn token_at(self: &Arc<Self>, place: Place) -> Option<tramline_queue::LockToken> {
        self.on_engine(|engine, now| engine.token_of(place, now))
    }
}
