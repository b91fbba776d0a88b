//! Random commits that are valid where a model stands.

use crate::{
    batches::{append, at, batch},
    model::{Model, ModelLog},
};
use bytes::Bytes;
use tramline_store::{Op, Target, fs::sim::Random};
use tramline_types::LogId;

/// The pair that tells how many commits a store holds.
pub(crate) const COUNT: &[u8] = b"count";

/// Makes commits and remembers what they lead to.
pub(crate) struct Workload {
    pub(crate) model: Model,
    /// Before the last commit.
    before: Model,
    next_log: u64,
    next_batch: u64,
    /// The payload of a batch that goes to its own segment.
    large: usize,
}

impl Workload {
    pub(crate) fn new(large: usize) -> Self {
        Self {
            model: Model::default(),
            before: Model::default(),
            next_log: 1,
            next_batch: 1,
            large,
        }
    }

    /// After a restart: what the store holds; ids go on.
    pub(crate) fn resume(&mut self, model: Model) {
        self.model = model;
    }

    /// The next commit; the pair [`COUNT`] holds its number.
    pub(crate) fn commit(&mut self, number: u64, random: &mut Random) -> Vec<Op> {
        self.before = self.model.clone();
        let mut ops = Vec::new();
        for _ in 0..=random.below(3) {
            if let Some(op) = self.op(random) {
                self.model.apply(&op);
                ops.push(op);
            }
        }
        let count = Op::Put(Bytes::from_static(COUNT), number.to_be_bytes().to_vec().into());
        self.model.apply(&count);
        ops.push(count);
        ops
    }

    /// Forgets the last commit: the store did not take it.
    pub(crate) fn undo(&mut self) {
        self.model = std::mem::take(&mut self.before);
    }

    fn op(&mut self, random: &mut Random) -> Option<Op> {
        if self.model.logs.len() < 2 || (self.model.logs.len() < 6 && random.one_in(20)) {
            let log = LogId(self.next_log);
            self.next_log += 1;
            let start = if random.one_in(2) { 0 } else { random.below(1000) };
            return Some(Op::Create(log, at(start)));
        }
        let id = self.pick(random);
        let log = &self.model.logs[&id];
        Some(match random.below(40) {
            0..20 => self.append(random, 1500),
            20..24 => self.append(random, self.large),
            24..27 => Op::Delta(id, payload(random, 300)),
            27 => Op::Checkpoint(id, payload(random, 5000)),
            28..31 => Op::Trim(id, at(log.start + random.below(log.next - log.start + 1))),
            31..33 => discard(id, log, random),
            33..35 => return self.replace(id, random),
            35 => Op::Delete(id),
            36..39 => Op::Put(key(random), payload(random, 100)),
            _ => Op::Remove(key(random)),
        })
    }

    fn pick(&self, random: &mut Random) -> LogId {
        // The first one much more often than the others: it becomes the busy one.
        let index = if random.one_in(2) { 0 } else { random.index(self.model.logs.len()) };
        *self.model.logs.keys().nth(index).unwrap()
    }

    fn batch(&mut self, offsets: u32, payload: usize) -> Bytes {
        self.next_batch += 1;
        batch(
            self.next_batch,
            offsets,
            payload,
            1_000_000 + i64::try_from(self.next_batch).unwrap(),
        )
    }

    fn append(&mut self, random: &mut Random, payload: usize) -> Op {
        let payload = payload / 2 + random.index(payload);
        let offsets = u32::try_from(1 + random.below(5)).unwrap();
        let batch = self.batch(offsets, payload);
        let mut logs = vec![self.pick(random)];
        if random.one_in(4) {
            logs.push(self.pick(random));
            logs.push(self.pick(random));
            logs.sort();
            logs.dedup();
        }
        let targets = logs.into_iter().map(|log| Target {
            log,
            base: at(self.model.logs[&log].next),
            leader_epoch: i32::try_from(random.below(4)).unwrap(),
        });
        Op::Append(append(&targets.collect::<Vec<_>>(), &batch, offsets))
    }

    /// Puts up to two batches in place of a run of whole ones.
    fn replace(&mut self, id: LogId, random: &mut Random) -> Option<Op> {
        let log = &self.model.logs[&id];
        let whole: Vec<(u64, u64)> = log
            .batches
            .iter()
            .filter(|(base, _)| **base >= log.start)
            .map(|(base, (next, _))| (*base, *next))
            .collect();
        if whole.is_empty() {
            return None;
        }
        let first = random.index(whole.len());
        let last = (first + random.index(5)).min(whole.len() - 1);
        let (start, end) = (whole[first].0, whole[last].1);
        let mut appends = Vec::new();
        let mut base = start + random.below(end - start);
        for _ in 0..random.below(3) {
            let offsets = 1 + random.below(3);
            if base + offsets > end {
                break;
            }
            let size = if random.one_in(8) { self.large } else { 40 + random.index(900) };
            let batch = self.batch(u32::try_from(offsets).unwrap(), size);
            let target = Target { log: id, base: at(base), leader_epoch: 9 };
            appends.push(append(&[target], &batch, u32::try_from(offsets).unwrap()));
            base += offsets + random.below(3);
        }
        Some(Op::Replace(id, at(start)..at(end), appends))
    }
}

fn discard(id: LogId, log: &ModelLog, random: &mut Random) -> Op {
    let mut ranges = Vec::new();
    let mut from = log.start;
    for _ in 0..=random.below(3) {
        from += random.below(6);
        let to = (from + 1 + random.below(6)).min(log.next);
        if from < to {
            ranges.push(at(from)..at(to));
        }
        from = to.max(from) + 1;
    }
    Op::Discard(id, ranges)
}

fn payload(random: &mut Random, max: usize) -> Bytes {
    let byte = u8::try_from(random.below(256)).unwrap();
    vec![byte; random.index(max)].into()
}

fn key(random: &mut Random) -> Bytes {
    format!("key {}", random.below(10)).into()
}
