//! Queues: each message is worked on once. What every queue protocol is made of, in plain
//! domain data: declare, enqueue, attach or receive, settle.
//!
//! A queue's owner is a short lock around a pure [`Engine`]. Each step is applied under it, and
//! what has to be logged is submitted before it is let go. Locks are taken in this order: the
//! append locks of partitions, one queue's state, its consumers or the store's intake.
//! Completions on the committer's thread take no state: they move the high watermark and wake.

mod alter;
mod consumer;
mod context;
mod death;
mod enqueue;
mod filter;
mod follow_up;
mod followed;
mod future;
mod hot;
mod kept;
mod load;
mod locked;
mod message;
mod peek;
mod plan;
mod redrive;
mod registry;
mod replay;
mod results;
mod settle;
mod single;
mod state;
mod subscription;
mod timer;
mod traffic;
mod transfer;
mod unit;
mod view;

pub(crate) use context::Queues;
pub(crate) use follow_up::HOLDER;
pub(crate) use timer::run as run_timers;

pub use consumer::{Consumer, ConsumerOptions, Receive, Wake};
pub use enqueue::{Enqueue, EnqueueError, EnqueueOptions, Placed, Targets};
pub use filter::MessageFilter;
pub use future::{Enqueuing, Settling};
pub use peek::{Peek, Peeked, PeekedMessage};
pub use redrive::{Redrive, RedriveCount, RedriveStatus};
pub use registry::{Created, DeleteOnly};
pub use replay::Replay;
pub(crate) use traffic::PROCESSING_BOUNDS_MS;
pub use traffic::{ProcessingTimes, Traffic};
pub use tramline_queue::Delivery;
pub use unit::{Settle, Unit};

use context::Context;
use hot::Hot;
use parking_lot::{Mutex, RwLock};
use state::State;
use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use traffic::Counters;
use tramline_catalog::QueueSettings;
use tramline_queue::{Consumers, Counts, Engine};
use tramline_types::{QueueName, Timestamp, TopicId};

/// How long a timed lock holds where nobody says.
const LOCK_DURATION: Duration = Duration::from_secs(30);

/// A queue. What it does is in the methods of this handle's parts: [`Queue::attach`],
/// [`Queue::receive`], [`Queue::settle`].
pub struct Queue {
    name: QueueName,
    id: u64,
    created: Timestamp,
    settings: RwLock<Arc<QueueSettings>>,
    hot: Hot,
    /// The topic that this is a subscription of; never changes.
    source: Option<TopicId>,
    context: Arc<Context>,
    state: Mutex<State>,
    consumers: Mutex<Consumers<Arc<dyn Wake>>>,
    /// When it was last declared, consumed or received from.
    used: AtomicI64,
    declared: Declared,
    redrives: redrive::Redrives,
    counters: Counters,
    me: Weak<Self>,
}

/// Whether a queue's declaration is durable.
#[derive(Default)]
struct Declared {
    durable: AtomicBool,
    told: Notify,
}

impl Declared {
    fn done(&self) {
        self.durable.store(true, Ordering::Release);
        self.told.notify_waiters();
    }
}

impl Queue {
    fn new(
        (name, id, created): (QueueName, u64, Timestamp),
        settings: QueueSettings,
        source: Option<TopicId>,
        context: &Arc<Context>,
        state: State,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            name,
            id,
            created,
            consumers: Mutex::new(Consumers::new(settings.single_active_consumer)),
            hot: Hot::new(&settings, source.is_some()),
            settings: RwLock::new(Arc::new(settings)),
            source,
            context: Arc::clone(context),
            state: Mutex::new(state),
            used: AtomicI64::new(context.now().as_millis()),
            declared: Declared::default(),
            redrives: redrive::Redrives::default(),
            counters: Counters::default(),
            me: Weak::clone(me),
        })
    }

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

    /// Its settings in force.
    pub fn settings(&self) -> Arc<QueueSettings> {
        Arc::clone(&self.settings.read())
    }

    /// How many messages are in which state.
    pub fn counts(&self) -> Counts {
        let mut counts = {
            let mut state = self.state.lock();
            state.sync_ends();
            state.engine.as_deref().map(Engine::counts).unwrap_or_default()
        };
        if self.is_subscription() {
            counts.bytes_ready = self.estimated_bytes(counts.ready);
        }
        let consumers = self.consumers.lock().len();
        counts.consumers = u64::try_from(consumers).unwrap_or(u64::MAX);
        counts
    }

    /// How long a timed lock holds where the receiver does not say.
    pub fn lock_duration(&self) -> Duration {
        match self.settings().lock_duration_ms {
            0 => LOCK_DURATION,
            millis => Duration::from_millis(millis),
        }
    }

    /// Takes note that somebody uses it.
    fn touch(&self) {
        self.used.store(self.context.now().as_millis(), Ordering::Relaxed);
    }

    /// Wakes hungry consumers, as many as there are ready messages at most. Takes no state.
    fn wake(&self, ready: u64) {
        loop {
            let Some(wake) = self.consumers.lock().poll_wake(ready) else { return };
            wake.wake();
        }
    }
}
