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
//! attempts n, n x (number | started | ended | worker)
//! text     length | bytes
//! ```
//! Numbers are varints; `id`, `parent`, names, `progress` (JSON), `result` and `error` are texts,
//! empty where there is none; times are milliseconds since 1970, 0 where there is none. The last
//! record of an id counts; what was said of a job that is not over stays over a record of kind 1.
//! Damaged bytes give fewer records, never a panic.

use super::job::{Attempt, Home, Job, JobState, Worker};
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc};
use tramline_queue::{DeadReason, Place};
use tramline_types::{ConnectionId, Timestamp};

const LIVE: u8 = 1;
const FULL: u8 = 2;
const END: u8 = 3;

/// A job as it is.
pub(super) fn put(out: &mut Vec<u8>, job: &Job) {
    let is_reported = job.progress.is_some() || job.result.is_some() || job.error.is_some();
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
    let progress = job.progress.as_ref().and_then(|progress| serde_json::to_vec(progress).ok());
    put_text(out, &progress.unwrap_or_default());
    put_text(out, job.result.as_deref().unwrap_or_default());
    put_text(out, job.error.as_deref().unwrap_or_default().as_bytes());
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
        match &attempt.worker {
            Worker::Unnamed => put_text(out, b""),
            Worker::Connection(id) => put_text(out, format!("#{}", id.0).as_bytes()),
            Worker::Named(name) => put_text(out, format!("={name}").as_bytes()),
        }
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
    put_text(out, job.parent.as_deref().unwrap_or_default().as_bytes());
    let after = if kind == END { &[][..] } else { &job.after };
    put_varint(out, u64::try_from(after.len()).unwrap_or(0));
    after.iter().for_each(|id| put_text(out, id.as_bytes()));
}

/// Reads the records of some deltas, in order; `false` when some could not be read.
pub(super) fn read<D: AsRef<[u8]>>(deltas: &[D], jobs: &mut HashMap<Arc<str>, Job>) -> bool {
    let mut sound = true;
    for delta in deltas {
        let mut rest = delta.as_ref();
        while !rest.is_empty() {
            let Some((kind, mut job)) = take(&mut rest) else {
                sound = false;
                break;
            };
            // What is said is told before it is known how the job goes on.
            let said = jobs.remove(&job.id).filter(|said| kind != FULL && !said.state.is_final());
            if let Some(said) = said {
                (job.progress, job.result) = (said.progress, said.result);
                job.error = said.error.filter(|_| job.state != JobState::Done);
                job.cancel_requested |= said.cancel_requested;
                if kind == END {
                    job.after = said.after;
                }
            }
            jobs.insert(Arc::clone(&job.id), job);
        }
    }
    sound
}

fn take(rest: &mut &[u8]) -> Option<(u8, Job)> {
    let kind = byte(rest)?;
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
        history: Vec::new(),
        progress: None,
        result: None,
        error: None,
        reason: None,
        cancel_requested: false,
        parent,
        after,
        children: Vec::new(),
        ticket: 0,
        version: 0,
    };
    match kind {
        LIVE => return Some((kind, job)),
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
        job.progress = serde_json::from_slice(bytes_of(rest)?).ok();
        job.result = Some(bytes_of(rest)?).filter(|it| !it.is_empty()).map(Bytes::copy_from_slice);
        job.error = Some(text(rest)?).filter(|error| !error.is_empty()).map(Box::from);
    }
    // A final state without its time cannot be: it would be kept for ever.
    (job.state.is_final() == job.finished_at.is_some()).then_some((kind, job))
}

fn take_attempt(rest: &mut &[u8]) -> Option<Attempt> {
    let number = u32::try_from(varint(rest)?).ok()?;
    let (started, ended) = (time(rest)??, time(rest)?);
    let worker = match text(rest)?.split_at_checked(1) {
        Some(("#", number)) => Worker::Connection(ConnectionId(number.parse().ok()?)),
        Some((_, name)) => Worker::Named(Arc::from(name)),
        None => Worker::Unnamed,
    };
    Some(Attempt { number, started, ended, worker })
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
