//! What a plan asks of the queues that get its messages, one at a time.

use super::super::{EnqueueError, Queue};
use crate::jobs::{Arriving as Followed, Tags};
use std::sync::Arc;
use tramline_log::Partition;
use tramline_queue::{Arrival, Engine, Place};
use tramline_types::Timestamp;

impl Queue {
    pub(super) fn lane_log(&self, level: u16) -> Result<Arc<Partition>, EnqueueError> {
        let mut state = self.state.lock();
        if self.is_gone() {
            return Err(EnqueueError::Deleted);
        }
        state.lane_log(self, level)
    }

    /// Whether so many more messages and bytes are within the bounds.
    pub(super) fn check_room(&self, n: u64, bytes: u64) -> Result<(), EnqueueError> {
        let mut state = self.state.lock();
        state.sync_ends();
        let engine: &Engine = state.engine(self);
        if engine.has_room(n, bytes) { Ok(()) } else { Err(EnqueueError::Overflow) }
    }

    /// Messages for a transient queue.
    pub(super) fn arrive(
        self: &Arc<Self>,
        (level, mut arrivals, tags): (u16, Vec<Arrival>, Tags),
        now: Timestamp,
        mut placed: impl FnMut(Place, Option<Place>),
    ) {
        let n = arrivals.len();
        self.delay(&mut arrivals, now);
        tags.hold(&mut arrivals, &self.context.jobs);
        let mut state = self.state.lock();
        if self.is_gone() {
            return;
        }
        self.counters.enqueued(n);
        let mut followed: Followed = state.followed(self, (tags, &arrivals), now);
        let engine = state.engine(self);
        engine.handle_enqueued((level, 0), arrivals, now, |place, first| {
            followed.placed(place, first.is_some());
            placed(place, first);
        });
        let ready = engine.ready();
        state.arrived(followed);
        state.submit(&self.context, now, None);
        let after = self.after_step(&mut state);
        drop(state);
        self.finish_step(after);
        self.wake(ready);
    }
}
