//! What tools ask about partitions and the store, and cutting a log's beginning off.

use crate::{Broker, Error, Topic};
use tokio::sync::oneshot;
use tramline_log::{EpochEnd, ProducerDescription};
use tramline_store::Purpose;
use tramline_types::Offset;

/// Where the data lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageDescription {
    /// The data directory.
    pub directory: String,
    /// Free space of its file system, where there is one.
    pub free_bytes: Option<u64>,
    /// The size of its file system, where there is one.
    pub total_bytes: Option<u64>,
}

impl Broker {
    /// Deletes the records of a partition below `before`, or all that are durable; durable on
    /// return. Gives the first offset that is left. A topic's order keeps them: it is cut by
    /// itself, as the one partition of its view.
    pub async fn delete_records(
        &self,
        topic: &Topic,
        partition: u32,
        before: Option<Offset>,
    ) -> Result<Offset, Error> {
        topic.check_no_queue()?;
        if !topic.settings().deletes_old {
            return Err(Error::RecordsNotDeletable(topic.name().to_string()));
        }
        let partition = topic.partition(partition)?;
        let (start, end) = (partition.log_start(), partition.high_watermark());
        let before = before.unwrap_or(end);
        if before > end {
            return Err(Error::OffsetOutOfRange { offset: before.as_i64(), start, next: end });
        }
        if before <= start {
            return Ok(start);
        }
        let reservation = self.store().reserve(Purpose::Upkeep, 0, 1).wait().await?;
        let (done, durable) = oneshot::channel();
        let tell = Box::new(move || {
            // The receiver is gone when the caller gave up: the records are deleted all the same.
            let _caller_gave_up = done.send(());
        });
        partition.trim(before, reservation, tell);
        durable.await.map_err(|_| Error::Closed)?;
        Ok(partition.log_start())
    }

    /// Where the records of a leader epoch end; `None` when there was no such epoch yet.
    pub async fn epoch_end(
        &self,
        topic: &Topic,
        partition: u32,
        epoch: i32,
    ) -> Result<Option<EpochEnd>, Error> {
        Ok(topic.partition(partition)?.epoch_end(epoch).await?)
    }

    /// The idempotent producers that a partition remembers, by id.
    pub fn producers(
        &self,
        topic: &Topic,
        partition: u32,
    ) -> Result<Vec<ProducerDescription>, Error> {
        Ok(topic.partition(partition)?.producers())
    }

    /// Where the data lies.
    pub fn describe_storage(&self) -> StorageDescription {
        let stats = self.store().stats();
        StorageDescription {
            directory: self.options().data_dir.clone(),
            free_bytes: stats.disk_free_bytes,
            total_bytes: stats.disk_total_bytes,
        }
    }
}
