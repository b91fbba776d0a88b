//! Where the records of a leader epoch end. Nothing is stored for it: every batch carries its
//! epoch, epochs only rise along a log, and a look-up halves the log until it has found the place.

use crate::{Error, Partition};
use tramline_record::{BatchHeader, HEADER_BYTES};
use tramline_types::Offset;

/// The end of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch, up to the one asked for, that has records.
    pub epoch: i32,
    /// Where the records of later epochs begin: at least the offset after its last record, also
    /// where compaction took that one.
    pub end: Offset,
}

/// A batch, as far as the look-up needs it.
struct Place {
    epoch: i32,
    base: Offset,
    next: Offset,
}

impl Partition {
    /// Where the records of `epoch` and all before it end; `None` when there was no such epoch
    /// yet.
    pub async fn epoch_end(&self, epoch: i32) -> Result<Option<EpochEnd>, Error> {
        let current = self.leader_epoch();
        if epoch < 0 || epoch > current {
            return Ok(None);
        }
        let (start, end) = (self.log_start(), self.high_watermark());
        if epoch == current {
            return Ok(Some(EpochEnd { epoch, end }));
        }
        // Below `low` everything is of this epoch or an earlier one, from `high` on of a later.
        let (mut low, mut high) = (start, end);
        let (mut last, mut later) = (None, end);
        while low < high {
            let middle = low.plus((high.get() - low.get()) / 2);
            match self.batch_at(middle).await? {
                Some(place) if place.epoch <= epoch => {
                    last = Some(place.epoch);
                    low = place.next;
                }
                // What lies between the middle and a batch that begins behind it is gone.
                Some(place) => {
                    high = middle.min(place.base);
                    later = place.base.max(start);
                }
                None => high = middle,
            }
        }
        Ok(Some(EpochEnd { epoch: last.unwrap_or(epoch), end: later }))
    }

    /// The batch that holds an offset, or the next one behind it.
    async fn batch_at(&self, offset: Offset) -> Result<Option<Place>, Error> {
        let read = match self.store().read(self.log(), offset, 1) {
            tramline_store::Reading::Ready(read) => read?,
            tramline_store::Reading::Pending(read) => read.await?,
        };
        let mut header = Vec::with_capacity(HEADER_BYTES);
        for piece in &read.pieces {
            let wanted = HEADER_BYTES - header.len();
            header.extend_from_slice(&piece[..piece.len().min(wanted)]);
        }
        if header.len() < HEADER_BYTES {
            return Ok(None);
        }
        let header =
            BatchHeader::decode(&header).map_err(|error| Error::Unreadable(error.to_string()))?;
        let unreadable = || Error::Unreadable("a batch without a valid offset".to_owned());
        let base = Offset::from_i64(header.base_offset).ok_or_else(unreadable)?;
        let records = u64::try_from(header.last_offset_delta).map_err(|_| unreadable())? + 1;
        Ok(Some(Place { epoch: header.leader_epoch, base, next: base.plus(records) }))
    }
}
