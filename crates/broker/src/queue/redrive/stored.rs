//! Redrives outlive a restart: what is stored of them, and how those that ran go on.

use super::{KEPT_MAX, RedriveStatus, Task};
use crate::{
    Broker, Error,
    queue::{MessageFilter, Queue},
};
use bytes::Bytes;
use smallvec::{SmallVec, smallvec};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tramline_catalog::{RedriveFilter, RedrivePair, RedriveRecord, RedriveState};
use tramline_store::Op;
use tramline_types::{QueueName, Timestamp};

impl RedriveStatus {
    fn record(&self) -> RedriveRecord {
        RedriveRecord {
            state: self.state.clone(),
            to: self.to.as_ref().map(ToString::to_string),
            per_second: self.per_second,
            filter: (!self.filter.is_empty()).then(|| to_stored(&self.filter)),
            total: self.total,
            left_behind: self.left_behind,
            started_ms: self.started.as_millis(),
        }
    }

    fn of(id: u64, record: RedriveRecord, moved: u64) -> Self {
        let to = record.to.and_then(|to| QueueName::parse(&to).ok());
        let state = match record.state {
            // It had ended but for the word.
            RedriveState::Cancelling => RedriveState::Cancelled,
            state => state,
        };
        Self {
            id,
            state,
            to,
            per_second: record.per_second,
            filter: record.filter.map(from_stored).unwrap_or_default(),
            total: record.total,
            moved,
            left_behind: record.left_behind,
            started: Timestamp::from_millis(record.started_ms),
        }
    }
}

fn to_stored(filter: &MessageFilter) -> RedriveFilter {
    let MessageFilter { key, header, since, before, died_in, reason } = filter.clone();
    RedriveFilter {
        key: key.map(Vec::from),
        header,
        since_ms: since.map(Timestamp::as_millis),
        before_ms: before.map(Timestamp::as_millis),
        died_in,
        reason,
    }
}

fn from_stored(stored: RedriveFilter) -> MessageFilter {
    let RedriveFilter { key, header, since_ms, before_ms, died_in, reason } = stored;
    MessageFilter {
        key: key.map(Bytes::from),
        header,
        since: since_ms.map(Timestamp::from_millis),
        before: before_ms.map(Timestamp::from_millis),
        died_in,
        reason,
    }
}

/// How many have moved, to be stored with those that do.
pub(super) fn progress(queue: &Queue, id: u64, moved: u64) -> Option<(Bytes, Bytes)> {
    let pair = || (RedriveRecord::moved_key(queue.id, id), Bytes::from(moved.to_string()));
    (!queue.is_transient()).then(pair)
}

fn removal(queue: u64, id: u64) -> [Op; 2] {
    [RedriveRecord::key(queue, id), RedriveRecord::moved_key(queue, id)].map(Op::Remove)
}

impl Queue {
    /// What takes away all that is stored of this queue's redrives.
    pub(in crate::queue) fn redrive_removals(&self) -> impl Iterator<Item = Op> {
        let ids: Vec<u64> = self.redrives.lock().iter().map(|task| task.status.lock().id).collect();
        ids.into_iter().flat_map(|id| removal(self.id, id))
    }
}

impl Broker {
    /// Stores how a redrive is, and forgets those before it that are too many; durable on return.
    pub(super) async fn store_redrive(
        &self,
        queue: &Queue,
        status: &RedriveStatus,
        forgotten: &[u64],
    ) -> Result<(), Error> {
        if queue.is_transient() {
            return Ok(());
        }
        let record = status.record().encode();
        let bytes = record.len() + 64;
        let key = RedriveRecord::key(queue.id, status.id);
        let mut ops: SmallVec<[Op; 1]> = smallvec![Op::Put(key, record)];
        ops.extend(forgotten.iter().flat_map(|id| removal(queue.id, *id)));
        self.commit(ops, bytes).await
    }

    /// Takes up the redrives of before the start; those that ran go on.
    pub(crate) async fn resume_redrives(&self) -> Result<(), Error> {
        let mut known: BTreeMap<(u64, u64), (Option<RedriveRecord>, u64)> = BTreeMap::new();
        for (key, value) in self.store().scan(RedriveRecord::prefix()) {
            let (ids, pair) = RedriveRecord::decode(&key, &value)?;
            let (record, moved) = known.entry(ids).or_default();
            match pair {
                RedrivePair::Record(of) => *record = Some(*of),
                RedrivePair::Moved(n) => *moved = n,
            }
        }
        if known.is_empty() {
            return Ok(());
        }
        let queues: HashMap<u64, Arc<Queue>> =
            self.queues().into_iter().map(|queue| (queue.id, queue)).collect();
        let mut stray: SmallVec<[Op; 1]> = SmallVec::new();
        for ((queue, id), (record, moved)) in known {
            match (queues.get(&queue), record) {
                (Some(queue), Some(record)) => {
                    self.take_up_redrive(queue, RedriveStatus::of(id, record, moved));
                }
                // Its queue was deleted while it was being stored.
                _ => stray.extend(removal(queue, id)),
            }
        }
        if stray.is_empty() { Ok(()) } else { self.commit(stray, 0).await }
    }

    fn take_up_redrive(&self, queue: &Arc<Queue>, status: RedriveStatus) {
        let task = Arc::new(Task::new(status));
        {
            let mut redrives = queue.redrives.lock();
            redrives.push_front(Arc::clone(&task));
            redrives.truncate(KEPT_MAX);
        }
        if task.status.lock().is_active() {
            tracing::info!(queue = %queue.name, "redrive goes on");
            self.spawn_redrive(queue, task);
        }
    }
}
