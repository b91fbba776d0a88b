//! Every job that is followed: by its id, by its place, in the order of arrival. Pure state, but
//! for the log that its changes are encoded for.
//!
//! Invariant: a job that is not final is in `by_place` under its place, a final one is not, and
//! `finals` has exactly one entry for each final one.

mod place;

use self::place::PlaceHasher;
use super::{
    job::{Home, Job, JobState, Worker},
    record,
    report::Progress,
    status::{JobFilter, JobPage, JobStatus},
};
use crate::queue::HOLDER;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::BuildHasherDefault,
    sync::Arc,
};
use tokio::sync::broadcast;
use tramline_queue::{Change, Place};
use tramline_types::{LogId, Timestamp, limits};

/// Events of one job that a watcher may be behind.
const WATCH_EVENTS: usize = 64;
/// A piece of what is logged takes no more records from here on.
const PIECE_BYTES: usize = 24 * 1024;
/// Events of all jobs that a watcher may be behind.
const WATCH_ALL_EVENTS: usize = 1024;

/// A message with a job's id that came into a queue.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) id: Arc<str>,
    pub(crate) place: Place,
    pub(crate) at: Timestamp,
    /// When it is due, where it has to wait.
    pub(crate) until: Option<Timestamp>,
    pub(crate) bytes: u32,
    pub(crate) parent: Option<Arc<str>>,
    pub(crate) after: Vec<Arc<str>>,
}

/// What a step in one queue was.
pub(crate) struct Step<'a> {
    pub(crate) home: &'a Arc<Home>,
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) changes: Vec<Change>,
    pub(crate) now: Timestamp,
    pub(crate) ticket: u64,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Applied {
    /// To be logged in the same commit, in pieces that any commit has room for.
    pub(crate) deltas: Vec<Vec<u8>>,
    /// To be told when that is durable.
    pub(crate) told: Vec<Telling>,
    /// Messages that are to be taken out: their jobs are cancelled.
    pub(crate) removals: Vec<(Place, u32)>,
    /// Jobs of which some that they wait for are over.
    pub(crate) waiters: Vec<Arc<str>>,
}

impl Applied {
    /// Where the next record goes.
    fn piece(&mut self) -> &mut Vec<u8> {
        if self.deltas.last().is_none_or(|piece| piece.len() >= PIECE_BYTES) {
            self.deltas.push(Vec::new());
        }
        self.deltas.last_mut().expect("there is one")
    }

    pub(super) fn bytes(&self) -> usize {
        self.deltas.iter().map(Vec::len).sum()
    }
}

/// A status and who is to have it.
pub(crate) struct Telling {
    pub(crate) to: broadcast::Sender<Arc<JobStatus>>,
    pub(crate) status: Arc<JobStatus>,
}

pub(crate) struct Tracker {
    /// In boxes: the oldest ones go all the time, and those beside them are not to be moved.
    pub(super) jobs: BTreeMap<u64, Box<Job>>,
    by_id: HashMap<Arc<str>, u64>,
    by_place: HashMap<(u64, Place), u64, BuildHasherDefault<PlaceHasher>>,
    finals: BTreeSet<(Timestamp, u64)>,
    /// Who waits for a job, by its id.
    waiting: HashMap<Arc<str>, Vec<Arc<str>>>,
    next: u64,
    bytes: usize,
    /// How many are in which state, by its code.
    by_state: [u64; JobState::ALL.len()],
    jobs_max: usize,
    bytes_max: usize,
    watchers: HashMap<u64, broadcast::Sender<Arc<JobStatus>>>,
    pub(super) all: broadcast::Sender<Arc<JobStatus>>,
    /// The log that changes go to.
    pub(super) log: Option<LogId>,
    /// Messages that were not tracked, because there are too many.
    pub(super) n_refused: u64,
    pub(super) n_transitions: u64,
    /// What the step under way has come to.
    applied: Applied,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        Self {
            jobs: BTreeMap::new(),
            by_id: HashMap::new(),
            by_place: HashMap::default(),
            finals: BTreeSet::new(),
            waiting: HashMap::new(),
            next: 0,
            bytes: 0,
            by_state: [0; JobState::ALL.len()],
            jobs_max: limits::JOBS_MAX,
            bytes_max: limits::JOBS_BYTES_MAX,
            watchers: HashMap::new(),
            all: broadcast::Sender::new(WATCH_ALL_EVENTS),
            log: None,
            n_refused: 0,
            n_transitions: 0,
            applied: Applied::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn bounded(jobs_max: usize, bytes_max: usize) -> Self {
        Self { jobs_max, bytes_max, ..Self::new() }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Job> {
        self.jobs.get(self.by_id.get(id)?).map(|job| &**job)
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// What a queue went through.
    pub(crate) fn apply(&mut self, step: Step<'_>) -> Applied {
        let Step { home, arrived, changes, now, ticket } = step;
        for arrived in arrived {
            self.arrive(home, arrived, ticket);
        }
        for change in changes {
            match change {
                Change::Done { lane, from, to } => {
                    for offset in from..to {
                        self.at(home, Place { lane, offset }, ticket, |job| job.accepted(now));
                    }
                }
                change => self.apply_one(home, change, (now, ticket)),
            }
        }
        std::mem::take(&mut self.applied)
    }

    fn apply_one(&mut self, home: &Arc<Home>, change: Change, (now, ticket): (Timestamp, u64)) {
        match change {
            Change::Delivered { place, deliveries, connection, settled } => {
                let connection = connection.filter(|connection| *connection != HOLDER);
                self.at(home, place, ticket, |job| {
                    job.handle_delivered(deliveries, connection, now);
                });
                if settled {
                    self.at(home, place, ticket, |job| job.accepted(now));
                }
            }
            Change::Released { place, until } => {
                let mut removal = None;
                self.at(home, place, ticket, |job| {
                    if job.cancel_requested {
                        removal = Some((place, job.bytes));
                        job.handle_final(JobState::Cancelled, now);
                    } else {
                        job.handle_released(until, now);
                    }
                });
                self.applied.removals.extend(removal);
            }
            Change::Due(place) => self.at(home, place, ticket, Job::handle_due),
            Change::Deferred(place) => {
                self.at(home, place, ticket, |job| job.handle_released(None, now));
            }
            Change::Dead { place, reason, moves } => {
                self.at(home, place, ticket, |job| job.handle_dead(reason, moves, now));
            }
            Change::Removed(place) => {
                self.at(home, place, ticket, |job| job.handle_final(JobState::Cancelled, now));
            }
            Change::Done { .. } => {}
        }
    }

    fn at(&mut self, home: &Home, place: Place, ticket: u64, step: impl FnOnce(&mut Job)) {
        if let Some(number) = self.by_place.get(&(home.id, place)).copied() {
            self.change(number, ticket, step);
        }
    }

    /// Changes a job, and whatever goes with that.
    fn change(&mut self, number: u64, ticket: u64, step: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(&number) else { return };
        let (size, before) = (job.size(), job.state);
        step(job);
        self.by_state[usize::from(before.code())] -= 1;
        self.by_state[usize::from(job.state.code())] += 1;
        self.n_transitions += 1;
        (job.ticket, job.version) = (ticket, self.n_transitions);
        self.bytes = (self.bytes + job.size()).saturating_sub(size);
        if job.state.is_final() && !before.is_final() {
            self.by_place.remove(&(job.home.id, job.place));
            if let Some(expires) = job.expires_at() {
                self.finals.insert((expires, number));
            }
            if !self.waiting.is_empty() {
                let waiters = self.waiting.remove(&job.id);
                self.applied.waiters.extend(waiters.unwrap_or_default());
                unwait(&mut self.waiting, job);
            }
            if !job.home.transient {
                record::put_end(self.applied.piece(), job);
            }
        }
        self.tell(number);
    }

    fn tell(&mut self, number: u64) {
        if self.watchers.is_empty() && self.all.receiver_count() == 0 {
            return;
        }
        self.tell_of(number);
        // Its parent shows how its children are.
        let parent = self.jobs.get(&number).and_then(|job| job.parent.as_ref());
        if let Some(parent) = parent.and_then(|id| self.by_id.get(id)).copied()
            && let Some(job) = self.jobs.get_mut(&parent)
        {
            self.n_transitions += 1;
            job.version = self.n_transitions;
            self.tell_of(parent);
        }
    }

    fn tell_of(&mut self, number: u64) {
        let watcher = self.watchers.get(&number);
        let anybody = self.all.receiver_count() > 0;
        if watcher.is_none() && !anybody {
            return;
        }
        let Some(job) = self.jobs.get(&number) else { return };
        let status = Arc::new(JobStatus::of(job, number));
        if let Some(watcher) = watcher {
            let (to, status) = (watcher.clone(), Arc::clone(&status));
            self.applied.told.push(Telling { to, status });
        }
        if anybody {
            self.applied.told.push(Telling { to: self.all.clone(), status });
        }
    }

    fn arrive(&mut self, home: &Arc<Home>, mut arrived: Arrived, ticket: u64) {
        let mut number = self.by_id.get(&arrived.id).copied();
        if let Some(job) = number.and_then(|number| self.jobs.get(&number))
            && !job.state.is_final()
            && job.home.id != home.id
        {
            // One message in several queues: the first has the id alone.
            arrived.id = Arc::from(format!("{}@{}", arrived.id, home.name));
            number = self.by_id.get(&arrived.id).copied();
        }
        let known = number.and_then(|number| self.take_out(number));
        let Some(mut job) = known.or_else(|| self.new_job(home, &arrived)) else {
            self.n_refused += 1;
            return;
        };
        job.handle_enqueued(Arc::clone(home), &arrived);
        job.parent = arrived.parent.or(job.parent);
        self.n_transitions += 1;
        (job.ticket, job.version) = (ticket, self.n_transitions);
        if !home.transient {
            record::put_live(self.applied.piece(), &job);
        }
        let (is_child, waits) = (job.parent.is_some(), !job.after.is_empty());
        let number = self.put(job);
        if is_child {
            self.link(number);
        }
        if waits {
            self.wait(number);
        }
        self.tell(number);
    }

    /// Makes a job known to its parent, where there is such a job.
    fn link(&mut self, number: u64) {
        let Some(child) = self.jobs.get(&number) else { return };
        let Some(parent) = child.parent.as_ref().and_then(|id| self.by_id.get(id)) else { return };
        let (id, parent) = (Arc::clone(&child.id), *parent);
        let Some(parent) = self.jobs.get_mut(&parent) else { return };
        if parent.children.len() < limits::JOB_CHILDREN_MAX && !parent.children.contains(&id) {
            let before = parent.size();
            parent.children.push(id);
            self.bytes = (self.bytes + parent.size()).saturating_sub(before);
        }
    }

    /// Notes whom a job waits for.
    fn wait(&mut self, number: u64) {
        let Some(job) = self.jobs.get(&number) else { return };
        if job.state.is_final() || job.after.is_empty() {
            return;
        }
        let (id, after) = (Arc::clone(&job.id), job.after.clone());
        for before in after {
            let waiters = self.waiting.entry(before).or_default();
            if !waiters.contains(&id) {
                waiters.push(Arc::clone(&id));
            }
        }
        // What it waits for may have ended meanwhile.
        self.applied.waiters.push(id);
    }

    /// Whether all that a job waits for is done; `Err` names one that ended otherwise.
    pub(crate) fn awaited(&self, after: &[Arc<str>]) -> Result<bool, Arc<str>> {
        let mut all = true;
        for id in after {
            match self.get(id).map(|job| job.state) {
                Some(JobState::Done) => {}
                Some(state) if state.is_final() => return Err(Arc::clone(id)),
                _ => all = false,
            }
        }
        Ok(all)
    }

    /// After a restart: who is whose child.
    pub(crate) fn link_all(&mut self) {
        let children = self.jobs.iter().filter(|(_, job)| job.parent.is_some());
        let numbers: Vec<u64> = children.map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.link(number));
    }

    /// After a restart: those who wait.
    pub(crate) fn wait_all(&mut self) -> Vec<Arc<str>> {
        let waiting = self.jobs.iter().filter(|(_, job)| !job.after.is_empty());
        let numbers: Vec<u64> = waiting.map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.wait(number));
        std::mem::take(&mut self.applied.waiters)
    }

    /// A job for a message; `None` when there is no room.
    fn new_job(&mut self, home: &Arc<Home>, arrived: &Arrived) -> Option<Box<Job>> {
        self.make_room(1).then(|| Box::new(Job::new(home, arrived)))
    }

    /// Forgets the oldest final jobs until there is room for so many more, and for what is said
    /// of those that there are; `false` when that is not enough.
    pub(super) fn make_room(&mut self, n_more: usize) -> bool {
        while self.jobs.len() + n_more > self.jobs_max || self.bytes >= self.bytes_max {
            let Some((_, oldest)) = self.finals.first().copied() else { return false };
            self.forget(oldest);
        }
        true
    }

    /// Takes a job in, as the newest one.
    pub(super) fn put(&mut self, job: Box<Job>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bytes += job.size();
        self.by_id.insert(Arc::clone(&job.id), number);
        match job.expires_at().filter(|_| job.state.is_final()) {
            Some(expires) => {
                self.finals.insert((expires, number));
            }
            None => {
                self.by_place.insert((job.home.id, job.place), number);
            }
        }
        self.by_state[usize::from(job.state.code())] += 1;
        // Who watches it goes on with it.
        self.jobs.insert(number, job);
        number
    }

    /// Takes a job out; who watches it stays, for its next number.
    fn take_out(&mut self, number: u64) -> Option<Box<Job>> {
        let job = self.jobs.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(job.size());
        self.by_state[usize::from(job.state.code())] -= 1;
        unwait(&mut self.waiting, &job);
        self.by_id.remove(&job.id);
        self.by_place.remove(&(job.home.id, job.place));
        if let Some(expires) = job.expires_at() {
            self.finals.remove(&(expires, number));
        }
        if let Some(watcher) = self.watchers.remove(&number)
            && watcher.receiver_count() > 0
        {
            self.watchers.insert(self.next, watcher);
        }
        Some(job)
    }

    /// Forgets a job.
    pub(super) fn forget(&mut self, number: u64) {
        if self.take_out(number).is_some() {
            self.watchers.remove(&self.next);
        }
    }

    /// Forgets what was kept for long enough.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some(&(expires, number)) = self.finals.first()
            && expires <= now
        {
            self.forget(number);
        }
        self.watchers.retain(|_, watcher| watcher.receiver_count() > 0);
    }

    /// The number and the events of a job.
    pub(crate) fn watch(&mut self, id: &str) -> Option<(u64, broadcast::Receiver<Arc<JobStatus>>)> {
        let number = *self.by_id.get(id)?;
        let watcher =
            self.watchers.entry(number).or_insert_with(|| broadcast::Sender::new(WATCH_EVENTS));
        Some((number, watcher.subscribe()))
    }

    /// A worker's word; `None` when there is no such job.
    pub(crate) fn report(
        &mut self,
        id: &str,
        ticket: u64,
        say: impl FnOnce(&mut Job),
    ) -> Option<Applied> {
        let number = *self.by_id.get(id)?;
        self.change(number, ticket, say);
        let job = self.jobs.get(&number)?;
        if !job.home.transient {
            record::put_full(self.applied.piece(), job);
        }
        Some(std::mem::take(&mut self.applied))
    }

    /// The jobs of a queue that are not over, by their numbers.
    pub(crate) fn alive_in(&self, home: &Home) -> Vec<u64> {
        let of_queue = self.by_place.iter().filter(|((queue, _), _)| *queue == home.id);
        let mut numbers: Vec<u64> = of_queue.map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A deleted queue's jobs end with it: as many as a piece of the log takes.
    pub(crate) fn queue_gone(
        &mut self,
        numbers: &mut impl Iterator<Item = u64>,
        (now, ticket): (Timestamp, u64),
    ) -> Applied {
        while self.applied.bytes() < PIECE_BYTES
            && let Some(number) = numbers.next()
        {
            let is_alive = self.jobs.get(&number).is_some_and(|job| !job.state.is_final());
            if is_alive {
                self.change(number, ticket, |job| job.handle_final(JobState::Cancelled, now));
            }
        }
        std::mem::take(&mut self.applied)
    }

    /// The number of a job.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// Jobs from this number on as they are to be logged again: as many as have room, and the
    /// number to go on at; `None` at the end. Those that `waits` says so of, and one that has no
    /// room alone, are named and left out.
    pub(super) fn relog(
        &self,
        from: u64,
        room: usize,
        waits: impl Fn(&Job) -> bool,
    ) -> (Vec<u8>, Vec<u64>, Option<u64>) {
        let (mut out, mut later) = (Vec::new(), Vec::new());
        for (number, job) in self.jobs.range(from..).filter(|(_, job)| !job.home.transient) {
            if waits(job) {
                later.push(*number);
                continue;
            }
            let before = out.len();
            record::put(&mut out, job);
            if out.len() > room {
                out.truncate(before);
                if before > 0 {
                    return (out, later, Some(*number));
                }
                later.push(*number);
            }
        }
        (out, later, None)
    }

    /// One job, as it is to be logged again.
    pub(super) fn relog_one(&self, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(job) = self.jobs.get(&number).filter(|job| !job.home.transient) {
            record::put(&mut out, job);
        }
        out
    }

    /// Some jobs of a kind, the newest first, below this number.
    pub(super) fn list(&self, filter: &JobFilter, before: Option<u64>, n_max: usize) -> JobPage {
        let mut page = JobPage::default();
        let below = before.unwrap_or(u64::MAX);
        for (scanned, (number, job)) in self.jobs.range(..below).rev().enumerate() {
            if page.jobs.len() >= n_max || scanned >= limits::JOBS_SCANNED_MAX {
                page.next = Some(number + 1);
                break;
            }
            if filter.admits_job(job) {
                page.jobs.push(JobStatus::of(job, *number));
            }
        }
        page
    }

    /// How many are in which state.
    pub(crate) fn counts(&self) -> BTreeMap<JobState, u64> {
        JobState::ALL.map(|state| (state, self.by_state[usize::from(state.code())])).into()
    }
}

/// A job waits for no other any more.
fn unwait(waiting: &mut HashMap<Arc<str>, Vec<Arc<str>>>, job: &Job) {
    for before in &job.after {
        if let Some(waiters) = waiting.get_mut(before) {
            waiters.retain(|waiter| *waiter != job.id);
            if waiters.is_empty() {
                waiting.remove(before);
            }
        }
    }
}

impl Job {
    fn new(home: &Arc<Home>, arrived: &Arrived) -> Self {
        Self {
            id: Arc::clone(&arrived.id),
            home: Arc::clone(home),
            place: arrived.place,
            bytes: arrived.bytes,
            state: JobState::Queued,
            enqueued_at: arrived.at,
            until: None,
            finished_at: None,
            attempts_before: 0,
            attempts: 0,
            history: Vec::new(),
            progress: None,
            result: None,
            error: None,
            reason: None,
            cancel_requested: false,
            parent: None,
            after: Vec::new(),
            children: Vec::new(),
            ticket: 0,
            version: 0,
        }
    }

    fn accepted(&mut self, now: Timestamp) {
        self.error = None;
        self.handle_final(JobState::Done, now);
    }

    pub(crate) fn handle_progress(&mut self, progress: Progress) {
        if let Some(name) = &progress.worker
            && let Some(attempt) = self.history.last_mut()
        {
            attempt.worker = Worker::Named(Arc::from(name.as_str()));
        }
        self.progress = Some(Box::new(progress));
    }

    pub(crate) fn handle_result(&mut self, result: Bytes) {
        self.result = Some(result);
    }
}

#[cfg(test)]
mod tests;
