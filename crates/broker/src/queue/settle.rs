//! Ending deliveries.

use super::future::Outstanding;
use crate::{Error, Queue, QueueError, Settle, Settling};
use std::{sync::Arc, time::Duration};
use tramline_queue::{Engine, LockToken, Outcome, Place};
use tramline_types::{ConnectionId, Timestamp};

impl Queue {
    /// Settles deliveries: done when this returns; what it returns resolves when that is
    /// durable.
    pub fn settle(self: &Arc<Self>, settles: &[Settle]) -> Settling {
        if self.has_follow_ups() {
            return self.settle_with_follow_ups(settles);
        }
        let mut lost = Vec::new();
        let waiter = Outstanding::new(1);
        self.step(Some(&waiter), |engine, now| engine.handle_settle(settles, now, &mut lost));
        self.counters.settled(settles.len() - lost.len());
        self.counters.time_settled(settles.iter().map(|(token, _)| *token), &self.context);
        Settling::new(waiter, lost)
    }

    /// As [`Queue::settle`], durable a few milliseconds later at most: for protocols that do not
    /// tell. Gives those whose lock was lost.
    pub fn settle_behind(self: &Arc<Self>, settles: &[Settle]) -> Vec<LockToken> {
        if self.has_follow_ups() {
            return self.settle_with_follow_ups(settles).lost().to_vec();
        }
        let mut lost = Vec::new();
        self.step(None, |engine, now| engine.handle_settle(settles, now, &mut lost));
        self.counters.settled(settles.len() - lost.len());
        self.counters.time_settled(settles.iter().map(|(token, _)| *token), &self.context);
        lost
    }

    /// Accepts deliveries, also those whose timed lock has ended if their messages were not
    /// delivered again: as [`Queue::settle`].
    pub fn accept_late(self: &Arc<Self>, tokens: &[LockToken]) -> Settling {
        if self.has_follow_ups() {
            let accept = |token: &LockToken| (*token, Outcome::Accepted);
            return self.settle_with_follow_ups(&tokens.iter().map(accept).collect::<Vec<_>>());
        }
        let mut lost = Vec::new();
        let waiter = Outstanding::new(1);
        let accept = |engine: &mut Engine, now| engine.handle_accept_late(tokens, now, &mut lost);
        self.step(Some(&waiter), accept);
        self.counters.settled(tokens.len() - lost.len());
        self.counters.time_settled(tokens.iter().copied(), &self.context);
        Settling::new(waiter, lost)
    }

    /// Whether a message is done: nobody gets it any more.
    pub fn is_done(&self, place: Place) -> bool {
        self.state.lock().engine.as_deref().is_none_or(|engine| engine.is_done(place))
    }

    /// Gives a timed lock this long from now; tells when it ends.
    ///
    /// # Errors
    /// [`QueueError::LockLost`].
    pub fn extend(self: &Arc<Self>, token: LockToken, lock: Duration) -> Result<Timestamp, Error> {
        let until = self.step(None, |engine, now| engine.handle_extend(token, lock, now));
        until.ok_or_else(|| QueueError::LockLost.into())
    }

    /// Gives timed locks so long from now: done when this returns; what it returns resolves when
    /// that is durable, to those whose lock is lost.
    pub fn extend_all(self: &Arc<Self>, extends: &[(LockToken, Duration)]) -> Settling {
        let waiter = Outstanding::new(1);
        let lost = self.step(Some(&waiter), |engine, now| {
            let is_lost = |(token, lock): &&(LockToken, Duration)| {
                engine.handle_extend(*token, *lock, now).is_none()
            };
            extends.iter().filter(is_lost).map(|(token, _)| *token).collect()
        });
        Settling::new(waiter, lost)
    }

    /// Gives back everything that a connection's deliveries hold; each counts as delivered.
    pub fn release_all(self: &Arc<Self>, connection: ConnectionId) {
        self.counters.time_released(connection);
        self.step(None, |engine, now| engine.handle_release(connection, now));
    }

    /// Drops what is ready; durable on return. Gives how many messages those were.
    ///
    /// # Errors
    /// [`QueueError::Deleted`].
    pub async fn purge(self: &Arc<Self>) -> Result<u64, Error> {
        self.purge_by(Engine::handle_purge).await
    }

    /// Drops everything that is not on its way to the dead-letter target: ready, locked, delayed
    /// and deferred messages; durable on return. Gives how many.
    ///
    /// # Errors
    /// [`QueueError::Deleted`].
    pub async fn purge_all(self: &Arc<Self>) -> Result<u64, Error> {
        self.purge_by(Engine::handle_purge_all).await
    }

    async fn purge_by(
        self: &Arc<Self>,
        purge: impl FnOnce(&mut Engine, Timestamp) -> u64,
    ) -> Result<u64, Error> {
        if self.is_gone() {
            return Err(QueueError::Deleted(self.name.to_string()).into());
        }
        let waiter = Outstanding::new(1);
        let purged = self.step(Some(&waiter), purge);
        Settling::new(waiter, Vec::new()).await;
        Ok(purged)
    }

    /// One step of the engine with all that belongs to it.
    pub(super) fn step<T>(
        self: &Arc<Self>,
        waiter: Option<&Arc<Outstanding>>,
        step: impl FnOnce(&mut Engine, Timestamp) -> T,
    ) -> T {
        let mut state = self.state.lock();
        let now = self.context.now();
        state.sync_ends();
        let engine = state.engine(self);
        let before = engine.ready();
        let result = step(engine, now);
        let ready = engine.ready();
        state.submit(&self.context, now, waiter);
        let after = self.after_step(&mut state);
        drop(state);
        self.finish_step(after);
        if ready > before {
            self.wake(ready);
        }
        result
    }
}
