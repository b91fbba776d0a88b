//! Queues: each message is worked on once. What every queue protocol is made of, in plain
//! domain data: declare, enqueue, attach or receive, settle.

mod consumer;
mod enqueue;
mod future;
mod registry;
mod settle;
mod unit;

pub use consumer::{Consumer, ConsumerOptions, Delivery, Receive, Wake};
pub use enqueue::{Enqueue, EnqueueError, EnqueueOptions, Targets};
pub use future::{Enqueuing, Settling};
pub use registry::{Created, DeleteOnly};
pub use unit::{Settle, Unit};

use std::sync::Arc;
use tramline_catalog::QueueSettings;
use tramline_queue::Counts;
use tramline_types::{QueueName, Timestamp};

/// A queue. What it does is in the methods of this handle's parts: [`Queue::attach`],
/// [`Queue::receive`], [`Queue::settle`].
pub struct Queue {
    name: QueueName,
    id: u64,
    created: Timestamp,
    settings: Arc<QueueSettings>,
}

impl Queue {
    /// Its name.
    pub const fn name(&self) -> &QueueName {
        &self.name
    }

    /// Its id, never reused.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// When it was declared.
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// Its settings.
    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// How many messages are in which state.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
