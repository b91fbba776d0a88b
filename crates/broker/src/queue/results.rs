//! Results that units recorded: the first one of an id is kept, for [`limits::RESULT_TTL`] from
//! then on; another one for the same id changes nothing.
//!
//! They lie in the store's key-value space, each with its end. Invariant: `ends` has every one
//! of them, by that.

use crate::{Broker, Error, QueueError};
use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use tramline_store::{LogStore, Op, Purpose};
use tramline_types::{Timestamp, limits};

/// Results are kept under this and their id in hexadecimal.
const PREFIX: &str = "result/";
/// Forgotten in one commit at most.
const FORGOTTEN_MAX: usize = 1000;

/// What is known of the recorded results.
#[derive(Default)]
pub(super) struct Results {
    ends: BTreeMap<(Timestamp, Bytes), usize>,
    bytes: usize,
}

/// A result that is to be recorded.
pub(super) struct Recording {
    key: Bytes,
    stored: Bytes,
    end: Timestamp,
    /// Else it is stored once more, as it is: the commit that has the first may not be durable.
    is_first: bool,
}

impl Recording {
    pub(super) fn op(&self) -> Op {
        Op::Put(self.key.clone(), self.stored.clone())
    }
}

impl Results {
    pub(super) fn load(store: &dyn LogStore) -> Self {
        let mut results = Self::default();
        for (key, stored) in store.scan(PREFIX.as_bytes()) {
            let end = split(&stored).map_or(Timestamp::from_millis(0), |(end, _)| end);
            results.add(end, key, stored.len());
        }
        results
    }

    fn add(&mut self, end: Timestamp, key: Bytes, stored: usize) {
        let bytes = key.len() + stored;
        self.bytes += bytes;
        self.ends.insert((end, key), bytes);
    }

    fn remove(&mut self, end: Timestamp, key: &Bytes) {
        self.bytes -= self.ends.remove(&(end, key.clone())).unwrap_or(0);
    }

    /// A result as it is to be stored; the one that is stored, where there is one of this id.
    pub(super) fn prepare(
        &self,
        store: &dyn LogStore,
        (id, result): (&[u8], &[u8]),
        now: Timestamp,
    ) -> Result<Recording, QueueError> {
        let key = key(id);
        if let Some(stored) = store.get(&key)
            && let Some((end, _)) = split(&stored).filter(|(end, _)| *end > now)
        {
            return Ok(Recording { key, stored, end, is_first: false });
        }
        let size = id.len() + result.len();
        if size > limits::RESULT_BYTES_MAX {
            let text = format!("a result of {size} bytes is above {}", limits::RESULT_BYTES_MAX);
            return Err(QueueError::LimitExceeded(text));
        }
        if self.bytes + size > limits::RESULTS_BYTES_MAX {
            let text = format!("results take {} bytes, which is the limit", self.bytes);
            return Err(QueueError::LimitExceeded(text));
        }
        let ttl = i64::try_from(limits::RESULT_TTL.as_millis()).unwrap_or(i64::MAX);
        let end = now.plus_millis(ttl);
        let mut stored = BytesMut::with_capacity(8 + result.len());
        stored.put_i64(end.as_millis());
        stored.put_slice(result);
        Ok(Recording { key, stored: stored.freeze(), end, is_first: true })
    }

    /// It is submitted.
    pub(super) fn recorded(&mut self, store: &dyn LogStore, recording: Recording) {
        debug_assert_eq!(store.get(&recording.key).as_ref(), Some(&recording.stored));
        if !recording.is_first {
            return;
        }
        self.add(recording.end, recording.key, recording.stored.len());
    }

    /// Those that are over by now, some of them.
    fn poll_over(&mut self, store: &dyn LogStore, now: Timestamp) -> SmallVec<[Op; 1]> {
        let mut ops = SmallVec::new();
        while ops.len() < FORGOTTEN_MAX
            && let Some(first) = self.ends.first_entry()
            && first.key().0 <= now
        {
            let ((end, key), bytes) = first.remove_entry();
            self.bytes -= bytes;
            // Another one may have been recorded since.
            if store.get(&key).and_then(|stored| Some(split(&stored)?.0)).is_none_or(|it| it == end)
            {
                ops.push(Op::Remove(key));
            }
        }
        ops
    }
}

impl Broker {
    /// The result that was recorded under an id, as long as it is kept.
    pub fn result(&self, id: &[u8]) -> Option<Bytes> {
        find(&**self.store(), &key(id), self.queues_map().now())
    }

    /// Forgets a result; durable on return.
    pub async fn delete_result(&self, id: &[u8]) -> Result<(), Error> {
        let reservation = self.store().reserve(Purpose::Upkeep, 0, 1).wait().await?;
        let durable = {
            let mut results = self.queues_map().context.results.lock();
            let key = key(id);
            if let Some((end, _)) = self.store().get(&key).as_ref().and_then(split) {
                results.remove(end, &key);
            }
            let ops = std::iter::once(Op::Remove(key)).collect();
            crate::broker::submit(&**self.store(), ops, reservation)
        };
        durable.await.map_err(|_| Error::Closed)
    }

    /// Forgets the results that were kept long enough.
    pub(crate) async fn forget_results(&self) {
        let now = self.queues_map().now();
        loop {
            let is_due = {
                let results = self.queues_map().context.results.lock();
                results.ends.first_key_value().is_some_and(|((end, _), _)| *end <= now)
            };
            if !is_due {
                return;
            }
            let reserving = self.store().reserve(Purpose::Upkeep, 0, FORGOTTEN_MAX);
            // Without space the next time will do.
            let Ok(reservation) = reserving.wait().await else { return };
            let mut results = self.queues_map().context.results.lock();
            let ops = results.poll_over(&**self.store(), now);
            drop(crate::broker::submit(&**self.store(), ops, reservation));
        }
    }
}

fn key(id: &[u8]) -> Bytes {
    let digits = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Bytes::from(format!("{PREFIX}{digits}"))
}

/// What is stored: the end, in milliseconds since 1970, then the result.
fn split(stored: &Bytes) -> Option<(Timestamp, Bytes)> {
    let (end, result) = stored.split_first_chunk()?;
    Some((Timestamp::from_millis(i64::from_be_bytes(*end)), stored.slice_ref(result)))
}

fn find(store: &dyn LogStore, key: &[u8], now: Timestamp) -> Option<Bytes> {
    let (end, result) = split(&store.get(key)?)?;
    (end > now).then_some(result)
}
