//! What a step has come to: what is to be logged of it, and who is to be told.

use super::Tracker;
use crate::jobs::{job::Job, record, status::JobStatus};
use std::sync::Arc;
use tokio::sync::broadcast;
use tramline_queue::Place;

/// A piece of what is logged takes no more records from here on.
pub(super) const PIECE_BYTES: usize = 24 * 1024;
/// What a job that comes in is logged as, about.
pub(super) const LOGGED_BYTES: usize = 80;
/// What a change is logged as, about: most are not, or are part of a run.
pub(super) const END_BYTES: usize = 8;

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
    /// Ends that are in no piece yet.
    pub(super) run: Option<record::Run>,
    /// What is to be logged, about.
    pub(super) room: usize,
}

impl Applied {
    /// Where the next record goes.
    pub(super) fn piece(&mut self) -> &mut Vec<u8> {
        if let Some(run) = self.run.take() {
            run.put(self.open_piece());
        }
        self.open_piece()
    }

    fn open_piece(&mut self) -> &mut Vec<u8> {
        if self.deltas.last().is_none_or(|piece| piece.len() >= PIECE_BYTES) {
            let room = std::mem::take(&mut self.room).min(PIECE_BYTES + LOGGED_BYTES);
            self.deltas.push(Vec::with_capacity(room));
        }
        self.deltas.last_mut().expect("there is one")
    }

    pub(super) fn ended(&mut self, job: &Job) {
        let Some(end) = record::Run::of(job) else {
            record::put_end(self.piece(), job);
            return;
        };
        if !self.run.as_mut().is_some_and(|run| run.join(&end))
            && let Some(before) = self.run.replace(end)
        {
            before.put(self.open_piece());
        }
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

impl Tracker {
    /// Jobs from this number on as they are to be logged again: as many as have room, and the
    /// number to go on at; `None` at the end. Those that `waits` says so of, and one that has no
    /// room alone, are named and left out.
    pub(crate) fn relog(
        &self,
        from: u64,
        room: usize,
        waits: impl Fn(&Job) -> bool,
    ) -> (Vec<u8>, Vec<u64>, Option<u64>) {
        let (mut out, mut later) = (Vec::new(), Vec::new());
        for (number, slot) in self.by_number.range(from..u64::MAX) {
            let Some(job) = self.jobs.get(slot).filter(|job| !job.home.transient) else { continue };
            if waits(job) {
                later.push(number);
                continue;
            }
            let before = out.len();
            record::put(&mut out, job);
            if out.len() > room {
                out.truncate(before);
                if before > 0 {
                    return (out, later, Some(number));
                }
                later.push(number);
            }
        }
        (out, later, None)
    }

    /// One job, as it is to be logged again.
    pub(crate) fn relog_one(&self, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(job) = self.numbered(number).filter(|job| !job.home.transient) {
            record::put(&mut out, job);
        }
        out
    }
}
