//! Creating, changing and deleting topics. Every change is durable on return.

use crate::{
    Broker, Error, QueueError, Topic,
    ordered::{follow, ordered_settings, view_name},
    topic::partition_settings,
};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::{collections::BTreeMap, sync::Arc};
use tramline_catalog::{Change, TopicRecord, TopicSettings};
use tramline_log::Partition;
use tramline_store::Op;
use tramline_types::{TopicId, TopicName, limits};

/// Whether to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    Apply,
    /// Only say whether it could be done.
    ValidateOnly,
}

/// A topic to create.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; `None` takes the broker's default.
    pub partitions: Option<u32>,
    /// How many copies; `None` and -1 take the real number.
    pub replication_factor: Option<i16>,
    /// Settings that differ from the defaults.
    pub settings: Vec<(String, String)>,
    /// Whether to do it.
    pub mode: Mode,
}

/// A change of one topic setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// The setting.
    pub name: String,
    /// What to do with it.
    pub change: Change,
}

/// The real number of copies.
const COPIES: i16 = 1;

impl Broker {
    /// Creates a topic. With [`Mode::ValidateOnly`] the answer is what it would be.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Arc<Topic>, Error> {
        let _one_at_a_time = self.admin().await;
        if self.topic(&new.name).is_ok() {
            return Err(Error::TopicExists(new.name.to_string()));
        }
        if self.queues_map().has(new.name.as_str()) {
            return Err(QueueError::NameTaken(new.name.to_string(), "queue").into());
        }
        let partitions = new.partitions.unwrap_or(self.options().partitions_default);
        self.check_partitions(0, partitions)?;
        match new.replication_factor {
            None | Some(-1 | COPIES) => {}
            Some(other) => return Err(Error::InvalidReplicationFactor(other)),
        }
        let mut overrides = BTreeMap::new();
        for (name, value) in new.settings {
            if overrides.insert(name.clone(), value).is_some() {
                let detail = "given more than once".to_owned();
                return Err(Error::InvalidSetting { name, detail });
            }
        }
        let settings = TopicSettings::new(overrides, &self.options().topic_defaults)?;
        let ordered = self.new_ordered(&new.name, &settings, partitions)?;
        let (ordered, ops_of_ordered) = ordered.unzip();
        let ordered = ordered.map(Arc::new);
        let (partitions, mut ops) = self.new_partitions(partitions, &settings, ordered.as_ref());
        ops.extend(ops_of_ordered.into_iter().flatten());
        let new_id = || TopicId(uuid::Uuid::new_v4().into_bytes());
        let mut topic = Topic::new(new.name, new_id(), self.clock().now(), settings, partitions);
        if let Some(ordered) = ordered {
            topic = topic.with_view(new_id(), ordered)?;
        }
        let topic = Arc::new(topic);
        if new.mode == Mode::Apply {
            let record = topic.record().encode();
            let bytes = record.len();
            ops.push(Op::Put(TopicRecord::key(topic.name()), record));
            self.commit(ops, bytes).await?;
            self.topics_map().write().insert(Arc::clone(&topic));
            tracing::info!(topic = %topic.name(), partitions = topic.partition_count(), "created");
        }
        Ok(topic)
    }

    /// The topic of this name; created on the defaults where the broker's options say so.
    pub async fn topic_or_create(&self, name: &TopicName) -> Result<Arc<Topic>, Error> {
        let found = self.topic(name);
        if found.is_ok() || !self.options().auto_create_topics {
            return found;
        }
        let new = NewTopic {
            name: name.clone(),
            partitions: None,
            replication_factor: None,
            settings: Vec::new(),
            mode: Mode::Apply,
        };
        match self.create_topic(new).await {
            Err(Error::TopicExists(_)) => self.topic(name),
            created => created,
        }
    }

    /// Deletes a topic with everything in it.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), Error> {
        let _one_at_a_time = self.admin().await;
        let topic = self.topic(name)?;
        topic.check_writable()?;
        if !self.options().delete_topics {
            return Err(Error::TopicDeletionDisabled);
        }
        let mut ops: SmallVec<[Op; 1]> = smallvec![Op::Remove(TopicRecord::key(name))];
        // The ordered log last: what appends to it is closed before it is.
        let logs: Vec<_> = topic.partitions().iter().cloned().chain(topic.ordered_log()).collect();
        ops.extend(logs.iter().flat_map(|partition| partition.delete_ops()));
        // Its subscriptions go with it: to them it must not look like a fault that the logs go.
        let subscriptions = self.subscriptions(&topic);
        subscriptions.iter().for_each(|queue| queue.set_gone(true));
        // Out of sight first: a publish that comes while the logs go must not be acknowledged.
        self.topics_map().write().remove(name);
        for partition in &logs {
            partition.close();
        }
        if let Err(error) = self.commit(ops, 0).await {
            for partition in logs.iter().rev() {
                partition.reopen();
            }
            self.topics_map().write().insert(topic);
            subscriptions.iter().for_each(|queue| queue.set_gone(false));
            return Err(error);
        }
        tracing::info!(topic = %name, "deleted");
        self.remove_subscriptions(&subscriptions).await?;
        if let Some(view) = topic.ordered_view() {
            self.groups().topic_deleted(view.name()).await?;
        }
        self.groups().topic_deleted(name).await
    }

    /// Raises a topic's number of partitions to `total`.
    pub async fn create_partitions(
        &self,
        name: &TopicName,
        total: u32,
        mode: Mode,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.admin().await;
        let topic = self.topic(name)?;
        topic.check_writable()?;
        let current = topic.partition_count();
        self.check_partitions(current, total)?;
        let ordered = topic.ordered_log();
        let (partitions, mut ops) =
            self.new_partitions(total - current, &topic.settings(), ordered.as_ref());
        if mode == Mode::ValidateOnly {
            return Ok(());
        }
        let mut record = topic.record();
        record.logs.extend(partitions.iter().map(|partition| partition.log().0));
        let record = record.encode();
        let bytes = record.len();
        ops.push(Op::Put(TopicRecord::key(name), record));
        self.commit(ops, bytes).await?;
        topic.add_partitions(partitions);
        self.subscriptions(&topic).iter().for_each(|queue| queue.add_partitions(&topic));
        Ok(())
    }

    /// Changes a topic's settings, all or none.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        changes: Vec<SettingChange>,
        mode: Mode,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.admin().await;
        let topic = self.topic(name)?;
        topic.check_writable()?;
        let changes: Vec<_> =
            changes.into_iter().map(|setting| (setting.name, setting.change)).collect();
        let settings = topic.settings().changed(&changes, &self.options().topic_defaults)?;
        if mode == Mode::ValidateOnly {
            return Ok(());
        }
        let mut record = topic.record();
        record.settings = settings.overrides().clone();
        let record: Bytes = record.encode();
        let bytes = record.len();
        self.commit(smallvec![Op::Put(TopicRecord::key(name), record)], bytes).await?;
        topic.set_settings(settings);
        Ok(())
    }

    fn new_partitions(
        &self,
        count: u32,
        settings: &TopicSettings,
        ordered: Option<&Arc<Partition>>,
    ) -> (Vec<Arc<Partition>>, SmallVec<[Op; 1]>) {
        let mut ops = SmallVec::new();
        let partitions = (0..count)
            .map(|_| {
                let (partition, needed) = self.new_partition(partition_settings(settings));
                ops.extend(needed);
                follow(partition, ordered)
            })
            .collect();
        (partitions, ops)
    }

    /// The ordered log of a topic to be made, where its settings ask for one.
    fn new_ordered(
        &self,
        name: &TopicName,
        settings: &TopicSettings,
        partitions: u32,
    ) -> Result<Option<(Partition, [Op; 2])>, Error> {
        if !settings.is_total_order {
            return Ok(None);
        }
        let view = view_name(name)?;
        if self.topic(&view).is_ok() {
            return Err(Error::TopicExists(view.to_string()));
        }
        if self.queues_map().has(view.as_str()) {
            return Err(QueueError::NameTaken(view.to_string(), "queue").into());
        }
        let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
        Ok(Some(self.new_partition(ordered_settings(settings, partitions))))
    }

    fn check_partitions(&self, current: u32, total: u32) -> Result<(), Error> {
        let of_node = self.topics_map().read().partitions();
        let more = total.checked_sub(current).filter(|more| *more > 0);
        let Some(more) = more else {
            return Err(Error::InvalidPartitions(if current == 0 {
                "a topic needs at least 1 partition".to_owned()
            } else {
                format!("the topic has {current} partitions: their number can only be raised")
            }));
        };
        if total > limits::PARTITIONS_PER_TOPIC_MAX
            || of_node + usize::try_from(more).unwrap_or(usize::MAX) > limits::PARTITIONS_MAX
        {
            return Err(Error::InvalidPartitions(format!(
                "{total} partitions are more than the limit of {} per topic and {} per node",
                limits::PARTITIONS_PER_TOPIC_MAX,
                limits::PARTITIONS_MAX
            )));
        }
        Ok(())
    }
}
