//! Getting messages: attached consumers, which are woken, and one-shot receives.

use super::{Queue, load::Progress};
use crate::{Error, QueueError};
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use tramline_queue::{ConsumerId, Delivery, Lock, Take, Taking};
use tramline_types::ConnectionId;

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
    /// The connection, where there is one: exclusive queues ask for it.
    pub connection: Option<ConnectionId>,
}

/// An attached consumer; dropping it detaches. Its deliveries stay locked until they are
/// settled or released.
pub struct Consumer {
    queue: Arc<Queue>,
    id: ConsumerId,
    lock: Lock,
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
        let take = Take { n_max, bytes_max, lock: self.lock, run: None };
        self.queue.take(take, Some(self.id))
    }

    /// Whether it gets messages: the one of a queue with a single active consumer.
    pub fn is_active(&self) -> bool {
        self.queue.consumers.lock().is_active(self.id)
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let (next, last) = {
            let mut consumers = self.queue.consumers.lock();
            (consumers.detach(self.id), consumers.is_empty())
        };
        if let Some(next) = next {
            next.wake();
        }
        self.queue.touch();
        if last && self.queue.settings().auto_delete {
            self.queue.context.remove_later(&self.queue);
        }
    }
}

impl Queue {
    /// Registers a consumer.
    ///
    /// # Errors
    /// [`QueueError::Locked`], [`QueueError::ExclusiveConsumer`], [`QueueError::Deleted`].
    pub fn attach(
        self: &Arc<Self>,
        options: ConsumerOptions,
        wake: Arc<dyn Wake>,
    ) -> Result<Consumer, Error> {
        self.check_owner(Some(options.connection))?;
        self.touch();
        let _state = self.state.lock();
        if self.is_gone() {
            return Err(QueueError::Deleted(self.name.to_string()).into());
        }
        let mut consumers = self.consumers.lock();
        if consumers.is_exclusive() || (options.exclusive && !consumers.is_empty()) {
            return Err(QueueError::ExclusiveConsumer(self.name.to_string()).into());
        }
        let id = consumers.attach(options.priority, options.exclusive, wake);
        Ok(Consumer { queue: Arc::clone(self), id, lock: options.lock })
    }

    /// Receives once: waits for a first message, at most `wait`, and gives what there is then.
    ///
    /// # Errors
    /// [`QueueError::Locked`], [`QueueError::ExclusiveConsumer`], [`QueueError::Deleted`].
    pub async fn receive(self: &Arc<Self>, request: Receive) -> Result<Vec<Delivery>, Error> {
        self.receive_once(request, None).await
    }

    /// As [`Queue::receive`]; with ordered groups several messages of one group may come, in
    /// order. Nobody else gets any of that group until all of them are settled or their locks
    /// have ended.
    ///
    /// # Errors
    /// As [`Queue::receive`].
    pub async fn receive_runs(self: &Arc<Self>, request: Receive) -> Result<Vec<Delivery>, Error> {
        self.receive_once(request, Some(self.context.next_run())).await
    }

    async fn receive_once(
        self: &Arc<Self>,
        request: Receive,
        run: Option<u64>,
    ) -> Result<Vec<Delivery>, Error> {
        self.check_owner(request.connection)?;
        self.touch();
        let Receive { n_max, bytes_max, lock, wait, .. } = request;
        let take = Take { n_max, bytes_max, lock, run };
        let deadline = self.context.clock.monotonic().plus(wait);
        let waiting = Arc::new(Waiting::default());
        let consumer = {
            let mut consumers = self.consumers.lock();
            if consumers.is_exclusive() {
                return Err(QueueError::ExclusiveConsumer(self.name.to_string()).into());
            }
            let wake: Arc<dyn Wake> = Arc::<Waiting>::clone(&waiting);
            let id = consumers.attach_once(wake);
            OneShot { queue: Arc::clone(self), id }
        };
        loop {
            let got = self.take(take, Some(consumer.id))?;
            if !got.is_empty() || n_max == 0 {
                return Ok(got);
            }
            let loading = {
                let state = self.state.lock();
                state.loading && !state.failing
            };
            let over = self.context.clock.monotonic() >= deadline;
            if over && !loading {
                return Ok(got);
            }
            // What is being read from the disk is there: it is waited for in any case.
            let deadline = (!loading || !over).then_some(deadline);
            tokio::select! {
                () = waiting.0.notified() => {}
                () = self.context.clock.sleep_until(deadline) => {}
            }
        }
    }

    /// One receive, for a consumer or for itself.
    pub(super) fn take(
        self: &Arc<Self>,
        take: Take,
        consumer: Option<ConsumerId>,
    ) -> Result<Vec<Delivery>, Error> {
        let mut out = Vec::new();
        loop {
            let mut state = self.state.lock();
            // Under the lock: no step is at an earlier time than one before it.
            let now = self.context.now();
            if self.is_gone() {
                return Err(QueueError::Deleted(self.name.to_string()).into());
            }
            state.sync_ends();
            let is_behind = state.is_behind();
            let wanted = if is_behind { 0 } else { take.n_max.saturating_sub(out.len()) };
            let engine = state.engine(self);
            // Or what is ready by this very moment would be nobody's share.
            engine.handle_time(now);
            let ready = engine.ready();
            let share = consumer.map_or(ready, |id| self.consumers.lock().share(id, ready));
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            let wish = Take { n_max: wanted.min(share), lock: self.lock_of(take.lock), ..take };
            let before = out.len();
            let taking = engine.handle_receive(&wish, now, &mut out);
            self.counters.delivered(&out[before..], take.lock);
            let mut left = engine.ready();
            state.submit(&self.context, now, None);
            let mut load = None;
            if let Taking::Load(wanted) = taking
                && wish.n_max > 0
                && !std::mem::replace(&mut state.loading, true)
            {
                load = Some(wanted);
            }
            let ahead = if wish.n_max > 0 { state.load_ahead() } else { None };
            let hungry = out.len() < take.n_max;
            let mut again = false;
            if let Some(id) = consumer {
                // Under the lock, so that whatever comes next finds it hungry.
                let anyone = self.consumers.lock().set_hungry(id, hungry);
                // Who has all that it asked for leaves the watch to the others who have not.
                let grown = anyone && !state.watch();
                again = grown && hungry && wish.n_max > 0;
                if grown && !again {
                    state.sync_ends();
                    left = state.engine(self).ready();
                }
            }
            let after = self.after_step(&mut state);
            drop(state);
            self.finish_step(after);
            if let Some(ahead) = ahead {
                self.load_ahead(ahead);
            }
            self.counters.time(&out[before..], take.lock, now);
            if wish.lock != take.lock {
                self.settle_held(&out[before..]);
            }
            match load.map(|load| self.load(load)) {
                Some(Progress::Done) => continue,
                // The end of a load wakes who is hungry.
                Some(Progress::Pending) => return Ok(out),
                None if again => continue,
                None => {}
            }
            if left > 0 && !is_behind && !matches!(taking, Taking::Load(_)) {
                self.wake(left);
            }
            return Ok(out);
        }
    }
}

/// A one-shot receive that waits.
#[derive(Default)]
struct Waiting(Notify);

impl Wake for Waiting {
    fn wake(&self) {
        self.0.notify_one();
    }
}

struct OneShot {
    queue: Arc<Queue>,
    id: ConsumerId,
}

impl Drop for OneShot {
    fn drop(&mut self) {
        let next = self.queue.consumers.lock().detach(self.id);
        if let Some(next) = next {
            next.wake();
        }
    }
}
