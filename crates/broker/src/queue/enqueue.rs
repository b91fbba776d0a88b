//! Putting messages into queues.
//!
//! Messages of one call that go to the same queues become one record batch, stored once; all of
//! a call become one commit, up to a size. A message joins the open batch of its queues only if
//! no batch opened later shares a queue with it: in each queue, messages have the order of the
//! call.

use super::{
    Queue,
    context::Context,
    future::Outstanding,
    message::{deduplication_hash, loaded, stamp},
    state::AfterStep,
};
use crate::{Broker, Enqueuing, Error};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use tramline_catalog::Overflow;
use tramline_log::{Bases, Partition, Together, append_together};
use tramline_queue::{Arrival, Engine, Loaded};
use tramline_record::{BatchBuilder, Compression};
use tramline_store::{Op, Purpose, Reservation};
use tramline_types::{Message, Timestamp, limits};

/// The queues that get a message.
pub type Targets = SmallVec<[Arc<Queue>; 1]>;

/// One commit takes so much; a single larger message is one of its own.
const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// A message and where it goes.
pub struct Enqueue {
    /// The queues, none twice.
    pub targets: Targets,
    /// The message. Its time becomes that of the enqueuing.
    pub message: Message,
    /// How it is to be treated.
    pub options: EnqueueOptions,
}

/// How a message is to be treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnqueueOptions {
    /// Confirmed when it is durable; else at once.
    pub persistent: bool,
    /// From 0, the lowest; above a queue's highest counts as that.
    pub priority: u8,
    /// Dead after so long in a queue, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Not delivered before this time.
    pub deliver_at: Option<Timestamp>,
    /// Messages of a group stay in order; where there is none, the key is the group.
    pub group: Option<Bytes>,
    /// What repeats are told by.
    pub deduplication_id: Option<Bytes>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// A queue is at its bound and refuses.
    #[error("a queue is at its bound")]
    Overflow,
    /// A queue was deleted meanwhile.
    #[error("a queue was deleted")]
    Deleted,
    /// Larger than a message may be.
    #[error("a message of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No space; retry later.
    #[error("the disk is full")]
    StorageFull,
    /// The store is at fault, or closed.
    #[error("storage: {0}")]
    Storage(String),
}

impl From<Error> for EnqueueError {
    fn from(error: Error) -> Self {
        match error {
            Error::StorageFull => Self::StorageFull,
            Error::MessageTooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            error => Self::Storage(error.to_string()),
        }
    }
}

impl Broker {
    /// Puts messages into queues. They are in when this returns, in their order: the await is
    /// back-pressure only. What it returns resolves when they are durable.
    pub async fn enqueue(&self, items: Vec<Enqueue>) -> Enqueuing {
        let context = &self.queues_map().context;
        let outstanding = Outstanding::new(1);
        let mut plan = Plan::new(context, items.len());
        let mut items = items.into_iter().enumerate().peekable();
        while let Some((index, item)) = items.next() {
            plan.add(index, item);
            if plan.bytes >= COMMIT_BYTES || items.peek().is_none() {
                let reserving = self.store().reserve(Purpose::Publish, plan.bytes, plan.n_ops());
                match reserving.wait().await {
                    Ok(reservation) => plan.commit(reservation, &outstanding),
                    Err(error) => plan.refuse(&EnqueueError::from(Error::from(error))),
                }
            }
        }
        outstanding.done();
        if !plan.refused.is_empty() {
            self.dead_letter_refused(std::mem::take(&mut plan.refused));
        }
        Enqueuing::new(Some(outstanding), plan.results)
    }
}

/// Messages sorted by where they go.
pub(super) struct Plan<'a> {
    context: &'a Context,
    now: Timestamp,
    batches: Vec<Open>,
    transient: Vec<Arriving>,
    bytes: usize,
    persistent: bool,
    results: Vec<Result<(), EnqueueError>>,
    /// What goes to a dead-letter target because its queue is at its bound.
    refused: Vec<(Arc<Queue>, Loaded)>,
}

/// What a transient queue is to get.
struct Arriving {
    queue: Arc<Queue>,
    level: u16,
    arrivals: Vec<Arrival>,
}

/// A batch that still grows.
struct Open {
    lanes: SmallVec<[TargetLane; 1]>,
    builder: BatchBuilder,
    arrivals: Vec<Arrival>,
    items: Vec<usize>,
}

/// One queue's log that gets a batch.
struct TargetLane {
    queue: Arc<Queue>,
    level: u16,
    partition: Arc<Partition>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(context: &'a Context, n: usize) -> Self {
        let results = vec![Ok(()); n];
        let now = context.now();
        let (batches, transient) = (Vec::new(), Vec::new());
        let (bytes, persistent, refused) = (0, false, Vec::new());
        Self { context, now, batches, transient, bytes, persistent, results, refused }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn result(&self, index: usize) -> Result<(), EnqueueError> {
        self.results[index].clone()
    }

    pub(super) fn into_results(self) -> Vec<Result<(), EnqueueError>> {
        self.results
    }

    /// Takes a message.
    pub(super) fn add(&mut self, index: usize, item: Enqueue) {
        let Enqueue { targets, mut message, options } = item;
        let bytes = message.value.as_ref().map_or(0, Bytes::len);
        if bytes > limits::QUEUE_MESSAGE_BYTES_MAX {
            let limit = limits::QUEUE_MESSAGE_BYTES_MAX;
            self.results[index] = Err(EnqueueError::TooLarge { bytes, limit });
            return;
        }
        stamp(&mut message, &options, self.now);
        let arrival = Arrival {
            loaded: loaded(Arc::new(message), self.now),
            deliver_at: options.deliver_at.map(|at| self.context.steady(at)),
            deduplication: options.deduplication_id.as_deref().map(deduplication_hash),
        };
        let mut durable: SmallVec<[(Arc<Queue>, u16); 1]> = SmallVec::new();
        for queue in targets {
            let level = u16::from(options.priority.min(queue.settings.priority_max));
            if let Err(error) = queue.check_room(self.planned(&queue), bytes) {
                self.results[index] = Err(error);
                if queue.settings.overflow == Overflow::RejectPublishDeadLetter {
                    self.refused.push((queue, arrival.loaded.clone()));
                }
            } else if queue.is_transient() {
                self.arrive(queue, level, &arrival);
            } else {
                durable.push((queue, level));
            }
        }
        if !durable.is_empty() {
            self.persistent |= options.persistent;
            self.join(index, &durable, arrival);
        }
    }

    /// How many messages of this plan a bounded queue is to get already.
    fn planned(&self, queue: &Queue) -> (u64, u64) {
        if !queue.is_bounded() {
            return (0, 0);
        }
        let of_queue = |open: &&Open| open.lanes.iter().any(|lane| lane.queue.id == queue.id);
        let arrivals = self.batches.iter().filter(of_queue).flat_map(|open| &open.arrivals);
        let transient = self.transient.iter().filter(|arriving| arriving.queue.id == queue.id);
        arrivals
            .chain(transient.flat_map(|arriving| &arriving.arrivals))
            .fold((0, 0), |(n, bytes), arrival| (n + 1, bytes + u64::from(arrival.loaded.bytes)))
    }

    fn arrive(&mut self, queue: Arc<Queue>, level: u16, arrival: &Arrival) {
        let is_same =
            |arriving: &&mut Arriving| arriving.queue.id == queue.id && arriving.level == level;
        match self.transient.iter_mut().find(is_same) {
            Some(arriving) => arriving.arrivals.push(arrival.clone()),
            None => {
                let arrivals = vec![arrival.clone()];
                self.transient.push(Arriving { queue, level, arrivals });
            }
        }
    }

    /// Hands the transient queues what they get.
    pub(super) fn deliver_transient(&mut self) {
        for Arriving { queue, level, arrivals } in self.transient.drain(..) {
            queue.arrive(level, arrivals, self.now);
        }
    }

    fn join(&mut self, index: usize, targets: &[(Arc<Queue>, u16)], arrival: Arrival) {
        let mut at = None;
        for (place, open) in self.batches.iter().enumerate().rev() {
            if open.is_for(targets) {
                at = Some(place);
                break;
            }
            if open.shares(targets) {
                break;
            }
        }
        let at = match at {
            Some(at) => at,
            None => match Open::new(targets) {
                Ok(open) => {
                    self.batches.push(open);
                    self.batches.len() - 1
                }
                Err(error) => {
                    self.results[index] = Err(error);
                    return;
                }
            },
        };
        let open = &mut self.batches[at];
        let before = open.builder.bytes_len();
        open.builder.push(&arrival.loaded.message, self.now);
        self.bytes += open.builder.bytes_len() - if open.items.is_empty() { 0 } else { before };
        // What the engine may have to say about it.
        self.bytes += 64 * targets.len();
        open.arrivals.push(arrival);
        open.items.push(index);
    }

    pub(super) fn n_ops(&self) -> usize {
        self.batches.iter().map(|open| 1 + 2 * open.lanes.len()).sum()
    }

    fn refuse(&mut self, error: &EnqueueError) {
        self.deliver_transient();
        for open in self.batches.drain(..) {
            for index in open.items {
                self.results[index] = Err(error.clone());
            }
        }
        self.bytes = 0;
    }

    /// Appends everything as one commit.
    fn commit(&mut self, reservation: Reservation, outstanding: &Arc<Outstanding>) {
        self.bytes = 0;
        self.deliver_transient();
        if self.batches.is_empty() {
            return;
        }
        let waiter = self.persistent.then(|| Arc::clone(outstanding));
        if let Some(waiter) = &waiter {
            waiter.add();
        }
        let done = move || {
            if let Some(waiter) = waiter {
                waiter.done();
            }
        };
        if let Err(error) = self.append(reservation, |_| (), Box::new(done)) {
            if self.persistent {
                outstanding.done();
            }
            self.refuse(&error);
        }
        self.batches.clear();
    }

    /// Appends everything as one commit, with more operations that `more` adds.
    pub(super) fn append(
        &mut self,
        reservation: Reservation,
        more: impl FnOnce(&mut SmallVec<[Op; 2]>),
        done: tramline_store::Completion,
    ) -> Result<(), EnqueueError> {
        let mut appends = Vec::with_capacity(self.batches.len());
        for open in &mut self.batches {
            let builder = std::mem::replace(&mut open.builder, new_builder());
            let batch = builder.build().map_err(|e| EnqueueError::Storage(e.to_string()))?;
            let partitions = open.lanes.iter().map(|lane| Arc::clone(&lane.partition)).collect();
            appends.push(Together { partitions, batch });
        }
        let now = self.now;
        let mut afters: SmallVec<[(Arc<Queue>, AfterStep); 4]> = SmallVec::new();
        let batches = &mut self.batches;
        let step = |bases: &[Bases]| {
            let mut ops = SmallVec::new();
            for (open, bases) in batches.iter_mut().zip(bases) {
                open.step(bases, now, &mut ops, &mut afters);
            }
            more(&mut ops);
            ops
        };
        let appended = append_together(&appends, now, reservation, step, done);
        for (queue, after) in afters {
            queue.finish_step(after);
        }
        appended.map_err(|error| match error {
            tramline_log::Error::Deleted => EnqueueError::Deleted,
            error => EnqueueError::from(Error::from(error)),
        })
    }
}

impl Open {
    fn new(targets: &[(Arc<Queue>, u16)]) -> Result<Self, EnqueueError> {
        let lane = |(queue, level): &(Arc<Queue>, u16)| {
            let partition = queue.lane_log(*level)?;
            Ok(TargetLane { queue: Arc::clone(queue), level: *level, partition })
        };
        let lanes = targets.iter().map(lane).collect::<Result<_, EnqueueError>>()?;
        Ok(Self { lanes, builder: new_builder(), arrivals: Vec::new(), items: Vec::new() })
    }

    fn is_for(&self, targets: &[(Arc<Queue>, u16)]) -> bool {
        self.lanes.len() == targets.len()
            && self
                .lanes
                .iter()
                .zip(targets)
                .all(|(lane, (queue, level))| lane.queue.id == queue.id && lane.level == *level)
    }

    fn shares(&self, targets: &[(Arc<Queue>, u16)]) -> bool {
        targets.iter().any(|(queue, _)| self.lanes.iter().any(|lane| lane.queue.id == queue.id))
    }

    /// Tells the queues what they got. Called under the append locks of the partitions.
    fn step(
        &mut self,
        bases: &Bases,
        now: Timestamp,
        ops: &mut SmallVec<[Op; 2]>,
        afters: &mut SmallVec<[(Arc<Queue>, AfterStep); 4]>,
    ) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let last = self.lanes.len().saturating_sub(1);
        for (index, (lane, base)) in self.lanes.iter().zip(bases).enumerate() {
            let of_lane =
                if index == last { std::mem::take(&mut arrivals) } else { arrivals.clone() };
            let queue = &lane.queue;
            let of_lane = of_lane.into_iter().map(|arrival| queue.delayed(arrival, now));
            let mut state = queue.state.lock();
            state.engine(queue).handle_enqueued((lane.level, base.get()), of_lane, now);
            ops.extend(state.take_ops(now));
            let after = queue.after_step(&mut state);
            drop(state);
            afters.push((Arc::clone(queue), after));
        }
    }
}

fn new_builder() -> BatchBuilder {
    BatchBuilder::new(Compression::None)
}

impl Queue {
    fn lane_log(&self, level: u16) -> Result<Arc<Partition>, EnqueueError> {
        let mut state = self.state.lock();
        if self.is_gone() {
            return Err(EnqueueError::Deleted);
        }
        state.lane_log(self, level)
    }

    /// Whether publishes are refused at a bound.
    fn is_bounded(&self) -> bool {
        self.settings.overflow != Overflow::DropHead
            && (self.settings.length_max.is_some() || self.settings.bytes_max.is_some())
    }

    /// Whether one more message is within the bounds, beside so many that are planned.
    fn check_room(&self, (n, bytes): (u64, u64), more: usize) -> Result<(), EnqueueError> {
        if !self.is_bounded() {
            return Ok(());
        }
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let mut state = self.state.lock();
        state.sync_ends();
        let has_room = |engine: &Engine| engine.has_room(n + 1, bytes.saturating_add(more));
        if has_room(state.engine(self)) { Ok(()) } else { Err(EnqueueError::Overflow) }
    }

    /// A message as it arrives here: later, where the queue delays all.
    fn delayed(&self, mut arrival: Arrival, now: Timestamp) -> Arrival {
        if self.settings.delay_ms > 0 {
            let delay = i64::try_from(self.settings.delay_ms).unwrap_or(i64::MAX);
            let at = Timestamp::from_millis(now.as_millis().saturating_add(delay));
            arrival.deliver_at = arrival.deliver_at.max(Some(at));
        }
        arrival
    }

    /// Messages for a transient queue.
    fn arrive(self: &Arc<Self>, level: u16, arrivals: Vec<Arrival>, now: Timestamp) {
        let arrivals = arrivals.into_iter().map(|arrival| self.delayed(arrival, now));
        let mut state = self.state.lock();
        if self.is_gone() {
            return;
        }
        let engine = state.engine(self);
        engine.handle_enqueued((level, 0), arrivals, now);
        let ready = engine.ready();
        let after = self.after_step(&mut state);
        drop(state);
        self.finish_step(after);
        self.wake(ready);
    }
}
