//! Settling and publishing as one unit.

use super::{enqueue::Plan, future::Outstanding, state::AfterStep};
use crate::{Broker, Enqueue, EnqueueError, Enqueuing, Error, Queue, QueueError};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use tramline_queue::{LockToken, Outcome};
use tramline_store::{Commit, Op, Purpose};
use tramline_types::{Timestamp, limits};

/// A delivery and how it ends.
pub type Settle = (LockToken, Outcome);

/// What becomes durable together or not at all.
#[derive(Default)]
pub struct Unit {
    /// Messages to put into queues.
    pub publishes: Vec<Enqueue>,
    /// Deliveries to settle.
    pub settles: Vec<(Arc<Queue>, Vec<Settle>)>,
    /// A result to record under an id. The first one that comes is kept.
    pub result: Option<(Bytes, Bytes)>,
}

/// What settling is logged as, at most, per delivery.
const SETTLE_BYTES: usize = 64;
/// Results are kept under this and their id in hexadecimal.
const RESULT_PREFIX: &str = "result/";

/// Steps that were taken and what is to be done after each.
pub(super) type Afters = SmallVec<[(Arc<Queue>, AfterStep, u64); 4]>;

impl Broker {
    /// Settles and publishes as one: all of it or nothing. In when this returns; what it
    /// returns resolves when it is durable, to one result per publish.
    ///
    /// # Errors
    /// [`QueueError::LockLost`] when a delivery is not held any more,
    /// [`QueueError::LimitExceeded`] for a unit above the limit: nothing happened.
    pub async fn commit_unit(&self, unit: Unit) -> Result<Enqueuing, Error> {
        let context = &self.queues_map().context;
        let Unit { publishes, mut settles, result } = unit;
        settles.sort_by_key(|(queue, _)| queue.id());
        let n_settles: usize = settles.iter().map(|(_, of_queue)| of_queue.len()).sum();
        let result_bytes = result.as_ref().map_or(0, |(id, result)| 2 * id.len() + result.len());
        let mut plan = Plan::new(context, publishes.len());
        for (index, item) in publishes.into_iter().enumerate() {
            plan.add(index, item);
        }
        let bytes = plan.bytes() + n_settles * SETTLE_BYTES + result_bytes;
        if bytes > limits::BATCH_BYTES_MAX {
            let text = format!("a unit of {bytes} bytes is above {}", limits::BATCH_BYTES_MAX);
            return Err(QueueError::LimitExceeded(text).into());
        }
        let purpose = if plan.is_empty() { Purpose::Upkeep } else { Purpose::Publish };
        let n_ops = plan.n_ops() + settles.len() + 1;
        let reservation = self.store().reserve(purpose, bytes, n_ops).wait().await?;
        let _one_result_at_a_time = result.is_some().then(|| context.results.lock());
        let now = context.now();
        if !settles.iter().all(|(queue, of_queue)| queue.holds(of_queue, now)) {
            return Err(QueueError::LockLost.into());
        }
        let outstanding = Outstanding::new(1);
        let (waiter, mut afters) = (Arc::clone(&outstanding), Afters::new());
        let done = Box::new(move || waiter.done());
        let more = |ops: &mut SmallVec<[Op; 2]>| {
            settle_all(&settles, now, ops, &mut afters);
            ops.extend(result.and_then(|(id, result)| self.put_result(&id, result)));
        };
        let submitted = if plan.is_empty() {
            let mut ops = SmallVec::new();
            more(&mut ops);
            let ops = ops.into_iter().collect();
            self.store().submit(Commit { ops, on_durable: done }, reservation);
            Ok(())
        } else {
            plan.append(reservation, more, done)
        };
        for (queue, after, ready) in afters {
            queue.finish_step(after);
            queue.wake(ready);
        }
        submitted.map_err(|error| match error {
            EnqueueError::Deleted => Error::from(QueueError::Deleted("a target".to_owned())),
            EnqueueError::StorageFull => Error::StorageFull,
            error => Error::Storage(error.to_string()),
        })?;
        plan.deliver_transient();
        Ok(Enqueuing::new(Some(outstanding), plan.into_results()))
    }

    fn put_result(&self, id: &[u8], result: Bytes) -> Option<Op> {
        let key = result_key(id);
        self.store().get(&key).is_none().then_some(Op::Put(key, result))
    }

    /// The result that was recorded under an id.
    pub fn result(&self, id: &[u8]) -> Option<Bytes> {
        self.store().get(&result_key(id))
    }

    /// Forgets a result; durable on return.
    pub async fn delete_result(&self, id: &[u8]) -> Result<(), Error> {
        self.commit([Op::Remove(result_key(id))].into_iter().collect(), 0).await
    }
}

fn result_key(id: &[u8]) -> Bytes {
    let digits = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Bytes::from(format!("{RESULT_PREFIX}{digits}"))
}

/// Settles under each queue's lock in turn; what is to be logged goes into one commit.
pub(super) fn settle_all(
    settles: &[(Arc<Queue>, Vec<Settle>)],
    now: Timestamp,
    ops: &mut SmallVec<[Op; 2]>,
    afters: &mut Afters,
) {
    let mut lost = Vec::new();
    for (queue, of_queue) in settles {
        let mut state = queue.state.lock();
        let engine = state.engine(queue);
        engine.handle_settle(of_queue, now, &mut lost);
        let ready = engine.ready();
        ops.extend(state.take_ops(now));
        let after = queue.after_step(&mut state);
        drop(state);
        afters.push((Arc::clone(queue), after, ready));
    }
}

impl Queue {
    fn holds(&self, settles: &[Settle], now: Timestamp) -> bool {
        let state = self.state.lock();
        let engine = state.engine.as_deref();
        settles.iter().all(|(token, _)| engine.is_some_and(|engine| engine.holds(*token, now)))
    }
}
