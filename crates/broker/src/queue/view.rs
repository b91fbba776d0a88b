//! Queues as topics: what a client of streams reads and writes by a queue's name.
//!
//! Such a topic has one partition for each priority level, which is that level's log: records are
//! read as they are stored, headers as text, from the first that is not settled. Reading settles
//! nothing. What is written goes into the queue as everybody's messages do.
//!
//! Invariant: a queue that is gone has no topic. Queues that are in memory only, that belong to
//! one connection, whose name is no topic's, or that are subscriptions have none.

use super::{Queue, Queues};
use crate::{Broker, Enqueue, EnqueueError, EnqueueOptions, Enqueuing, Error, QueueError, Topic};
use bytes::Bytes;
use parking_lot::RwLock;
use smallvec::smallvec;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};
use tramline_catalog::{TopicDefaults, TopicSettings};
use tramline_log::Partition;
use tramline_record::Batch;
use tramline_types::{Header, Message, QueueName, TopicId, TopicName, limits};

/// What the ids of these topics begin with; the queue's own id follows.
const ID_PREFIX: [u8; 8] = *b"\0queue\0\0";

/// The topics that were asked for, by the queue's id.
#[derive(Default)]
pub(crate) struct Views {
    topics: RwLock<HashMap<u64, Arc<Topic>>>,
    /// The settings of all of them: the defaults, which nothing goes by.
    settings: OnceLock<Arc<TopicSettings>>,
}

impl Views {
    pub(super) fn remove(&self, queue: &Queue) {
        self.topics.write().remove(&queue.id);
    }

    fn settings(&self) -> Result<Arc<TopicSettings>, Error> {
        if let Some(settings) = self.settings.get() {
            return Ok(Arc::clone(settings));
        }
        let settings = TopicSettings::new(BTreeMap::new(), &TopicDefaults::default())?;
        Ok(Arc::clone(self.settings.get_or_init(|| Arc::new(settings))))
    }

    fn get(&self, id: u64) -> Option<Arc<Topic>> {
        let found = self.topics.read().get(&id).cloned();
        found.filter(|topic| topic.queue().is_some_and(|queue| !queue.is_gone()))
    }
}

impl Queue {
    /// Its logs by level; made where `make` says so and there are none yet.
    fn levels(&self, make: bool) -> Result<Option<Vec<Arc<Partition>>>, Error> {
        let mut state = self.state.lock();
        let mut partitions = Vec::new();
        for level in 0..=u16::from(self.settings().priority_max) {
            if self.is_gone() {
                return Ok(None);
            }
            partitions.push(match state.partition(level) {
                Some(partition) => Arc::clone(partition),
                None if make => state.lane_log(self, level).map_err(|error| match error {
                    EnqueueError::StorageFull => Error::StorageFull,
                    error => Error::Storage(error.to_string()),
                })?,
                None => return Ok(None),
            });
        }
        Ok(Some(partitions))
    }
}

impl Queues {
    /// The queue as a topic.
    fn topic_of(&self, queue: &Arc<Queue>, make: bool) -> Result<Option<Arc<Topic>>, Error> {
        if let Some(topic) = self.views.get(queue.id) {
            return Ok(Some(topic));
        }
        // The records of a subscription are read from its topic.
        if queue.is_transient() || queue.is_subscription() || queue.settings().owner.is_some() {
            return Ok(None);
        }
        let Ok(name) = TopicName::parse(queue.name.as_str()) else { return Ok(None) };
        let Some(partitions) = queue.levels(make)? else { return Ok(None) };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&ID_PREFIX);
        id[8..].copy_from_slice(&queue.id.to_be_bytes());
        let topic = Topic::of_queue(
            Arc::clone(queue),
            (name, TopicId(id)),
            self.views.settings()?,
            partitions,
        );
        let topic = Arc::new(topic);
        self.views.topics.write().insert(queue.id, Arc::clone(&topic));
        if queue.is_gone() {
            self.views.remove(queue);
        }
        Ok(Some(topic))
    }
}

impl Broker {
    /// The topic of this name, or the queue of this name as a topic.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub fn stream(&self, name: &TopicName) -> Result<Arc<Topic>, Error> {
        match self.topic(name) {
            Err(Error::UnknownTopic(unknown)) => {
                let queue =
                    QueueName::parse(name.as_str()).ok().and_then(|it| self.queue(&it).ok());
                let topic = match queue {
                    Some(queue) => self.queues_map().topic_of(&queue, true)?,
                    None => None,
                };
                topic.ok_or(Error::UnknownTopic(unknown))
            }
            found => found,
        }
    }

    /// Whether there is a topic or a queue of this name.
    pub(crate) fn is_stream(&self, name: &TopicName) -> bool {
        let is_queue = || QueueName::parse(name.as_str()).is_ok_and(|it| self.queue(&it).is_ok());
        self.topic(name).is_ok() || is_queue()
    }

    /// The topic of this id, or the queue that was told to have it.
    ///
    /// # Errors
    /// [`Error::UnknownTopicId`].
    pub fn stream_by_id(&self, id: TopicId) -> Result<Arc<Topic>, Error> {
        match (self.topic_by_id(id), id.0.split_last_chunk()) {
            (Err(Error::UnknownTopicId), Some((prefix, number))) if *prefix == ID_PREFIX => {
                let topic = self.queues_map().views.get(u64::from_be_bytes(*number));
                topic.ok_or(Error::UnknownTopicId)
            }
            (found, _) => found,
        }
    }

    /// Every topic, and every queue that has its logs (from its first message on, or since
    /// somebody asked for it by name), by name.
    pub fn streams(&self) -> Vec<Arc<Topic>> {
        let map = self.queues_map();
        let mut streams = self.topics();
        let queues = self.queues();
        streams.extend(queues.iter().filter_map(|queue| map.topic_of(queue, false).ok().flatten()));
        streams.sort_by(|a, b| a.name().cmp(b.name()));
        streams
    }

    /// Puts the records of a batch into a queue, each as a message; the level is the priority.
    /// They are in when this returns.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`] for a batch that cannot be opened, [`Error::MessageTooLarge`] for
    /// one that opens to more than a batch may have.
    pub async fn enqueue_batch(
        &self,
        queue: &Arc<Queue>,
        level: u32,
        batch: &Batch,
    ) -> Result<Enqueuing, Error> {
        let limit = limits::BATCH_BYTES_MAX;
        let records = batch.records(limit).map_err(|error| match error {
            tramline_record::Error::OpenedTooLarge(limit) => {
                Error::MessageTooLarge { bytes: limit.saturating_add(1), limit }
            }
            error => Error::InvalidRecord(error.to_string()),
        })?;
        let options = EnqueueOptions {
            persistent: true,
            priority: u8::try_from(level).unwrap_or(u8::MAX),
            tell_place: true,
            ..EnqueueOptions::default()
        };
        let item = |record| Enqueue {
            targets: smallvec![Arc::clone(queue)],
            message: copied(Message::from(record)),
            options: options.clone(),
        };
        Ok(self.enqueue(records.into_iter().map(item).collect()).await)
    }
}

impl Topic {
    /// The queue that this shows.
    pub const fn queue(&self) -> Option<&Arc<Queue>> {
        self.queue.as_ref()
    }

    /// Refuses where this shows a queue, whose log nobody else may write to or cut.
    pub(crate) fn check_no_queue(&self) -> Result<(), Error> {
        match &self.queue {
            None => Ok(()),
            Some(queue) => {
                let text = format!("`{}` is a queue", queue.name());
                Err(QueueError::AccessRefused(text).into())
            }
        }
    }
}

/// A message of its own: the queue may keep it long after the others of its batch.
fn copied(message: Message) -> Message {
    let copy = |bytes: Option<Bytes>| bytes.map(|bytes| Bytes::copy_from_slice(&bytes));
    let header = |header: Header| Header {
        name: Bytes::copy_from_slice(&header.name),
        value: copy(header.value),
    };
    Message {
        key: copy(message.key),
        value: copy(message.value),
        headers: message.headers.into_iter().map(header).collect(),
        ..message
    }
}
