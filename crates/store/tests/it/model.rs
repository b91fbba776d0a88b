//! What a store ought to hold: a naive model that applies commits one after another, and the
//! comparison of a real store with it.

use crate::{
    batches::{extent_of, split, stamped},
    subject::{block_on, read, read_all},
};
use bytes::Bytes;
use std::{collections::BTreeMap, ops::Range};
use tramline_store::{Append, LogStore, Op, fs::sim::Random};
use tramline_types::{LogId, Offset};

#[derive(Clone, Default)]
pub(crate) struct ModelLog {
    pub(crate) start: u64,
    pub(crate) next: u64,
    /// By base: the offset after the last, and the bytes as readers see them.
    pub(crate) batches: BTreeMap<u64, (u64, Bytes)>,
    discards: Vec<Range<u64>>,
    checkpoint: Option<Bytes>,
    deltas: Vec<Bytes>,
}

impl ModelLog {
    fn put(&mut self, append: &Append, log: LogId) {
        for target in append.targets.iter().filter(|target| target.log == log) {
            let next = target.base.get() + u64::from(append.offsets);
            let bytes = stamped(&append.batch, *target).into();
            self.batches.insert(target.base.get(), (next, bytes));
        }
    }

    /// Readers may or may not see it.
    pub(crate) fn may_be_dropped(&self, base: u64, next: u64) -> bool {
        (base..next).all(|offset| self.discards.iter().any(|range| range.contains(&offset)))
    }

    fn trim(&mut self, to: u64) {
        self.start = self.start.max(to.min(self.next));
        let start = self.start;
        self.batches.retain(|_, (next, _)| *next > start);
    }
}

#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(crate) logs: BTreeMap<LogId, ModelLog>,
    pub(crate) pairs: BTreeMap<Bytes, Bytes>,
}

impl Model {
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(log, start) => {
                let made =
                    ModelLog { start: start.get(), next: start.get(), ..ModelLog::default() };
                self.logs.insert(*log, made);
            }
            Op::Append(append) => {
                for target in &append.targets {
                    if let Some(log) = self.logs.get_mut(&target.log) {
                        log.put(append, target.log);
                        log.next = target.base.get() + u64::from(append.offsets);
                    }
                }
            }
            Op::Delete(log) => {
                self.logs.remove(log);
            }
            Op::Put(key, value) => {
                self.pairs.insert(key.clone(), value.clone());
            }
            Op::Remove(key) => {
                self.pairs.remove(key);
            }
            Op::Delta(id, _)
            | Op::Checkpoint(id, _)
            | Op::Trim(id, _)
            | Op::Discard(id, _)
            | Op::Replace(id, _, _) => {
                if let Some(log) = self.logs.get_mut(id) {
                    Self::change(log, *id, op);
                }
            }
        }
    }

    fn change(log: &mut ModelLog, id: LogId, op: &Op) {
        match op {
            Op::Delta(_, delta) => log.deltas.push(delta.clone()),
            Op::Checkpoint(_, checkpoint) => {
                log.checkpoint = Some(checkpoint.clone());
                log.deltas.clear();
            }
            Op::Trim(_, to) => log.trim(to.get()),
            Op::Discard(_, ranges) => {
                log.discards.extend(ranges.iter().map(|range| range.start.get()..range.end.get()));
            }
            Op::Replace(_, range, appends) => {
                let range = range.start.get()..range.end.get();
                log.batches.retain(|base, _| !range.contains(base));
                appends.iter().for_each(|append| log.put(append, id));
            }
            _ => {}
        }
    }

    /// Compares all that the store shows, its states included: they are handed out only once.
    pub(crate) fn check(&self, store: &dyn LogStore, random: &mut Random) -> Result<(), String> {
        self.check_served(store, random, "")?;
        let damage = store.damage();
        ensure(damage.is_empty(), || format!("reported as damaged: {damage:?}"))
    }

    /// The same whatever is reported as damaged, one pair left out.
    pub(crate) fn check_served(
        &self,
        store: &dyn LogStore,
        random: &mut Random,
        left_out: &str,
    ) -> Result<(), String> {
        let mut ids = store.logs();
        ids.sort();
        let expected: Vec<LogId> = self.logs.keys().copied().collect();
        ensure(ids == expected, || format!("logs {ids:?}, expected {expected:?}"))?;
        for (id, log) in &self.logs {
            log.check(*id, store, random).map_err(|wrong| format!("{id}: {wrong}"))?;
            let state = store.take_state(*id).map_err(|error| error.to_string())?;
            ensure(state.checkpoint == log.checkpoint && state.deltas == log.deltas, || {
                format!("{id}: state {state:?}, expected {:?} and {:?}", log.checkpoint, log.deltas)
            })?;
        }
        let mut pairs = store.scan(b"");
        pairs.retain(|(key, _)| key != left_out);
        let expected: Vec<(Bytes, Bytes)> =
            self.pairs.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        ensure(pairs == expected, || format!("pairs {pairs:?}, expected {expected:?}"))
    }

    /// The same without the states: at any time.
    pub(crate) fn check_reads(
        &self,
        store: &dyn LogStore,
        random: &mut Random,
    ) -> Result<(), String> {
        for (id, log) in &self.logs {
            log.check(*id, store, random).map_err(|wrong| format!("{id}: {wrong}"))?;
        }
        Ok(())
    }
}

impl ModelLog {
    fn check(&self, id: LogId, store: &dyn LogStore, random: &mut Random) -> Result<(), String> {
        let ends = store.ends(id).map_err(|error| error.to_string())?;
        ensure((ends.start.get(), ends.next.get()) == (self.start, self.next), || {
            format!("ends {ends:?}, expected {} and {}", self.start, self.next)
        })?;
        let limit = [1, 700, 20_000, usize::MAX][random.index(4)];
        self.check_from(id, store, self.start, limit)?;
        let from = self.start + random.below(self.next - self.start + 1);
        self.check_from(id, store, from, 5000)?;
        let first = read(store, id, offset(from), 1).map_err(|error| error.to_string())?;
        ensure(split(&first.pieces.concat()).len() <= 1, || format!("too much from {from}"))?;
        self.check_chunks(id, store)
    }

    fn check_from(
        &self,
        id: LogId,
        store: &dyn LogStore,
        from: u64,
        limit: usize,
    ) -> Result<(), String> {
        let all = read_all(store, id, offset(from), limit).map_err(|error| error.to_string())?;
        let mut expected = self.batches.iter().filter(|(_, (next, _))| *next > from);
        for seen in split(&all) {
            loop {
                let Some((base, (next, bytes))) = expected.next() else {
                    return Err(format!("from {from}: {:?} is too much", extent_of(seen)));
                };
                if bytes == seen {
                    break;
                }
                ensure(self.may_be_dropped(*base, *next), || {
                    format!("from {from}: {:?} where {base}..{next} is", extent_of(seen))
                })?;
            }
        }
        for (base, (next, _)) in expected {
            ensure(self.may_be_dropped(*base, *next), || {
                format!("from {from} by {limit}: {base}..{next} is missing")
            })?;
        }
        Ok(())
    }

    fn check_chunks(&self, id: LogId, store: &dyn LogStore) -> Result<(), String> {
        let chunks = block_on(store.chunks(id, offset(self.start)))
            .map_err(|error| format!("chunks: {error}"))?;
        ensure(chunks.is_sorted_by(|one, other| one.next <= other.base), || {
            format!("chunks out of order: {chunks:?}")
        })?;
        for (base, (next, bytes)) in &self.batches {
            let time = i64::from_be_bytes(bytes[35..43].try_into().unwrap());
            let is_covered = chunks.iter().any(|chunk| {
                chunk.base.get() <= *base
                    && *next <= chunk.next.get()
                    && chunk.max_timestamp.as_millis() >= time
            });
            ensure(is_covered || self.may_be_dropped(*base, *next), || {
                format!("no chunk covers {base}..{next} with its time: {chunks:?}")
            })?;
        }
        Ok(())
    }
}

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

pub(crate) fn ensure(holds: bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}
