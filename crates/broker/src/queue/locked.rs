//! The states of all queues that one commit is about, locked together: what it changes in them
//! has the order of the commits, and what it finds out about them holds until it is submitted.

use super::{Queue, state::AfterStep, state::State};
use crate::jobs::Ticket;
use parking_lot::MutexGuard;
use smallvec::SmallVec;
use std::sync::Arc;
use tramline_queue::Engine;
use tramline_store::Op;
use tramline_types::Timestamp;

/// Queues by their ids, none twice: the order of their locks.
pub(super) struct Several(SmallVec<[Arc<Queue>; 2]>);

impl FromIterator<Arc<Queue>> for Several {
    fn from_iter<T: IntoIterator<Item = Arc<Queue>>>(queues: T) -> Self {
        let mut queues: SmallVec<[Arc<Queue>; 2]> = queues.into_iter().collect();
        queues.sort_unstable_by_key(|queue| queue.id);
        queues.dedup_by_key(|queue| queue.id);
        Self(queues)
    }
}

pub(super) struct Locked<'a>(SmallVec<[InHand<'a>; 2]>);

struct InHand<'a> {
    queue: &'a Arc<Queue>,
    state: MutexGuard<'a, State>,
    ready: u64,
}

/// Steps that were taken, what is to be done after each, and for how many messages consumers are
/// to be woken.
pub(super) type Afters = SmallVec<[(Arc<Queue>, AfterStep, u64); 2]>;

impl Several {
    pub(super) fn lock<'a>(&'a self) -> Locked<'a> {
        let lock = |queue: &'a Arc<Queue>| {
            let mut state = queue.state.lock();
            state.sync_ends();
            let ready = state.engine.as_deref().map_or(0, Engine::ready);
            InHand { queue, state, ready }
        };
        Locked(self.0.iter().map(lock).collect())
    }
}

impl Locked<'_> {
    pub(super) fn state(&mut self, queue: &Queue) -> &mut State {
        let at = self.0.binary_search_by_key(&queue.id, |in_hand| in_hand.queue.id);
        &mut self.0[at.expect("every queue of the commit is locked")].state
    }

    /// What has changed, for the commit; and what is to be done when the locks are let go.
    pub(super) fn finish(
        &mut self,
        (now, ticket): (Timestamp, Option<&Ticket>),
        afters: &mut Afters,
    ) -> SmallVec<[Op; 2]> {
        let mut ops = SmallVec::new();
        for InHand { queue, state, ready } in &mut self.0 {
            ops.extend(state.take_ops(&queue.context, (now, ticket)));
            let after = queue.after_step(state);
            let left = state.engine.as_deref().map_or(0, Engine::ready);
            afters.push((Arc::clone(queue), after, if left > *ready { left } else { 0 }));
        }
        ops
    }
}

/// After the locks were let go.
pub(super) fn finish_steps(afters: Afters) {
    for (queue, after, ready) in afters {
        queue.finish_step(after);
        if ready > 0 {
            queue.wake(ready);
        }
    }
}
