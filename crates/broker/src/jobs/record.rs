//! Jobs as they are logged: what the queue's own delivery state does not say.
//!
//! ```text
//! delta    record ...
//! record   kind u8 | id | queue | lane | offset | enqueued | attempts before | bytes | parent
//!          | n, n x (id of a job that has to be done first)
//! kind 1   a job that is not final and of which nothing was reported: no more than that
//! kind 2   ... | queue name | result ttl | state u8 | attempts | finished | cancel u8 | reason u8
//!          | attempts list | progress | result | error
//! kind 3   the end of a job: as kind 2, without the jobs to be done first, progress, result and
//!          error, which are as they were said before
//! kind 4   the ends of several: see [`run`]
//! attempts n, n x (number | started | ended | worker)
//! text     length | bytes
//! ```
//! Numbers are varints; `id`, `parent`, names, `progress` (JSON), `result` and `error` are texts,
//! empty where there is none; times are milliseconds since 1970, 0 where there is none. The last
//! record of an id counts; what was said of a job that is not over stays over a record of kind 1.
//! Damaged bytes give fewer records, never a panic.

mod run;

pub(super) use self::run::Run;

use super::{
    job::{Attempt, Details, Home, Job, JobState, Worker},
    tracker::IdHash,
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::{collections::HashMap, sync::Arc};
use tramline_queue::{DeadReason, Place};
use tramline_types::{ConnectionId, Timestamp};

const LIVE: u8 = 1;
const FULL: u8 = 2;
const END: u8 = 3;

/// A job as it is.
pub(super) fn put(out: &mut Vec<u8>, job: &Job) {
    let details = job.details();
    let is_reported =
        details.progress.is_some() || details.result.is_some() || details.error.is_some();
    if job.state.is_final() || is_reported || job.cancel_requested {
        put_full(out, job);
    } else {
        put_live(out, job);
    }
}

/// A job of which the queue knows the rest.
pub(super) fn put_live(out: &mut Vec<u8>, job: &Job) {
    put_head(out, LIVE, job);
}

/// All of a job.
pub(super) fn put_full(out: &mut Vec<u8>, job: &Job) {
    put_head(out, FULL, job);
    put_fate(out, job);
    let details = job.details();
    let progress = details.progress.as_ref().and_then(|it| serde_json::to_vec(it).ok());
    put_text(out, &progress.unwrap_or_default());
    put_text(out, details.result.as_deref().unwrap_or_default());
    put_text(out, details.error.as_deref().unwrap_or_default().as_bytes());
}

/// The end of a job, of which everything that was said is logged.
pub(super) fn put_end(out: &mut Vec<u8>, job: &Job) {
    put_head(out, END, job);
    put_fate(out, job);
}

fn put_fate(out: &mut Vec<u8>, job: &Job) {
    put_text(out, job.home.name.as_bytes());
    put_varint(out, job.home.result_ttl_ms);
    out.push(job.state.code());
    put_varint(out, u64::from(job.attempts));
    put_time(out, job.finished_at);
    out.push(u8::from(job.cancel_requested));
    out.push(job.reason.map_or(0, reason_code));
    put_varint(out, u64::try_from(job.history.len()).unwrap_or(0));
    for attempt in &job.history {
        put_varint(out, u64::from(attempt.number));
        put_time(out, Some(attempt.started));
        put_time(out, attempt.ended);
        put_worker(out, &attempt.worker);
    }
}

fn put_worker(out: &mut Vec<u8>, worker: &Worker) {
    match worker {
        Worker::Unnamed => put_text(out, b""),
        Worker::Connection(id) => put_text(out, format!("#{}", id.0).as_bytes()),
        Worker::Named(name) => put_text(out, format!("={name}").as_bytes()),
    }
}

fn put_head(out: &mut Vec<u8>, kind: u8, job: &Job) {
    out.push(kind);
    put_text(out, job.id.as_bytes());
    put_varint(out, job.home.id);
    put_varint(out, u64::from(job.place.lane));
    put_varint(out, job.place.offset);
    put_time(out, Some(job.enqueued_at));
    put_varint(out, u64::from(job.attempts_before));
    put_varint(out, u64::from(job.bytes));
    let details = job.details();
    put_text(out, details.parent.as_deref().unwrap_or_default().as_bytes());
    let after = if kind == END { &[][..] } else { &details.after };
    put_varint(out, u64::try_from(after.len()).unwrap_or(0));
    after.iter().for_each(|id| put_text(out, id.as_bytes()));
}

/// The jobs that were read, by their ids.
#[derive(Default)]
pub(super) struct Found {
    pub(super) jobs: HashMap<Arc<str>, Job>,
    /// Those that are not over.
    by_place: HashMap<(u64, Place), Arc<str>>,
}

impl Found {
    /// Reads the records of some deltas, in order; `false` when some could not be read.
    pub(super) fn read<D: AsRef<[u8]>>(&mut self, deltas: &[D]) -> bool {
        let mut sound = true;
        for delta in deltas {
            let mut rest = delta.as_ref();
            while !rest.is_empty() {
                if self.read_one(&mut rest).is_none() {
                    sound = false;
                    break;
                }
            }
        }
        sound
    }

    fn read_one(&mut self, rest: &mut &[u8]) -> Option<()> {
        let kind = byte(rest)?;
        if kind == run::KIND {
            let run = Run::take(rest)?;
            for place in run.places() {
                let id = self.by_place.remove(&place);
                if let Some(job) = id.and_then(|id| self.jobs.get_mut(&id)) {
                    run.end(job);
                }
            }
            return Some(());
        }
        let mut job = take(kind, rest)?;
        if let Some(said) = self.take_out(&job.id)
            && kind != FULL
            && !said.state.is_final()
        {
            job.cancel_requested |= said.cancel_requested;
            stays(said, kind, &mut job);
        }
        if !job.state.is_final() {
            self.by_place.insert((job.home.id, job.place), Arc::clone(&job.id));
        }
        self.jobs.insert(Arc::clone(&job.id), job);
        Some(())
    }

    fn take_out(&mut self, id: &Arc<str>) -> Option<Job> {
        let job = self.jobs.remove(id)?;
        let place = (job.home.id, job.place);
        if self.by_place.get(&place) == Some(id) {
            self.by_place.remove(&place);
        }
        Some(job)
    }
}

/// What is said is told before it is known how the job goes on.
fn stays(said: Job, kind: u8, job: &mut Job) {
    let Some(said) = said.details else { return };
    let is_done = job.state == JobState::Done;
    let details = job.details_mut();
    (details.progress, details.result) = (said.progress, said.result);
    details.error = said.error.filter(|_| !is_done);
    if kind == END {
        details.after = said.after;
    }
}

fn take(kind: u8, rest: &mut &[u8]) -> Option<Job> {
    let id = text(rest)?;
    let (queue, lane, offset) = (varint(rest)?, varint(rest)?, varint(rest)?);
    let enqueued_at = time(rest)??;
    let attempts_before = u32::try_from(varint(rest)?).ok()?;
    let bytes = u32::try_from(varint(rest)?).ok()?;
    let parent = Some(text(rest)?).filter(|parent| !parent.is_empty()).map(Arc::from);
    let mut after = Vec::new();
    for _ in 0..varint(rest)? {
        after.push(Arc::from(text(rest)?));
    }
    let is_related = parent.is_some() || !after.is_empty();
    let related = || Box::new(Details { parent, after, ..Details::default() });
    let home = |name, result_ttl_ms| Home { id: queue, name, transient: false, result_ttl_ms };
    let mut job = Job {
        id: Arc::from(id),
        home: Arc::new(home(String::new(), 0)),
        place: Place { lane: u16::try_from(lane).ok()?, offset },
        bytes,
        state: JobState::Queued,
        enqueued_at,
        until: None,
        finished_at: None,
        attempts_before,
        attempts: 0,
        history: SmallVec::new(),
        reason: None,
        cancel_requested: false,
        is_logged: false,
        details: is_related.then(related),
        ticket: 0,
        version: 0,
        number: 0,
        hash: IdHash::default(),
    };
    match kind {
        LIVE => return Some(job),
        FULL | END => {}
        _ => return None,
    }
    job.home = Arc::new(home(text(rest)?.to_owned(), varint(rest)?));
    job.state = JobState::from_code(byte(rest)?)?;
    job.attempts = u32::try_from(varint(rest)?).ok()?;
    job.finished_at = time(rest)?;
    job.cancel_requested = byte(rest)? != 0;
    job.reason = reason_of(byte(rest)?);
    for _ in 0..varint(rest)? {
        job.history.push(take_attempt(rest)?);
    }
    if kind == FULL {
        let progress = serde_json::from_slice(bytes_of(rest)?).ok();
        let result = Some(bytes_of(rest)?).filter(|it| !it.is_empty()).map(Bytes::copy_from_slice);
        let error = Some(text(rest)?).filter(|error| !error.is_empty()).map(Box::from);
        if progress.is_some() || result.is_some() || error.is_some() {
            let details = job.details_mut();
            (details.progress, details.result, details.error) = (progress, result, error);
        }
    }
    // A final state without its time cannot be: it would be kept for ever.
    (job.state.is_final() == job.finished_at.is_some()).then_some(job)
}

fn take_attempt(rest: &mut &[u8]) -> Option<Attempt> {
    let number = u32::try_from(varint(rest)?).ok()?;
    let (started, ended) = (time(rest)??, time(rest)?);
    let worker = take_worker(bytes_of(rest)?)?;
    Some(Attempt { number, started, ended, worker })
}

fn take_worker(bytes: &[u8]) -> Option<Worker> {
    Some(match std::str::from_utf8(bytes).ok()?.split_at_checked(1) {
        Some(("#", number)) => Worker::Connection(ConnectionId(number.parse().ok()?)),
        Some((_, name)) => Worker::Named(Arc::from(name)),
        None => Worker::Unnamed,
    })
}

const fn reason_code(reason: DeadReason) -> u8 {
    match reason {
        DeadReason::Expired => 1,
        DeadReason::Rejected => 2,
        DeadReason::MaxLength => 3,
        DeadReason::DeliveryLimit => 4,
    }
}

const fn reason_of(code: u8) -> Option<DeadReason> {
    match code {
        1 => Some(DeadReason::Expired),
        2 => Some(DeadReason::Rejected),
        3 => Some(DeadReason::MaxLength),
        4 => Some(DeadReason::DeliveryLimit),
        _ => None,
    }
}

fn put_time(out: &mut Vec<u8>, time: Option<Timestamp>) {
    let millis = time.map_or(0, Timestamp::as_millis);
    put_varint(out, u64::try_from(millis).unwrap_or(0));
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_varint(out, u64::try_from(text.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(text);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let next = byte(rest)?;
        let bits = u64::from(next & 0x7f);
        // The tenth byte has room for one bit only.
        if bits.leading_zeros() < shift {
            return None;
        }
        value |= bits << shift;
        if next & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn time(rest: &mut &[u8]) -> Option<Option<Timestamp>> {
    let millis = i64::try_from(varint(rest)?).ok()?;
    Some((millis != 0).then(|| Timestamp::from_millis(millis)))
}

fn bytes_of<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(bytes_of(rest)?).ok()
}

#[cfg(test)]
mod tests;
