//! Batches made out of stored or received ones: fewer records (compaction), another codec
//! (`compression.type`). Offsets, producer, epoch and sequence stay what they were.

use crate::builder::Fields;
use crate::header::{ATTRIBUTES_AT, HEADER_BYTES, LENGTH_PREFIX_BYTES};
use crate::{Attributes, Batch, BatchHeader, Compression, Error, Record, crc32c, crc32c_append};
use bytes::{BufMut, Bytes, BytesMut};
use tramline_types::Timestamp;

/// A codec and how hard it tries; no level is the codec's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codec {
    /// The codec.
    pub compression: Compression,
    /// Kafka's `compression.<codec>.level`. Snappy and LZ4 have none here.
    pub level: Option<i32>,
}

impl Batch {
    /// The same records under another codec. Opened bytes are limited to `opened_bytes_max`.
    pub fn with_compression(&self, codec: Codec, opened_bytes_max: usize) -> Result<Self, Error> {
        let opened = self.opened(opened_bytes_max)?;
        close(*self.header(), codec, &opened)
    }

    /// The batch with only these of its records, in their order, at their offsets: it spans the
    /// same offsets as before. With a delete horizon (KIP-534) the batch says until when its
    /// tombstones are kept; without one it keeps the horizon that it has.
    pub fn with_records(
        &self,
        kept: &[Record],
        delete_horizon: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let mut header = *self.header();
        if let Some(horizon) = delete_horizon {
            header.attributes = Attributes(header.attributes.0 | Attributes::DELETE_HORIZON);
            header.base_timestamp = horizon.as_millis();
        } else if !header.attributes.has_delete_horizon() {
            header.base_timestamp = kept.first().map_or(-1, |record| record.timestamp);
        }
        if !header.attributes.is_log_append_time() {
            header.max_timestamp = kept.iter().map(|record| record.timestamp).max().unwrap_or(-1);
        }
        let mut records = BytesMut::new();
        for record in kept {
            let fields = Fields {
                timestamp_delta: record.timestamp.wrapping_sub(header.base_timestamp),
                offset_delta: i64::from(record.offset_delta),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &record.headers,
            };
            fields.encode_into(&mut records);
        }
        header.record_count =
            i32::try_from(kept.len()).map_err(|_| Error::BuiltTooLarge(records.len()))?;
        let codec = Codec { compression: header.attributes.compression()?, level: None };
        close(header, codec, &records)
    }

    fn opened(&self, opened_bytes_max: usize) -> Result<Bytes, Error> {
        let codec = self.header().attributes.compression()?;
        codec.decompress(self.bytes().slice(HEADER_BYTES..), opened_bytes_max)
    }
}

/// Compresses the records and puts the header, completed, in front.
fn close(mut header: BatchHeader, codec: Codec, records: &[u8]) -> Result<Batch, Error> {
    let records = codec.compression.compress(records, codec.level)?;
    let total = HEADER_BYTES.saturating_add(records.len());
    let too_large = |_| Error::BuiltTooLarge(total);
    header.batch_length = i32::try_from(total - LENGTH_PREFIX_BYTES).map_err(too_large)?;
    header.attributes = header.attributes.with_compression(codec.compression);
    header.crc = crc32c_append(crc32c(&header.encode()[ATTRIBUTES_AT..]), &records);
    let mut bytes = BytesMut::with_capacity(total);
    bytes.put_slice(&header.encode());
    bytes.put_slice(&records);
    Ok(Batch::from_parts(header, bytes.freeze()))
}

#[cfg(test)]
mod tests;
