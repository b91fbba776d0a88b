//! What follows when a message is done: "when a message of A is done, publish to B and C". The
//! publishing and the settling are one commit: there is never one without the other.
//!
//! The message has to be read again for it, so such a settlement goes on by itself: until it is
//! durable the delivery is held by nobody's connection, and its consumer may go.

use super::{Enqueue, EnqueueOptions, Queue, Settle, Settling, Unit, future::Outstanding};
use crate::{Broker, Error, QueueError, jobs};
use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::smallvec;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tramline_queue::{LockToken, Outcome};
use tramline_types::{ConnectionId, Header, Message, QueueName};

/// Holds what is about to be settled; no connection has this number.
const HOLDER: ConnectionId = ConnectionId(u64::MAX - 1);
/// Settled in one commit at most.
const MESSAGES_MAX: usize = 50;
/// Until it is tried again where there was no space.
const RETRY: Duration = Duration::from_secs(1);
/// What a follow-up takes over from its parent beside the body.
const KEPT: [&[u8]; 2] = [b"content-type", b"content-encoding"];

/// Settlements that publish.
#[derive(Default)]
pub(super) struct FollowUps {
    waiting: Mutex<VecDeque<FollowUp>>,
    arrived: Notify,
}

struct FollowUp {
    queue: Arc<Queue>,
    tokens: Vec<LockToken>,
    settled: Arc<Outstanding>,
}

impl Queue {
    /// Whether something follows when its messages are done.
    pub(super) fn has_follow_ups(&self) -> bool {
        !self.settings().on_done.is_empty()
    }

    /// As [`Queue::settle`], for a queue whose messages are followed by others.
    pub(super) fn settle_with_follow_ups(self: &Arc<Self>, settles: &[Settle]) -> Settling {
        let (mut lost, mut tokens) = (Vec::new(), Vec::new());
        let settled = Outstanding::new(1);
        self.step(Some(&settled), |engine, now| {
            for settle in settles {
                if settle.1 != Outcome::Accepted {
                    engine.handle_settle(std::slice::from_ref(settle), now, &mut lost);
                } else if engine.handle_take_over(settle.0, HOLDER, now) {
                    tokens.push(settle.0);
                } else {
                    lost.push(settle.0);
                }
            }
        });
        self.counters.settled(settles.len() - tokens.len() - lost.len());
        let follow_ups = &self.context.follow_ups;
        for tokens in tokens.chunks(MESSAGES_MAX) {
            settled.add();
            let (queue, settled) = (Arc::clone(self), Arc::clone(&settled));
            let follow_up = FollowUp { queue, tokens: tokens.to_vec(), settled };
            follow_ups.waiting.lock().push_back(follow_up);
        }
        follow_ups.arrived.notify_one();
        Settling::new(settled, lost)
    }
}

impl Broker {
    /// Settles what is followed by others. Runs until the broker closes.
    pub(crate) async fn run_follow_ups(self) {
        let context = Arc::clone(&self.queues_map().context);
        loop {
            loop {
                let next = context.follow_ups.waiting.lock().pop_front();
                let Some(mut next) = next else { break };
                next.tokens = self.follow_up(&next.queue, &next.tokens).await;
                if next.tokens.is_empty() {
                    next.settled.done();
                } else {
                    self.follow_up_later(next);
                }
            }
            tokio::select! {
                () = context.follow_ups.arrived.notified() => {}
                () = self.closed() => return,
            }
        }
    }

    /// Gives those that are to be tried again.
    async fn follow_up(&self, queue: &Arc<Queue>, tokens: &[LockToken]) -> Vec<LockToken> {
        let mut again = Vec::new();
        match self.try_follow_up(queue, tokens).await {
            // One was taken out meanwhile: each for itself.
            Err(Error::Queue(QueueError::LockLost)) => {
                for token in tokens.chunks(1) {
                    match self.try_follow_up(queue, token).await {
                        Ok(()) | Err(Error::Queue(QueueError::LockLost) | Error::Closed) => {}
                        Err(_) => again.extend(token),
                    }
                }
            }
            Ok(()) | Err(Error::Closed) => {}
            Err(error) => {
                tracing::warn!(queue = %queue.name(), %error, "what follows has to wait");
                again.extend(tokens);
            }
        }
        again
    }

    fn follow_up_later(&self, follow_up: FollowUp) {
        let broker = self.clone();
        self.queues_map().context.runtime.spawn(async move {
            let at = broker.clock().monotonic().plus(RETRY);
            broker.clock().sleep_until(Some(at)).await;
            let follow_ups = &broker.queues_map().context.follow_ups;
            follow_ups.waiting.lock().push_back(follow_up);
            follow_ups.arrived.notify_one();
        });
    }

    /// One commit; durable on return.
    async fn try_follow_up(&self, queue: &Arc<Queue>, tokens: &[LockToken]) -> Result<(), Error> {
        let settings = queue.settings();
        let targets: Vec<Arc<Queue>> = settings
            .on_done
            .iter()
            .filter_map(|name| self.queue(&QueueName::parse(name).ok()?).ok())
            .filter(|target| !target.is_subscription())
            .collect();
        let mut publishes = Vec::new();
        for token in tokens {
            let Some(message) = queue.message_at(token.place).await? else { continue };
            publishes.extend(targets.iter().map(|target| Enqueue {
                targets: smallvec![Arc::clone(target)],
                message: self.follower(&message, target),
                options: EnqueueOptions { persistent: true, ..EnqueueOptions::default() },
            }));
        }
        let settles = tokens.iter().map(|token| (*token, Outcome::Accepted)).collect();
        let settles = vec![(Arc::clone(queue), settles)];
        let results = self.commit_unit(Unit { publishes, settles, result: None }).await?.await;
        debug_assert!(results.iter().all(Result::is_ok), "a unit is refused as a whole");
        Ok(())
    }

    /// What follows a message: its result where its worker told one, else its body.
    fn follower(&self, message: &Message, target: &Queue) -> Message {
        let kept = |header: &&Header| KEPT.contains(&&*header.name);
        let mut headers: Vec<Header> = message.headers.iter().filter(kept).cloned().collect();
        let mut value = message.value.clone();
        if let Some(parent) = jobs::id_of(message) {
            let id = format!("{parent}/{}", target.name());
            headers.push(text("job-id", id));
            headers.push(text("job-parent", parent.to_string()));
            value = self.job_result(&parent).or(value);
        }
        Message { key: None, value, headers, timestamp: None }
    }
}

fn text(name: &'static str, value: String) -> Header {
    Header { name: Bytes::from_static(name.as_bytes()), value: Some(Bytes::from(value)) }
}
