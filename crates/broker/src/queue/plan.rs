//! What becomes of the messages of one call.
//!
//! Messages that go to the same queues become one record batch, stored once. A message joins the
//! open batch of its queues only if no batch opened later shares a queue with it: in each queue,
//! messages have the order of the call.

mod beside;
mod target;

pub(super) use beside::{Beside, TakenOut};

use super::{
    Enqueue, EnqueueError, Placed, Queue,
    context::Context,
    future::Outstanding,
    locked::{Afters, Locked, Several, finish_steps},
    message::{deduplication_hash, loaded, stamp},
};
use crate::{
    Error,
    jobs::{Tag, Tags},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use tramline_catalog::Overflow;
use tramline_log::{Around, Bases, Ending, Partition, Together, append_together};
use tramline_queue::{Arrival, Loaded, Place};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_store::{Commit, Op, Reservation};
use tramline_types::{Timestamp, limits};

/// Messages sorted by where they go.
pub(super) struct Plan<'a> {
    context: &'a Context,
    now: Timestamp,
    batches: Vec<Open>,
    transient: Vec<Arriving>,
    bytes: usize,
    /// What is still to come, about.
    expected: usize,
    persistent: bool,
    results: Vec<Result<(), EnqueueError>>,
    /// What goes to a dead-letter target because its queue is at its bound.
    refused: Vec<(Arc<Queue>, Loaded)>,
    /// What bounded queues are to get: messages and bytes.
    planned: SmallVec<[(u64, u64, u64); 2]>,
    noting: Noting,
}

/// The places of messages, where they are wanted.
#[derive(Default)]
struct Noting {
    /// Whose, in order.
    wanted: Vec<usize>,
    placed: Vec<Placed>,
}

impl Noting {
    fn take(&mut self, item: usize, place: Place, first: Option<Place>) {
        if !self.wanted.is_empty() && self.wanted.binary_search(&item).is_ok() {
            self.placed.push(Placed { item, place, first });
        }
    }
}

/// What a transient queue is to get.
struct Arriving {
    queue: Arc<Queue>,
    level: u16,
    arrivals: Vec<Arrival>,
    items: Vec<usize>,
    tags: Tags,
}

/// A batch that still grows.
struct Open {
    lanes: SmallVec<[TargetLane; 1]>,
    builder: BatchBuilder,
    /// Once it grows no more.
    built: Option<Batch>,
    arrivals: Vec<Arrival>,
    items: Vec<usize>,
    tags: Tags,
}

/// One queue's log that gets a batch.
struct TargetLane {
    queue: Arc<Queue>,
    level: u16,
    partition: Arc<Partition>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(context: &'a Context, n: usize) -> Self {
        Self {
            context,
            now: context.now(),
            batches: Vec::new(),
            transient: Vec::new(),
            bytes: 0,
            expected: 0,
            persistent: false,
            results: vec![Ok(()); n],
            refused: Vec::new(),
            planned: SmallVec::new(),
            noting: Noting::default(),
        }
    }

    /// Messages with so many bytes are to come, about.
    pub(super) const fn expect(&mut self, bytes: usize) {
        self.expected = bytes;
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn results(&self) -> &[Result<(), EnqueueError>] {
        &self.results
    }

    pub(super) fn into_results(self) -> (Vec<Result<(), EnqueueError>>, Vec<Placed>) {
        (self.results, self.noting.placed)
    }

    pub(super) fn take_refused(&mut self) -> Vec<(Arc<Queue>, Loaded)> {
        std::mem::take(&mut self.refused)
    }

    /// Takes a message.
    pub(super) fn add(&mut self, index: usize, item: Enqueue) {
        let Enqueue { targets, mut message, options } = item;
        if let Some(of_topic) = targets.iter().find(|queue| queue.is_subscription()) {
            self.results[index] = Err(EnqueueError::Subscription(of_topic.name.to_string()));
            return;
        }
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
        if options.tell_place {
            self.noting.wanted.push(index);
        }
        let mut durable: SmallVec<[(Arc<Queue>, u16); 1]> = SmallVec::new();
        let track = targets.iter().any(|queue| queue.tracks());
        let tag = Tag::of(&arrival.loaded.message, track, &self.context.jobs);
        let mut n_left = targets.len();
        for queue in targets {
            if queue.is_gone() {
                n_left -= 1;
                continue;
            }
            let level = queue.level(options.priority);
            if let Err(error) = self.check_room(&queue, bytes) {
                self.results[index] = Err(error);
                if queue.overflow() == Overflow::RejectPublishDeadLetter {
                    self.refused.push((queue, arrival.loaded.clone()));
                }
            } else if queue.is_transient() {
                self.arrive(queue, level, (index, &arrival, tag.clone()));
            } else {
                durable.push((queue, level));
            }
        }
        if n_left == 0 {
            self.results[index] = Err(EnqueueError::Deleted);
        }
        if !durable.is_empty() {
            self.persistent |= options.persistent;
            self.join(index, &durable, (arrival, tag));
        }
    }

    /// Whether a queue has room for a message beside what it is to get already.
    fn check_room(&mut self, queue: &Queue, bytes: usize) -> Result<(), EnqueueError> {
        if !queue.is_bounded() {
            return Ok(());
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let known = self.planned.iter().position(|(id, ..)| *id == queue.id);
        let at = known.unwrap_or_else(|| {
            self.planned.push((queue.id, 0, 0));
            self.planned.len() - 1
        });
        let (_, n, planned) = &mut self.planned[at];
        queue.check_room(*n + 1, planned.saturating_add(bytes))?;
        *n += 1;
        *planned = planned.saturating_add(bytes);
        Ok(())
    }

    /// Whether every target has room for a message.
    pub(super) fn has_room(&self, item: &Enqueue) -> bool {
        let bytes = item.message.value.as_ref().map_or(0, Bytes::len);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        item.targets.iter().filter(|queue| queue.is_bounded()).all(|queue| {
            let planned = self.planned.iter().find(|(id, ..)| *id == queue.id);
            let (n, planned) = planned.map_or((0, 0), |(_, n, bytes)| (*n, *bytes));
            queue.check_room(n + 1, planned.saturating_add(bytes)).is_ok()
        })
    }

    fn arrive(
        &mut self,
        queue: Arc<Queue>,
        level: u16,
        (item, arrival, tag): (usize, &Arrival, Option<Tag>),
    ) {
        let is_same = |of: &&mut Arriving| Arc::ptr_eq(&of.queue, &queue) && of.level == level;
        match self.transient.iter_mut().find(is_same) {
            Some(arriving) => {
                arriving.tags.add(arriving.arrivals.len(), tag);
                arriving.arrivals.push(arrival.clone());
                arriving.items.push(item);
            }
            None => {
                let (arrivals, items) = (vec![arrival.clone()], vec![item]);
                let mut tags = Tags::default();
                tags.add(0, tag);
                self.transient.push(Arriving { queue, level, arrivals, items, tags });
            }
        }
    }

    /// Hands the transient queues what they get.
    pub(super) fn deliver_transient(&mut self) {
        for Arriving { queue, level, arrivals, items, tags } in self.transient.drain(..) {
            let mut items = items.into_iter();
            queue.arrive((level, arrivals, tags), self.now, |place, first| {
                if let Some(item) = items.next() {
                    self.noting.take(item, place, first);
                }
            });
        }
    }

    fn join(
        &mut self,
        index: usize,
        targets: &[(Arc<Queue>, u16)],
        (arrival, tag): (Arrival, Option<Tag>),
    ) {
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
                Ok(mut open) => {
                    // Most have one batch only.
                    let room = std::mem::take(&mut self.expected);
                    open.builder = open.builder.with_room(room);
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
        self.bytes += tag.as_ref().map_or(0, |tag| targets.len() * tag.logged_bytes());
        open.tags.add(open.arrivals.len(), tag);
        open.arrivals.push(arrival);
        open.items.push(index);
    }

    pub(super) fn n_ops(&self) -> usize {
        self.batches.iter().map(|open| 1 + 3 * open.lanes.len()).sum()
    }

    pub(super) fn refuse(&mut self, error: &EnqueueError) {
        self.deliver_transient();
        for open in self.batches.drain(..) {
            for index in open.items {
                self.results[index] = Err(error.clone());
            }
        }
        self.bytes = 0;
    }

    /// Appends everything as one commit.
    pub(super) fn commit(&mut self, reservation: Reservation, outstanding: &Arc<Outstanding>) {
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
        let mut ending = Some(Ending { reservation, done: Box::new(done) });
        let submitted = loop {
            match self.submit(Beside::default(), &mut ending) {
                // The other queues, and the other messages, have nothing to do with it.
                Err(EnqueueError::Deleted) if self.leave_out_deleted() => {}
                submitted => break submitted,
            }
        };
        if let Err(error) = submitted {
            if self.persistent {
                outstanding.done();
            }
            self.refuse(&error);
        }
        self.batches.clear();
        self.planned.clear();
    }

    /// Nothing goes to queues that are gone, and messages that went only there are refused;
    /// `false` when none is gone.
    fn leave_out_deleted(&mut self) -> bool {
        let mut is_any = false;
        for open in &mut self.batches {
            open.lanes.retain(|lane| {
                let is_gone = lane.queue.is_gone();
                is_any |= is_gone;
                !is_gone
            });
            if open.lanes.is_empty() {
                for index in open.items.drain(..) {
                    self.results[index] = Err(EnqueueError::Deleted);
                }
            }
        }
        self.batches.retain(|open| !open.lanes.is_empty());
        is_any
    }

    /// Appends everything and does what is to be done beside, as one commit; `false` when that
    /// is not possible: nothing happened, and `ending` is left for another try.
    ///
    /// # Errors
    /// [`EnqueueError::Deleted`] when a queue that is to get something is gone.
    pub(super) fn submit(
        &mut self,
        mut beside: Beside<'_>,
        ending: &mut Option<Ending>,
    ) -> Result<bool, EnqueueError> {
        let appends = self.close_batches()?;
        let op = beside.op.take();
        let of_batches = self.batches.iter().flat_map(|open| &open.lanes);
        let queues: Several =
            of_batches.map(|lane| Arc::clone(&lane.queue)).chain(beside.queues()).collect();
        let (context, mut afters) = (self.context, Afters::new());
        let ticket = context.jobs.is_used().then(|| Arc::new(context.jobs.ticket()));
        let told = ticket.clone();
        if let Some(ticket) = ticket.clone() {
            keep_until_done(ending, ticket);
        }
        let mut is_deleted = false;
        let targets: SmallVec<[Arc<Queue>; 2]> = self
            .batches
            .iter()
            .flat_map(|o| &o.lanes)
            .map(|lane| Arc::clone(&lane.queue))
            .collect();
        let mut lock = || {
            let mut locked = queues.lock();
            // From here on none of them goes before this is submitted.
            is_deleted = targets.iter().any(|queue| queue.is_gone());
            let is_possible = !is_deleted && beside.is_possible(&mut locked, context.now());
            is_possible.then_some(locked)
        };
        let (batches, noting) = (&mut self.batches, &mut self.noting);
        let step = |locked: &mut Locked<'_>, bases: &[Bases]| {
            let now = context.now();
            for (open, bases) in batches.iter_mut().zip(bases) {
                open.step(locked, bases, now, noting);
            }
            beside.step(locked, now);
            let mut ops = locked.finish((now, told.as_deref()), &mut afters);
            ops.extend(op);
            ops
        };
        let submitted = if appends.is_empty() {
            lock().is_some_and(|mut locked| {
                let ops: SmallVec<[Op; 1]> = step(&mut locked, &[]).into_iter().collect();
                match ending.take() {
                    Some(Ending { done, .. }) if ops.is_empty() => done(),
                    Some(Ending { done, reservation }) => {
                        context.store.submit(Commit { ops, on_durable: done }, reservation);
                    }
                    None => {}
                }
                true
            })
        } else {
            let around = Around { lock, step };
            append_together(&appends, self.now, around, ending).map_err(refusal)?
        };
        finish_steps(afters);
        if is_deleted { Err(EnqueueError::Deleted) } else { Ok(submitted) }
    }

    fn close_batches(&mut self) -> Result<Vec<Together>, EnqueueError> {
        self.batches.iter_mut().map(Open::close).collect()
    }
}

/// What a commit has is let go when it is durable.
fn keep_until_done(ending: &mut Option<Ending>, kept: impl Send + 'static) {
    *ending = ending.take().map(|Ending { reservation, done }| {
        let done = Box::new(move || {
            done();
            drop(kept);
        });
        Ending { reservation, done }
    });
}

fn refusal(error: tramline_log::Error) -> EnqueueError {
    match error {
        tramline_log::Error::Deleted => EnqueueError::Deleted,
        error => EnqueueError::from(Error::from(error)),
    }
}

impl Open {
    fn new(targets: &[(Arc<Queue>, u16)]) -> Result<Self, EnqueueError> {
        let lane = |(queue, level): &(Arc<Queue>, u16)| {
            let partition = queue.lane_log(*level)?;
            Ok(TargetLane { queue: Arc::clone(queue), level: *level, partition })
        };
        let lanes = targets.iter().map(lane).collect::<Result<_, EnqueueError>>()?;
        let (builder, built) = (BatchBuilder::new(Compression::None), None);
        let (arrivals, items, tags) = (Vec::new(), Vec::new(), Tags::default());
        Ok(Self { lanes, builder, built, arrivals, items, tags })
    }

    fn close(&mut self) -> Result<Together, EnqueueError> {
        let batch = match &self.built {
            Some(batch) => batch.clone(),
            None => {
                let empty = BatchBuilder::new(Compression::None);
                let built = std::mem::replace(&mut self.builder, empty).build();
                let batch = built.map_err(|error| EnqueueError::Storage(error.to_string()))?;
                self.built.insert(batch).clone()
            }
        };
        let partitions = self.lanes.iter().map(|lane| Arc::clone(&lane.partition)).collect();
        Ok(Together { partitions, batch })
    }

    fn is_for(&self, targets: &[(Arc<Queue>, u16)]) -> bool {
        self.lanes.len() == targets.len()
            && self.lanes.iter().zip(targets).all(|(lane, (queue, level))| {
                lane.level == *level && Arc::ptr_eq(&lane.queue, queue)
            })
    }

    fn shares(&self, targets: &[(Arc<Queue>, u16)]) -> bool {
        targets
            .iter()
            .any(|(queue, _)| self.lanes.iter().any(|lane| Arc::ptr_eq(&lane.queue, queue)))
    }

    /// Tells the queues what they got.
    fn step(
        &mut self,
        locked: &mut Locked<'_>,
        bases: &Bases,
        now: Timestamp,
        noting: &mut Noting,
    ) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let last = self.lanes.len().saturating_sub(1);
        for (index, (lane, base)) in self.lanes.iter().zip(bases).enumerate() {
            let (mut of_lane, tags) = if index == last {
                (std::mem::take(&mut arrivals), std::mem::take(&mut self.tags))
            } else {
                (arrivals.clone(), self.tags.clone())
            };
            let queue = &lane.queue;
            queue.counters.enqueued(of_lane.len());
            queue.delay(&mut of_lane, now);
            tags.hold(&mut of_lane, &queue.context.jobs);
            let state = locked.state(queue);
            let mut followed = state.followed(queue, (tags, &of_lane), now);
            let at = (lane.level, base.get());
            let mut items = self.items.iter().copied();
            state.engine(queue).handle_enqueued(at, of_lane, now, |place, first| {
                followed.placed(place, first.is_some());
                if let Some(item) = items.next() {
                    noting.take(item, place, first);
                }
            });
            state.arrived(followed);
        }
    }
}
