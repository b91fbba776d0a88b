//! Settling and publishing as one unit.

use super::{
    future::Outstanding,
    plan::{Beside, Plan, TakenOut},
    results::Recording,
};
use crate::{Broker, Enqueue, EnqueueError, Enqueuing, Error, Queue, QueueError};
use bytes::Bytes;
use std::sync::Arc;
use tramline_log::Ending;
use tramline_queue::{LockToken, Outcome};
use tramline_store::{Op, Purpose};
use tramline_types::limits;

/// A delivery and how it ends.
pub type Settle = (LockToken, Outcome);

/// What becomes durable together or not at all.
#[derive(Default)]
pub struct Unit {
    /// Messages to put into queues.
    pub publishes: Vec<Enqueue>,
    /// Deliveries to settle.
    pub settles: Vec<(Arc<Queue>, Vec<Settle>)>,
    /// A result to record under an id. The first one that comes is kept, for
    /// [`limits::RESULT_TTL`].
    pub result: Option<(Bytes, Bytes)>,
}

/// What settling is logged as, at most, per delivery.
const SETTLE_BYTES: usize = 64;
/// Of a job more, as a rule.
const SETTLE_JOB_BYTES: usize = 256;

/// What goes into a unit's commit beside it.
#[derive(Default)]
pub(super) struct Along<'a> {
    /// A pair that is put. Not with a result, which is such a pair itself.
    pub(super) pair: Option<(Bytes, Bytes)>,
    /// Messages of a queue that are taken out, as if each were settled.
    pub(super) taken: Option<(&'a Arc<Queue>, &'a [TakenOut])>,
}

impl Broker {
    /// Settles and publishes as one: all of it or nothing. In when this returns; what it
    /// returns resolves when it is durable.
    ///
    /// # Errors
    /// Nothing happened then: [`QueueError::LockLost`] when a delivery is not held any more,
    /// [`QueueError::LimitExceeded`] for a unit above the limit, a queue at its bound or no room for
    /// the result.
    pub async fn commit_unit(&self, unit: Unit) -> Result<Enqueuing, Error> {
        self.commit_unit_with(unit, Along::default()).await
    }

    /// As [`Broker::commit_unit`], with more in the same commit.
    pub(super) async fn commit_unit_with(
        &self,
        unit: Unit,
        Along { pair, taken }: Along<'_>,
    ) -> Result<Enqueuing, Error> {
        let context = &self.queues_map().context;
        let Unit { publishes, settles, result } = unit;
        let n_settles: usize = settles.iter().map(|(_, of_queue)| of_queue.len()).sum();
        let result_bytes = result.as_ref().map_or(0, |(id, result)| 2 * id.len() + result.len());
        let mut plan = Plan::new(context, publishes.len());
        for (index, item) in publishes.into_iter().enumerate() {
            plan.add(index, item);
        }
        if let Some(Err(error)) = plan.results().iter().find(|result| result.is_err()) {
            let error = refusal(error.clone());
            self.dead_letter_refused(plan.take_refused());
            return Err(error);
        }
        self.ensure_job_log().await;
        let settle_bytes = if context.jobs.is_used() { SETTLE_JOB_BYTES } else { SETTLE_BYTES };
        let pair_bytes = pair.as_ref().map_or(0, |(key, value)| key.len() + value.len());
        let n_ended = n_settles + taken.map_or(0, |(_, taken)| taken.len());
        let bytes = plan.bytes() + n_ended * settle_bytes + result_bytes + pair_bytes;
        if bytes > limits::BATCH_BYTES_MAX {
            let text = format!("a unit of {bytes} bytes is above {}", limits::BATCH_BYTES_MAX);
            return Err(QueueError::LimitExceeded(text).into());
        }
        let purpose = if plan.is_empty() { Purpose::Upkeep } else { Purpose::Publish };
        let n_ops = plan.n_ops() + settles.len() + 2;
        let reservation = self.store().reserve(purpose, bytes, n_ops).wait().await?;
        let mut results = result.is_some().then(|| context.results.lock());
        let recording = match (&results, result) {
            (Some(results), Some((id, result))) => {
                Some(results.prepare(&**self.store(), (&id, &result), context.now())?)
            }
            _ => None,
        };
        let outstanding = Outstanding::new(1);
        let waiter = Arc::clone(&outstanding);
        let op = recording.as_ref().map(Recording::op);
        let op = op.or(pair.map(|(key, value)| Op::Put(key, value)));
        let beside = Beside { settles: &settles, op, taken, ..Beside::default() };
        let done = Box::new(move || waiter.done());
        let mut ending = Some(Ending { reservation, done });
        if !plan.submit(beside, &mut ending).map_err(refusal)? {
            return Err(QueueError::LockLost.into());
        }
        if let (Some(results), Some(recording)) = (&mut results, recording) {
            results.recorded(&**self.store(), recording);
        }
        plan.deliver_transient();
        let (results, placed) = plan.into_results();
        Ok(Enqueuing::new(outstanding, results, placed))
    }
}

pub(super) fn refusal(error: EnqueueError) -> Error {
    match error {
        EnqueueError::Subscription(_) => QueueError::AccessRefused(error.to_string()).into(),
        EnqueueError::Overflow => QueueError::LimitExceeded(error.to_string()).into(),
        EnqueueError::Deleted => QueueError::Deleted("a target".to_owned()).into(),
        EnqueueError::TooLarge { bytes, limit } => Error::MessageTooLarge { bytes, limit },
        EnqueueError::StorageFull => Error::StorageFull,
        EnqueueError::Storage(detail) => Error::Storage(detail),
    }
}
