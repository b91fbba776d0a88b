//! The whole delivery state in place of all changes logged before it.
//!
//! One commit takes a small one. A large one goes, part by part, into a log of its own, and the
//! last of these commits makes that the queue's log and deletes the one before: until then the
//! queue's record names both, so that a start finishes with the one that did not come to be.

use super::{Queue, State};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use tramline_catalog::QueueRecord;
use tramline_store::{Commit, Op, Purpose, Reservation, Reserving};
use tramline_types::{LogId, Offset, Timestamp};

/// The operations of one commit, and the space for it.
type Reserved = (SmallVec<[Op; 1]>, Reservation);

/// The bytes of values in an operation.
pub(in super::super) fn value_bytes(op: &Op) -> usize {
    match op {
        Op::Put(key, value) => key.len() + value.len(),
        Op::Checkpoint(_, part) | Op::Delta(_, part) => part.len(),
        _ => 0,
    }
}

impl Queue {
    /// Stores the whole state where the changes since the last time have grown too much.
    pub(super) fn checkpoint(&self) {
        let now = self.context.now();
        let mut state = self.state.lock();
        if !self.is_gone() {
            state.checkpoint(self, now);
        }
    }

    fn put(&self, record: &QueueRecord) -> Op {
        Op::Put(QueueRecord::key(&self.name), record.encode())
    }

    fn reserved(&self, ops: SmallVec<[Op; 1]>) -> Result<Reserved, String> {
        let bytes = ops.iter().map(value_bytes).sum();
        match self.context.store.reserve(Purpose::Upkeep, bytes, ops.len()) {
            Reserving::Ready(reservation) => Ok((ops, reservation)),
            Reserving::Wait(_) => Err("the write-ahead log is full".to_owned()),
            Reserving::Refused(error) => Err(error.to_string()),
        }
    }
}

impl State {
    pub(super) fn checkpoint_due(&self) -> bool {
        self.engine.as_deref().is_some_and(tramline_queue::Engine::checkpoint_due)
            && self.log.is_some()
    }

    fn checkpoint(&mut self, queue: &Queue, now: Timestamp) {
        if !self.checkpoint_due() || !self.unsent.is_empty() {
            return;
        }
        let (Some(log), Some(engine)) = (self.log, &mut self.engine) else { return };
        let parts = engine.checkpoint(now);
        let n_bytes: usize = parts.iter().map(Bytes::len).sum();
        let (log, commits) = match <[Bytes; 1]>::try_from(parts) {
            Ok([whole]) => (log, vec![smallvec![Op::Checkpoint(log, whole)]]),
            Err(parts) => self.in_parts(queue, log, parts),
        };
        // All of the space, or nothing is written.
        let commits = commits.into_iter().map(|ops| queue.reserved(ops));
        match commits.collect::<Result<Vec<Reserved>, String>>() {
            Ok(commits) => {
                for (ops, reservation) in commits {
                    let on_durable = Box::new(|| ());
                    queue.context.store.submit(Commit { ops, on_durable }, reservation);
                }
                self.log = Some(log);
            }
            // Its changes are stored all the same; the next try comes when they have doubled.
            Err(error) => {
                let name = &queue.name;
                tracing::error!(queue = %name, n_bytes, error, "its state was not checkpointed");
            }
        }
    }

    /// At the start: deletes a log that a checkpoint was not finished in.
    pub(in super::super) fn leave_checkpoint(&self, queue: &Queue, unfinished: LogId) {
        let record = self.record(queue);
        let ops = smallvec![queue.put(&record), Op::Delete(unfinished)];
        match queue.reserved(ops) {
            Ok((ops, reservation)) => {
                let on_durable = Box::new(|| ());
                queue.context.store.submit(Commit { ops, on_durable }, reservation);
            }
            Err(error) => {
                tracing::warn!(queue = %queue.name, %error, "an unfinished checkpoint stays");
            }
        }
    }

    /// The commits that put the parts into another log, which is the queue's from then on.
    fn in_parts(
        &self,
        queue: &Queue,
        old: LogId,
        parts: Vec<Bytes>,
    ) -> (LogId, Vec<SmallVec<[Op; 1]>>) {
        let (id, bound) = queue.context.log_ids.next();
        let new = LogId(id);
        let mut record = QueueRecord { state_next: Some(id), ..self.record(queue) };
        let mut commits: Vec<SmallVec<[Op; 1]>> =
            vec![smallvec![bound, queue.put(&record), Op::Create(new, Offset::ZERO)]];
        let mut parts = parts.into_iter();
        commits[0].extend(parts.next().map(|first| Op::Checkpoint(new, first)));
        commits.extend(parts.map(|part| SmallVec::from_iter([Op::Delta(new, part)])));
        (record.state, record.state_next) = (Some(id), None);
        let last: SmallVec<[Op; 1]> = smallvec![queue.put(&record), Op::Delete(old)];
        commits.push(last);
        (new, commits)
    }
}
