//! One partition and its owner.
//!
//! The owner is a short lock around [`State`]: whoever has a batch enters it for one pure step
//! and submits the commit before leaving, so that offsets and commits have the same order. It
//! never waits for durability: the committer calls back, moves the high watermark and wakes
//! whoever waits.

mod early;
mod together;

pub use together::{Around, Bases, Ending, Together, append_together};

use crate::{
    Admitted, CompactionRules, CompactionStatus, Error, ProducerDescription, Retention, Watcher,
    admission, compaction,
    state::{State, Step},
    watch::Watchers,
};
use bytes::Bytes;
use early::Early;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use smallvec::smallvec;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tramline_record::{Batch, Codec};
use tramline_store::{Append, Batches, Commit, Completion, LogStore, Op, Reservation, Target};
use tramline_types::{LogId, Offset, Times, Timestamp};

/// Whose time a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampRule {
    /// The producer's, within these bounds around the broker's, in milliseconds.
    Create {
        /// How far back at most.
        before_max_ms: i64,
        /// How far ahead at most.
        after_max_ms: i64,
    },
    /// The broker's at append.
    LogAppend,
}

/// When an append is acknowledged and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is synced.
    Sync,
    /// When it has its offset: a crash loses the last moments, which may have been read.
    Memory,
}

/// The topic settings that a partition goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionSettings {
    /// The largest batch, in bytes.
    pub message_bytes_max: usize,
    /// Whose time a record carries.
    pub timestamps: TimestampRule,
    /// What may be dropped from the front.
    pub retention: Retention,
    /// What of each key may be dropped anywhere; `None` keeps everything.
    pub compaction: Option<CompactionRules>,
    /// How records are stored; `None` as they came.
    pub compression: Option<Codec>,
    /// When an append is acknowledged.
    pub durability: Durability,
}

/// An accepted batch; not durable until its completion is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first record's offset.
    pub base: Offset,
    /// The broker's time, where the topic uses it.
    pub log_append_time: Option<Timestamp>,
    /// Whether the batch was there already: `base` is the original's.
    pub duplicate: bool,
}

/// An answer to [`Partition::read`].
pub enum Reading {
    /// From memory.
    Ready(Result<Batches, Error>),
    /// From the disk or further away.
    Pending(BoxFuture<'static, Result<Batches, Error>>),
}

/// One partition.
pub struct Partition {
    log: LogId,
    store: Arc<dyn LogStore>,
    state: Mutex<State>,
    durable: Mutex<Durable>,
    compaction: Mutex<CompactionStatus>,
    high_watermark: AtomicU64,
    durable_end: AtomicU64,
    log_start: AtomicU64,
    /// Where every append goes as well: the topic's one log in total order.
    ordered: Option<Arc<Self>>,
}

/// Who waits for the durable end.
#[derive(Default)]
struct Durable {
    watchers: Watchers,
    duplicates: Vec<(Offset, Completion)>,
    /// What is shown already.
    early: Early,
}

impl Partition {
    /// Takes up a log that exists, with the producers' state as stored.
    pub fn open(
        store: Arc<dyn LogStore>,
        log: LogId,
        leader_epoch: i32,
        settings: PartitionSettings,
    ) -> Result<Self, Error> {
        let ends = store.ends(log)?;
        let recovered = store.take_state(log)?;
        let mut state = State::new(ends.next, leader_epoch, settings);
        state.replay(recovered.checkpoint.as_deref(), &recovered.deltas);
        Ok(Self::with_state(store, log, ends.start, state))
    }

    /// A partition over a log whose [`Op::Create`] at offset 0 is submitted with or before the
    /// first append.
    pub fn create(
        store: Arc<dyn LogStore>,
        log: LogId,
        leader_epoch: i32,
        settings: PartitionSettings,
    ) -> Self {
        Self::with_state(store, log, Offset::ZERO, State::new(Offset::ZERO, leader_epoch, settings))
    }

    fn with_state(store: Arc<dyn LogStore>, log: LogId, start: Offset, state: State) -> Self {
        Self {
            log,
            compaction: Mutex::new(compaction::decode(store.get(&compaction::key(log)).as_deref())),
            store,
            high_watermark: AtomicU64::new(state.next.get()),
            durable_end: AtomicU64::new(state.next.get()),
            log_start: AtomicU64::new(start.get()),
            state: Mutex::new(state),
            durable: Mutex::default(),
            ordered: None,
        }
    }

    /// The partition of a topic in total order: every append goes to `ordered` in the same commit.
    #[must_use]
    pub fn ordered_by(self, ordered: Arc<Self>) -> Self {
        debug_assert!(ordered.ordered.is_none(), "an ordered log follows partitions only");
        Self { ordered: Some(ordered), ..self }
    }

    /// Where commits were lost to damage, a producer with an id below this, which may have sent
    /// one of them, is refused once instead of having a retry stored a second time in silence.
    pub fn doubt_producers(&self, below: i64) {
        self.state.lock().doubt_producers(below);
    }

    /// The log that it is stored in.
    pub const fn log(&self) -> LogId {
        self.log
    }

    /// The epoch that its records carry.
    pub fn leader_epoch(&self) -> i32 {
        self.state.lock().leader_epoch
    }

    /// The first offset that may be read.
    pub fn log_start(&self) -> Offset {
        Offset::new(self.log_start.load(Ordering::Acquire)).unwrap_or(Offset::MAX)
    }

    /// Nothing at or above it is shown to anybody: the durable end, or, with
    /// [`Durability::Memory`], the end.
    pub fn high_watermark(&self) -> Offset {
        Offset::new(self.high_watermark.load(Ordering::Acquire)).unwrap_or(Offset::MAX)
    }

    /// Everything below it is durable.
    pub fn durable_end(&self) -> Offset {
        Offset::new(self.durable_end.load(Ordering::Acquire)).unwrap_or(Offset::MAX)
    }

    /// The settings in force.
    pub fn settings(&self) -> PartitionSettings {
        self.state.lock().settings
    }

    /// Changes the settings for what comes from here on.
    pub fn set_settings(&self, settings: PartitionSettings) {
        self.state.lock().settings = settings;
    }

    /// Refuses appends from here on: its topic is about to be deleted. Whoever waits is woken.
    pub fn close(&self) {
        self.state.lock().deleted = true;
        self.wake();
    }

    /// Takes [`Partition::close`] back: the deletion was refused.
    pub fn reopen(&self) {
        self.state.lock().deleted = false;
    }

    /// Stored bytes.
    pub fn bytes(&self) -> Result<u64, Error> {
        Ok(self.store.usage(self.log)?)
    }

    /// What the settings in force make of a batch: the first half of an append, without a lock.
    pub fn admit(&self, batch: Batch, times: Times) -> Result<Admitted, Error> {
        admission::admit(batch, &self.settings(), times)
    }

    /// Gives a batch its offsets and submits it. `done` is called when it, or the original that
    /// it repeats, is acknowledged by the durability in force; not at all when this refuses.
    pub fn append(
        self: &Arc<Self>,
        admitted: Admitted,
        reservation: Reservation,
        done: Completion,
    ) -> Result<Appended, Error> {
        let Admitted { batch, log_append_time, times } = admitted;
        // Retention goes by it: records without a time of their own age from now on.
        let newest = Some(batch.header().newest_timestamp()).filter(|newest| *newest >= 0);
        let max_timestamp = newest.map_or(times.wall, Timestamp::from_millis);
        let mut state = self.state.lock();
        let durability = state.settings.durability;
        match state.handle_append(batch.header(), times.earliest)? {
            Step::Append { base, delta } => {
                let next = state.next;
                let target = Target { log: self.log, base, leader_epoch: state.leader_epoch };
                let append = append_of(&batch, target, next, max_timestamp);
                let (early, late) = match durability {
                    Durability::Sync => (None, done),
                    Durability::Memory => (Some(done), Box::new(|| ()) as Completion),
                };
                if early.is_some() {
                    let bytes = append.batch.clone();
                    self.durable.lock().early.push(target, next, bytes);
                }
                self.submit((append, delta), (next, late), reservation);
                drop(state);
                if let Some(done) = early {
                    self.shown(next);
                    self.wake();
                    done();
                }
                Ok(Appended { base, log_append_time, duplicate: false })
            }
            Step::Duplicate { base, next } => {
                drop(state);
                match durability {
                    Durability::Sync => self.when_durable(next, done),
                    Durability::Memory => done(),
                }
                Ok(Appended { base, log_append_time, duplicate: true })
            }
        }
    }

    /// Submits an append, into the ordered log as well where there is one. Called under this
    /// partition's lock; the ordered log's is taken inside it, always in this order, so that its
    /// offsets have the order of the commits.
    fn submit(
        self: &Arc<Self>,
        (mut append, delta): (Append, Option<Vec<u8>>),
        (next, done): (Offset, Completion),
        reservation: Reservation,
    ) {
        let Some(ordered) = &self.ordered else {
            let commit = self.commit(append, delta, (next, done));
            return self.store.submit(commit, reservation);
        };
        let mut follower = ordered.state.lock();
        let (target, ordered_next) = follower.handle_follow(ordered.log, append.offsets);
        append.targets.push(target);
        let of_commit = Self::clone_handle(ordered);
        let done = Box::new(move || {
            of_commit.durable_up_to(ordered_next);
            done();
        });
        self.store.submit(self.commit(append, delta, (next, done)), reservation);
    }

    fn commit(
        self: &Arc<Self>,
        append: Append,
        delta: Option<Vec<u8>>,
        (next, done): (Offset, Completion),
    ) -> Commit {
        let partition = Self::clone_handle(self);
        let mut ops = smallvec![Op::Append(append)];
        if let Some(delta) = delta {
            ops.push(Op::Delta(self.log, Bytes::from(delta)));
        }
        let on_durable = Box::new(move || {
            partition.durable_up_to(next);
            done();
        });
        Commit { ops, on_durable }
    }

    pub(crate) fn clone_handle(this: &Arc<Self>) -> Arc<Self> {
        Arc::clone(this)
    }

    fn when_durable(&self, next: Offset, done: Completion) {
        let mut durable = self.durable.lock();
        if self.durable_end() >= next {
            drop(durable);
            done();
        } else {
            durable.duplicates.push((next, done));
        }
    }

    /// Called by the committer, in commit order.
    fn durable_up_to(&self, next: Offset) {
        self.high_watermark.fetch_max(next.get(), Ordering::AcqRel);
        self.durable_end.fetch_max(next.get(), Ordering::AcqRel);
        let mut durable = self.durable.lock();
        durable.early.forget(next);
        let ready: Vec<_> = durable.duplicates.extract_if(.., |(at, _)| *at <= next).collect();
        drop(durable);
        self.wake();
        for (_, done) in ready {
            done();
        }
    }

    /// Tells everybody who waits for the high watermark.
    fn wake(&self) {
        let mut durable = self.durable.lock();
        let watchers =
            if durable.watchers.is_empty() { Vec::new() } else { durable.watchers.take() };
        drop(durable);
        for watcher in watchers.iter().filter_map(std::sync::Weak::upgrade) {
            watcher.moved();
        }
    }

    /// Asks to be told once when the high watermark rises above `offset`. `false` when it
    /// already is above: nobody will be told.
    pub fn watch(&self, offset: Offset, watcher: &Arc<dyn Watcher>) -> bool {
        let mut durable = self.durable.lock();
        if self.high_watermark() > offset {
            return false;
        }
        durable.watchers.add(watcher);
        true
    }

    /// Reads whole batches below the high watermark from the one that holds `offset`, at least one where there
    /// is one, up to `bytes_max`.
    pub fn read(&self, offset: i64, bytes_max: usize) -> Reading {
        let (start, (next, deleted)) = {
            let state = self.state.lock();
            (self.log_start(), (state.next, state.deleted))
        };
        if deleted {
            return Reading::Ready(Err(Error::Deleted));
        }
        let from = match Offset::from_i64(offset) {
            Some(from) if from >= start && from <= next => from,
            _ => return Reading::Ready(Err(Error::OffsetOutOfRange { offset, start, next })),
        };
        if from >= self.high_watermark() {
            return Reading::Ready(Ok(Batches { pieces: Vec::new(), next: from }));
        }
        if from >= self.durable_end()
            && let Some(early) = self.durable.lock().early.read(from, bytes_max)
        {
            return Reading::Ready(Ok(early));
        }
        match self.store.read(self.log, from, bytes_max) {
            tramline_store::Reading::Ready(read) => Reading::Ready(read.map_err(out_of_range)),
            tramline_store::Reading::Pending(read) => {
                Reading::Pending(Box::pin(async { read.await.map_err(out_of_range) }))
            }
        }
    }

    /// Raises the high watermark to `next`, below which a read has shown records: the store shows
    /// what is durable, even where its completion has yet to come. Who waits is woken by that one.
    pub fn shown(&self, next: Offset) {
        self.high_watermark.fetch_max(next.get(), Ordering::AcqRel);
    }

    pub(crate) fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// Drops everything below `to` (at most the high watermark); tells when that is durable.
    pub fn trim(self: &Arc<Self>, to: Offset, reservation: Reservation, done: Completion) {
        let to = to.min(self.high_watermark());
        let state = self.state.lock();
        if state.deleted {
            drop(state);
            return done();
        }
        let partition = Self::clone_handle(self);
        let on_durable = Box::new(move || {
            partition.log_start.fetch_max(to.get(), Ordering::AcqRel);
            done();
        });
        self.store
            .submit(Commit { ops: smallvec![Op::Trim(self.log, to)], on_durable }, reservation);
    }

    /// The idempotent producers that are remembered, by id.
    pub fn producers(&self) -> Vec<ProducerDescription> {
        self.state.lock().describe_producers()
    }

    /// How far its compaction is.
    pub fn compaction_status(&self) -> CompactionStatus {
        *self.compaction.lock()
    }

    pub(crate) fn compacted(&self, status: CompactionStatus) {
        *self.compaction.lock() = status;
    }

    /// Everything that deletes the log.
    pub fn delete_ops(&self) -> [Op; 2] {
        [Op::Delete(self.log), Op::Remove(compaction::key(self.log))]
    }

    pub(crate) fn submit_unless_deleted(&self, commit: Commit, reservation: Reservation) {
        let state = self.state.lock();
        if state.deleted {
            drop(state);
            return (commit.on_durable)();
        }
        self.store.submit(commit, reservation);
    }

    /// How many bytes a due checkpoint of the producers' state takes, if one is due: because of
    /// its length, or because somebody has sent nothing since `expired_before`.
    pub fn checkpoint_due(&self, expired_before: Option<Timestamp>) -> Option<usize> {
        self.state.lock().checkpoint_due(expired_before)
    }

    /// How many idempotent producers it remembers.
    pub fn producer_count(&self) -> usize {
        self.state.lock().producer_count()
    }

    /// Stores the producers' state, less those who have sent nothing since `expired_before`.
    pub fn checkpoint(&self, expired_before: Timestamp, reservation: Reservation) {
        let mut state = self.state.lock();
        if state.deleted {
            return;
        }
        let checkpoint = Bytes::from(state.handle_checkpoint(expired_before));
        let ops = smallvec![Op::Checkpoint(self.log, checkpoint)];
        self.store.submit(Commit { ops, on_durable: Box::new(|| ()) }, reservation);
    }
}

fn append_of(batch: &Batch, target: Target, next: Offset, max_timestamp: Timestamp) -> Append {
    Append {
        targets: smallvec![target],
        offsets: u32::try_from(next.get() - target.base.get())
            .expect("a batch's last offset delta is a positive i32"),
        max_timestamp,
        batch: batch.bytes().clone(),
    }
}

/// A trim that came in between is what the client sees as out of range.
fn out_of_range(error: tramline_store::Error) -> Error {
    match error {
        tramline_store::Error::BelowStart { from, start, .. } => {
            Error::OffsetOutOfRange { offset: from.as_i64(), start, next: from.max(start) }
        }
        error => Error::Store(error),
    }
}

#[cfg(test)]
mod tests;
