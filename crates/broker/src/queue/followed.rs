//! What a queue does for those who follow its messages one by one: the status of jobs.

use super::{Queue, context::Context, death, future::Outstanding, state::State};
use crate::{
    Broker, Error, Settling,
    jobs::{Arriving, Following, Home, Tags, Ticket},
};
use bytes::Bytes;
use std::sync::Arc;
use tramline_queue::{Arrival, Engine, Place};
use tramline_types::{LogId, Message, Timestamp};

/// How long final states are kept where nobody says.
const RESULT_TTL_MS: u64 = 24 * 3600 * 1000;

impl State {
    /// Those of some messages that are followed; their places come when they are in.
    pub(super) fn followed(
        &mut self,
        queue: &Queue,
        (tags, arrivals): (Tags, &[Arrival]),
        now: Timestamp,
    ) -> Arriving {
        if tags.is_empty() {
            return Arriving::default();
        }
        let arriving = tags.arriving(queue, arrivals, now);
        if !arriving.is_empty() {
            self.follow(queue);
        }
        arriving
    }

    fn follow(&mut self, queue: &Queue) -> &mut Following {
        if self.following.is_none() {
            self.engine(queue).follow_changes();
        }
        self.following.get_or_insert_with(|| Box::new(Following::new(queue.home())))
    }

    /// They are in.
    pub(super) fn arrived(&mut self, arriving: Arriving) {
        if let Some(following) = &mut self.following {
            following.arrived(arriving);
        }
    }

    /// What is to be committed beside what the engine says.
    pub(super) fn note_jobs(
        &mut self,
        context: &Context,
        step: (Timestamp, &Ticket),
    ) -> Option<(LogId, Vec<Bytes>)> {
        let (Some(following), Some(engine)) = (&mut self.following, &mut self.engine) else {
            return None;
        };
        context.jobs.note_step(following, engine, step)
    }

    /// After a restart.
    pub(super) fn resume_jobs(&mut self, queue: &Queue) {
        let home = queue.home();
        let engine = self.engine(queue);
        if queue.context.jobs.resume(&home, engine) {
            self.follow(queue);
        }
    }

    pub(super) fn settings_changed(&mut self, queue: &Queue) {
        if let Some(following) = &mut self.following {
            following.set_home(queue.home());
        }
    }
}

impl Queue {
    fn home(&self) -> Arc<Home> {
        Arc::new(Home {
            id: self.id,
            name: self.name.to_string(),
            transient: self.is_transient(),
            result_ttl_ms: self.settings().result_ttl_ms.unwrap_or(RESULT_TTL_MS),
        })
    }

    /// Whether a message came here because it died elsewhere, and was never here before.
    pub(crate) fn is_grave_of(&self, message: &Message) -> bool {
        let deaths = death::read(message);
        !deaths.is_empty() && deaths.iter().all(|death| death.queue != self.name.as_str())
    }

    /// Messages as they arrive here: later, where the queue delays all.
    pub(super) fn delay(&self, arrivals: &mut [Arrival], now: Timestamp) {
        let delay_ms = self.delay_ms();
        if delay_ms > 0 {
            let delay = i64::try_from(delay_ms).unwrap_or(i64::MAX);
            let at = Timestamp::from_millis(now.as_millis().saturating_add(delay));
            for arrival in arrivals {
                arrival.deliver_at = arrival.deliver_at.max(Some(at));
            }
        }
    }

    /// The message at a place.
    pub(super) async fn message_at(&self, place: Place) -> Result<Option<Arc<Message>>, Error> {
        if self.is_transient() {
            let state = self.state.lock();
            let loaded = state.engine.as_deref().and_then(|engine| engine.in_memory(place));
            return Ok(loaded.map(|loaded| loaded.message));
        }
        let near = self.read_from(place).await?;
        let found = near.into_iter().find(|(at, _)| *at == place);
        Ok(found.map(|(_, loaded)| loaded.message))
    }

    /// How many messages go before this one.
    pub(crate) fn ahead_of(&self, place: Place) -> Option<u64> {
        let mut state = self.state.lock();
        state.sync_ends();
        state.engine.as_deref()?.ahead_of(place)
    }

    /// What is said about one of its jobs, between two steps of the engine: it is committed behind
    /// the one and before the other.
    pub(crate) fn between_steps(
        self: &Arc<Self>,
        say: impl FnOnce() -> Option<(LogId, Bytes, Ticket)>,
    ) {
        let mut state = self.state.lock();
        let Some(said) = say() else { return };
        state.also(&self.context, said);
        let after = self.after_step(&mut state);
        drop(state);
        self.finish_step(after);
    }

    /// One step of the engine.
    pub(crate) fn on_engine<T>(
        self: &Arc<Self>,
        step: impl FnOnce(&mut Engine, Timestamp) -> T,
    ) -> T {
        self.step(None, step)
    }

    /// One step of the engine; durable on return.
    pub(crate) async fn on_engine_durably<T>(
        self: &Arc<Self>,
        step: impl FnOnce(&mut Engine, Timestamp) -> T,
    ) -> T {
        let waiter = Outstanding::new(1);
        let result = self.step(Some(&waiter), step);
        Settling::new(waiter, Vec::new()).await;
        result
    }
}

impl Broker {
    /// A queue is deleted, and its jobs end.
    pub(super) async fn end_jobs(&self, queue: &Queue) -> Result<(), Error> {
        let following = queue.state.lock().following.take();
        match following {
            Some(following) => following.end(self).await,
            None => Ok(()),
        }
    }
}
