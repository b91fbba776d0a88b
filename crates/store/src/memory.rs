//! The back-end for tests: durable means kept in memory until the last handle is gone.
//!
//! [`MemoryStore::new`] commits on a thread of its own, as the disk back-end does, so that
//! completions never run within `submit`. [`MemoryStore::stepped`] commits only when told to,
//! so that a test sees what is applied and not durable yet; [`MemoryStore::reopen`] is a
//! restart, which loses exactly that.

mod logs;

use crate::{
    Batches, Chunk, Commit, Damage, Ends, Error, LogStore, Op, Purpose, Reading, RecoveredState,
    Reservation, Reserving, Stats,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};
use logs::Durable;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tramline_types::{LogId, Offset};

/// The back-end in memory.
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    durable: Mutex<Durable>,
    /// Held from taking a commit off the queue to its completion: completions keep the order.
    committing: Mutex<()>,
    full: AtomicBool,
    /// What one commit may take, where that is bounded.
    commit_bytes_max: AtomicUsize,
    cold: AtomicBool,
    damage: Mutex<Vec<Damage>>,
}

#[derive(Default)]
struct Queue {
    commits: VecDeque<Commit>,
    /// The key-value space as submitted last.
    pairs: BTreeMap<Bytes, Bytes>,
    /// Where the next append to each log has to go, as submitted last.
    nexts: BTreeMap<LogId, Offset>,
    closed: bool,
    stats: Stats,
}

impl Queue {
    /// Keeps up with an operation that is submitted.
    ///
    /// # Panics
    /// Where an append does not follow the one before it: here, on the submitter's thread,
    /// where a test sees it.
    fn see(&mut self, op: &Op) {
        match op {
            Op::Put(key, value) => {
                self.pairs.insert(key.clone(), value.clone());
            }
            Op::Remove(key) => {
                self.pairs.remove(key);
            }
            Op::Create(log, start) => {
                self.nexts.insert(*log, *start);
            }
            Op::Delete(log) => {
                self.nexts.remove(log);
            }
            Op::Append(append) => {
                for target in &append.targets {
                    if let Some(next) = self.nexts.get_mut(&target.log) {
                        assert_eq!(target.base, *next, "an append to `{}`", target.log);
                        *next = next.plus(append.offsets.into());
                    }
                }
            }
            _ => {}
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store that commits at once, on a thread of its own.
    ///
    /// # Panics
    /// If the system has no thread to give.
    pub fn new() -> Self {
        Self::stepped().start()
    }

    /// An empty store that commits when [`MemoryStore::step`] is called.
    pub fn stepped() -> Self {
        Self { shared: Arc::default() }
    }

    /// What a restart finds: all that is durable in this store, with the recovered states not
    /// handed out. Stepped; see [`MemoryStore::start`].
    #[must_use]
    pub fn reopen(&self) -> Self {
        let durable = self.shared.durable.lock().reopened();
        let (pairs, nexts) = (durable.pairs.clone(), durable.nexts());
        let queue = Queue { pairs, nexts, ..Queue::default() };
        let shared =
            Shared { queue: Mutex::new(queue), durable: Mutex::new(durable), ..Shared::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Goes on to commit at once, on a thread of its own.
    ///
    /// # Panics
    /// If the system has no thread to give.
    #[must_use]
    pub fn start(self) -> Self {
        let shared = Arc::clone(&self.shared);
        std::thread::Builder::new()
            .name("memory-committer".to_owned())
            .spawn(move || shared.run())
            .expect("a test's machine has a thread to give");
        self
    }

    /// Makes the oldest pending commit durable and calls its completion; false when there is
    /// none.
    pub fn step(&self) -> bool {
        self.shared.commit_one()
    }

    /// Makes everything pending durable.
    pub fn step_all(&self) {
        while self.step() {}
    }

    /// From now on a commit may take so many bytes at most, as a file of the disk bounds it.
    pub fn set_commit_bytes_max(&self, bytes: usize) {
        self.shared.commit_bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// From now on refuses space to publishers, or gives it again.
    pub fn set_full(&self, full: bool) {
        self.shared.full.store(full, Ordering::Relaxed);
    }

    /// From now on reports this as damaged; it is not.
    pub fn set_damage(&self, damage: Vec<Damage>) {
        *self.shared.damage.lock() = damage;
    }

    /// From now on answers reads as if they had to go to a disk, or does no longer.
    pub fn set_cold(&self, cold: bool) {
        self.shared.cold.store(cold, Ordering::Relaxed);
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.arrived.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            {
                let mut queue = self.queue.lock();
                while queue.commits.is_empty() && !queue.closed {
                    self.arrived.wait(&mut queue);
                }
                if queue.commits.is_empty() {
                    return;
                }
            }
            while self.commit_one() {}
        }
    }

    fn commit_one(&self) -> bool {
        let _order = self.committing.lock();
        let Some(commit) = self.queue.lock().commits.pop_front() else { return false };
        let bytes = commit.ops.iter().map(stored_bytes).sum::<usize>() as u64;
        {
            let mut durable = self.durable.lock();
            commit.ops.into_iter().for_each(|op| durable.apply(op));
        }
        {
            let mut queue = self.queue.lock();
            queue.stats.commits += 1;
            queue.stats.groups += 1;
            queue.stats.bytes_committed += bytes;
        }
        (commit.on_durable)();
        true
    }
}

/// What one operation stores, without overhead.
fn stored_bytes(op: &Op) -> usize {
    match op {
        Op::Append(append) => append.batch.len(),
        Op::Replace(_, _, appends) => appends.iter().map(|append| append.batch.len()).sum(),
        Op::Delta(_, bytes) | Op::Checkpoint(_, bytes) => bytes.len(),
        Op::Put(key, value) => key.len() + value.len(),
        Op::Remove(key) => key.len(),
        Op::Create(..) | Op::Trim(..) | Op::Discard(..) | Op::Delete(_) => 0,
    }
}

impl LogStore for MemoryStore {
    fn reserve(&self, purpose: Purpose, bytes: usize, _ops: usize) -> Reserving {
        let limit = self.shared.commit_bytes_max.load(Ordering::Relaxed);
        if limit > 0 && bytes > limit {
            Reserving::Refused(Error::TooLarge { bytes, limit })
        } else if self.shared.queue.lock().closed {
            Reserving::Refused(Error::Closed)
        } else if purpose == Purpose::Publish && self.shared.full.load(Ordering::Relaxed) {
            Reserving::Refused(Error::Full { free_bytes: 0 })
        } else {
            Reserving::Ready(Reservation::unbounded())
        }
    }

    fn submit(&self, commit: Commit, reservation: Reservation) {
        let _bytes = reservation.take();
        let mut queue = self.shared.queue.lock();
        commit.ops.iter().for_each(|op| queue.see(op));
        queue.commits.push_back(commit);
        self.shared.arrived.notify_all();
    }

    fn read(&self, log: LogId, from: Offset, bytes_max: usize) -> Reading {
        let result: Result<Batches, Error> = self.shared.durable.lock().read(log, from, bytes_max);
        if self.shared.cold.load(Ordering::Relaxed) {
            Reading::Pending(Box::pin(ready(result)))
        } else {
            Reading::Ready(result)
        }
    }

    fn ends(&self, log: LogId) -> Result<Ends, Error> {
        self.shared.durable.lock().ends(log)
    }

    fn chunks(&self, log: LogId, from: Offset) -> BoxFuture<'static, Result<Vec<Chunk>, Error>> {
        Box::pin(ready(self.shared.durable.lock().chunks(log, from)))
    }

    fn usage(&self, log: LogId) -> Result<u64, Error> {
        self.shared.durable.lock().usage(log)
    }

    fn take_state(&self, log: LogId) -> Result<RecoveredState, Error> {
        self.shared.durable.lock().take_state(log)
    }

    fn has_lost(&self, log: LogId) -> Result<bool, Error> {
        self.ends(log)?;
        Ok(self.damage().iter().any(|damage| damage.log == Some(log)))
    }

    fn logs(&self) -> Vec<LogId> {
        self.shared.durable.lock().ids()
    }

    fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.shared.queue.lock().pairs.get(key).cloned()
    }

    fn scan(&self, prefix: &[u8]) -> Vec<(Bytes, Bytes)> {
        let queue = self.shared.queue.lock();
        let from = queue.pairs.range(Bytes::copy_from_slice(prefix)..);
        from.take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn stats(&self) -> Stats {
        let mut stats = self.shared.queue.lock().stats.clone();
        stats.full = self.shared.full.load(Ordering::Relaxed);
        stats
    }

    fn damage(&self) -> Vec<Damage> {
        self.shared.damage.lock().clone()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.shared.queue.lock().closed = true;
        self.step_all();
        self.shared.arrived.notify_all();
        Box::pin(ready(()))
    }
}
