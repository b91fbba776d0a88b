//! The ends of jobs one behind the other, as one record: of those that went as most do.
//!
//! ```text
//! kind 4 | queue | queue name | result ttl | lane | from | n | finished | started | worker
//! ```
//! Each was done at its first attempt, these began and ended together, and nothing was said of
//! them; that they exist is logged before this.

use super::{
    super::job::{Attempt, Home, Job, JobState},
    bytes_of, put_text, put_time, put_varint, put_worker, take_worker, text, time, varint,
};
use smallvec::smallvec;
use std::sync::Arc;
use tramline_queue::Place;
use tramline_types::Timestamp;

pub(super) const KIND: u8 = 4;
/// Jobs of one record: what is damaged asks for no more.
const JOBS_MAX: u64 = 4096;

/// Some of them.
pub(crate) struct Run {
    home: Arc<Home>,
    lane: u16,
    from: u64,
    to: u64,
    finished: Timestamp,
    attempt: Attempt,
}

impl Run {
    /// The end of this one; `None` where more is to be said.
    pub(crate) fn of(job: &Job) -> Option<Self> {
        let [attempt] = job.history.as_slice() else { return None };
        let is_usual = job.is_logged
            && job.state == JobState::Done
            && (job.attempts, job.attempts_before, attempt.number) == (1, 0, 1)
            && attempt.ended == job.finished_at
            && !job.cancel_requested
            && job.reason.is_none()
            && job.details.is_none();
        let finished = job.finished_at.filter(|_| is_usual)?;
        let Place { lane, offset } = job.place;
        let (home, attempt) = (Arc::clone(&job.home), attempt.clone());
        Some(Self { home, lane, from: offset, to: offset + 1, finished, attempt })
    }

    /// Takes in the one behind; `false` where it is another.
    pub(crate) fn join(&mut self, next: &Self) -> bool {
        let follows = (next.lane, next.from) == (self.lane, self.to)
            && next.finished == self.finished
            && next.attempt == self.attempt
            && Arc::ptr_eq(&next.home, &self.home)
            && next.to - self.from <= JOBS_MAX;
        if follows {
            self.to = next.to;
        }
        follows
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.push(KIND);
        put_varint(out, self.home.id);
        put_text(out, self.home.name.as_bytes());
        put_varint(out, self.home.result_ttl_ms);
        put_varint(out, u64::from(self.lane));
        put_varint(out, self.from);
        put_varint(out, self.to - self.from);
        put_time(out, Some(self.finished));
        put_time(out, Some(self.attempt.started));
        put_worker(out, &self.attempt.worker);
    }

    /// Behind the kind.
    pub(super) fn take(rest: &mut &[u8]) -> Option<Self> {
        let id = varint(rest)?;
        let name = text(rest)?.to_owned();
        let home = Home { id, name, transient: false, result_ttl_ms: varint(rest)? };
        let lane = u16::try_from(varint(rest)?).ok()?;
        let (from, n) = (varint(rest)?, varint(rest)?);
        let to = from.checked_add(n).filter(|_| n <= JOBS_MAX)?;
        let (finished, started) = (time(rest)??, time(rest)??);
        let worker = take_worker(bytes_of(rest)?)?;
        let attempt = Attempt { number: 1, started, ended: Some(finished), worker };
        Some(Self { home: Arc::new(home), lane, from, to, finished, attempt })
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (u64, Place)> {
        let (queue, lane) = (self.home.id, self.lane);
        (self.from..self.to).map(move |offset| (queue, Place { lane, offset }))
    }

    /// What one of them is.
    pub(super) fn end(&self, job: &mut Job) {
        job.home = Arc::clone(&self.home);
        job.state = JobState::Done;
        job.attempts = 1;
        job.finished_at = Some(self.finished);
        job.history = smallvec![self.attempt.clone()];
    }
}
