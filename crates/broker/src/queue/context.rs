//! What all queues share.

use super::{
    DeleteOnly, Queue, follow_up::FollowUps, results::Results, timer::Timers, view::Views,
};
use crate::{Error, Options, jobs::Jobs, topic::Topics};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use tramline_catalog::Counter;
use tramline_log::{Durability, PartitionSettings, Retention, TimestampRule};
use tramline_store::LogStore;
use tramline_types::{Clock, ConnectionId, Monotonic, QueueName, Timestamp, limits};

/// Every queue of this node.
pub(crate) struct Queues {
    pub(super) by_name: RwLock<BTreeMap<QueueName, Arc<Queue>>>,
    /// Exclusive queues.
    pub(super) owned: Mutex<BTreeMap<ConnectionId, Vec<Arc<Queue>>>>,
    /// As topics.
    pub(super) views: Views,
    pub(super) context: Arc<Context>,
}

impl Queues {
    pub(crate) fn start(
        (store, clock): (&Arc<dyn LogStore>, &Arc<dyn Clock>),
        log_ids: &Arc<Counter>,
        (leader_epoch, options): (i32, &Options),
        topics: &RwLock<Topics>,
    ) -> Result<Self, Error> {
        let context = Context {
            store: Arc::clone(store),
            origin: (clock.now(), clock.monotonic()),
            clock: Arc::clone(clock),
            log_ids: Arc::clone(log_ids),
            leader_epoch,
            transient_ids: AtomicU64::new(1 << 63),
            runs: AtomicU64::new(1),
            timers: Timers::default(),
            transfers: Work::default(),
            removals: Work::default(),
            results: Mutex::new(Results::load(&**store)),
            jobs: Arc::new(Jobs::load(store, options.job_log_bytes_min)?),
            follow_ups: FollowUps::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        let by_name = RwLock::default();
        let (owned, views, context) = (Mutex::default(), Views::default(), Arc::new(context));
        let queues = Self { by_name, owned, views, context };
        queues.recover(topics)?;
        Ok(queues)
    }

    pub(crate) fn jobs(&self) -> &Arc<Jobs> {
        &self.context.jobs
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.context.now()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.read().contains_key(name)
    }
}

/// What a queue needs to do its work.
pub(super) struct Context {
    pub(super) store: Arc<dyn LogStore>,
    pub(super) clock: Arc<dyn Clock>,
    /// Wall-clock and monotonic time at the start.
    origin: (Timestamp, Monotonic),
    pub(super) log_ids: Arc<Counter>,
    pub(super) leader_epoch: i32,
    transient_ids: AtomicU64,
    runs: AtomicU64,
    pub(super) timers: Timers,
    /// Those with dead messages to move.
    pub(super) transfers: Work,
    /// Those to be deleted.
    pub(super) removals: Work,
    /// Held while a result is looked for and recorded.
    pub(super) results: Mutex<Results>,
    pub(super) jobs: Arc<Jobs>,
    pub(super) follow_ups: FollowUps,
    pub(super) runtime: tokio::runtime::Handle,
}

/// Queues that something is to be done for.
#[derive(Default)]
pub(super) struct Work {
    queues: Mutex<VecDeque<Arc<Queue>>>,
    arrived: Notify,
}

impl Work {
    pub(super) fn push(&self, queue: &Arc<Queue>) {
        self.queues.lock().push_back(Arc::clone(queue));
        self.arrived.notify_one();
    }

    pub(super) fn pop(&self) -> Option<Arc<Queue>> {
        self.queues.lock().pop_front()
    }

    /// Resolves when something was pushed.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl Context {
    /// Wall-clock time that runs as the monotonic clock does from the start on: a clock step
    /// expires nothing.
    pub(super) fn now(&self) -> Timestamp {
        let since = self.clock.monotonic().since(self.origin.1).as_millis();
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.origin.0.as_millis().saturating_add(since))
    }

    /// A time that a client gave, as [`Context::now`] has it.
    pub(super) fn steady(&self, wall: Timestamp) -> Timestamp {
        let ahead = wall.as_millis().saturating_sub(self.clock.now().as_millis());
        Timestamp::from_millis(self.now().as_millis().saturating_add(ahead))
    }

    /// When [`Context::now`] will be so late.
    pub(super) fn monotonic_at(&self, at: Timestamp) -> Monotonic {
        let ahead = at.as_millis().saturating_sub(self.now().as_millis());
        let ahead = std::time::Duration::from_millis(u64::try_from(ahead).unwrap_or(0));
        self.clock.monotonic().plus(ahead)
    }

    pub(super) fn next_transient_id(&self) -> u64 {
        self.transient_ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Names one receive that takes runs of ordered groups.
    pub(super) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed)
    }

    /// Deletes a queue that nobody uses any more; from here on it is gone for everybody. Nothing
    /// happens where somebody has attached meanwhile.
    pub(super) fn remove_later(&self, queue: &Arc<Queue>) {
        let only = DeleteOnly { if_unused: true, if_empty: false };
        if queue.set_gone_if(only).is_ok() {
            self.removals.push(queue);
        }
    }

    /// Where tokens begin in their epoch: by the time of the start. One on a full disk cannot store
    /// its epoch, and the next start has it again.
    pub(super) fn sequences_skipped(&self) -> u64 {
        let millis = u64::try_from(self.origin.0.as_millis()).unwrap_or(0);
        (millis & 0x7fff_ffff) << 9
    }

    /// Above that of every earlier start.
    pub(super) fn epoch(&self) -> u64 {
        u64::try_from(self.leader_epoch).unwrap_or(0) + 1
    }
}

/// What a queue's logs go by: messages are checked before, and nothing goes by age or size.
pub(super) const LOG_SETTINGS: PartitionSettings = PartitionSettings {
    message_bytes_max: limits::BATCH_BYTES_MAX,
    timestamps: TimestampRule::Create { before_max_ms: i64::MAX, after_max_ms: i64::MAX },
    retention: Retention { age_ms_max: None, bytes_max: None },
    compaction: None,
    compression: None,
    durability: Durability::Sync,
};
