//! Topics in memory: names, ids and partitions.

use crate::{Error, Queue, ordered::ordered_settings};
use parking_lot::RwLock;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tramline_catalog::{TopicRecord, TopicSettings};
use tramline_log::{
    CompactionRules, Durability, Partition, PartitionSettings, Retention, TimestampRule,
};
use tramline_types::{Timestamp, TopicId, TopicName};

/// A topic: its partitions and settings.
pub struct Topic {
    name: TopicName,
    id: TopicId,
    created: Timestamp,
    settings: RwLock<Arc<TopicSettings>>,
    partitions: RwLock<Arc<[Arc<Partition>]>>,
    /// Everything in total order, where the topic has that.
    pub(crate) view: Option<Arc<Self>>,
    /// The topic that this is the ordered view of.
    pub(crate) view_of: Option<TopicName>,
    /// The queue that this shows.
    pub(crate) queue: Option<Arc<Queue>>,
}

impl Topic {
    pub(crate) fn new(
        name: TopicName,
        id: TopicId,
        created: Timestamp,
        settings: TopicSettings,
        partitions: Vec<Arc<Partition>>,
    ) -> Self {
        Self {
            name,
            id,
            created,
            settings: RwLock::new(Arc::new(settings)),
            partitions: RwLock::new(partitions.into()),
            view: None,
            view_of: None,
            queue: None,
        }
    }

    /// What shows a queue.
    pub(crate) fn of_queue(
        queue: Arc<Queue>,
        (name, id): (TopicName, TopicId),
        settings: Arc<TopicSettings>,
        partitions: Vec<Arc<Partition>>,
    ) -> Self {
        Self {
            name,
            id,
            created: queue.created(),
            settings: RwLock::new(settings),
            partitions: RwLock::new(partitions.into()),
            view: None,
            view_of: None,
            queue: Some(queue),
        }
    }

    /// Its name.
    pub const fn name(&self) -> &TopicName {
        &self.name
    }

    /// Its id.
    pub const fn id(&self) -> TopicId {
        self.id
    }

    /// When it was created.
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// Whether it is the broker's own. None is so far.
    pub const fn is_internal(&self) -> bool {
        false
    }

    /// Its settings.
    pub fn settings(&self) -> Arc<TopicSettings> {
        Arc::clone(&self.settings.read())
    }

    /// All partitions, in order.
    pub fn partitions(&self) -> Arc<[Arc<Partition>]> {
        Arc::clone(&self.partitions.read())
    }

    /// How many partitions it has.
    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.read().len()).unwrap_or(u32::MAX)
    }

    /// One partition.
    pub fn partition(&self, index: u32) -> Result<Arc<Partition>, Error> {
        let partitions = self.partitions.read();
        usize::try_from(index).ok().and_then(|index| partitions.get(index)).cloned().ok_or_else(
            || Error::UnknownPartition {
                topic: self.name.to_string(),
                partition: i64::from(index),
            },
        )
    }

    pub(crate) fn set_settings(&self, settings: TopicSettings) {
        let of_partitions = partition_settings(&settings);
        let settings = Arc::new(settings);
        *self.settings.write() = Arc::clone(&settings);
        for partition in self.partitions().iter() {
            partition.set_settings(of_partitions);
        }
        self.settle_view(settings);
    }

    pub(crate) fn add_partitions(&self, more: Vec<Arc<Partition>>) {
        let mut partitions = self.partitions.write();
        *partitions = partitions.iter().cloned().chain(more).collect();
        drop(partitions);
        self.settle_view(self.settings());
    }

    /// The view goes by its topic's settings and number of partitions.
    fn settle_view(&self, settings: Arc<TopicSettings>) {
        let Some(view) = self.ordered_view() else { return };
        let of_log = ordered_settings(&settings, self.partitions().len());
        for ordered in view.partitions().iter() {
            ordered.set_settings(of_log);
        }
        *view.settings.write() = settings;
    }

    pub(crate) fn record(&self) -> TopicRecord {
        TopicRecord {
            id: TopicRecord::format_id(self.id),
            created_ms: self.created.as_millis(),
            logs: self.partitions().iter().map(|partition| partition.log().0).collect(),
            ordered: self.ordered_record(),
            settings: self.settings().overrides().clone(),
        }
    }
}

/// What a partition goes by, out of its topic's settings.
pub(crate) const fn partition_settings(settings: &TopicSettings) -> PartitionSettings {
    PartitionSettings {
        message_bytes_max: settings.message_bytes_max,
        timestamps: if settings.log_append_time {
            TimestampRule::LogAppend
        } else {
            TimestampRule::Create {
                before_max_ms: settings.timestamp_before_max_ms,
                after_max_ms: settings.timestamp_after_max_ms,
            }
        },
        durability: if settings.acknowledged_early { Durability::Memory } else { Durability::Sync },
        retention: Retention {
            age_ms_max: settings.retention_ms,
            bytes_max: settings.retention_bytes,
        },
        compaction: match settings.compaction {
            Some(compaction) => Some(CompactionRules {
                delete_retention_ms: compaction.delete_retention_ms,
                lag_ms_min: compaction.lag_ms_min,
                lag_ms_max: compaction.lag_ms_max,
                dirty_millionths_min: compaction.dirty_millionths_min,
            }),
            None => None,
        },
        compression: settings.compression,
    }
}

/// Every topic, by name and by id.
#[derive(Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<TopicName, Arc<Topic>>,
    by_id: HashMap<TopicId, Arc<Topic>>,
}

impl Topics {
    pub(crate) fn insert(&mut self, topic: Arc<Topic>) {
        if let Some(view) = topic.ordered_view() {
            self.insert(Arc::clone(view));
        }
        self.by_id.insert(topic.id(), Arc::clone(&topic));
        self.by_name.insert(topic.name().clone(), topic);
    }

    pub(crate) fn remove(&mut self, name: &TopicName) -> Option<Arc<Topic>> {
        let topic = self.by_name.remove(name)?;
        if let Some(view) = topic.ordered_view() {
            self.remove(view.name());
        }
        self.by_id.remove(&topic.id());
        Some(topic)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn get(&self, name: &TopicName) -> Result<Arc<Topic>, Error> {
        let topic = self.by_name.get(name).cloned();
        topic.ok_or_else(|| Error::UnknownTopic(name.to_string()))
    }

    pub(crate) fn get_by_id(&self, id: TopicId) -> Result<Arc<Topic>, Error> {
        self.by_id.get(&id).cloned().ok_or(Error::UnknownTopicId)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.values().cloned().collect()
    }

    pub(crate) fn partitions(&self) -> usize {
        self.by_name.values().map(|topic| topic.partitions().len()).sum()
    }
}
