//! Moving dead-lettered messages back: to the queue where each died last, or to a named one.
//!
//! Each message leaves its queue and arrives at the other in one commit, which says how many have
//! moved, too: it is in exactly one of both, and after a restart a redrive goes on where it was.

mod filtered;
mod stored;

pub use filtered::RedriveCount;

use super::{
    Enqueue, EnqueueOptions, MessageFilter, Queue, Receive, Unit, death, message::loaded,
    plan::TakenOut, unit::Along,
};
use crate::{Broker, Error, QueueError};
use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::smallvec;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::{Notify, oneshot};
use tramline_catalog::RedriveState;
use tramline_queue::{Delivery, Lock, LockToken, Outcome, Place};
use tramline_types::{ConnectionId, Message, Monotonic, QueueName, Timestamp};

/// Messages of one commit.
const MESSAGES_MAX: u64 = 100;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Redrives of one queue that are remembered.
const KEPT_MAX: usize = 10;
/// Holds what is about to be moved; no connection has this number.
const HOLDER: ConnectionId = ConnectionId(u64::MAX);

/// What to move where, and how fast.
#[derive(Clone, Debug, Default)]
pub struct Redrive {
    /// The queue that gets the messages; `None`: the one where each died last.
    pub to: Option<QueueName>,
    /// Messages per second at most.
    pub per_second: Option<u32>,
    /// Which messages, if not all.
    pub filter: MessageFilter,
}

/// A redrive, as it is now.
#[derive(Clone, Debug)]
pub struct RedriveStatus {
    /// Its number, above those of the queue's earlier ones.
    pub id: u64,
    /// How far it is.
    pub state: RedriveState,
    /// Where the messages go, if not to where they died.
    pub to: Option<QueueName>,
    /// Messages per second at most.
    pub per_second: Option<u32>,
    /// Which messages, if not all.
    pub filter: MessageFilter,
    /// The messages that were ready when it began.
    pub total: u64,
    /// Those that have moved.
    pub moved: u64,
    /// Those that stay, because where they died is not known or does not exist.
    pub left_behind: u64,
    /// When it began.
    pub started: Timestamp,
}

impl RedriveStatus {
    fn is_active(&self) -> bool {
        matches!(self.state, RedriveState::Running | RedriveState::Cancelling)
    }
}

/// A message that is about to move.
struct Moving {
    leaves: Leaves,
    message: Arc<Message>,
    target: Arc<Queue>,
}

/// How it leaves its queue.
#[derive(Clone, Copy)]
enum Leaves {
    /// By its delivery.
    Delivery(LockToken),
    /// From its place, while nobody has it.
    Place(Place),
}

impl Leaves {
    const fn token(self) -> Option<LockToken> {
        match self {
            Self::Delivery(token) => Some(token),
            Self::Place(_) => None,
        }
    }
}

impl Moving {
    fn taken_out(&self) -> Option<TakenOut> {
        let Leaves::Place(place) = self.leaves else { return None };
        let loaded = loaded(Arc::clone(&self.message), Timestamp::default());
        Some((place, (loaded.bytes, loaded.group)))
    }
}

/// A redrive and its end.
pub(super) struct Task {
    status: Mutex<RedriveStatus>,
    cancelled: Notify,
}

/// The last redrives of one queue, the newest first.
pub(super) type Redrives = Mutex<VecDeque<Arc<Task>>>;

impl Task {
    fn new(status: RedriveStatus) -> Self {
        Self { status: Mutex::new(status), cancelled: Notify::new() }
    }

    /// Messages of one step.
    fn pace(&self) -> u64 {
        let per_second = self.status.lock().per_second;
        per_second.map_or(MESSAGES_MAX, |rate| u64::from(rate / 10).clamp(1, MESSAGES_MAX))
    }

    fn is_cancelled(&self) -> bool {
        self.status.lock().state == RedriveState::Cancelling
    }
}

impl Broker {
    /// Begins to move what is ready in a queue; that it does is durable on return.
    ///
    /// # Errors
    /// [`QueueError::InUse`] while another one runs, [`QueueError::UnknownQueue`],
    /// [`QueueError::InvalidSetting`] where the queue would move into itself.
    pub async fn start_redrive(
        &self,
        queue: &Arc<Queue>,
        redrive: Redrive,
    ) -> Result<RedriveStatus, Error> {
        self.check_redrive(queue, &redrive)?;
        let (task, status, forgotten) = self.begin_redrive(queue, redrive)?;
        let (told, begun) = oneshot::channel();
        let (broker, of_task, stored) = (self.clone(), Arc::clone(queue), status.clone());
        // By itself: who asked may be gone before it is durable.
        self.queues_map().context.runtime.spawn(async move {
            let result = broker.store_redrive(&of_task, &stored, &forgotten).await;
            if let Err(error) = &result {
                task.status.lock().state = RedriveState::Failed(error.to_string());
            } else {
                broker.spawn_redrive(&of_task, task);
            }
            let _nobody_waits = told.send(result);
        });
        begun.await.map_err(|_| Error::Closed)??;
        Ok(status)
    }

    fn check_redrive(&self, queue: &Queue, redrive: &Redrive) -> Result<(), Error> {
        if queue.is_gone() {
            return Err(QueueError::UnknownQueue(queue.name.to_string()).into());
        }
        let Some(to) = &redrive.to else { return Ok(()) };
        self.queue(to)?.check_writable()?;
        if *to == queue.name {
            let (setting, detail) = ("to", "is the queue itself".to_owned());
            return Err(QueueError::InvalidSetting { setting, detail }.into());
        }
        Ok(())
    }

    /// Makes the task, the only one of its queue that is active; gives which ones are forgotten
    /// for it.
    fn begin_redrive(
        &self,
        queue: &Queue,
        redrive: Redrive,
    ) -> Result<(Arc<Task>, RedriveStatus, Vec<u64>), Error> {
        let context = &self.queues_map().context;
        let total = queue.counts().ready;
        let mut redrives = queue.redrives.lock();
        if redrives.iter().any(|task| task.status.lock().is_active()) {
            return Err(QueueError::InUse(queue.name.to_string()).into());
        }
        let last = redrives.front().map_or(0, |task| task.status.lock().id);
        let status = RedriveStatus {
            id: context.next_run().max(last + 1),
            state: RedriveState::Running,
            to: redrive.to,
            per_second: redrive.per_second.filter(|rate| *rate > 0),
            filter: redrive.filter,
            total,
            moved: 0,
            left_behind: 0,
            started: context.clock.now(),
        };
        let task = Arc::new(Task::new(status.clone()));
        redrives.push_front(Arc::clone(&task));
        let forgotten = redrives.iter().skip(KEPT_MAX).map(|task| task.status.lock().id).collect();
        redrives.truncate(KEPT_MAX);
        Ok((task, status, forgotten))
    }

    /// The last redrives of a queue, the newest first.
    pub fn redrives(&self, queue: &Queue) -> Vec<RedriveStatus> {
        queue.redrives.lock().iter().map(|task| task.status.lock().clone()).collect()
    }

    /// Ends a redrive; what it has in hand goes first. Durable on return. `None` when there is
    /// none of this number that runs.
    ///
    /// # Errors
    /// What storing comes to: it ends all the same, but a restart may have it go on.
    pub async fn cancel_redrive(
        &self,
        queue: &Queue,
        id: u64,
    ) -> Result<Option<RedriveStatus>, Error> {
        let status = {
            let redrives = queue.redrives.lock();
            let Some(task) = redrives.iter().find(|task| task.status.lock().id == id) else {
                return Ok(None);
            };
            let mut status = task.status.lock();
            if !status.is_active() {
                return Ok(None);
            }
            status.state = RedriveState::Cancelling;
            task.cancelled.notify_one();
            status.clone()
        };
        self.store_redrive(queue, &status, &[]).await?;
        Ok(Some(status))
    }

    fn spawn_redrive(&self, queue: &Arc<Queue>, task: Arc<Task>) {
        let (broker, queue) = (self.clone(), Arc::clone(queue));
        self.queues_map().context.runtime.spawn(async move {
            broker.run_redrive(&queue, &task).await;
        });
    }

    async fn run_redrive(&self, queue: &Arc<Queue>, task: &Task) {
        let mut left = Vec::new();
        let result = if task.status.lock().filter.is_empty() {
            self.redrive(queue, task, &mut left).await
        } else {
            self.redrive_filtered(queue, task).await
        };
        let release = Outcome::Released { count: false, delay_ms: None };
        let left: Vec<_> = left.into_iter().map(|token| (token, release.clone())).collect();
        drop(queue.settle(&left));
        let mut ended = task.status.lock().clone();
        ended.state = match result {
            Ok(()) if ended.state == RedriveState::Cancelling => RedriveState::Cancelled,
            Ok(()) => RedriveState::Completed,
            Err(error) => RedriveState::Failed(error.to_string()),
        };
        // Until then it is active, so that no other one begins that a restart would let go on
        // beside it.
        if let Err(error) = self.store_redrive(queue, &ended, &[]).await {
            tracing::warn!(queue = %queue.name, %error, "the end of a redrive is not stored");
        }
        let RedriveStatus { state, moved, left_behind, .. } = &ended;
        tracing::info!(queue = %queue.name, ?state, moved, left_behind, "redrive over");
        *task.status.lock() = ended;
    }

    /// Moves what there is. What stays is in `left`, locked.
    async fn redrive(
        &self,
        queue: &Arc<Queue>,
        task: &Task,
        left: &mut Vec<LockToken>,
    ) -> Result<(), Error> {
        let clock = self.clock();
        let RedriveStatus { total, moved, .. } = task.status.lock().clone();
        let pace = task.pace();
        let mut seen = moved;
        while seen < total && !task.is_cancelled() {
            let begun = clock.monotonic();
            let n_max = usize::try_from(pace.min(total - seen)).unwrap_or(usize::MAX);
            let (lock, wait) = (Lock::Connection(HOLDER), Duration::ZERO);
            let connection = queue.settings().owner;
            let receive = Receive { n_max, bytes_max: BYTES_MAX, lock, wait, connection };
            let deliveries = queue.receive(receive).await?;
            if deliveries.is_empty() {
                break;
            }
            let n = u64::try_from(deliveries.len()).unwrap_or(u64::MAX);
            seen += n;
            self.move_back(queue, task, deliveries, left).await?;
            self.keep_pace(task, begun, n).await;
        }
        Ok(())
    }

    /// Waits as long as so many messages may take.
    async fn keep_pace(&self, task: &Task, begun: Monotonic, n: u64) {
        let Some(rate) = task.status.lock().per_second else { return };
        let due = begun.plus(Duration::from_secs(n) / rate);
        tokio::select! {
            () = self.clock().sleep_until(Some(due)) => {}
            () = task.cancelled.notified() => {}
        }
    }

    async fn move_back(
        &self,
        queue: &Arc<Queue>,
        task: &Task,
        deliveries: Vec<Delivery>,
        left: &mut Vec<LockToken>,
    ) -> Result<(), Error> {
        let to = task.status.lock().to.clone();
        let mut moving = Vec::new();
        for delivery in deliveries {
            match self.destination(queue, &delivery.message, to.as_ref()) {
                Some(target) => {
                    let leaves = Leaves::Delivery(delivery.token);
                    moving.push(Moving { leaves, message: delivery.message, target });
                }
                None => {
                    task.status.lock().left_behind += 1;
                    left.push(delivery.token);
                }
            }
        }
        let moved = self.commit_all(queue, task, &moving).await;
        if moved.is_err() {
            left.extend(moving.iter().filter_map(|moving| moving.leaves.token()));
        }
        moved
    }

    /// Moves them together, or each for itself.
    async fn commit_all(
        &self,
        queue: &Arc<Queue>,
        task: &Task,
        moving: &[Moving],
    ) -> Result<(), Error> {
        match self.commit_moves(queue, task, moving).await {
            // Some were purged meanwhile, or somebody got them.
            Err(Error::Queue(QueueError::LockLost)) => {}
            done => return done,
        }
        for one in moving.chunks(1) {
            match self.commit_moves(queue, task, one).await {
                Ok(()) | Err(Error::Queue(QueueError::LockLost)) => {}
                failed => return failed,
            }
        }
        Ok(())
    }

    /// One commit, which counts them; durable on return.
    async fn commit_moves(
        &self,
        queue: &Arc<Queue>,
        task: &Task,
        moving: &[Moving],
    ) -> Result<(), Error> {
        if moving.is_empty() {
            return Ok(());
        }
        let publishes = moving.iter().map(|Moving { message, target, .. }| Enqueue {
            targets: smallvec![Arc::clone(target)],
            message: revived(message),
            options: EnqueueOptions {
                persistent: true,
                priority: death::priority(message),
                ..EnqueueOptions::default()
            },
        });
        let tokens = moving.iter().filter_map(|moving| moving.leaves.token());
        let settles = tokens.map(|token| (token, Outcome::Accepted)).collect();
        let settles = vec![(Arc::clone(queue), settles)];
        let taken: Vec<TakenOut> = moving.iter().filter_map(Moving::taken_out).collect();
        let unit = Unit { publishes: publishes.collect(), settles, result: None };
        let (id, moved) = {
            let status = task.status.lock();
            (status.id, status.moved + u64::try_from(moving.len()).unwrap_or(u64::MAX))
        };
        let pair = stored::progress(queue, id, moved);
        let along = Along { pair, taken: Some((queue, &taken)) };
        self.commit_unit_with(unit, along).await?.await;
        task.status.lock().moved = moved;
        Ok(())
    }

    fn destination(
        &self,
        queue: &Queue,
        message: &Message,
        to: Option<&QueueName>,
    ) -> Option<Arc<Queue>> {
        let died = || QueueName::parse(&death::read(message).first()?.queue).ok();
        let name = to.cloned().or_else(died)?;
        let target = self.queue(&name).ok()?;
        (target.id != queue.id && !target.is_subscription()).then_some(target)
    }
}

/// The message as it was where it died: with its own key again.
fn revived(message: &Message) -> Message {
    let deaths = death::read(message);
    let Some(key) = deaths.first().and_then(|death| death.routing_keys.first()) else {
        return message.clone();
    };
    let key = (!key.is_empty()).then(|| Bytes::from(key.clone()));
    Message { key, ..message.clone() }
}
