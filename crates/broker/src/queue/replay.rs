//! Putting messages into a queue again that are done: as long as their log has them.

use super::{Enqueue, EnqueueOptions, MessageFilter, Queue, death, load::LoadedAt, message};
use crate::{Broker, Error, QueueError};
use smallvec::smallvec;
use std::sync::Arc;
use tramline_queue::Place;
use tramline_types::{Header, Message, QueueName};

/// Messages of one commit, and bytes of their bodies.
const MESSAGES_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// What to put in again.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The queue that gets the messages; `None`: the one that they were in.
    pub to: Option<QueueName>,
    /// Which messages, if not all.
    pub filter: MessageFilter,
    /// They are only counted.
    pub dry_run: bool,
}

impl Broker {
    /// Puts copies of messages in that are done, in their order, however they ended. Durable on
    /// return; when it fails, those before are in. Gives how many. What is done while it runs may
    /// be among them; what comes in is not.
    ///
    /// # Errors
    /// [`QueueError::UnknownQueue`], [`QueueError::AccessRefused`] for a subscription, whose
    /// messages are its topic's, [`QueueError::InvalidSetting`] where nothing is kept, and what
    /// reading and putting in come to.
    pub async fn replay(&self, queue: &Arc<Queue>, replay: &Replay) -> Result<u64, Error> {
        if queue.is_gone() {
            return Err(QueueError::UnknownQueue(queue.name.to_string()).into());
        }
        let target = match &replay.to {
            Some(to) => self.queue(to)?,
            None => Arc::clone(queue),
        };
        queue.check_writable()?;
        target.check_writable()?;
        if queue.settings().retention_after_settle_ms.is_none() {
            let setting = "retention_after_settle_ms";
            let detail = "is not set: the queue keeps nothing that is done".to_owned();
            return Err(QueueError::InvalidSetting { setting, detail }.into());
        }
        let mut n = 0;
        for (lane, mut at, end) in queue.extents() {
            while at < end {
                let read = queue.read_from(Place { lane, offset: at }).await?;
                let Some((last, _)) = read.last() else { break };
                at = last.offset + 1;
                let read: Vec<_> =
                    read.into_iter().filter(|(place, _)| place.offset < end).collect();
                for meant in queue.done_among(read, &replay.filter) {
                    n += u64::try_from(meant.len()).unwrap_or(u64::MAX);
                    if !replay.dry_run {
                        self.put_again(&target, meant).await?;
                    }
                }
            }
        }
        Ok(n)
    }

    async fn put_again(&self, target: &Arc<Queue>, messages: Vec<Message>) -> Result<(), Error> {
        let item = |message: Message| Enqueue {
            targets: smallvec![Arc::clone(target)],
            options: EnqueueOptions {
                persistent: true,
                priority: death::priority(&message),
                ..EnqueueOptions::default()
            },
            message,
        };
        let results = self.enqueue(messages.into_iter().map(item).collect()).await.await;
        match results.into_iter().find_map(Result::err) {
            Some(error) => Err(super::unit::refusal(error)),
            None => Ok(()),
        }
    }
}

impl Queue {
    /// Its logs, the highest level first: where each begins, and the end that it has by now.
    fn extents(&self) -> Vec<(u16, u64, u64)> {
        let state = self.state.lock();
        let mut extents: Vec<_> = state
            .lanes
            .iter()
            .map(|lane| {
                let partition = &lane.partition;
                let (start, end) = (partition.log_start(), partition.high_watermark());
                (lane.level, start.get(), end.get())
            })
            .collect();
        extents.sort_unstable_by_key(|(level, ..)| std::cmp::Reverse(*level));
        extents
    }

    /// Those that are done and meant, as they are put in again, in groups of one commit each.
    fn done_among(&self, read: Vec<LoadedAt>, filter: &MessageFilter) -> Vec<Vec<Message>> {
        let mut groups: Vec<Vec<Message>> = Vec::new();
        let mut bytes = 0;
        for (place, loaded) in read {
            if !self.is_done(place) || !filter.admits(&loaded.message, loaded.enqueued_at) {
                continue;
            }
            let length = loaded.message.value.as_ref().map_or(0, bytes::Bytes::len);
            let is_full = bytes + length > BYTES_MAX
                || groups.last().is_none_or(|group| group.len() == MESSAGES_MAX);
            if is_full {
                groups.push(Vec::new());
                bytes = 0;
            }
            bytes += length;
            groups.last_mut().expect("one was just pushed").push(fresh(&loaded.message));
        }
        groups
    }
}

/// The message without the times that were for its first life.
fn fresh(message: &Message) -> Message {
    let dropped = [death::EXPIRES_AT, message::DELIVER_AT];
    let kept = |header: &&Header| !dropped.iter().any(|name| header.name == name.as_bytes());
    let headers = message.headers.iter().filter(kept).cloned().collect();
    Message { headers, ..message.clone() }
}
