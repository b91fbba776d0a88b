//! Look-ups by time: the chunk by the store's index, the batch by its header, the record by
//! opening that one batch.

use crate::{Error, Partition};
use std::{cmp::Reverse, ops::Range};
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

    /// The first record with the largest time of all. A chunk's time is an upper bound: what had
    /// it may have been compacted away, or its producer's header may not be true.
    pub async fn max_timestamp(&self) -> Result<Option<FoundTimestamp>, Error> {
        let mut chunks = self.store().chunks(self.log(), self.log_start()).await?;
        chunks.sort_by_key(|chunk| (Reverse(chunk.max_timestamp), chunk.base));
        let mut best: Option<FoundTimestamp> = None;
        for chunk in chunks {
            if best.is_some_and(|best| best.timestamp > chunk.max_timestamp) {
                break;
            }
            let from = chunk.base.max(self.log_start());
            self.scan(from, chunk.next, |batch| {
                best = newer(best, self.newest_in(batch, best, from..chunk.next));
                None::<()>
            })
            .await?;
        }
        Ok(best)
    }

    async fn first_record(
        &self,
        from: Offset,
        time: Timestamp,
    ) -> Result<Option<FoundTimestamp>, Error> {
        self.scan(from, Offset::MAX, |batch| self.in_batch(batch, from, time)).await
    }

    /// Goes through stored batches until `visit` has an answer.
    async fn scan<T>(
        &self,
        mut from: Offset,
        end: Offset,
        mut visit: impl FnMut(&Batch) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        while from < end.min(self.high_watermark()) {
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
                    if let Some(found) = visit(&batch) {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The first record with the largest time in a batch, where the batch may have one newer
    /// than the best so far, or one as new in front of it.
    fn newest_in(
        &self,
        batch: &Batch,
        best: Option<FoundTimestamp>,
        range: Range<Offset>,
    ) -> Option<FoundTimestamp> {
        let least = best.map_or(0, |best| best.timestamp.as_millis());
        let newest = batch.header().newest_timestamp();
        if newest < least {
            return None;
        }
        let base = Offset::from_i64(batch.header().base_offset)?;
        let Ok(records) = batch.records(limits::BATCH_BYTES_OPENED_MAX) else {
            let offset = base.max(range.start);
            let timestamp = Timestamp::from_millis(newest);
            return range.contains(&offset).then_some(FoundTimestamp { offset, timestamp });
        };
        let found = records.iter().filter(|record| record.timestamp >= 0).filter_map(|record| {
            let offset = base.plus(u64::try_from(record.offset_delta).ok()?);
            let timestamp = Timestamp::from_millis(record.timestamp);
            range.contains(&offset).then_some(FoundTimestamp { offset, timestamp })
        });
        found.fold(None, |best, found| newer(best, Some(found)))
    }

    /// A batch that cannot be opened (a producer may send what it likes inside a valid CRC)
    /// counts by its header.
    fn in_batch(&self, batch: &Batch, first: Offset, time: Timestamp) -> Option<FoundTimestamp> {
        let header = batch.header();
        if header.newest_timestamp() < time.as_millis() {
            return None;
        }
        let base = Offset::from_i64(header.base_offset)?;
        let by_header = FoundTimestamp {
            offset: base.max(first),
            timestamp: Timestamp::from_millis(header.newest_timestamp()),
        };
        let Ok(records) = batch.records(limits::BATCH_BYTES_OPENED_MAX) else {
            return Some(by_header);
        };
        records.iter().find_map(|record| {
            let offset = base.plus(u64::try_from(record.offset_delta).ok()?);
            let found = record.timestamp >= time.as_millis() && offset >= first;
            found.then(|| FoundTimestamp {
                offset,
                timestamp: Timestamp::from_millis(record.timestamp),
            })
        })
    }
}

/// The newer of two; of two as new the one in front.
fn newer(best: Option<FoundTimestamp>, found: Option<FoundTimestamp>) -> Option<FoundTimestamp> {
    let rank = |found: &FoundTimestamp| (found.timestamp, Reverse(found.offset));
    best.into_iter().chain(found).max_by_key(rank)
}
