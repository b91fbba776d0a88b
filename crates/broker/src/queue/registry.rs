//! Which queues there are: declaring, finding, deleting.

use super::{
    Queue, Queues,
    context::{Context, LOG_SETTINGS},
    state::{State, value_bytes},
    subscription,
};
use crate::{Broker, Error, QueueError, broker::submit, topic::Topics};
use parking_lot::RwLock;
use smallvec::{SmallVec, smallvec};
use std::{
    collections::btree_map::Entry,
    sync::{Arc, atomic::Ordering},
};
use tramline_catalog::{QueueDurability, QueueRecord, QueueSettings};
use tramline_log::Partition;
use tramline_queue::Engine;
use tramline_store::{Commit, Op, Purpose};
use tramline_types::{ConnectionId, LogId, QueueName, Timestamp, TopicId, TopicName, limits};

/// Whether a declaration made something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It did.
    Yes,
    /// It was there already, the same.
    No,
}

/// When to delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOnly {
    /// Only without consumers.
    pub if_unused: bool,
    /// Only without messages.
    pub if_empty: bool,
}

impl Broker {
    /// Makes a queue, or finds it as it is wanted. Durable on return.
    ///
    /// # Errors
    /// [`QueueError::Inequivalent`], [`QueueError::Locked`], [`QueueError::NameTaken`],
    /// [`QueueError::InvalidSetting`].
    pub async fn declare_queue(
        &self,
        name: &QueueName,
        settings: QueueSettings,
    ) -> Result<(Arc<Queue>, Created), Error> {
        let settings = checked(settings)?;
        let queue = {
            let _one_at_a_time = self.admin().await;
            if let Some(queue) = self.find_queue(name) {
                if !queue.is_gone() {
                    queue.check_owner(settings.owner)?;
                    equivalent(&queue, &settings)?;
                    queue.touch();
                    // Somebody else's declaration of this very moment may not be durable yet.
                    self.declared(&queue).await?;
                    return Ok((queue, Created::No));
                }
                self.remove_queue(&queue).await?;
            }
            if self.topics_map().read().has(name.as_str()) {
                return Err(QueueError::NameTaken(name.to_string(), "topic").into());
            }
            self.create_queue(name, settings).await?
        };
        self.declared(&queue).await?;
        tracing::debug!(queue = %name, "declared");
        Ok((queue, Created::Yes))
    }

    /// Resolves when a queue's declaration is durable.
    async fn declared(&self, queue: &Queue) -> Result<(), Error> {
        loop {
            let told = queue.declared.told.notified();
            if queue.declared.durable.load(Ordering::Acquire) {
                return Ok(());
            }
            tokio::select! {
                () = told => {}
                () = self.closed() => return Err(Error::Closed),
            }
        }
    }

    /// Makes a queue, not durable yet. Called under the admin lock.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] for a subscription without a topic.
    async fn create_queue(
        &self,
        name: &QueueName,
        settings: QueueSettings,
    ) -> Result<Arc<Queue>, Error> {
        let queues = self.queues_map();
        let context = &queues.context;
        if queues.by_name.read().len() >= limits::QUEUES_MAX {
            let text = format!("there are {} queues, which is the limit", limits::QUEUES_MAX);
            return Err(QueueError::LimitExceeded(text).into());
        }
        let is_durable = settings.durability == QueueDurability::Durable;
        let (id, bound) = if is_durable {
            let (id, bound) = context.log_ids.next();
            (id, Some(bound))
        } else {
            (context.next_transient_id(), None)
        };
        let created = context.clock.now();
        let owner = settings.owner;
        let topic = settings.topic.as_ref().map(|topic| self.topic(topic)).transpose()?;
        let source = topic.as_ref().map(|topic| topic.id());
        let of_queue = (name.clone(), id, created);
        let queue = Queue::new(of_queue, settings, source, context, State::default());
        match bound {
            Some(bound) => {
                let mut ops: SmallVec<[Op; 1]> = smallvec![bound];
                ops.extend(topic.iter().flat_map(|topic| queue.begin(topic)));
                let record = queue.state.lock().record(&queue).encode();
                ops.push(Op::Put(QueueRecord::key(name), record));
                let bytes = ops.iter().map(value_bytes).sum();
                let reservation =
                    self.store().reserve(Purpose::Upkeep, bytes, ops.len()).wait().await?;
                let declared = Arc::clone(&queue);
                let on_durable = Box::new(move || declared.declared.done());
                self.store().submit(Commit { ops, on_durable }, reservation);
            }
            None => queue.declared.done(),
        }
        queues.by_name.write().insert(name.clone(), Arc::clone(&queue));
        if let Some(owner) = owner {
            queues.owned.lock().entry(owner).or_default().push(Arc::clone(&queue));
        }
        queue.schedule_expiry();
        self.queues_changed();
        Ok(queue)
    }

    fn find_queue(&self, name: &QueueName) -> Option<Arc<Queue>> {
        self.queues_map().by_name.read().get(name).cloned()
    }

    /// The queue of this name.
    pub fn queue(&self, name: &QueueName) -> Result<Arc<Queue>, Error> {
        self.find_queue(name)
            .filter(|queue| !queue.is_gone())
            .ok_or_else(|| QueueError::UnknownQueue(name.to_string()).into())
    }

    /// Every queue, by name.
    pub fn queues(&self) -> Vec<Arc<Queue>> {
        let queues = self.queues_map().by_name.read();
        queues.values().filter(|queue| !queue.is_gone()).cloned().collect()
    }

    /// Deletes a queue with everything in it; durable on return. Gives how many messages were
    /// ready. Its consumers are woken, their next receive says that it is gone.
    ///
    /// # Errors
    /// [`QueueError::InUse`], [`QueueError::NotEmpty`].
    pub async fn delete_queue(&self, queue: &Arc<Queue>, only: DeleteOnly) -> Result<u64, Error> {
        let _one_at_a_time = self.admin().await;
        if queue.is_gone() {
            return Err(QueueError::UnknownQueue(queue.name.to_string()).into());
        }
        let ready = queue.set_gone_if(only)?;
        self.remove_queue(queue).await?;
        tracing::info!(queue = %queue.name, n_messages = ready, "deleted");
        Ok(ready)
    }

    /// Takes a queue that is gone out of the catalog. Called under the admin lock.
    pub(super) async fn remove_queue(&self, queue: &Arc<Queue>) -> Result<(), Error> {
        let queues = self.queues_map();
        {
            let mut by_name = queues.by_name.write();
            match by_name.entry(queue.name.clone()) {
                Entry::Occupied(entry) if entry.get().id == queue.id => entry.remove(),
                _ => return Ok(()),
            };
        }
        if let Some(owner) = queue.settings().owner {
            let mut owned = queues.owned.lock();
            if let Entry::Occupied(mut entry) = owned.entry(owner) {
                entry.get_mut().retain(|of| of.id != queue.id);
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        }
        queues.views.remove(queue);
        let mut ops = queue.close();
        let reservation = self.store().reserve(Purpose::Upkeep, 0, ops.len() + 8).wait().await?;
        let durable = self.exchanges().remove_queue(&queue.name, |unbound| {
            ops.extend(unbound);
            (!ops.is_empty()).then(|| submit(&**self.store(), ops, reservation))
        });
        let consumers = queue.consumers.lock().all();
        consumers.iter().for_each(|wake| wake.wake());
        self.end_jobs(queue).await?;
        let Some(durable) = durable else { return Ok(()) };
        durable.await.map_err(|_| Error::Closed)?;
        match TopicName::parse(queue.name.as_str()) {
            Ok(topic) => self.groups().topic_deleted(&topic).await,
            Err(_) => Ok(()),
        }
    }

    /// A connection is gone: its exclusive queues go. What its deliveries hold, its session
    /// gives back with [`Queue::release_all`].
    pub async fn connection_closed(&self, connection: ConnectionId) {
        let owned = self.queues_map().owned.lock().get(&connection).cloned().unwrap_or_default();
        for queue in owned {
            match self.delete_queue(&queue, DeleteOnly::default()).await {
                Ok(_) | Err(Error::Queue(QueueError::UnknownQueue(_)) | Error::Closed) => {}
                Err(error) => tracing::warn!(queue = %queue.name, %error, "not deleted"),
            }
        }
    }

    /// Deletes queues that nobody uses any more. Runs until the broker closes.
    pub(crate) async fn run_removals(self) {
        let context = Arc::clone(&self.queues_map().context);
        loop {
            while let Some(queue) = context.removals.pop() {
                let _one_at_a_time = self.admin().await;
                if let Err(error) = self.remove_queue(&queue).await {
                    tracing::warn!(queue = %queue.name, %error, "not deleted");
                }
            }
            tokio::select! {
                () = context.removals.arrived() => {}
                () = self.closed() => return,
            }
        }
    }
}

impl Queue {
    /// Whether a connection may use it.
    ///
    /// # Errors
    /// [`QueueError::Locked`] when it is exclusive to another one.
    pub fn check_owner(&self, connection: Option<ConnectionId>) -> Result<(), Error> {
        match self.settings().owner {
            Some(owner) if Some(owner) != connection => {
                Err(QueueError::Locked(self.name().to_string()).into())
            }
            _ => Ok(()),
        }
    }

    /// From here on it is gone for everybody, where it is unused and empty as far as asked for:
    /// nobody attaches, and nothing comes in, between the look and that. Gives how many messages
    /// are ready.
    pub(super) fn set_gone_if(&self, only: DeleteOnly) -> Result<u64, QueueError> {
        let mut state = self.state.lock();
        state.sync_ends();
        if only.if_unused && !self.consumers.lock().is_empty() {
            return Err(QueueError::InUse(self.name.to_string()));
        }
        let engine = state.engine.as_deref();
        if only.if_empty && engine.is_some_and(|engine| engine.unsettled() > 0) {
            return Err(QueueError::NotEmpty(self.name.to_string()));
        }
        self.hot.set_gone(true);
        Ok(engine.map_or(0, Engine::ready))
    }

    /// Refuses appends from here on. Gives what is to be committed for its deletion.
    fn close(&self) -> SmallVec<[Op; 1]> {
        let (lanes, log) = {
            let mut state = self.state.lock();
            state.engine = None;
            (std::mem::take(&mut state.lanes), state.log.take())
        };
        if self.is_transient() {
            lanes.iter().for_each(|lane| lane.partition.close());
            return SmallVec::new();
        }
        let mut ops = smallvec![Op::Remove(QueueRecord::key(&self.name))];
        if !self.is_subscription() {
            // Outside the lock: an append takes these the other way round.
            lanes.iter().for_each(|lane| lane.partition.close());
            ops.extend(lanes.iter().map(|lane| Op::Delete(lane.partition.log())));
        }
        ops.extend(log.map(Op::Delete));
        ops.extend(self.redrive_removals());
        ops
    }
}

impl Queues {
    /// Takes up every durable queue.
    pub(super) fn recover(&self, topics: &RwLock<Topics>) -> Result<(), Error> {
        let context = &self.context;
        let mut by_name = self.by_name.write();
        for (key, value) in context.store.scan(QueueRecord::prefix()) {
            let (name, record) = QueueRecord::decode(&key, &value)?;
            let of_queue = (name.clone(), record.id, Timestamp::from_millis(record.created_ms));
            let source = record.settings.topic.as_ref().map(|_| record.source());
            let source = source.map(|id| id.unwrap_or(TopicId::ZERO));
            let lanes = match source.map(|id| topics.read().get_by_id(id)) {
                None => context.open_lanes(&record.lanes)?,
                Some(Ok(topic)) => subscription::lanes(&topic).collect(),
                Some(Err(_)) => {
                    context.forget_subscription(&name, &record);
                    continue;
                }
            };
            let queue = Queue::new(of_queue, record.settings, source, context, State::default());
            queue.declared.done();
            queue.schedule_expiry();
            if !lanes.is_empty() {
                queue.recover(lanes, (record.state, record.state_next))?;
            }
            by_name.insert(name, queue);
        }
        context.jobs.resumed();
        Ok(())
    }
}

impl Context {
    fn open_lanes(&self, lanes: &[(u16, u64)]) -> Result<Vec<(u16, Arc<Partition>)>, Error> {
        let open = |(level, log): &(u16, u64)| {
            let (store, log) = (Arc::clone(&self.store), LogId(*log));
            let partition = Partition::open(store, log, self.leader_epoch, LOG_SETTINGS)?;
            Ok((*level, Arc::new(partition)))
        };
        lanes.iter().map(open).collect()
    }
}

impl Queue {
    fn recover(
        self: &Arc<Self>,
        lanes: Vec<(u16, Arc<Partition>)>,
        (log, unfinished): (Option<u64>, Option<u64>),
    ) -> Result<(), Error> {
        let context = &self.context;
        let mut state = self.state.lock();
        let mut stored = 0;
        for (level, partition) in lanes {
            stored += if self.is_subscription() { 0 } else { partition.bytes()? };
            state.open_lane(self, level, partition);
        }
        state.log = log.map(LogId);
        if let Some(unfinished) = unfinished {
            state.leave_checkpoint(self, LogId(unfinished));
        }
        let recovered = match state.log {
            Some(log) => {
                if context.store.has_lost(log)? {
                    tracing::error!(
                        queue = %self.name,
                        "changes of its delivery state were lost to damage: settled messages may \
                         come again, and delayed ones early"
                    );
                }
                context.store.take_state(log)?
            }
            None => tramline_store::RecoveredState::default(),
        };
        let engine = state.engine(self);
        if !engine.replay(recovered.checkpoint.as_deref(), &recovered.deltas) {
            tracing::error!(queue = %self.name, "its delivery state is damaged");
        }
        engine.estimate_bytes_ready(stored);
        state.resume_jobs(self);
        let after = self.after_step(&mut state);
        drop(state);
        self.finish_step(after);
        // Heads that expire are looked for.
        self.context.timers.set(context.now(), self);
        Ok(())
    }
}

pub(super) fn checked(settings: QueueSettings) -> Result<QueueSettings, Error> {
    let refuse = |setting, detail: &str| {
        Err(QueueError::InvalidSetting { setting, detail: detail.to_owned() }.into())
    };
    if settings.owner.is_some() && settings.durability == QueueDurability::Durable {
        // It ends with its connection, and therefore with the process.
        return checked(QueueSettings { durability: QueueDurability::Transient, ..settings });
    }
    subscription::check(&settings)?;
    let is_own = settings.durability == QueueDurability::Durable && settings.topic.is_none();
    if settings.retention_after_settle_ms.is_some() && !is_own {
        return refuse("retention_after_settle_ms", "only a durable queue keeps settled messages");
    }
    if settings.expires_ms == Some(0) {
        return refuse("expires", "0 is no time to live for a queue");
    }
    if settings.deliveries_max == Some(0) {
        return refuse("deliveries_max", "a message is delivered once at least");
    }
    if settings.on_done.len() > limits::QUEUE_FOLLOWERS_MAX {
        return refuse("on_done", "a message is followed in 16 queues at most");
    }
    if settings.on_done.iter().any(|name| QueueName::parse(name).is_err()) {
        return refuse("on_done", "that is no list of queues' names");
    }
    Ok(settings)
}

/// Whether a queue that exists is what is asked for.
fn equivalent(queue: &Queue, wanted: &QueueSettings) -> Result<(), Error> {
    let have = queue.settings();
    macro_rules! compare {
        ($($name:literal => $field:ident),* $(,)?) => {
            $(if have.$field != wanted.$field {
                return Err(QueueError::Inequivalent {
                    name: queue.name.to_string(),
                    setting: $name,
                    have: format!("{:?}", have.$field),
                    wanted: format!("{:?}", wanted.$field),
                }
                .into());
            })*
        };
    }
    compare!(
        "topic" => topic,
        "start" => start,
        "durable" => durability,
        "exclusive" => owner,
        "auto_delete" => auto_delete,
        "kind" => kind,
        "message_ttl_ms" => message_ttl_ms,
        "expires_ms" => expires_ms,
        "length_max" => length_max,
        "bytes_max" => bytes_max,
        "overflow" => overflow,
        "dead_letter_exchange" => dead_letter_exchange,
        "dead_letter_routing_key" => dead_letter_routing_key,
        "drop_expired" => drop_expired,
        "dead_letter_at_least_once" => dead_letter_at_least_once,
        "priority_max" => priority_max,
        "deliveries_max" => deliveries_max,
        "single_active_consumer" => single_active_consumer,
        "ordered_groups" => ordered_groups,
        "deduplication_ms" => deduplication_ms,
        "delay_ms" => delay_ms,
        "retry_backoff_ms" => retry_backoff_ms,
    );
    Ok(())
}
