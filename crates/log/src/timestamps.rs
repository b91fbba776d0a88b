//! Look-ups by time: the chunk by the store's index, the batch by its header, the record by
//! opening that one batch.

use crate::{Error, Partition};
use tramline_record::Batch;
use tramline_types::{Offset, Timestamp, limits};

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundTimestamp {
    /// Its offset.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
}

/// How much is read per step while looking through one chunk.
const READ_BYTES: usize = 1024 * 1024;

impl Partition {
    /// The first record at or after a time.
    pub async fn at_timestamp(&self, time: Timestamp) -> Result<Option<FoundTimestamp>, Error> {
        let chunks = self.store().chunks(self.log(), self.log_start()).await?;
        let Some(chunk) = chunks.iter().find(|chunk| chunk.max_timestamp >= time) else {
            return Ok(None);
        };
        self.first_record(chunk.base.max(self.log_start()), time).await
    }

    /// The first record with the largest time of all.
    pub async fn max_timestamp(&self) -> Result<Option<FoundTimestamp>, Error> {
        let chunks = self.store().chunks(self.log(), self.log_start()).await?;
        let Some(max) = chunks.iter().map(|chunk| chunk.max_timestamp).max() else {
            return Ok(None);
        };
        let chunk = chunks.iter().find(|chunk| chunk.max_timestamp == max);
        let from = chunk.map_or(self.log_start(), |chunk| chunk.base.max(self.log_start()));
        self.first_record(from, max).await
    }

    async fn first_record(
        &self,
        mut from: Offset,
        time: Timestamp,
    ) -> Result<Option<FoundTimestamp>, Error> {
        while from < self.high_watermark() {
            let read = match self.store().read(self.log(), from, READ_BYTES) {
                tramline_store::Reading::Ready(read) => read?,
                tramline_store::Reading::Pending(read) => read.await?,
            };
            if read.next <= from {
                break;
            }
            from = read.next;
            for mut piece in read.pieces {
                while let Some(batch) = Batch::decode_first_trusted(&mut piece)
                    .map_err(|error| Error::Unreadable(error.to_string()))?
                {
                    if let Some(found) = self.in_batch(&batch, time) {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// A batch that cannot be opened (a producer may send what it likes inside a valid CRC)
    /// counts by its header.
    fn in_batch(&self, batch: &Batch, time: Timestamp) -> Option<FoundTimestamp> {
        let header = batch.header();
        if header.newest_timestamp() < time.as_millis() {
            return None;
        }
        let base = Offset::from_i64(header.base_offset)?;
        let by_header = FoundTimestamp {
            offset: base.max(self.log_start()),
            timestamp: Timestamp::from_millis(header.newest_timestamp()),
        };
        let Ok(records) = batch.records(limits::BATCH_BYTES_OPENED_MAX) else {
            return Some(by_header);
        };
        records.iter().find_map(|record| {
            let offset = base.plus(u64::try_from(record.offset_delta).ok()?);
            let found = record.timestamp >= time.as_millis() && offset >= self.log_start();
            found.then(|| FoundTimestamp {
                offset,
                timestamp: Timestamp::from_millis(record.timestamp),
            })
        })
    }
}
