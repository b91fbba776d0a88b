//! Topics in one total order (`order = total`).
//!
//! Such a topic has one log more: the ordered log, which gets every batch in the same commit as
//! its partition, the payload stored once. Its offsets are the total order. It is read as the one
//! partition of a topic of its own, the view `<topic>.ordered`, which nobody writes to and which
//! is made, changed and deleted with its topic.
//!
//! Invariant: a view is found by name and id exactly while its topic is.

use crate::{Error, Topic, topic::partition_settings};
use std::sync::Arc;
use tramline_catalog::{OrderedRecord, TopicRecord, TopicSettings};
use tramline_log::{Partition, PartitionSettings};
use tramline_types::{TopicId, TopicName};

/// What the view's name ends in, behind its topic's.
const SUFFIX: &str = ".ordered";

impl Topic {
    /// The topic with its ordered log, to be read through a view of this id.
    pub(crate) fn with_view(mut self, id: TopicId, ordered: Arc<Partition>) -> Result<Self, Error> {
        let settings = TopicSettings::clone(&self.settings());
        let name = view_name(self.name())?;
        let mut view = Self::new(name, id, self.created(), settings, vec![ordered]);
        view.view_of = Some(self.name().clone());
        self.view = Some(Arc::new(view));
        Ok(self)
    }

    /// The view of everything in total order, where the topic has one.
    pub const fn ordered_view(&self) -> Option<&Arc<Self>> {
        self.view.as_ref()
    }

    /// The topic that this is the ordered view of.
    pub const fn view_of(&self) -> Option<&TopicName> {
        self.view_of.as_ref()
    }

    /// Refuses where this is a view: it is read, and nothing else.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        self.check_no_queue()?;
        match self.view_of() {
            None => Ok(()),
            Some(topic) => {
                Err(Error::OrderedView { view: self.name().to_string(), topic: topic.to_string() })
            }
        }
    }

    /// The partition that is the ordered log.
    pub(crate) fn ordered_log(&self) -> Option<Arc<Partition>> {
        self.ordered_view().and_then(|view| view.partitions().first().cloned())
    }

    pub(crate) fn ordered_record(&self) -> Option<OrderedRecord> {
        let view = self.ordered_view()?;
        let log = self.ordered_log()?.log().0;
        Some(OrderedRecord { id: TopicRecord::format_id(view.id()), log })
    }
}

/// What the ordered log goes by: the topic's settings, with the bytes of all partitions.
pub(crate) fn ordered_settings(settings: &TopicSettings, partitions: usize) -> PartitionSettings {
    let mut of_log = partition_settings(settings);
    let partitions = u64::try_from(partitions).unwrap_or(u64::MAX);
    of_log.retention.bytes_max =
        of_log.retention.bytes_max.map(|bytes| bytes.saturating_mul(partitions));
    of_log
}

/// The name of a topic's view.
pub(crate) fn view_name(topic: &TopicName) -> Result<TopicName, Error> {
    Ok(TopicName::parse(&format!("{topic}{SUFFIX}"))?)
}

/// A partition, to append to the topic's ordered log as well where it has one.
pub(crate) fn follow(partition: Partition, ordered: Option<&Arc<Partition>>) -> Arc<Partition> {
    Arc::new(match ordered {
        Some(ordered) => partition.ordered_by(Arc::clone(ordered)),
        None => partition,
    })
}
