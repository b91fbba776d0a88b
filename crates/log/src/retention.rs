//! What may be dropped from the front of a partition.

use crate::{Error, Partition};
use tramline_store::Chunk;
use tramline_types::{Offset, Timestamp};

/// Limits of age and size; `None` keeps for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this may go, in milliseconds (Kafka `retention.ms`).
    pub age_ms_max: Option<i64>,
    /// Above this many stored bytes the oldest may go (Kafka `retention.bytes`).
    pub bytes_max: Option<u64>,
}

/// What retention lets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Everything below this.
    pub first_kept: Offset,
    /// Its stored bytes.
    pub bytes: u64,
}

impl Retention {
    /// What may go, given the stored chunks in offset order. A chunk goes as a
    /// whole: never a byte more than the limits allow, up to a chunk's length less.
    pub fn expired(&self, chunks: &[Chunk], now: Timestamp) -> Option<Expired> {
        let mut bytes: u64 = chunks.iter().map(|chunk| chunk.bytes).sum();
        let oldest = self.age_ms_max.map(|age| now.minus_millis(age));
        let mut expired: Option<Expired> = None;
        for chunk in chunks {
            let too_old = oldest.is_some_and(|oldest| chunk.max_timestamp < oldest);
            let too_many = self.bytes_max.is_some_and(|max| bytes - chunk.bytes >= max);
            if !too_old && !too_many {
                break;
            }
            bytes -= chunk.bytes;
            let gone = expired.map_or(0, |expired| expired.bytes) + chunk.bytes;
            expired = Some(Expired { first_kept: chunk.next, bytes: gone });
        }
        expired
    }
}

impl Partition {
    /// What may go by the settings in force, if anything may.
    pub async fn expired(&self, now: Timestamp) -> Result<Option<Expired>, Error> {
        let retention = self.settings().retention;
        if retention == Retention::default() || self.log_start() == self.high_watermark() {
            return Ok(None);
        }
        let chunks = self.store().chunks(self.log(), self.log_start()).await?;
        Ok(retention.expired(&chunks, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(n: u64) -> Chunk {
        Chunk {
            base: Offset::new(n * 10).unwrap(),
            next: Offset::new(n * 10 + 10).unwrap(),
            bytes: 100,
            max_timestamp: Timestamp::from_millis(n.cast_signed() * 1000),
        }
    }

    #[test]
    fn age_and_size_drop_whole_chunks_from_the_front() {
        let chunks: Vec<_> = (0..5).map(chunk).collect();
        let at = |age_ms_max, bytes_max| {
            Retention { age_ms_max, bytes_max }
                .expired(&chunks, Timestamp::from_millis(5000))
                .map(|expired| expired.first_kept.get())
        };
        assert_eq!(at(None, None), None);
        assert_eq!(at(Some(10_000), Some(500)), None);
        assert_eq!(at(Some(2500), None), Some(30), "newest in it is 2,000: 3,000 old");
        assert_eq!(at(None, Some(250)), Some(20), "200 would be below the limit's 250");
        assert_eq!(at(None, Some(0)), Some(50));
        assert_eq!(at(Some(0), None), Some(50));
    }
}
