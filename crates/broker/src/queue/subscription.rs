//! Subscriptions: delivery state like a queue's over the partitions of a topic, without a copy of
//! the messages. Each partition is a lane, and lanes are served in turn.
//!
//! The logs are the topic's: a subscription reads them up to their high watermarks, and never
//! appends, trims or deletes there. What the topic's retention, compaction or a deletion of
//! records takes away is done with. Its own are the record in the catalog and the log of the
//! delivery state, which begins with where the subscription does.
//!
//! Invariant: a subscription has a lane for each partition of the topic with the id `source`, and
//! goes with that topic.

use super::{Queue, context::Context, state::LaneLog};
use crate::{Broker, Error, QueueError, Topic};
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use tramline_catalog::{Overflow, QueueDurability, QueueRecord, QueueSettings, SubscriptionStart};
use tramline_log::Partition;
use tramline_store::{Commit, Op, Purpose, Reserving};
use tramline_types::{LogId, Offset, QueueName, TopicName};

impl Broker {
    /// The subscriptions of a topic and of its ordered view, by name.
    pub fn subscriptions(&self, topic: &Topic) -> Vec<Arc<Queue>> {
        let view = topic.ordered_view().map(|view| view.id());
        let is_of = |queue: &Arc<Queue>| {
            queue.source.is_some_and(|id| id == topic.id() || Some(id) == view)
        };
        self.queues().into_iter().filter(is_of).collect()
    }

    /// Takes subscriptions out whose topic is deleted. Called under the admin lock. What is left
    /// by a crash before that, the next start finds without a topic.
    pub(crate) async fn remove_subscriptions(&self, queues: &[Arc<Queue>]) -> Result<(), Error> {
        for queue in queues {
            self.remove_queue(queue).await?;
            tracing::info!(queue = %queue.name, "deleted with its topic");
        }
        Ok(())
    }
}

impl Queue {
    /// Whether messages can be put into it.
    ///
    /// # Errors
    /// [`QueueError::AccessRefused`] for a subscription.
    pub fn check_writable(&self) -> Result<(), Error> {
        if !self.is_subscription() {
            return Ok(());
        }
        let settings = self.settings();
        let topic = settings.topic.as_ref().map_or("", TopicName::as_str);
        let text = format!("`{}` is a subscription: publish to its topic `{topic}`", self.name);
        Err(QueueError::AccessRefused(text).into())
    }

    /// Opens a lane for each partition, from where the subscription begins. Gives what is to be
    /// committed with its declaration.
    pub(super) fn begin(&self, topic: &Topic) -> SmallVec<[Op; 2]> {
        let (log, bound) = self.context.log_ids.next();
        let log = LogId(log);
        let mut ops = smallvec![bound, Op::Create(log, Offset::ZERO)];
        let mut state = self.state.lock();
        state.log = Some(log);
        for (lane, partition) in lanes(topic) {
            let end = partition.high_watermark().get();
            state.open_lane(self, lane, partition);
            if self.settings().start == SubscriptionStart::Latest {
                state.engine(self).begin(lane, end);
            }
        }
        let (engine, now) = (state.engine(self), self.context.now());
        ops.extend(std::iter::from_fn(|| engine.take_delta(now)).map(|it| Op::Delta(log, it)));
        ops
    }

    /// Partitions were added to its topic: all that comes to them is delivered.
    pub(crate) fn add_partitions(&self, topic: &Topic) {
        let mut state = self.state.lock();
        // The view of a topic in total order has one partition for good.
        if self.is_gone() || self.source != Some(topic.id()) {
            return;
        }
        let known = state.lanes.len();
        for (lane, partition) in lanes(topic).skip(known) {
            state.open_lane(self, lane, partition);
        }
        state.watch();
        drop(state);
        self.wake(u64::MAX);
    }

    /// It is gone with its topic, or is not after all.
    pub(crate) fn set_gone(&self, gone: bool) {
        let _state = self.state.lock();
        self.hot.set_gone(gone);
    }

    /// How many records came to its topic since the start.
    pub(super) fn records_arrived(&self) -> u64 {
        let state = self.state.lock();
        let of_lane =
            |lane: &LaneLog| lane.partition.high_watermark().get().saturating_sub(lane.opened_at);
        state.lanes.iter().map(of_lane).sum()
    }

    /// What so many of its messages take, by what all of the topic's do.
    pub(super) fn estimated_bytes(&self, ready: u64) -> u64 {
        let partitions: Vec<Arc<Partition>> =
            self.state.lock().lanes.iter().map(|lane| Arc::clone(&lane.partition)).collect();
        let (mut bytes, mut n) = (0_u128, 0_u128);
        for partition in partitions {
            let stored =
                partition.high_watermark().get().saturating_sub(partition.log_start().get());
            bytes += u128::from(partition.bytes().unwrap_or(0));
            n += u128::from(stored);
        }
        let estimate = (bytes * u128::from(ready)).checked_div(n).unwrap_or(0);
        u64::try_from(estimate).unwrap_or(u64::MAX)
    }
}

impl Context {
    /// At the start: takes a subscription out whose topic was deleted just before a crash.
    pub(super) fn forget_subscription(&self, name: &QueueName, record: &QueueRecord) {
        let mut ops: SmallVec<[Op; 1]> = smallvec![Op::Remove(QueueRecord::key(name))];
        let logs = record.state.into_iter().chain(record.state_next);
        ops.extend(logs.map(|log| Op::Delete(LogId(log))));
        tracing::info!(queue = %name, "its topic is gone, and it goes");
        // Without space it stays until the next start.
        if let Reserving::Ready(reservation) = self.store.reserve(Purpose::Upkeep, 0, ops.len()) {
            self.store.submit(Commit { ops, on_durable: Box::new(|| ()) }, reservation);
        }
    }
}

/// A topic's partitions as lanes.
pub(super) fn lanes(topic: &Topic) -> impl Iterator<Item = (u16, Arc<Partition>)> + use<> {
    // More than fit are more than a topic may have.
    let partitions = topic.partitions();
    (0..u16::MAX).zip(partitions.iter().cloned().collect::<Vec<_>>())
}

/// Refuses what a subscription cannot have.
pub(super) fn check(settings: &QueueSettings) -> Result<(), Error> {
    let refuse = |setting, detail: &str| {
        Err(QueueError::InvalidSetting { setting, detail: detail.to_owned() }.into())
    };
    if settings.topic.is_none() {
        return match settings.start {
            SubscriptionStart::Latest => Ok(()),
            SubscriptionStart::Earliest => {
                refuse("start", "only a subscription to a `topic` has one")
            }
        };
    }
    if settings.durability == QueueDurability::Transient {
        return refuse("durability", "a subscription is durable, and no connection's own");
    }
    let of_queues = [
        ("length_max", settings.length_max.is_some()),
        ("bytes_max", settings.bytes_max.is_some()),
        ("overflow", settings.overflow != Overflow::DropHead),
        ("priority_max", settings.priority_max > 0),
        ("delay_ms", settings.delay_ms > 0),
        ("deduplication_ms", settings.deduplication_ms.is_some()),
        ("track", settings.track),
    ];
    match of_queues.iter().find(|(_, is_set)| *is_set) {
        Some((setting, _)) => {
            refuse(setting, "a subscription has none: its messages are its topic's records")
        }
        None => Ok(()),
    }
}
