//! The log of all revisions, and how far its beginning means nothing any more.
//!
//! Catalog keys: `config-log`, the log's id in decimal, made with the first change;
//! `config-floor`, the revision up to which deletions may have been forgotten.

use super::{
    ConfigKey, record,
    state::{State, Version},
};
use crate::Error;
use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};
use tramline_catalog::Counter;
use tramline_log::{Durability, Partition, PartitionSettings, Reading, Retention, TimestampRule};
use tramline_record::Batch;
use tramline_store::{Commit, LogStore, Op, Purpose};
use tramline_types::{LogId, Message, Offset, Times, Timestamp, limits};

const LOG_KEY: &[u8] = b"config-log";
const FLOOR_KEY: &[u8] = b"config-floor";
/// Read at once when the log is read as a whole.
const READ_BYTES: usize = 4 * 1024 * 1024;

const SETTINGS: PartitionSettings = PartitionSettings {
    message_bytes_max: limits::BATCH_BYTES_MAX,
    timestamps: TimestampRule::Create { before_max_ms: i64::MAX, after_max_ms: i64::MAX },
    retention: Retention { age_ms_max: None, bytes_max: None },
    compaction: None,
    compression: None,
    durability: Durability::Sync,
};

pub(super) struct Journal {
    store: Arc<dyn LogStore>,
    log_ids: Arc<Counter>,
    leader_epoch: i32,
    /// There is none before the first change.
    log: Mutex<Option<Arc<Partition>>>,
}

/// Records of the log, and the offset behind the last one.
pub(super) struct Records {
    pub(super) versions: Vec<(ConfigKey, Version)>,
    pub(super) next: u64,
}

impl Journal {
    pub(super) fn open(
        store: &Arc<dyn LogStore>,
        log_ids: &Arc<Counter>,
        leader_epoch: i32,
    ) -> Result<Self, Error> {
        let log = match number(&**store, LOG_KEY) {
            None => None,
            Some(id) => {
                let store = Arc::clone(store);
                Some(Arc::new(Partition::open(store, LogId(id), leader_epoch, SETTINGS)?))
            }
        };
        let (store, log_ids) = (Arc::clone(store), Arc::clone(log_ids));
        Ok(Self { store, log_ids, leader_epoch, log: Mutex::new(log) })
    }

    pub(super) fn store(&self) -> &Arc<dyn LogStore> {
        &self.store
    }

    /// The revision up to which deletions may have been forgotten.
    pub(super) fn floor(&self) -> u64 {
        number(&*self.store, FLOOR_KEY).unwrap_or(0)
    }

    fn log(&self) -> Option<Arc<Partition>> {
        self.log.lock().clone()
    }

    /// Everything below this offset is durable; `None`: nothing was ever written.
    pub(super) fn durable(&self) -> Option<u64> {
        Some(self.log()?.high_watermark().get())
    }

    /// The first offset that the log has.
    pub(super) fn start(&self) -> u64 {
        self.log().map_or(0, |log| log.log_start().get())
    }

    /// Brings every version that the log has into the state.
    pub(super) async fn replay(&self, state: &mut State) -> Result<(), Error> {
        let Some(log) = self.log() else { return Ok(()) };
        let mut from = log.log_start().get();
        while from < log.high_watermark().get() {
            match self.read(from, READ_BYTES).await {
                Ok(records) => {
                    for (key, version) in &records.versions {
                        state.replay(key, version.clone());
                    }
                    from = records.next.max(from + 1);
                }
                // What can be read is served; the store has said what is missing.
                Err(Error::DataDamaged(detail)) => {
                    let next = self.behind_damage(log.log(), from);
                    tracing::error!(from, next, detail, "configuration is damaged there");
                    from = next;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Where a range ends that cannot be read. One of a log whose end is not known any more may
    /// have more offsets than anybody can try.
    fn behind_damage(&self, log: LogId, at: u64) -> u64 {
        let damage = self.store.damage();
        let ranges = damage.iter().filter(|it| it.log == Some(log)).filter_map(|it| it.offsets);
        let of_at = ranges.filter(|(first, last)| (first.get()..=last.get()).contains(&at));
        of_at.map(|(_, last)| last.get()).max().unwrap_or(at).saturating_add(1)
    }

    /// Reads records from an offset on: at least one batch.
    pub(super) async fn read(&self, from: u64, bytes_max: usize) -> Result<Records, Error> {
        let Some(log) = self.log() else { return Ok(Records { versions: Vec::new(), next: from }) };
        let read = match log.read(i64::try_from(from).unwrap_or(i64::MAX), bytes_max) {
            Reading::Ready(read) => read,
            Reading::Pending(read) => read.await,
        };
        let batches = read?;
        let mut versions = Vec::new();
        for mut piece in batches.pieces {
            while let Some(batch) = Batch::decode_first_trusted(&mut piece).map_err(damaged)? {
                let base = u64::try_from(batch.header().base_offset).unwrap_or(0);
                let records = batch.open(limits::BATCH_BYTES_OPENED_MAX).map_err(damaged)?;
                for record in records {
                    let record = record.map_err(damaged)?;
                    let offset = base + u64::try_from(record.offset_delta).unwrap_or(0);
                    versions.extend(record::decode(&Message::from(record), offset));
                }
            }
        }
        Ok(Records { versions, next: batches.next.get() })
    }

    /// Appends a batch; gives its first offset. `durable` is told when it is durable.
    pub(super) async fn append(
        &self,
        batch: Batch,
        now: Timestamp,
        durable: &Arc<Notify>,
    ) -> Result<u64, Error> {
        let log = self.log_or_make().await?;
        let bytes = batch.bytes().len();
        let reservation = self.store.reserve(Purpose::Publish, bytes, 1).wait().await?;
        let admitted = log.admit(batch, Times::new(now, now))?;
        let durable = Arc::clone(durable);
        let appended = log.append(admitted, reservation, Box::new(move || durable.notify_one()))?;
        Ok(appended.base.get())
    }

    /// Appends a batch, as upkeep; gives its first offset when it is durable.
    pub(super) async fn copy(&self, batch: Batch, now: Timestamp) -> Result<u64, Error> {
        let log = self.log_or_make().await?;
        let bytes = batch.bytes().len();
        let reservation = self.store.reserve(Purpose::Upkeep, bytes, 1).wait().await?;
        let admitted = log.admit(batch, Times::new(now, now))?;
        let (done, durable) = oneshot::channel();
        let tell = Box::new(move || {
            let _caller_gave_up = done.send(());
        });
        let appended = log.append(admitted, reservation, tell)?;
        durable.await.map_err(|_| Error::Closed)?;
        Ok(appended.base.get())
    }

    /// Drops the log's beginning up to an offset; durable on return, the floor before it.
    pub(super) async fn trim(&self, to: u64, floor: u64) -> Result<(), Error> {
        let Some(log) = self.log() else { return Ok(()) };
        if floor > self.floor() {
            let text = floor.to_string();
            self.commit(smallvec![Op::Put(Bytes::from_static(FLOOR_KEY), text.into())]).await?;
        }
        let reservation = self.store.reserve(Purpose::Upkeep, 0, 1).wait().await?;
        let (done, durable) = oneshot::channel();
        let tell = Box::new(move || {
            let _caller_gave_up = done.send(());
        });
        log.trim(Offset::new(to).unwrap_or(Offset::MAX), reservation, tell);
        durable.await.map_err(|_| Error::Closed)
    }

    /// The caller holds the writer's lock: it is made once.
    async fn log_or_make(&self) -> Result<Arc<Partition>, Error> {
        if let Some(log) = self.log() {
            return Ok(log);
        }
        let (id, bound) = self.log_ids.next();
        let key = Bytes::from_static(LOG_KEY);
        let create = Op::Create(LogId(id), Offset::ZERO);
        let put = Op::Put(key, id.to_string().into());
        self.commit(smallvec![bound, create, put]).await?;
        let store = Arc::clone(&self.store);
        let made = Arc::new(Partition::create(store, LogId(id), self.leader_epoch, SETTINGS));
        *self.log.lock() = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn commit(&self, ops: SmallVec<[Op; 1]>) -> Result<(), Error> {
        let reservation = self.store.reserve(Purpose::Upkeep, 64, ops.len()).wait().await?;
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move || {
            let _caller_gave_up = done.send(());
        });
        self.store.submit(Commit { ops, on_durable }, reservation);
        durable.await.map_err(|_| Error::Closed)
    }
}

fn damaged(error: tramline_record::Error) -> Error {
    Error::DataDamaged(error.to_string())
}

fn number(store: &dyn LogStore, key: &[u8]) -> Option<u64> {
    std::str::from_utf8(&store.get(key)?).ok()?.parse().ok()
}
