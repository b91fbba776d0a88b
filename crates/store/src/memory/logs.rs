//! What is durable in memory: logs of stamped batches, their state, and the key-value space.

use crate::{Append, Batches, Chunk, Ends, Error, Op, RecoveredState};
use bytes::Bytes;
use std::{collections::BTreeMap, ops::Range};
use tramline_types::{LogId, Offset, Timestamp};

#[derive(Clone)]
struct Stored {
    next: Offset,
    bytes: Bytes,
    max_timestamp: Timestamp,
}

#[derive(Clone, Default)]
struct Log {
    start: Offset,
    next: Offset,
    batches: BTreeMap<Offset, Stored>,
    state: RecoveredState,
    /// Not handed out yet.
    recovered: RecoveredState,
}

/// Everything that is durable.
#[derive(Clone, Default)]
pub(super) struct Durable {
    logs: BTreeMap<LogId, Log>,
    pub(super) pairs: BTreeMap<Bytes, Bytes>,
}

impl Durable {
    /// As the next start finds it.
    pub(super) fn reopened(&self) -> Self {
        let mut durable = self.clone();
        durable.logs.values_mut().for_each(|log| log.recovered = log.state.clone());
        durable
    }

    fn log(&self, log: LogId) -> Result<&Log, Error> {
        self.logs.get(&log).ok_or(Error::UnknownLog(log))
    }

    pub(super) fn ids(&self) -> Vec<LogId> {
        self.logs.keys().copied().collect()
    }

    pub(super) fn nexts(&self) -> BTreeMap<LogId, Offset> {
        self.logs.iter().map(|(id, log)| (*id, log.next)).collect()
    }

    pub(super) fn ends(&self, log: LogId) -> Result<Ends, Error> {
        self.log(log).map(|log| Ends { start: log.start, next: log.next })
    }

    pub(super) fn take_state(&mut self, log: LogId) -> Result<RecoveredState, Error> {
        let log = self.logs.get_mut(&log).ok_or(Error::UnknownLog(log))?;
        Ok(std::mem::take(&mut log.recovered))
    }

    pub(super) fn read(&self, id: LogId, from: Offset, bytes_max: usize) -> Result<Batches, Error> {
        let log = self.log(id)?;
        if from < log.start {
            return Err(Error::BelowStart { log: id, from, start: log.start });
        }
        let mut batches = Batches { pieces: Vec::new(), next: from };
        let mut bytes = 0;
        for (_, stored) in log.from(from) {
            bytes += stored.bytes.len();
            if bytes > bytes_max && !batches.pieces.is_empty() {
                return Ok(batches);
            }
            batches.pieces.push(stored.bytes.clone());
            batches.next = stored.next;
        }
        if batches.pieces.is_empty() && from < log.next {
            batches.next = log.next; // A gap reaches to the end.
        }
        Ok(batches)
    }

    pub(super) fn chunks(&self, log: LogId, from: Offset) -> Result<Vec<Chunk>, Error> {
        let chunks = self.log(log)?.from(from).map(|(base, stored)| Chunk {
            base,
            next: stored.next,
            bytes: stored.bytes.len() as u64,
            max_timestamp: stored.max_timestamp,
        });
        Ok(chunks.collect())
    }

    pub(super) fn usage(&self, log: LogId) -> Result<u64, Error> {
        let log = self.log(log)?;
        Ok(log.batches.values().map(|stored| stored.bytes.len() as u64).sum())
    }

    /// Does one operation. What names an unknown log is void, as a frame of one is.
    pub(super) fn apply(&mut self, op: Op) {
        match op {
            Op::Create(log, start) => {
                let made = Log { start, next: start, ..Log::default() };
                let old = self.logs.insert(log, made);
                assert!(old.is_none(), "`{log}` is created twice");
            }
            Op::Append(append) => self.append(&append),
            Op::Delta(log, delta) => self.change(log, |log| log.state.deltas.push(delta)),
            Op::Checkpoint(log, checkpoint) => self.change(log, |log| {
                log.state = RecoveredState { checkpoint: Some(checkpoint), deltas: Vec::new() };
            }),
            Op::Trim(log, to) => self.change(log, |log| log.trim(to)),
            Op::Discard(log, ranges) => self.change(log, |log| {
                log.batches.retain(|base, stored| {
                    !ranges.iter().any(|gone| gone.start <= *base && stored.next <= gone.end)
                });
            }),
            Op::Replace(log, range, appends) => self.replace(log, &range, &appends),
            Op::Delete(log) => {
                self.logs.remove(&log);
            }
            Op::Put(key, value) => {
                self.pairs.insert(key, value);
            }
            Op::Remove(key) => {
                self.pairs.remove(&key);
            }
        }
    }

    fn change(&mut self, log: LogId, change: impl FnOnce(&mut Log)) {
        if let Some(log) = self.logs.get_mut(&log) {
            change(log);
        }
    }

    fn append(&mut self, append: &Append) {
        for target in &append.targets {
            self.change(target.log, |log| {
                assert_eq!(target.base, log.next, "an append to `{}` leaves a gap", target.log);
                log.next = target.base.plus(append.offsets.into());
                log.insert(append, target.base, target.leader_epoch);
            });
        }
    }

    fn replace(&mut self, id: LogId, range: &Range<Offset>, appends: &[Append]) {
        self.change(id, |log| {
            log.batches.retain(|base, stored| *base >= range.end || stored.next <= range.start);
            for append in appends {
                for target in append.targets.iter().filter(|target| target.log == id) {
                    log.insert(append, target.base, target.leader_epoch);
                }
            }
            log.trim(log.start);
        });
    }
}

impl Log {
    /// The batches from the one that holds an offset.
    fn from(&self, from: Offset) -> impl Iterator<Item = (Offset, &Stored)> {
        let holder = self.batches.range(..=from).next_back();
        let first = holder.filter(|(_, stored)| stored.next > from).map_or(from, |(base, _)| *base);
        self.batches.range(first..).map(|(base, stored)| (*base, stored))
    }

    fn insert(&mut self, append: &Append, base: Offset, leader_epoch: i32) {
        let mut bytes = append.batch.to_vec();
        tramline_record::stamp(&mut bytes, base.as_i64(), leader_epoch);
        let next = base.plus(append.offsets.into());
        let max_timestamp = append.max_timestamp;
        self.batches.insert(base, Stored { next, bytes: bytes.into(), max_timestamp });
    }

    fn trim(&mut self, to: Offset) {
        self.start = self.start.max(to.min(self.next));
        let start = self.start;
        self.batches.retain(|_, stored| stored.next > start);
    }
}
