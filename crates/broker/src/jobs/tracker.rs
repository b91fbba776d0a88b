//! Every job that is followed: by its id, by its place, in the order of arrival. Pure state, but
//! for the log that its changes are encoded for.
//!
//! Invariant: a job that is not final is in `by_place` under its place, a final one is not, and
//! `finals` has its number. A job that begins anew, or goes on elsewhere, has another number.

mod applied;
mod finals;
mod ids;
mod order;
mod place;
mod related;
mod slots;

pub(crate) use self::applied::{Applied, Telling};
pub(super) use self::ids::IdHash;

use self::{
    applied::{END_BYTES, LOGGED_BYTES, PIECE_BYTES},
    finals::Finals,
    ids::Ids,
    order::Order,
    place::PlaceHasher,
    related::unwait,
    slots::{Slot, Slots},
};
use super::{
    id::Related,
    job::{Details, Home, Job, JobState, Worker},
    record,
    report::Progress,
    status::{JobFilter, JobPage, JobStatus},
};
use crate::queue::HOLDER;
use bytes::Bytes;
use smallvec::SmallVec;
use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasherDefault,
    sync::Arc,
};
use tokio::sync::broadcast;
use tramline_queue::{Change, Place};
use tramline_types::{LogId, Timestamp, limits};

/// Events of one job that a watcher may be behind.
const WATCH_EVENTS: usize = 64;
/// What `finals` may have left of jobs that are there no more.
const FINALS_LEFT: usize = 1024;
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
    pub(crate) related: Option<Box<Related>>,
}

/// What a step in one queue was.
pub(crate) struct Step<'a> {
    pub(crate) home: &'a Arc<Home>,
    /// Taken out.
    pub(crate) arrived: &'a mut Vec<Arrived>,
    pub(crate) changes: &'a [Change],
    pub(crate) now: Timestamp,
    pub(crate) ticket: u64,
}

pub(crate) struct Tracker {
    jobs: Slots,
    by_number: Order,
    by_id: Ids,
    by_place: HashMap<(u64, Place), Slot, BuildHasherDefault<PlaceHasher>>,
    finals: Finals,
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
    /// Somebody is told of the step under way.
    is_told: bool,
    /// What it has come to.
    applied: Applied,
}

impl Tracker {
    pub(crate) fn new() -> Self {
        Self {
            jobs: Slots::default(),
            by_number: Order::default(),
            by_id: Ids::default(),
            by_place: HashMap::default(),
            finals: Finals::default(),
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
            is_told: false,
            applied: Applied::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn bounded(jobs_max: usize, bytes_max: usize) -> Self {
        Self { jobs_max, bytes_max, ..Self::new() }
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Job> {
        self.jobs.get(self.slot_of(id)?)
    }

    fn slot_of(&self, id: &str) -> Option<Slot> {
        self.by_id.find(self.by_id.hash(id), id, &self.jobs)
    }

    pub(super) fn numbered(&self, number: u64) -> Option<&Job> {
        self.jobs.get(self.by_number.get(number)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// What a queue went through.
    pub(crate) fn apply(&mut self, step: Step<'_>) -> Applied {
        let Step { home, arrived, changes, now, ticket } = step;
        self.begin();
        self.applied.room = arrived.len() * LOGGED_BYTES + changes.len() * END_BYTES;
        for arrived in arrived.drain(..) {
            self.arrive(home, arrived, ticket);
        }
        for change in changes {
            match change {
                Change::Done { lane, from, to } => {
                    for offset in *from..*to {
                        let place = Place { lane: *lane, offset };
                        self.at(home, place, ticket, |job| job.accepted(now));
                    }
                }
                change => self.apply_one(home, *change, (now, ticket)),
            }
        }
        self.end()
    }

    fn begin(&mut self) {
        self.is_told = !self.watchers.is_empty() || self.all.receiver_count() > 0;
    }

    fn end(&mut self) -> Applied {
        let mut applied = std::mem::take(&mut self.applied);
        if applied.run.is_some() {
            applied.piece();
        }
        applied
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
        if let Some(slot) = self.by_place.get(&(home.id, place)).copied() {
            self.change(slot, ticket, step);
        }
    }

    /// Changes a job, and whatever goes with that.
    fn change(&mut self, slot: Slot, ticket: u64, step: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(slot) else { return };
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
                self.finals.insert(expires, job.number);
            }
            if !self.waiting.is_empty() {
                let waiters = self.waiting.remove(&job.id);
                self.applied.waiters.extend(waiters.unwrap_or_default());
                unwait(&mut self.waiting, job);
            }
            if !job.home.transient {
                self.applied.ended(job);
            }
        }
        if self.is_told {
            self.tell(slot);
        }
    }

    fn tell(&mut self, slot: Slot) {
        self.tell_of(slot);
        // Its parent shows how its children are.
        let parent = self.jobs.get(slot).and_then(|job| job.details().parent.clone());
        if let Some(parent) = parent.and_then(|id| self.slot_of(&id))
            && let Some(job) = self.jobs.get_mut(parent)
        {
            self.n_transitions += 1;
            job.version = self.n_transitions;
            self.tell_of(parent);
        }
    }

    fn tell_of(&mut self, slot: Slot) {
        let Some(job) = self.jobs.get(slot) else { return };
        let watcher = self.watchers.get(&job.number);
        let anybody = self.all.receiver_count() > 0;
        if watcher.is_none() && !anybody {
            return;
        }
        let status = Arc::new(JobStatus::of(job));
        if let Some(watcher) = watcher {
            let (to, status) = (watcher.clone(), Arc::clone(&status));
            self.applied.told.push(Telling { to, status });
        }
        if anybody {
            self.applied.told.push(Telling { to: self.all.clone(), status });
        }
    }

    fn arrive(&mut self, home: &Arc<Home>, mut arrived: Arrived, ticket: u64) {
        let mut hash = self.by_id.hash(&arrived.id);
        let mut slot = self.by_id.find(hash, &arrived.id, &self.jobs);
        if let Some(job) = slot.and_then(|slot| self.jobs.get(slot))
            && !job.state.is_final()
            && job.home.id != home.id
        {
            // One message in several queues: the first has the id alone.
            arrived.id = Arc::from(format!("{}@{}", arrived.id, home.name));
            hash = self.by_id.hash(&arrived.id);
            slot = self.by_id.find(hash, &arrived.id, &self.jobs);
        }
        let mut job = match slot.and_then(|slot| self.take_out(slot)) {
            Some(mut known) => {
                known.handle_enqueued(home, &arrived);
                known
            }
            None if self.make_room(1) => Job::new(home, arrived),
            None => {
                self.n_refused += 1;
                return;
            }
        };
        self.n_transitions += 1;
        (job.ticket, job.version, job.hash) = (ticket, self.n_transitions, hash);
        job.is_logged = self.log.is_some();
        if !home.transient {
            record::put_live(self.applied.piece(), &job);
        }
        let related = job.details.as_deref();
        let is_child = related.is_some_and(|details| details.parent.is_some());
        let waits = related.is_some_and(|details| !details.after.is_empty());
        let slot = self.put_hashed(job);
        if is_child {
            self.link(slot);
        }
        if waits {
            self.wait(slot);
        }
        if self.is_told {
            self.tell(slot);
        }
    }

    /// Forgets the oldest final jobs until there is room for so many more, and for what is said
    /// of those that there are; `false` when that is not enough.
    pub(super) fn make_room(&mut self, n_more: usize) -> bool {
        while self.jobs.len() + n_more > self.jobs_max || self.bytes >= self.bytes_max {
            let Some(oldest) = self.finals.pop() else { return false };
            self.forget(oldest);
        }
        true
    }

    /// Takes a job in, as the newest one.
    pub(super) fn put(&mut self, mut job: Job) {
        job.hash = self.by_id.hash(&job.id);
        self.put_hashed(job);
    }

    fn put_hashed(&mut self, mut job: Job) -> Slot {
        job.number = self.next;
        self.next += 1;
        self.bytes += job.size();
        self.by_state[usize::from(job.state.code())] += 1;
        let expires = job.expires_at().filter(|_| job.state.is_final());
        let (number, hash, place) = (job.number, job.hash, (job.home.id, job.place));
        let slot = self.jobs.insert(job);
        self.by_id.insert(hash, slot);
        match expires {
            Some(expires) => self.finals.insert(expires, number),
            None => {
                self.by_place.insert(place, slot);
            }
        }
        // Who watches it goes on with it.
        self.by_number.insert(number, slot);
        slot
    }

    /// Takes a job out; who watches it stays, for its next number.
    fn take_out(&mut self, slot: Slot) -> Option<Job> {
        let job = self.jobs.remove(slot)?;
        self.bytes = self.bytes.saturating_sub(job.size());
        self.by_state[usize::from(job.state.code())] -= 1;
        unwait(&mut self.waiting, &job);
        self.by_id.remove(job.hash, slot);
        self.by_number.remove(job.number);
        if !job.state.is_final() {
            self.by_place.remove(&(job.home.id, job.place));
        } else if self.finals.len() > 2 * self.jobs.len() + FINALS_LEFT {
            self.finals.retain(|number| self.by_number.get(number).is_some());
        }
        if !self.watchers.is_empty()
            && let Some(watcher) = self.watchers.remove(&job.number)
            && watcher.receiver_count() > 0
        {
            self.watchers.insert(self.next, watcher);
        }
        Some(job)
    }

    /// Forgets a job.
    pub(super) fn forget(&mut self, number: u64) {
        if self.by_number.get(number).and_then(|slot| self.take_out(slot)).is_some()
            && !self.watchers.is_empty()
        {
            self.watchers.remove(&self.next);
        }
    }

    /// Forgets what was kept for long enough.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        while let Some(number) = self.finals.pop_due(now) {
            self.forget(number);
        }
        self.by_id.shrink();
        self.watchers.retain(|_, watcher| watcher.receiver_count() > 0);
    }

    /// The events of a job.
    pub(crate) fn watch(&mut self, id: &str) -> Option<broadcast::Receiver<Arc<JobStatus>>> {
        let number = self.get(id)?.number;
        let watcher =
            self.watchers.entry(number).or_insert_with(|| broadcast::Sender::new(WATCH_EVENTS));
        Some(watcher.subscribe())
    }

    /// A worker's word; `None` when there is no such job.
    pub(crate) fn report(
        &mut self,
        id: &str,
        ticket: u64,
        say: impl FnOnce(&mut Job),
    ) -> Option<Applied> {
        let slot = self.slot_of(id)?;
        self.begin();
        self.change(slot, ticket, say);
        let job = self.jobs.get(slot)?;
        if !job.home.transient {
            record::put_full(self.applied.piece(), job);
        }
        Some(self.end())
    }

    /// The jobs of a queue that are not over, by their numbers.
    pub(crate) fn alive_in(&self, home: &Home) -> Vec<u64> {
        let of_queue = self.by_place.iter().filter(|((queue, _), _)| *queue == home.id);
        let jobs = of_queue.filter_map(|(_, slot)| self.jobs.get(*slot));
        let mut numbers: Vec<u64> = jobs.map(|job| job.number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// A deleted queue's jobs end with it: as many as a piece of the log takes.
    pub(crate) fn queue_gone(
        &mut self,
        numbers: &mut impl Iterator<Item = u64>,
        (now, ticket): (Timestamp, u64),
    ) -> Applied {
        self.begin();
        while self.applied.bytes() < PIECE_BYTES
            && let Some(number) = numbers.next()
        {
            let slot = self.by_number.get(number);
            let is_alive =
                |slot: &Slot| self.jobs.get(*slot).is_some_and(|job| !job.state.is_final());
            if let Some(slot) = slot.filter(is_alive) {
                self.change(slot, ticket, |job| job.handle_final(JobState::Cancelled, now));
            }
        }
        self.end()
    }

    /// Some jobs of a kind, the newest first, below this number.
    pub(super) fn list(&self, filter: &JobFilter, before: Option<u64>, n_max: usize) -> JobPage {
        let mut page = JobPage::default();
        let below = before.unwrap_or(u64::MAX);
        for (scanned, (number, slot)) in self.by_number.range(0..below).rev().enumerate() {
            if page.jobs.len() >= n_max || scanned >= limits::JOBS_SCANNED_MAX {
                page.next = Some(number + 1);
                break;
            }
            if let Some(job) = self.jobs.get(slot).filter(|job| filter.admits_job(job)) {
                page.jobs.push(JobStatus::of(job));
            }
        }
        page
    }

    /// How many are in which state.
    pub(crate) fn counts(&self) -> BTreeMap<JobState, u64> {
        JobState::ALL.map(|state| (state, self.by_state[usize::from(state.code())])).into()
    }
}

impl Job {
    fn new(home: &Arc<Home>, arrived: Arrived) -> Self {
        let Arrived { id, place, at, until, bytes, related } = arrived;
        let details = |related: Box<Related>| {
            let (parent, after) = *related;
            Box::new(Details { parent, after, ..Details::default() })
        };
        Self {
            id,
            home: Arc::clone(home),
            place,
            bytes,
            state: if until.is_some() { JobState::Scheduled } else { JobState::Queued },
            enqueued_at: at,
            until,
            finished_at: None,
            attempts_before: 0,
            attempts: 0,
            history: SmallVec::new(),
            reason: None,
            cancel_requested: false,
            is_logged: false,
            details: related.map(details),
            ticket: 0,
            version: 0,
            number: 0,
            hash: IdHash::default(),
        }
    }

    fn accepted(&mut self, now: Timestamp) {
        if let Some(details) = &mut self.details {
            details.error = None;
        }
        self.handle_final(JobState::Done, now);
    }

    pub(crate) fn handle_progress(&mut self, progress: Progress) {
        if let Some(name) = &progress.worker
            && let Some(attempt) = self.history.last_mut()
        {
            attempt.worker = Worker::Named(Arc::from(name.as_str()));
        }
        self.details_mut().progress = Some(Box::new(progress));
    }

    pub(crate) fn handle_result(&mut self, result: Bytes) {
        self.details_mut().result = Some(result);
    }
}

#[cfg(test)]
mod tests;
