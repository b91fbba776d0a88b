//! Queues: publishers into one queue or several, consumers with timed locks that accept, release,
//! reject, extend or forget, dead letters, ordered groups and delays; and the audit that empties
//! every queue.

use super::client::{Client, Session};
use crate::{Delivered, Settlement, Step, payload};
use std::{sync::Arc, time::Duration};
use tramline_broker::{
    Delivery, Enqueue, EnqueueError, EnqueueOptions, Error, Lock, LockToken, Outcome, Queue,
    QueueSettings, Receive,
};
use tramline_types::{Clock, ExchangeName, Message, QueueName, Timestamp};

/// Priorities, a limit of deliveries, and a dead-letter queue.
const JOBS: &str = "jobs";
const DEAD: &str = "dead-jobs";
/// Ordered groups.
const GROUPED: &str = "grouped";
const ALL: [&str; 3] = [JOBS, DEAD, GROUPED];
const GROUPS: u64 = 4;
const DELIVERIES_MAX: u32 = 4;
const PRIORITY_MAX: u8 = 2;
const PAUSE_MAX: Duration = Duration::from_millis(60);
const LOCK_MAX_MS: u64 = 300;
const DELAY_MAX_MS: u64 = 200;
/// The engine's clock and the wall clock are rounded apart.
const SLACK_MS: i64 = 2;
const AUDIT_ROUNDS_MAX: usize = 400;

fn settings(queue: &str) -> QueueSettings {
    match queue {
        JOBS => QueueSettings {
            priority_max: PRIORITY_MAX,
            deliveries_max: Some(DELIVERIES_MAX),
            dead_letter_exchange: ExchangeName::parse("").ok(),
            dead_letter_routing_key: Some(DEAD.to_owned()),
            ..QueueSettings::default()
        },
        GROUPED => QueueSettings { ordered_groups: true, ..QueueSettings::default() },
        _ => QueueSettings::default(),
    }
}

impl Client {
    /// Publishes until the world stops.
    pub(super) async fn enqueue_all(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let queues = self.open_queues(&session).await;
            let Some([jobs, _, grouped]) = queues else { continue };
            let targets = match self.random.below(5) {
                0 => vec![jobs, grouped],
                1..3 => vec![grouped],
                _ => vec![jobs],
            };
            let count = 1 + self.random.below(6);
            let (mut items, mut ops) = (Vec::new(), Vec::new());
            for _ in 0..count {
                let (op, item) = self.prepare_enqueue(&targets);
                ops.push(op);
                items.push(item);
            }
            let enqueue = async { session.broker.enqueue(items).await.await };
            match session.call(enqueue).await {
                None => ops.iter().for_each(|op| self.unknown(*op)),
                Some(results) => {
                    for (op, result) in ops.iter().zip(results) {
                        self.enqueued(*op, result);
                    }
                }
            }
        }
    }

    fn enqueued(&self, op: u64, result: Result<(), EnqueueError>) {
        match result {
            Ok(()) => self.complete(op, Step::Ok),
            Err(error) => {
                if error != EnqueueError::StorageFull {
                    self.world.problem(format!("a publish into a queue was refused: {error}"));
                }
                self.fail(op, &error);
            }
        }
    }

    fn prepare_enqueue(&mut self, targets: &[Arc<Queue>]) -> (u64, Enqueue) {
        let value = format!("{}-{:x}", self.name, self.random.next_u64());
        let bytes = if self.random.one_in(20) { 9000 } else { 10 + self.random.index(300) };
        let is_grouped = targets.iter().any(|queue| queue.settings().ordered_groups);
        let group = is_grouped.then(|| format!("group-{}", self.random.below(GROUPS)));
        // What is delayed comes behind what follows it, in its group as well.
        let is_delayed = !is_grouped && self.random.one_in(6);
        let deliver_at = is_delayed.then(|| {
            let delay = i64::try_from(self.random.below(DELAY_MAX_MS)).unwrap_or(0);
            self.clock.now().plus_millis(delay)
        });
        let step = Step::Enqueue {
            queues: targets.iter().map(|queue| queue.name().to_string()).collect(),
            value: value.clone(),
            group: group.clone(),
            not_before_ms: deliver_at.map(|at| at.as_millis() - SLACK_MS),
            unit: None,
        };
        let options = EnqueueOptions {
            persistent: true,
            priority: u8::try_from(self.random.below(4)).unwrap_or(0),
            deliver_at,
            group: group.map(|group| group.into_bytes().into()),
            ..EnqueueOptions::default()
        };
        let body = Some(payload::encode(&value, bytes));
        let message = Message { value: body, ..Message::default() };
        let targets = targets.iter().cloned().collect();
        (self.invoke(step), Enqueue { targets, message, options })
    }

    /// Consumes until the world stops.
    pub(super) async fn work_off(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let Some(queues) = self.open_queues(&session).await else { continue };
            let queue = &queues[self.random.index(queues.len())];
            self.work_on(&session, queue).await;
        }
    }

    /// Receives some messages, and settles them one way or another.
    pub(super) async fn work_on(&mut self, session: &Session, queue: &Arc<Queue>) {
        let (n_max, lock_ms) = (1 + self.random.index(5), 1 + self.random.below(LOCK_MAX_MS));
        let deliveries = self.receive_some(session, queue, (n_max, lock_ms)).await;
        if self.random.one_in(3) {
            self.pause(Duration::from_millis(LOCK_MAX_MS)).await;
        }
        let mut settles = Vec::new();
        for delivery in deliveries {
            if let Some(outcome) = self.decide(session, queue, &delivery).await {
                settles.push((delivery.token, outcome));
            }
        }
        self.settle_all(session, queue, settles).await;
    }

    /// What becomes of a delivery; nothing where it is forgotten.
    async fn decide(
        &mut self,
        session: &Session,
        queue: &Arc<Queue>,
        delivery: &Delivery,
    ) -> Option<Outcome> {
        Some(match self.random.below(20) {
            0 => return None,
            1..3 => {
                let delay_ms = self.random.one_in(2).then(|| self.random.below(DELAY_MAX_MS));
                Outcome::Released { count: self.random.one_in(2), delay_ms }
            }
            3..8 => Outcome::Rejected { dead_letter: true, reason: None },
            8..10 => {
                self.extend(session, queue, delivery.token).await;
                self.pause(PAUSE_MAX).await;
                Outcome::Accepted
            }
            _ => Outcome::Accepted,
        })
    }

    async fn extend(&mut self, session: &Session, queue: &Arc<Queue>, token: LockToken) {
        let lock = Duration::from_millis(LOCK_MAX_MS + self.random.below(LOCK_MAX_MS));
        let extended = session.call(async { queue.extend(token, lock) }).await;
        // Nobody waits for an extension, so there is nothing between its call and its answer.
        let until = extended.as_ref().and_then(|extended| extended.as_ref().ok());
        let until_ms = until.map_or(0, |until| until.as_millis() - SLACK_MS);
        let op = self.invoke(settle_step(queue, token, Settlement::Extend { until_ms }));
        match extended {
            None => self.unknown(op),
            Some(Ok(_)) => self.complete(op, Step::Ok),
            Some(Err(error)) => self.fail(op, &error),
        }
    }

    async fn receive_some(
        &self,
        session: &Session,
        queue: &Arc<Queue>,
        (n_max, lock_ms): (usize, u64),
    ) -> Vec<Delivery> {
        let name = queue.name().to_string();
        let op = self.invoke(Step::Receive { queue: name.clone() });
        let request = Receive {
            n_max,
            bytes_max: 100_000,
            lock: Lock::Timed(Duration::from_millis(lock_ms)),
            wait: Duration::ZERO,
            connection: None,
        };
        match session.call(queue.receive(request)).await {
            None => self.unknown(op),
            Some(Err(error)) => {
                self.world.problem(format!("nothing can be received from `{name}`: {error}"));
                self.fail(op, &error);
            }
            Some(Ok(deliveries)) => {
                let at_ms = self.clock.now().as_millis();
                let shown = deliveries.iter().map(shown).collect();
                self.complete(op, Step::ReceiveOk { queue: name, at_ms, deliveries: shown });
                return deliveries;
            }
        }
        Vec::new()
    }

    async fn settle_all(
        &self,
        session: &Session,
        queue: &Arc<Queue>,
        settles: Vec<(LockToken, Outcome)>,
    ) {
        if settles.is_empty() {
            return;
        }
        let invoke = |(token, outcome): &(LockToken, Outcome)| {
            let settlement = match outcome {
                Outcome::Released { .. } => Settlement::Release,
                Outcome::Rejected { .. } => Settlement::Reject,
                _ => Settlement::Accept,
            };
            self.invoke(settle_step(queue, *token, settlement))
        };
        let ops: Vec<u64> = settles.iter().map(invoke).collect();
        let lost = session.call(async { queue.settle(&settles).await }).await;
        for (op, (token, _)) in ops.into_iter().zip(&settles) {
            match &lost {
                None => self.unknown(op),
                Some(lost) if lost.contains(token) => self.fail(op, &"the lock was lost"),
                Some(_) => self.complete(op, Step::Ok),
            }
        }
    }

    /// Every queue, made where it is missing.
    async fn open_queues(&self, session: &Session) -> Option<[Arc<Queue>; 3]> {
        let mut queues = Vec::new();
        for queue in ALL {
            queues.push(self.open_queue(session, queue, settings(queue)).await?);
        }
        queues.try_into().ok()
    }

    /// One queue, made where it is missing.
    pub(super) async fn open_queue(
        &self,
        session: &Session,
        queue: &str,
        settings: QueueSettings,
    ) -> Option<Arc<Queue>> {
        let name = QueueName::parse(queue).expect("a short word is a queue's name");
        if let Ok(queue) = session.broker.queue(&name) {
            return Some(queue);
        }
        let op = self.invoke(Step::DeclareQueue {
            queue: queue.to_owned(),
            dead_letter: settings.dead_letter_routing_key.clone(),
            ordered_groups: settings.ordered_groups,
        });
        match session.call(session.broker.declare_queue(&name, settings)).await {
            None => {
                self.unknown(op);
                None
            }
            Some(Ok((queue, _))) => {
                self.complete(op, Step::Ok);
                Some(queue)
            }
            Some(Err(error)) => {
                if !matches!(error, Error::StorageFull) {
                    self.world.problem(format!("queue `{queue}` cannot be made: {error}"));
                }
                self.fail(op, &error);
                None
            }
        }
    }

    /// Takes everything out of every queue.
    pub(super) async fn empty_queues(mut self) {
        let session = self.session().await;
        let Some(queues) = self.open_queues(&session).await else { return };
        self.empty_all(&session, &queues).await;
    }

    /// Takes everything out of these.
    pub(super) async fn empty_all(&mut self, session: &Session, queues: &[Arc<Queue>]) {
        for _ in 0..AUDIT_ROUNDS_MAX {
            let mut held = 0;
            for queue in queues {
                let deliveries = self.receive_some(session, queue, (50, 60_000)).await;
                let accept = |delivery: &Delivery| (delivery.token, Outcome::Accepted);
                let settles = deliveries.iter().map(accept).collect();
                self.settle_all(session, queue, settles).await;
                let counts = queue.counts();
                held += counts.ready
                    + counts.blocked
                    + counts.locked
                    + counts.delayed
                    + counts.transferring;
            }
            if held == 0 {
                for queue in queues {
                    self.note(Step::Emptied { queue: queue.name().to_string() });
                }
                return;
            }
            self.pause(Duration::from_millis(LOCK_MAX_MS)).await;
        }
        let counts: Vec<_> = queues.iter().map(|queue| (queue.name(), queue.counts())).collect();
        self.world.problem(format!("queues do not become empty: {counts:?}"));
    }
}

fn settle_step(queue: &Queue, token: LockToken, outcome: Settlement) -> Step {
    Step::Settle { queue: queue.name().to_string(), token: text(token), outcome }
}

fn text(token: LockToken) -> String {
    format!("{}-{}-{:x}", token.place.lane, token.place.offset, token.sequence)
}

fn shown(delivery: &Delivery) -> Delivered {
    let until = delivery.locked_until.map(Timestamp::as_millis);
    Delivered {
        value: payload::decode(delivery.message.value.as_deref()),
        token: text(delivery.token),
        count: Some(delivery.deliveries),
        until_ms: until.map(|until| until - SLACK_MS),
    }
}
