//! The 61 bytes in front of the records, and what they must agree on.

use crate::{Compression, Error};
use tramline_types::Timestamp;

/// The size of a batch's header; the records follow.
pub const HEADER_BYTES: usize = 61;

/// Base offset and batch length: what `batch_length` does not count.
pub(crate) const LENGTH_PREFIX_BYTES: usize = 12;
pub(crate) const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
/// Where the CRC's cover begins.
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;

pub(crate) const MAGIC: i8 = 2;
/// The smallest record: seven fields of one byte each (length, attributes, two deltas, no key,
/// no value, no headers).
const RECORD_BYTES_MIN: usize = 7;

/// The batch's flags. Bits that Kafka has not assigned are kept and ignored, as Kafka does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u16);

impl Attributes {
    const COMPRESSION: u16 = 0b111;
    pub(crate) const LOG_APPEND_TIME: u16 = 1 << 3;
    const TRANSACTIONAL: u16 = 1 << 4;
    const CONTROL: u16 = 1 << 5;
    pub(crate) const DELETE_HORIZON: u16 = 1 << 6;

    /// The codec of the records; an error for the ids 5 to 7, which mean nothing.
    pub fn compression(self) -> Result<Compression, Error> {
        let [_, low] = (self.0 & Self::COMPRESSION).to_be_bytes();
        Compression::try_from(low)
    }

    /// The broker set the timestamps: every record has the batch's max timestamp.
    pub const fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    /// Part of a transaction.
    pub const fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// The base timestamp says until when compaction keeps the batch's tombstones (KIP-534).
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    pub(crate) const fn with_compression(self, compression: Compression) -> Self {
        Self((self.0 & !Self::COMPRESSION) | compression.id() as u16)
    }

    /// A transaction marker, written by a broker only.
    pub const fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }
}

/// The decoded header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The first record's offset; outside the CRC, the broker writes it.
    pub base_offset: i64,
    /// The batch's size in bytes, without these first 12.
    pub batch_length: i32,
    /// The leader's epoch; outside the CRC, the broker writes it.
    pub leader_epoch: i32,
    /// CRC32C of everything from the attributes on.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// The last record's offset less the base offset; kept when compaction removes that record.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas are added to, in milliseconds.
    pub base_timestamp: i64,
    /// The newest timestamp by the producer's word, or the broker's time of append.
    pub max_timestamp: i64,
    /// The idempotent producer's id, -1 for none.
    pub producer_id: i64,
    /// The idempotent producer's epoch, -1 for none.
    pub producer_epoch: i16,
    /// The first record's sequence number, -1 for none.
    pub base_sequence: i32,
    /// How many records there are.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads a header from the first bytes of a batch. Checks what can be told from it alone: the
    /// magic, a possible length, a known codec, counts and deltas that agree.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        // The magic first: all formats have it at the same place, and older batches may be
        // shorter than this header.
        if let Some(&magic) = bytes.get(MAGIC_AT) {
            let magic = i8::from_be_bytes([magic]);
            if magic != MAGIC {
                return Err(Error::Magic(magic));
            }
        }
        let header = Self::read(bytes)
            .ok_or(Error::Truncated { needed: HEADER_BYTES, present: bytes.len() })?;
        header.check()?;
        Ok(header)
    }

    /// The whole batch in bytes, header included.
    pub fn total_bytes(&self) -> usize {
        LENGTH_PREFIX_BYTES.saturating_add(usize::try_from(self.batch_length).unwrap_or(0))
    }

    /// The last record's offset, once the base offset is set.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// The newest timestamp that a time index should know. Nothing makes a producer set the max
    /// timestamp, so that the base timestamp counts as well.
    pub fn newest_timestamp(&self) -> i64 {
        if self.attributes.is_log_append_time() || self.attributes.has_delete_horizon() {
            self.max_timestamp
        } else {
            self.max_timestamp.max(self.base_timestamp)
        }
    }

    /// Until when compaction keeps the batch's tombstones, once it has seen them.
    pub const fn delete_horizon(&self) -> Option<Timestamp> {
        if self.attributes.has_delete_horizon() {
            Some(Timestamp::from_millis(self.base_timestamp))
        } else {
            None
        }
    }

    /// Does the batch come from an idempotent or transactional producer?
    pub const fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.get(..HEADER_BYTES)?;
        let base_offset = i64::from_be_bytes(take(&mut rest)?);
        let batch_length = i32::from_be_bytes(take(&mut rest)?);
        let leader_epoch = i32::from_be_bytes(take(&mut rest)?);
        let [_magic] = take(&mut rest)?;
        Some(Self {
            base_offset,
            batch_length,
            leader_epoch,
            crc: u32::from_be_bytes(take(&mut rest)?),
            attributes: Attributes(u16::from_be_bytes(take(&mut rest)?)),
            last_offset_delta: i32::from_be_bytes(take(&mut rest)?),
            base_timestamp: i64::from_be_bytes(take(&mut rest)?),
            max_timestamp: i64::from_be_bytes(take(&mut rest)?),
            producer_id: i64::from_be_bytes(take(&mut rest)?),
            producer_epoch: i16::from_be_bytes(take(&mut rest)?),
            base_sequence: i32::from_be_bytes(take(&mut rest)?),
            record_count: i32::from_be_bytes(take(&mut rest)?),
        })
    }

    fn check(&self) -> Result<(), Error> {
        let records_bytes = self.total_bytes().checked_sub(HEADER_BYTES);
        let records_bytes = records_bytes.ok_or(Error::Length(self.batch_length))?;
        let compression = self.attributes.compression()?;
        let count = usize::try_from(self.record_count)
            .map_err(|_| Error::InvalidHeader("the record count is negative"))?;
        if self.last_offset_delta < 0 {
            return Err(Error::InvalidHeader("the last offset delta is negative"));
        }
        if i64::from(self.record_count) > i64::from(self.last_offset_delta) + 1 {
            return Err(Error::InvalidHeader("there are more records than offsets"));
        }
        if compression == Compression::None
            && count.saturating_mul(RECORD_BYTES_MIN) > records_bytes
        {
            return Err(Error::InvalidHeader("there are more records than bytes for them"));
        }
        Ok(())
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields: [&[u8]; 13] = [
            &self.base_offset.to_be_bytes(),
            &self.batch_length.to_be_bytes(),
            &self.leader_epoch.to_be_bytes(),
            &MAGIC.to_be_bytes(),
            &self.crc.to_be_bytes(),
            &self.attributes.0.to_be_bytes(),
            &self.last_offset_delta.to_be_bytes(),
            &self.base_timestamp.to_be_bytes(),
            &self.max_timestamp.to_be_bytes(),
            &self.producer_id.to_be_bytes(),
            &self.producer_epoch.to_be_bytes(),
            &self.base_sequence.to_be_bytes(),
            &self.record_count.to_be_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        bytes
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}

#[cfg(test)]
mod tests;
