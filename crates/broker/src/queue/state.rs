//! What a queue's lock holds: the engine, its logs, and what has yet to be committed.

mod checkpoint;

pub(super) use checkpoint::value_bytes;

use super::{
    Queue,
    context::{Context, LOG_SETTINGS},
    future::Outstanding,
    kept::Marks,
};
use crate::{
    EnqueueError, Error,
    jobs::{Following, Ticket},
};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tramline_catalog::{Overflow, QueueDurability, QueueRecord, QueueSettings, TopicRecord};
use tramline_log::{Partition, Watcher};
use tramline_queue::{Engine, Load, Rules};
use tramline_store::{Commit, Op, Purpose, Reserving};
use tramline_types::{LogId, Offset, Timestamp};

/// Settled messages are trimmed off a log in steps of so many.
const TRIM_STEP: u64 = 1024;
/// What the messages of one queue may take in memory where they are in a log as well.
const WINDOW_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a queue's lock holds.
#[derive(Default)]
pub(super) struct State {
    /// Made with the first message or the first wish for one.
    pub(super) engine: Option<Box<Engine>>,
    pub(super) lanes: SmallVec<[LaneLog; 1]>,
    pub(super) log: Option<LogId>,
    /// The earliest time that the timer knows of.
    pub(super) timer_at: Option<Timestamp>,
    /// A read from the disk is under way.
    pub(super) loading: bool,
    /// The queue is among those that have dead messages to move, or its turn is under way.
    pub(super) transferring: bool,
    /// The last read from the disk failed; it is tried again.
    pub(super) failing: bool,
    /// Changes that found no space on the disk, in order.
    unsent: VecDeque<Unsent>,
    unsent_bytes: usize,
    /// The timer is to try again to send them.
    retrying: bool,
    /// Where messages are followed one by one.
    pub(super) following: Option<Box<Following>>,
}

/// A change that found no space, or who waits for the ones before it.
struct Unsent {
    log: LogId,
    delta: Bytes,
    waiter: Option<Arc<Outstanding>>,
    ticket: Option<Ticket>,
}

/// One commit takes so much of changes that found no space.
const SEND_BYTES: usize = 1024 * 1024;
/// With so much of changes that found no space nothing more is delivered.
const UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// Until what found no space is tried again.
const SEND_RETRY_MS: i64 = 250;

/// One lane's log.
pub(super) struct LaneLog {
    pub(super) level: u16,
    pub(super) partition: Arc<Partition>,
    watch: Arc<LaneWatch>,
    trimmed: u64,
    kept: Marks,
    /// The end that it had when it was opened.
    pub(super) opened_at: u64,
}

/// Wakes a queue's consumers when a lane's high watermark moves.
struct LaneWatch {
    queue: Weak<Queue>,
    partition: Weak<Partition>,
    armed: AtomicBool,
    from: std::sync::atomic::AtomicU64,
}

impl Watcher for LaneWatch {
    fn moved(&self) {
        self.armed.store(false, Ordering::Release);
        let (Some(queue), Some(partition)) = (self.queue.upgrade(), self.partition.upgrade())
        else {
            return;
        };
        let from = self.from.load(Ordering::Acquire);
        // One that only closed wakes as well, so that its consumers learn of it.
        queue.wake(partition.high_watermark().get().saturating_sub(from).max(1));
    }
}

impl State {
    /// Takes in how far the logs are durable.
    pub(super) fn sync_ends(&mut self) {
        if let Some(engine) = &mut self.engine {
            for lane in &self.lanes {
                engine.set_end(lane.level, lane.partition.high_watermark().get());
                if engine.rules().equal_lanes {
                    engine.set_start(lane.level, lane.partition.log_start().get());
                }
            }
        }
    }

    /// The engine, made if need be.
    pub(super) fn engine(&mut self, queue: &Queue) -> &mut Engine {
        self.engine.get_or_insert_with(|| {
            let mut engine = Engine::new(rules(&queue.settings()), queue.context.epoch());
            engine.skip_sequences(queue.context.sequences_skipped());
            Box::new(engine)
        })
    }

    /// Has the consumers woken when a lane's log grows; `false` when one has grown already.
    pub(super) fn watch(&self) -> bool {
        let Some(engine) = &self.engine else { return true };
        let mut same = true;
        for lane in &self.lanes {
            let seen = engine.end(lane.level);
            if lane.watch.armed.swap(true, Ordering::AcqRel) {
                same &= lane.partition.high_watermark().get() <= seen;
                continue;
            }
            lane.watch.from.store(seen, Ordering::Release);
            let watcher: Arc<dyn Watcher> = Arc::<LaneWatch>::clone(&lane.watch);
            let seen = Offset::new(seen).unwrap_or(Offset::MAX);
            if !lane.partition.watch(seen, &watcher) {
                lane.watch.armed.store(false, Ordering::Release);
                same = false;
            }
        }
        same
    }

    pub(super) fn add_lane(&mut self, queue: &Queue, level: u16, partition: Arc<Partition>) {
        self.open_lane(queue, level, partition);
        // Somebody may have been hungry before there was a log.
        self.watch();
    }

    pub(super) fn open_lane(&mut self, queue: &Queue, level: u16, partition: Arc<Partition>) {
        let watch = LaneWatch {
            queue: Weak::clone(&queue.me),
            partition: Arc::downgrade(&partition),
            armed: AtomicBool::new(false),
            from: std::sync::atomic::AtomicU64::new(0),
        };
        let (start, next) = (partition.log_start().get(), partition.high_watermark().get());
        let engine = self.engine(queue);
        if !engine.has_lane(level) {
            engine.open_lane(level, start, next);
        }
        let watch = Arc::new(watch);
        let (kept, trimmed, opened_at) = (Marks::default(), start, next);
        self.lanes.push(LaneLog { level, partition, watch, trimmed, kept, opened_at });
    }

    /// What is to be read before it is asked for, unless something is being read.
    pub(super) fn load_ahead(&mut self) -> Option<Load> {
        let engine = self.engine.as_deref().filter(|_| !self.loading)?;
        let load = engine.poll_ahead();
        self.loading = load.is_some();
        load
    }

    pub(super) fn partition(&self, level: u16) -> Option<&Arc<Partition>> {
        self.lanes.iter().find(|lane| lane.level == level).map(|lane| &lane.partition)
    }

    /// The log of a level; made, with that of the delivery state, at the first use.
    pub(super) fn lane_log(
        &mut self,
        queue: &Queue,
        level: u16,
    ) -> Result<Arc<Partition>, EnqueueError> {
        if let Some(partition) = self.partition(level) {
            return Ok(Arc::clone(partition));
        }
        let context = &queue.context;
        let (id, bound) = context.log_ids.next();
        let mut ops: SmallVec<[Op; 1]> = smallvec![bound, Op::Create(LogId(id), Offset::ZERO)];
        let mut record = self.record(queue);
        record.lanes.push((level, id));
        if record.state.is_none() {
            let (state, bound) = context.log_ids.next();
            ops.extend([bound, Op::Create(LogId(state), Offset::ZERO)]);
            record.state = Some(state);
        }
        let log = record.state.map(LogId);
        let record = record.encode();
        let bytes = record.len() + queue.name.as_str().len();
        ops.push(Op::Put(QueueRecord::key(&queue.name), record));
        let reservation = match context.store.reserve(Purpose::Upkeep, bytes, ops.len()) {
            Reserving::Ready(reservation) => reservation,
            Reserving::Wait(_) => return Err(EnqueueError::StorageFull),
            Reserving::Refused(error) => return Err(EnqueueError::from(Error::from(error))),
        };
        let store = Arc::clone(&context.store);
        let partition = Partition::create(store, LogId(id), context.leader_epoch, LOG_SETTINGS);
        let partition = Arc::new(partition);
        context.store.submit(Commit { ops, on_durable: Box::new(|| ()) }, reservation);
        // Not before: without space nothing is made.
        self.log = log;
        self.add_lane(queue, level, Arc::clone(&partition));
        Ok(partition)
    }

    pub(super) fn record(&self, queue: &Queue) -> QueueRecord {
        let own: &[LaneLog] = if queue.is_subscription() { &[] } else { &self.lanes };
        QueueRecord {
            id: queue.id,
            created_ms: queue.created.as_millis(),
            lanes: own.iter().map(|lane| (lane.level, lane.partition.log().0)).collect(),
            topic_id: queue.source.map(TopicRecord::format_id),
            state: self.log.map(|log| log.0),
            state_next: None,
            settings: (*queue.settings()).clone(),
        }
    }

    /// What changed, as operations for a commit that the caller submits under this lock.
    pub(super) fn take_ops(
        &mut self,
        context: &Context,
        (now, ticket): (Timestamp, Option<&Ticket>),
    ) -> SmallVec<[Op; 2]> {
        let mut ops = SmallVec::new();
        let noted = ticket.and_then(|ticket| self.note_jobs(context, (now, ticket)));
        let Some(log) = self.log else { return ops };
        if !self.unsent.is_empty() {
            self.send(context);
            // What finds no space even so goes along, for the order: the commit is larger than
            // what was set aside for it, by at most `UNSENT_BYTES_MAX` and one step.
            ops.extend(
                self.unsent
                    .iter_mut()
                    .map(|unsent| (unsent.log, std::mem::take(&mut unsent.delta)))
                    .filter(|(_, delta)| !delta.is_empty())
                    .map(|(log, delta)| Op::Delta(log, delta)),
            );
            self.unsent_bytes = 0;
            self.unsent.retain(|unsent| unsent.waiter.is_some() || unsent.ticket.is_some());
        }
        if let Some(engine) = &mut self.engine {
            ops.extend(
                std::iter::from_fn(|| engine.take_delta(now)).map(|delta| Op::Delta(log, delta)),
            );
        }
        ops.extend(each(noted).map(|(log, delta)| Op::Delta(log, delta)));
        ops
    }

    /// Submits what changed. `waiter` is told when that is durable.
    pub(super) fn submit(
        &mut self,
        context: &Context,
        now: Timestamp,
        waiter: Option<&Arc<Outstanding>>,
    ) {
        let ticket = self.following.is_some().then(|| context.jobs.ticket());
        let noted = ticket.as_ref().and_then(|ticket| self.note_jobs(context, (now, ticket)));
        let (Some(log), Some(engine)) = (self.log, &mut self.engine) else {
            if let Some(waiter) = waiter {
                waiter.done();
            }
            return;
        };
        let own = std::iter::from_fn(|| engine.take_delta(now)).map(|delta| (log, delta));
        for (log, delta) in own.chain(each(noted)) {
            self.unsent_bytes += delta.len();
            self.unsent.push_back(Unsent { log, delta, waiter: None, ticket: None });
        }
        if let Some(ticket) = ticket
            && let Some(last) = self.unsent.back_mut()
        {
            if last.ticket.is_none() {
                last.ticket = Some(ticket);
            } else {
                let (delta, ticket) = (Bytes::new(), Some(ticket));
                self.unsent.push_back(Unsent { log, delta, waiter: None, ticket });
            }
        }
        if let Some(waiter) = waiter {
            let waiting = Some(Arc::clone(waiter));
            match self.unsent.back_mut() {
                Some(last) if last.waiter.is_none() => last.waiter = waiting,
                // Also where nothing changed: what did before may not be durable yet, such as the
                // end of a delivery that is settled a second time.
                _ => {
                    let delta = Bytes::new();
                    self.unsent.push_back(Unsent { log, delta, waiter: waiting, ticket: None });
                }
            }
        }
        if !self.unsent.is_empty() {
            self.send(context);
        }
    }

    /// Commits what is said beside the engine's own changes, behind those before it.
    pub(super) fn also(&mut self, context: &Context, said: (LogId, Bytes, Ticket)) {
        let (log, delta, ticket) = said;
        self.unsent_bytes += delta.len();
        self.unsent.push_back(Unsent { log, delta, waiter: None, ticket: Some(ticket) });
        self.send(context);
    }

    fn send(&mut self, context: &Context) {
        while !self.unsent.is_empty() {
            let (mut bytes, mut n) = (0, 0);
            for Unsent { delta, .. } in &self.unsent {
                if n > 0 && bytes + delta.len() > SEND_BYTES {
                    break;
                }
                bytes += delta.len();
                n += 1;
            }
            let Reserving::Ready(reservation) = context.store.reserve(Purpose::Upkeep, bytes, n)
            else {
                return;
            };
            let (mut ops, mut waiters) = (SmallVec::new(), SmallVec::<[_; 1]>::new());
            let mut tickets = SmallVec::<[_; 1]>::new();
            for Unsent { log, delta, waiter, ticket } in self.unsent.drain(..n) {
                if !delta.is_empty() {
                    ops.push(Op::Delta(log, delta));
                }
                waiters.extend(waiter);
                tickets.extend(ticket);
            }
            self.unsent_bytes = self.unsent_bytes.saturating_sub(bytes);
            let is_awaited = !waiters.is_empty();
            let on_durable = Box::new(move || {
                waiters.iter().for_each(|waiter: &Arc<Outstanding>| waiter.done());
                drop(tickets);
            });
            let reservation = if is_awaited { reservation } else { reservation.behind() };
            context.store.submit(Commit { ops, on_durable }, reservation);
        }
    }

    /// Changes wait for space: nothing more is delivered before they are submitted.
    pub(super) fn is_behind(&self) -> bool {
        self.unsent_bytes >= UNSENT_BYTES_MAX
    }

    /// Tries again what found no space.
    pub(super) fn retry(&mut self, context: &Context) {
        self.retrying = false;
        self.send(context);
    }

    /// Logs whose settled messages are to be trimmed off, and where to: in steps, or when they were
    /// kept for their time, where they are.
    fn trims(
        &mut self,
        context: &Context,
        keep_ms: Option<u64>,
    ) -> SmallVec<[(Arc<Partition>, Offset); 1]> {
        let mut trims = SmallVec::new();
        let Some(engine) = &self.engine else { return trims };
        for lane in &mut self.lanes {
            let floor = engine.floor(lane.level);
            let to = match keep_ms {
                None => {
                    lane.kept.clear();
                    Some(floor).filter(|floor| *floor >= lane.trimmed + TRIM_STEP)
                }
                Some(keep) => {
                    let now = context.now();
                    lane.kept.handle_floor((floor, lane.trimmed), keep, now)
                }
            };
            if let Some(to) = to {
                lane.trimmed = to;
                trims.extend(Offset::new(to).map(|to| (Arc::clone(&lane.partition), to)));
            }
        }
        trims
    }

    /// When settled messages were kept for their time.
    fn poll_kept(&self, keep_ms: Option<u64>) -> Option<Timestamp> {
        let (engine, keep_ms) = (self.engine.as_deref()?, keep_ms?);
        let of_lane = |lane: &LaneLog| lane.kept.poll_timeout(engine.floor(lane.level), keep_ms);
        self.lanes.iter().filter_map(of_lane).min()
    }
}

fn each(noted: Option<(LogId, Vec<Bytes>)>) -> impl Iterator<Item = (LogId, Bytes)> {
    noted.into_iter().flat_map(|(log, deltas)| deltas.into_iter().map(move |delta| (log, delta)))
}

impl Queue {
    /// What is to be done after a step, once the lock is let go: trimming, timers, transfers.
    pub(super) fn after_step(self: &Arc<Self>, state: &mut State) -> AfterStep {
        let has_logs = !self.is_transient() && !self.is_subscription();
        let keep_ms = self.keep_ms();
        let trims = if has_logs { state.trims(&self.context, keep_ms) } else { SmallVec::new() };
        let kept = state.poll_kept(keep_ms);
        let Some(engine) = &state.engine else {
            return AfterStep { trims, ..AfterStep::default() };
        };
        let transfers = engine.has_transfers() && !std::mem::replace(&mut state.transferring, true);
        // A head that may be dead has to be looked at: at once, where it is not in memory.
        let now = || self.context.now();
        let head = (!state.loading).then(|| engine.poll_head()).flatten();
        // What could have been done by now is done: the rest waits for the disk, and is looked at
        // again in a moment.
        let soon = || Timestamp::from_millis(now().as_millis() + 1);
        let due = if head.is_some() { Some(now()) } else { engine.poll_timeout() };
        let due = due.into_iter().chain(kept).min();
        let due = due.map(|due| if head.is_none() && due <= now() { soon() } else { due });
        let timer = due.filter(|due| state.timer_at.is_none_or(|at| *due < at));
        if timer.is_some() {
            state.timer_at = timer;
        }
        let retry = !state.unsent.is_empty() && !std::mem::replace(&mut state.retrying, true);
        let retry = retry.then(|| Timestamp::from_millis(now().as_millis() + SEND_RETRY_MS));
        let checkpoint = state.checkpoint_due();
        AfterStep { trims, timer, retry, transfers, checkpoint }
    }

    pub(super) fn finish_step(self: &Arc<Self>, after: AfterStep) {
        for (partition, to) in after.trims {
            let reserving = self.context.store.reserve(Purpose::Upkeep, 0, 1);
            if let Reserving::Ready(reservation) = reserving {
                partition.trim(to, reservation.behind(), Box::new(|| ()));
            }
        }
        for at in after.timer.into_iter().chain(after.retry) {
            self.context.timers.set(at, self);
        }
        if after.transfers {
            self.context.transfers.push(self);
        }
        if after.checkpoint {
            self.checkpoint();
        }
    }
}

/// See [`Queue::after_step`].
#[derive(Default)]
pub(super) struct AfterStep {
    trims: SmallVec<[(Arc<Partition>, Offset); 1]>,
    timer: Option<Timestamp>,
    retry: Option<Timestamp>,
    transfers: bool,
    checkpoint: bool,
}

/// What an engine goes by.
pub(super) fn rules(settings: &QueueSettings) -> Rules {
    Rules {
        transient: settings.durability == QueueDurability::Transient,
        message_ttl_ms: settings.message_ttl_ms,
        length_max: settings.length_max,
        bytes_max: settings.bytes_max,
        drop_head: settings.overflow == Overflow::DropHead,
        dead_letter: settings.dead_letter_exchange.is_some(),
        drop_expired: settings.drop_expired,
        deliveries_max: settings.deliveries_max,
        retry_backoff_ms: settings.retry_backoff_ms,
        deduplication_ms: settings.deduplication_ms,
        ordered_groups: settings.ordered_groups,
        fair_groups: settings.fair_groups,
        equal_lanes: settings.topic.is_some(),
        window_bytes_max: WINDOW_BYTES_MAX,
    }
}
