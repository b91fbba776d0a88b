//! Jobs: messages that are followed, with others that follow them. Bosses publish, cancel and look;
//! workers settle in every way, report, and look.
//!
//! A job whose message was confirmed is never unknown. An end that was answered or shown stays, and
//! so does a result that was taken. What follows a message is there exactly once where the message
//! is done, and nowhere else.

use super::client::{Client, Session};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tramline_broker::{
    Delivery, Enqueue, EnqueueError, EnqueueOptions, Error, JobError, JobState, JobStatus, Lock,
    Outcome, Place, Progress, Queue, QueueSettings, Receive, Report, Unit,
};
use tramline_types::{Clock, Header, Message, QueueName};

const UPLOADS: &str = "uploads";
const FOLLOWERS: [&str; 2] = ["thumbnails", "mails"];
const PAUSE_MAX: Duration = Duration::from_millis(60);
const DELAY_MAX_MS: u64 = 200;
const LOCK_MAX_MS: u64 = 300;
const AUDIT_ROUNDS_MAX: usize = 400;

/// What is known of a job for good.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Its message was confirmed.
    is_there: bool,
    /// How it ended.
    end: Option<JobState>,
    /// A result was taken.
    has_result: bool,
}

/// Every job, and where those that follow were seen.
#[derive(Default)]
pub(super) struct Tracked {
    jobs: BTreeMap<String, Known>,
    places: HashMap<String, Place>,
    next: u64,
}

impl Tracked {
    /// How many jobs ended, by how they did.
    pub(super) fn ends(&self) -> BTreeMap<JobState, usize> {
        let mut ends = BTreeMap::new();
        for end in self.jobs.values().filter_map(|known| known.end) {
            *ends.entry(end).or_default() += 1;
        }
        ends
    }

    /// What an answer says against what was known before it was asked for.
    fn check(&mut self, id: &str, before: &Known, seen: Option<&JobStatus>) -> Option<String> {
        let Some(status) = seen else {
            return before.is_there.then(|| format!("job `{id}` was confirmed and is unknown"));
        };
        if let Some(end) = before.end.filter(|end| *end != status.state) {
            return Some(format!("job `{id}` had ended as {end:?} and is {:?}", status.state));
        }
        if before.has_result && status.result.as_deref() != Some(result_of(id).as_ref()) {
            return Some(format!("the result of job `{id}` is lost: {:?}", status.result));
        }
        if status.state.is_final() {
            self.jobs.entry(id.to_owned()).or_default().end = Some(status.state);
        }
        None
    }

    /// A message that follows another one was delivered.
    fn follower_seen(&mut self, id: &str, place: Place) -> Option<String> {
        let first = *self.places.entry(id.to_owned()).or_insert(place);
        (first != place).then(|| format!("`{id}` is there twice: {first:?} and {place:?}"))
    }
}

fn result_of(id: &str) -> Bytes {
    Bytes::from(format!("\"result of {id}\""))
}

fn header(name: &'static str, value: &str) -> Header {
    let name = Bytes::from_static(name.as_bytes());
    Header { name, value: Some(Bytes::from(value.to_owned())) }
}

fn job_of(delivery: &Delivery) -> String {
    let id = delivery.message.headers.iter().find(|header| header.name == b"job-id".as_slice());
    let id = id.and_then(|header| header.value.clone()).unwrap_or_default();
    String::from_utf8_lossy(&id).into_owned()
}

impl Client {
    /// Publishes jobs, cancels some and looks at others until the world stops.
    pub(super) async fn make_jobs(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let Some([uploads, ..]) = self.open_tracked(&session).await else { continue };
            for _ in 0..=self.random.below(2) {
                self.publish_job(&session, &uploads).await;
            }
            let Some(id) = self.some_job() else { continue };
            if self.random.one_in(6) {
                let cancelled = session.call(session.broker.cancel_job(&id)).await;
                self.expect_taken(&id, cancelled.map(|it| it.map(drop)));
            }
            self.look_at_job(&session, &id).await;
        }
    }

    async fn publish_job(&mut self, session: &Session, uploads: &Arc<Queue>) {
        let id = {
            let mut tracked = self.world.tracked.lock();
            tracked.next += 1;
            let id = format!("job-{}", tracked.next);
            tracked.jobs.insert(id.clone(), Known::default());
            id
        };
        let deliver_at = self.random.one_in(5).then(|| {
            let delay = i64::try_from(self.random.below(DELAY_MAX_MS)).unwrap_or(0);
            self.clock.now().plus_millis(delay)
        });
        let ttl_ms = self.random.one_in(6).then(|| 1 + self.random.below(400));
        let options =
            EnqueueOptions { persistent: true, deliver_at, ttl_ms, ..EnqueueOptions::default() };
        let message = Message {
            value: Some(Bytes::from(id.clone())),
            headers: vec![header("job-id", &id)],
            ..Message::default()
        };
        let targets = [Arc::clone(uploads)].into_iter().collect();
        let items = vec![Enqueue { targets, message, options }];
        let results = session.call(async { session.broker.enqueue(items).await.await }).await;
        match results.and_then(|mut results| results.pop()) {
            Some(Ok(())) => {
                let mut tracked = self.world.tracked.lock();
                tracked.jobs.entry(id).or_default().is_there = true;
            }
            Some(Err(error)) if error != EnqueueError::StorageFull => {
                self.world.problem(format!("job `{id}` was refused: {error}"));
            }
            _ => {}
        }
    }

    fn some_job(&mut self) -> Option<String> {
        let count = self.world.tracked.lock().jobs.len();
        let at = if count == 0 { return None } else { self.random.index(count) };
        self.world.tracked.lock().jobs.keys().nth(at).cloned()
    }

    /// Asks for a job, and compares.
    async fn look_at_job(&self, session: &Session, id: &str) -> Option<JobStatus> {
        let before = self.world.tracked.lock().jobs.get(id).cloned().unwrap_or_default();
        let seen = session.call(session.broker.job(id)).await?;
        let problem = self.world.tracked.lock().check(id, &before, seen.as_ref());
        self.world.problems_from(problem);
        let status = seen?;
        if status.state == JobState::Done && !id.contains('/') {
            for follower in FOLLOWERS {
                let child = format!("{id}/{follower}");
                let found = session.call(session.broker.job(&child)).await?;
                if found.is_none() {
                    self.world.problem(format!("`{id}` is done, and there is no `{child}`"));
                }
            }
        }
        Some(status)
    }

    /// What a report or a cancellation may be answered.
    fn expect_taken(&self, id: &str, answer: Option<Result<(), JobError>>) -> bool {
        match answer {
            Some(Ok(())) => true,
            Some(Err(
                JobError::WrongState { .. }
                | JobError::AttemptOver { .. }
                | JobError::Broker(Error::Queue(_) | Error::StorageFull | Error::Closed),
            ))
            | None => false,
            // One whose publishing was not answered may not be there.
            Some(Err(JobError::Unknown(_))) => {
                let is_there = self.world.tracked.lock().jobs.get(id).is_some_and(|it| it.is_there);
                if is_there {
                    self.world.problem(format!("job `{id}` was confirmed and is unknown"));
                }
                false
            }
            Some(Err(error)) => {
                self.world.problem(format!("a report of `{id}` was refused: {error}"));
                false
            }
        }
    }

    /// Works on jobs, and on what follows them, until the world stops.
    pub(super) async fn work_on_jobs(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let Some(queues) = self.open_tracked(&session).await else { continue };
            let queue =
                if self.random.one_in(2) { &queues[0] } else { &queues[1 + self.random.index(2)] };
            let lock = match self.random.below(6) {
                0 => Lock::None,
                _ => Lock::Timed(Duration::from_millis(20 + self.random.below(LOCK_MAX_MS))),
            };
            for delivery in self.receive_jobs(&session, queue, (3, lock)).await {
                if lock != Lock::None {
                    self.work_on_job(&session, queue, &delivery).await;
                }
            }
        }
    }

    async fn receive_jobs(
        &self,
        session: &Session,
        queue: &Arc<Queue>,
        (n_max, lock): (usize, Lock),
    ) -> Vec<Delivery> {
        let wait = Duration::ZERO;
        let request = Receive { n_max, bytes_max: 100_000, lock, wait, connection: None };
        let Some(Ok(deliveries)) = session.call(queue.receive(request)).await else {
            return Vec::new();
        };
        for delivery in &deliveries {
            let id = job_of(delivery);
            let Some((parent, _)) = id.split_once('/') else { continue };
            let problem = self.world.tracked.lock().follower_seen(&id, delivery.place);
            self.world.problems_from(problem);
            let Some(status) = self.look_at_job(session, parent).await else { continue };
            if status.state != JobState::Done {
                let state = status.state;
                self.world.problem(format!("`{id}` is there, and its parent is {state:?}"));
            }
        }
        deliveries
    }

    async fn work_on_job(&mut self, session: &Session, queue: &Arc<Queue>, delivery: &Delivery) {
        let id = job_of(delivery);
        let broker = &session.broker;
        if self.random.one_in(4) {
            let percent = Some(self.random.below(100)).map(|percent| percent as f64);
            let report = Report::Progress(Progress { percent, ..Progress::default() });
            let answer = session.call(broker.report_job(&id, report)).await;
            self.expect_taken(&id, answer.map(|it| it.map(drop)));
        }
        if self.random.one_in(3) {
            let report = Report::Result { result: result_of(&id), accept: false };
            let answer = session.call(broker.report_job(&id, report)).await;
            if self.expect_taken(&id, answer.map(|it| it.map(drop))) {
                let mut tracked = self.world.tracked.lock();
                tracked.jobs.entry(id.clone()).or_default().has_result = true;
            }
        }
        if self.random.one_in(3) {
            self.pause(Duration::from_millis(LOCK_MAX_MS)).await;
        }
        match self.random.below(10) {
            0 => {}
            1 | 2 => {
                let retry = self.random.one_in(2);
                let delay_ms = retry.then(|| self.random.below(DELAY_MAX_MS));
                let report = Report::Failure { error: "it broke".to_owned(), retry, delay_ms };
                let answer = session.call(broker.report_job(&id, report)).await;
                self.expect_taken(&id, answer.map(|it| it.map(drop)));
            }
            3 => {
                let report = Report::Result { result: result_of(&id), accept: true };
                let answer = session.call(broker.report_job(&id, report)).await;
                if self.expect_taken(&id, answer.map(|it| it.map(drop))) {
                    self.done(&id);
                }
            }
            4 | 5 => {
                let settles = vec![(Arc::clone(queue), vec![(delivery.token, Outcome::Accepted)])];
                let unit = Unit { settles, ..Unit::default() };
                let committed = async {
                    let committing = broker.commit_unit_and_follow(unit).await?;
                    Ok::<_, Error>(committing.await)
                };
                match session.call(committed).await {
                    Some(Ok(results)) if results.iter().all(Result::is_ok) => self.done(&id),
                    Some(Ok(results)) => self.world.problem(format!("half a unit: {results:?}")),
                    _ => {}
                }
            }
            _ => {
                let settles = [(delivery.token, Outcome::Accepted)];
                let lost = session.call(async { queue.settle(&settles).await }).await;
                if lost.is_some_and(|lost| lost.is_empty()) {
                    self.done(&id);
                }
            }
        }
        self.look_at_job(session, &id).await;
    }

    /// It was answered that a job is done.
    fn done(&self, id: &str) {
        let mut tracked = self.world.tracked.lock();
        let known = tracked.jobs.entry(id.to_owned()).or_default();
        (known.is_there, known.end) = (true, Some(JobState::Done));
    }

    async fn open_tracked(&self, session: &Session) -> Option<[Arc<Queue>; 3]> {
        let mut queues = Vec::new();
        for name in [UPLOADS, FOLLOWERS[0], FOLLOWERS[1]] {
            let parsed = QueueName::parse(name).expect("a short word is a queue's name");
            if let Ok(queue) = session.broker.queue(&parsed) {
                queues.push(queue);
                continue;
            }
            let on_done = match name {
                UPLOADS => FOLLOWERS.map(str::to_owned).to_vec(),
                _ => Vec::new(),
            };
            let settings = QueueSettings { track: true, on_done, ..QueueSettings::default() };
            match session.call(session.broker.declare_queue(&parsed, settings)).await? {
                Ok((queue, _)) => queues.push(queue),
                Err(error) => {
                    if !matches!(error, Error::StorageFull) {
                        self.world.problem(format!("queue `{name}` cannot be made: {error}"));
                    }
                    return None;
                }
            }
        }
        // The first comes last, so that none of its messages is done before the others are there.
        queues.try_into().ok()
    }

    /// Works off everything and looks at every job.
    pub(super) async fn check_jobs(mut self) {
        let session = self.session().await;
        let Some(queues) = self.open_tracked(&session).await else { return };
        for _ in 0..AUDIT_ROUNDS_MAX {
            let mut held = 0;
            for queue in &queues {
                let lock = Lock::Timed(Duration::from_secs(60));
                for delivery in self.receive_jobs(&session, queue, (50, lock)).await {
                    let settles = [(delivery.token, Outcome::Accepted)];
                    session.call(async { queue.settle(&settles).await }).await;
                }
                let counts = queue.counts();
                held += counts.ready + counts.locked + counts.delayed + counts.transferring;
            }
            if held == 0 {
                break;
            }
            self.pause(Duration::from_millis(LOCK_MAX_MS)).await;
        }
        let ids: Vec<String> = self.world.tracked.lock().jobs.keys().cloned().collect();
        for id in ids {
            let Some(status) = self.look_at_job(&session, &id).await else { continue };
            if !status.state.is_final() {
                self.world.problem(format!("job `{id}` does not end: {:?}", status.state));
            }
            let is_upload = !id.contains('/') && status.state == JobState::Done;
            for follower in FOLLOWERS.iter().filter(|_| is_upload) {
                let child = format!("{id}/{follower}");
                if !self.world.tracked.lock().places.contains_key(&child) {
                    self.world
                        .problem(format!("`{id}` is done, and `{child}` was never delivered"));
                }
            }
        }
    }
}
