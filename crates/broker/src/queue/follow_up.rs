//! What follows when a message is done: "when a message of A is done, publish to B and C". The
//! publishing and the settling are one commit: there is never one without the other.
//!
//! The message has to be read again for it, so such a settlement goes on by itself: until it is
//! durable the delivery is held by nobody's connection, and its consumer may go. So is a message
//! that its own delivery settles; where a crash comes in between, it is delivered again.

use super::{Enqueue, EnqueueOptions, Queue, Settle, Settling, Unit, future::Outstanding};
use crate::{Broker, Enqueuing, Error, QueueError, jobs};
use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::smallvec;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tramline_queue::{Delivery, Lock, LockToken, Outcome};
use tramline_types::{ConnectionId, Header, Message, QueueName};

/// Holds what is about to be settled; no connection has this number.
pub(crate) const HOLDER: ConnectionId = ConnectionId(u64::MAX - 1);
/// Settled in one commit at most.
const MESSAGES_MAX: usize = 50;
/// What may follow one message; more finds no room in a commit.
const FOLLOWERS_BYTES_MAX: usize = 14 * 1024 * 1024;
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
    /// Who waits.
    settled: Vec<Arc<Outstanding>>,
}

impl FollowUps {
    fn push(&self, follow_up: FollowUp) {
        self.waiting.lock().push_back(follow_up);
        self.arrived.notify_one();
    }

    /// What is next, and what comes behind it of the same queue, as far as one commit takes it.
    fn pop(&self) -> Option<FollowUp> {
        let mut waiting = self.waiting.lock();
        let mut first = waiting.pop_front()?;
        while let Some(next) = waiting.pop_front_if(|next| {
            Arc::ptr_eq(&next.queue, &first.queue)
                && first.tokens.len() + next.tokens.len() <= MESSAGES_MAX
        }) {
            first.tokens.extend(next.tokens);
            first.settled.extend(next.settled);
        }
        Some(first)
    }
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
        // Those that are accepted have their time when they are.
        let others = settles.iter().filter(|(_, outcome)| *outcome != Outcome::Accepted);
        self.counters.time_settled(others.map(|(token, _)| *token), &self.context);
        for tokens in tokens.chunks(MESSAGES_MAX) {
            settled.add();
            self.follow_up(tokens, vec![Arc::clone(&settled)]);
        }
        Settling::new(settled, lost)
    }

    fn follow_up(self: &Arc<Self>, tokens: &[LockToken], settled: Vec<Arc<Outstanding>>) {
        let (queue, tokens) = (Arc::clone(self), tokens.to_vec());
        self.context.follow_ups.push(FollowUp { queue, tokens, settled });
    }

    /// What holds deliveries that this lock would settle at once: until what follows is published
    /// with their end.
    pub(super) fn lock_of(&self, lock: Lock) -> Lock {
        match lock {
            Lock::None if self.has_follow_ups() => Lock::Connection(HOLDER),
            lock => lock,
        }
    }

    /// Settles what [`Queue::lock_of`] holds.
    pub(super) fn settle_held(self: &Arc<Self>, deliveries: &[Delivery]) {
        let tokens: Vec<LockToken> = deliveries.iter().map(|delivery| delivery.token).collect();
        for tokens in tokens.chunks(MESSAGES_MAX) {
            self.follow_up(tokens, Vec::new());
        }
    }
}

impl Broker {
    /// Settles what is followed by others. Runs until the broker closes.
    pub(crate) async fn run_follow_ups(self) {
        let context = Arc::clone(&self.queues_map().context);
        loop {
            loop {
                let Some(mut next) = context.follow_ups.pop() else { break };
                next.tokens = self.follow_up(&next.queue, &next.tokens).await;
                if next.tokens.is_empty() {
                    next.settled.iter().for_each(|settled| settled.done());
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
            // One was taken out meanwhile, or all together are too much: each for itself.
            Err(
                Error::Queue(QueueError::LockLost | QueueError::LimitExceeded(_))
                | Error::MessageTooLarge { .. },
            ) if tokens.len() > 1 => {
                for token in tokens.chunks(1) {
                    let tried = self.try_follow_up(queue, token).await;
                    again.extend(self.left_of(queue, token, tried));
                }
            }
            tried => again.extend(self.left_of(queue, tokens, tried)),
        }
        again
    }

    /// What is to be tried again.
    fn left_of<'a>(
        &self,
        queue: &Arc<Queue>,
        tokens: &'a [LockToken],
        tried: Result<(), Error>,
    ) -> &'a [LockToken] {
        match tried {
            Ok(()) | Err(Error::Queue(QueueError::LockLost) | Error::Closed) => &[],
            Err(Error::MessageTooLarge { bytes, limit }) => {
                let reason = format!("what follows takes {bytes} bytes, and one commit {limit}");
                tracing::warn!(queue = %queue.name(), reason, "what cannot follow is rejected");
                let reject = Outcome::Rejected { dead_letter: true, reason: Some(reason) };
                let settles: Vec<Settle> =
                    tokens.iter().map(|token| (*token, reject.clone())).collect();
                drop(queue.settle(&settles));
                &[]
            }
            Err(error) => {
                tracing::warn!(queue = %queue.name(), %error, "what follows has to wait");
                tokens
            }
        }
    }

    fn follow_up_later(&self, follow_up: FollowUp) {
        let broker = self.clone();
        self.queues_map().context.runtime.spawn(async move {
            let at = broker.clock().monotonic().plus(RETRY);
            broker.clock().sleep_until(Some(at)).await;
            broker.queues_map().context.follow_ups.push(follow_up);
        });
    }

    /// One commit; durable on return.
    async fn try_follow_up(&self, queue: &Arc<Queue>, tokens: &[LockToken]) -> Result<(), Error> {
        let publishes = self.followers(queue, tokens).await?;
        let settles = tokens.iter().map(|token| (*token, Outcome::Accepted)).collect();
        let settles = vec![(Arc::clone(queue), settles)];
        let results = self.commit_unit(Unit { publishes, settles, result: None }).await?.await;
        debug_assert!(results.iter().all(Result::is_ok), "a unit is refused as a whole");
        Ok(())
    }

    /// As [`Broker::commit_unit`], and what follows the messages that it accepts is part of it.
    ///
    /// # Errors
    /// As [`Broker::commit_unit`].
    pub async fn commit_unit_and_follow(&self, unit: Unit) -> Result<Enqueuing, Error> {
        let Unit { mut publishes, settles, result } = unit;
        for (queue, of_queue) in settles.iter().filter(|(queue, _)| queue.has_follow_ups()) {
            let accepted = of_queue.iter().filter(|(_, outcome)| *outcome == Outcome::Accepted);
            let tokens: Vec<LockToken> = accepted.map(|(token, _)| *token).collect();
            publishes.extend(self.followers(queue, &tokens).await?);
        }
        self.commit_unit(Unit { publishes, settles, result }).await
    }

    /// What follows some messages of a queue. A queue that does not exist gets nothing.
    async fn followers(
        &self,
        queue: &Arc<Queue>,
        tokens: &[LockToken],
    ) -> Result<Vec<Enqueue>, Error> {
        let settings = queue.settings();
        let targets: Vec<Arc<Queue>> = settings
            .on_done
            .iter()
            .filter_map(|name| self.queue(&QueueName::parse(name).ok()?).ok())
            .filter(|target| !target.is_subscription())
            .collect();
        let mut followers = Vec::new();
        for token in tokens {
            let Some(message) = queue.message_at(token.place).await? else { continue };
            let bytes = targets.len() * message.value.as_ref().map_or(0, Bytes::len);
            if bytes > FOLLOWERS_BYTES_MAX {
                return Err(Error::MessageTooLarge { bytes, limit: FOLLOWERS_BYTES_MAX });
            }
            followers.extend(targets.iter().map(|target| Enqueue {
                targets: smallvec![Arc::clone(target)],
                message: self.follower(&message, target),
                options: EnqueueOptions { persistent: true, ..EnqueueOptions::default() },
            }));
        }
        Ok(followers)
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
