//! Getting messages: attached consumers, which are woken, and one-shot receives.

use crate::{Error, Queue, QueueError};
use std::{sync::Arc, time::Duration};
use tramline_queue::{Lock, LockToken, Place};
use tramline_types::{ConnectionId, Message, Timestamp};

/// Someone to be woken when a queue may have something: cheap, from any thread, at most once
/// until the next [`Consumer::receive`].
pub trait Wake: Send + Sync {
    /// There may be something.
    fn wake(&self);
}

/// How to consume.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The consumer's name, for people.
    pub tag: String,
    /// Those with the highest priority are served first.
    pub priority: i32,
    /// No other consumer beside this one.
    pub exclusive: bool,
    /// What holds its deliveries: [`Lock::None`] settles them as they are delivered.
    pub lock: Lock,
    /// The connection that it belongs to.
    pub connection: ConnectionId,
}

/// A one-shot receive.
#[derive(Clone, Debug)]
pub struct Receive {
    /// Messages at most.
    pub n_max: usize,
    /// Stop at so many bytes of bodies; a first message comes whatever its size.
    pub bytes_max: usize,
    /// What holds the deliveries.
    pub lock: Lock,
    /// How long to wait for a first message.
    pub wait: Duration,
    /// The same id again, within the lock's duration, gets the same deliveries again.
    pub attempt_id: Option<bytes::Bytes>,
    /// The connection, where there is one: exclusive queues ask for it.
    pub connection: Option<ConnectionId>,
}

/// One handing-out of a message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this delivery when it is settled.
    pub token: LockToken,
    /// Where the message lies: stable over redeliveries.
    pub place: Place,
    /// How often it was delivered before, as far as that counts.
    pub deliveries: u32,
    /// Whether it was delivered before at all.
    pub redelivered: bool,
    /// The message.
    pub message: Arc<Message>,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When a timed lock ends.
    pub locked_until: Option<Timestamp>,
}

/// An attached consumer; dropping it detaches. Its deliveries stay locked until they are
/// settled or released.
pub struct Consumer {
    queue: Arc<Queue>,
}

impl Consumer {
    /// The queue.
    pub const fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// What there is, without waiting: up to `n_max` messages, up to `bytes_max` bytes of
    /// bodies (a first message comes whatever its size). Fewer than asked for: the consumer is
    /// hungry and will be woken once. With `n_max` = 0 it is not hungry any more.
    ///
    /// # Errors
    /// [`QueueError::Deleted`] when the queue is gone.
    pub fn receive(&self, n_max: usize, bytes_max: usize) -> Result<Vec<Delivery>, Error> {
        let _ = (n_max, bytes_max);
        Err(QueueError::Deleted(self.queue.name().to_string()).into())
    }
}

impl Queue {
    /// Registers a consumer.
    pub fn attach(
        self: &Arc<Self>,
        options: ConsumerOptions,
        wake: Arc<dyn Wake>,
    ) -> Result<Consumer, Error> {
        let _ = (options, wake);
        Err(QueueError::Deleted(self.name().to_string()).into())
    }

    /// Receives once.
    pub async fn receive(self: &Arc<Self>, request: Receive) -> Result<Vec<Delivery>, Error> {
        let _ = request;
        Err(QueueError::Deleted(self.name().to_string()).into())
    }
}
