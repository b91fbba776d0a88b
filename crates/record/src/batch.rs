//! One whole, validated batch as the bytes that came.
//!
//! Invariant: the header decodes from the bytes, the bytes end where it says, and (unless they
//! were trusted) they have its CRC.

use crate::header::{
    ATTRIBUTES_AT, CRC_AT, HEADER_BYTES, LEADER_EPOCH_AT, LENGTH_PREFIX_BYTES, MAX_TIMESTAMP_AT,
};
use crate::{Attributes, BatchHeader, Error, Record, Records, crc32c};
use bytes::{Bytes, BytesMut};
use tramline_types::Timestamp;

/// One whole, validated batch, its records unopened. A clone shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// Takes exactly one batch and validates it, CRC included.
    pub fn decode(mut bytes: Bytes) -> Result<Self, Error> {
        match Self::decode_first(&mut bytes)? {
            Some(batch) if bytes.is_empty() => Ok(batch),
            Some(_) => Err(Error::TrailingBytes(bytes.len())),
            None => Err(Error::Truncated { needed: HEADER_BYTES, present: 0 }),
        }
    }

    /// Splits the first batch off a run of whole batches; `None` when there are no bytes. On an
    /// error, `bytes` is as before.
    pub fn decode_first(bytes: &mut Bytes) -> Result<Option<Self>, Error> {
        let Some((header, total)) = first_header(bytes)? else { return Ok(None) };
        let computed = crc32c(&bytes[ATTRIBUTES_AT..total]);
        if computed != header.crc {
            return Err(Error::Crc { stored: header.crc, computed });
        }
        Ok(Some(Self { header, bytes: bytes.split_to(total) }))
    }

    /// As [`Self::decode_first`], but without computing the CRC: for stored bytes that another
    /// checksum has just covered.
    pub fn decode_first_trusted(bytes: &mut Bytes) -> Result<Option<Self>, Error> {
        let Some((header, total)) = first_header(bytes)? else { return Ok(None) };
        Ok(Some(Self { header, bytes: bytes.split_to(total) }))
    }

    /// A batch that was just built.
    pub(crate) fn from_parts(header: BatchHeader, bytes: Bytes) -> Self {
        Self { header, bytes }
    }

    /// The decoded header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The batch as it came, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Checks what Kafka's broker demands of a producer's batch beyond a stored one: at least one
    /// record, no gaps in the offsets, no control batch, its own timestamps, and a producer's id,
    /// epoch and sequence all there or none.
    pub fn check_producer_batch(&self) -> Result<(), Error> {
        let header = &self.header;
        let refuse = |detail| Err(Error::InvalidProducerBatch(detail));
        if header.record_count < 1 {
            return refuse("it has no records");
        }
        if i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
            return refuse("the last offset delta does not match the record count");
        }
        if header.attributes.is_control() {
            return refuse("control batches are written by the broker");
        }
        if header.attributes.is_log_append_time() {
            return Err(Error::ProducerLogAppendTime);
        }
        if header.attributes.has_delete_horizon() {
            return refuse("the delete horizon is set by the broker");
        }
        if header.producer_id < -1 {
            return refuse("the producer id is negative");
        }
        if header.has_producer() && header.producer_epoch < 0 {
            return refuse("a producer id needs an epoch");
        }
        if header.has_producer() && header.base_sequence < 0 {
            return refuse("a producer id needs a sequence number");
        }
        if header.attributes.is_transactional() && !header.has_producer() {
            return refuse("a transaction needs a producer id");
        }
        Ok(())
    }

    /// Opens the batch: one record after the other. What the decompressed records take is limited
    /// to `opened_bytes_max`; keys, values and headers are slices of one buffer.
    pub fn open(&self, opened_bytes_max: usize) -> Result<Records, Error> {
        let compressed = self.bytes.slice(HEADER_BYTES..);
        let codec = self.header.attributes.compression()?;
        let opened = codec.decompress(compressed, opened_bytes_max)?;
        Ok(Records::new(&self.header, opened))
    }

    /// All records of the batch. Both the decompressed bytes and the list itself are limited to
    /// `opened_bytes_max` each, so that many tiny records do not take many times that memory.
    pub fn records(&self, opened_bytes_max: usize) -> Result<Vec<Record>, Error> {
        let mut list_bytes = 0_usize;
        let mut list = Vec::new();
        for record in self.open(opened_bytes_max)? {
            let record = record?;
            list_bytes = list_bytes.saturating_add(record.list_bytes());
            if list_bytes > opened_bytes_max {
                return Err(Error::OpenedTooLarge(opened_bytes_max));
            }
            list.push(record);
        }
        Ok(list)
    }

    /// A copy whose timestamps are the broker's: the LogAppendTime bit set, this max timestamp,
    /// the CRC computed anew. The records stay as they are; readers ignore their deltas.
    #[must_use]
    pub fn with_log_append_time(&self, now: Timestamp) -> Self {
        let mut header = self.header;
        header.attributes = Attributes(header.attributes.0 | Attributes::LOG_APPEND_TIME);
        header.max_timestamp = now.as_millis();
        let mut bytes = BytesMut::from(&self.bytes[..]);
        put(&mut bytes, ATTRIBUTES_AT, header.attributes.0.to_be_bytes());
        put(&mut bytes, MAX_TIMESTAMP_AT, header.max_timestamp.to_be_bytes());
        header.crc = crc32c(&bytes[ATTRIBUTES_AT..]);
        put(&mut bytes, CRC_AT, header.crc.to_be_bytes());
        Self { header, bytes: bytes.freeze() }
    }
}

/// Writes base offset and leader epoch into a batch's header. Both lie outside its CRC.
///
/// # Panics
/// On fewer than 16 bytes: only a batch, or the header of one, is stamped.
pub fn stamp(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    put(batch, 0, base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, leader_epoch.to_be_bytes());
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, field: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&field);
}

/// The header of the first batch and the batch's size, which the bytes are known to have.
fn first_header(bytes: &[u8]) -> Result<Option<(BatchHeader, usize)>, Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let header = BatchHeader::decode(bytes)?;
    let total = header.total_bytes();
    debug_assert!(total >= HEADER_BYTES && HEADER_BYTES > LENGTH_PREFIX_BYTES);
    if total > bytes.len() {
        return Err(Error::Truncated { needed: total, present: bytes.len() });
    }
    Ok(Some((header, total)))
}

#[cfg(test)]
mod tests;
