//! What one commit does beside appending messages.

use super::super::{Queue, Settle, locked::Locked};
use std::sync::Arc;
use tramline_queue::Place;
use tramline_store::Op;
use tramline_types::Timestamp;

/// A message that is taken out: its place, the length of its body, its group.
pub(in super::super) type TakenOut = (Place, (u32, Option<u64>));

/// What a commit does beside appending: all of it, or the commit does not happen.
#[derive(Default)]
pub(in super::super) struct Beside<'a> {
    /// Deliveries to settle, which must be held.
    pub(in super::super) settles: &'a [(Arc<Queue>, Vec<Settle>)],
    /// Dead messages that move away, or are given up.
    pub(in super::super) transferred: Option<(&'a Arc<Queue>, &'a [Place])>,
    /// Messages that are taken out, which nobody must have.
    pub(in super::super) taken: Option<(&'a Arc<Queue>, &'a [TakenOut])>,
    /// What else is to be committed.
    pub(in super::super) op: Option<Op>,
}

impl Beside<'_> {
    pub(super) fn queues(&self) -> impl Iterator<Item = Arc<Queue>> {
        let settled = self.settles.iter().map(|(queue, _)| Arc::clone(queue));
        let moved = self.transferred.map(|(queue, _)| Arc::clone(queue));
        settled.chain(moved).chain(self.taken.map(|(queue, _)| Arc::clone(queue)))
    }

    pub(super) fn is_possible(&self, locked: &mut Locked<'_>, now: Timestamp) -> bool {
        let are_held = self.settles.iter().all(|(queue, of_queue)| {
            let engine = locked.state(queue).engine.as_deref();
            of_queue.iter().all(|(token, _)| engine.is_some_and(|it| it.holds(*token, now)))
        });
        are_held
            && self.taken.is_none_or(|(queue, taken)| {
                let engine = locked.state(queue).engine.as_deref();
                taken.iter().all(|(place, _)| engine.is_some_and(|it| it.is_waiting(*place)))
            })
    }

    pub(super) fn step(&self, locked: &mut Locked<'_>, now: Timestamp) {
        let mut lost = Vec::new();
        for (queue, of_queue) in self.settles {
            locked.state(queue).engine(queue).handle_settle(of_queue, now, &mut lost);
            queue.counters.settled(of_queue.len());
            queue.counters.time_settled(of_queue.iter().map(|(token, _)| *token), &queue.context);
        }
        debug_assert!(lost.is_empty(), "they were held under the same locks");
        if let Some((queue, places)) = self.transferred
            && let Some(engine) = &mut locked.state(queue).engine
        {
            engine.handle_transferred(places);
        }
        if let Some((queue, taken)) = self.taken
            && let Some(engine) = &mut locked.state(queue).engine
        {
            for (place, known) in taken {
                engine.handle_remove(*place, *known, now);
            }
        }
    }
}
