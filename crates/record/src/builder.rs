//! Makes batches for the protocols that have none of their own.

use crate::header::{ATTRIBUTES_AT, HEADER_BYTES, LENGTH_PREFIX_BYTES};
use crate::{Attributes, Batch, BatchHeader, Compression, Error, crc32c, crc32c_append, varint};
use bytes::{BufMut, BytesMut};
use tramline_types::{Header, Message, ProducerId, Timestamp};

/// Collects messages into one batch at base offset 0.
#[derive(Debug)]
pub struct BatchBuilder {
    compression: Compression,
    producer: Option<(ProducerId, i16, i32)>,
    /// Room for the header, then the records: they are not copied again where they stay as they
    /// are.
    bytes: BytesMut,
    count: usize,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch of a non-idempotent producer.
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            producer: None,
            bytes: BytesMut::new(),
            count: 0,
            base_timestamp: -1,
            max_timestamp: -1,
        }
    }

    /// Makes the batch one of an idempotent producer.
    #[must_use]
    pub fn with_producer(mut self, id: ProducerId, epoch: i16, base_sequence: i32) -> Self {
        self.producer = Some((id, epoch, base_sequence));
        self
    }

    /// Appends a message; one without a timestamp gets `now`.
    pub fn push(&mut self, message: &Message, now: Timestamp) {
        let timestamp = message.timestamp.unwrap_or(now).as_millis();
        if self.count == 0 {
            self.bytes.put_bytes(0, HEADER_BYTES);
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(self.base_timestamp);
        let offset_delta = wide(self.count);
        let fields = Fields {
            timestamp_delta,
            offset_delta,
            key: message.key.as_deref(),
            value: message.value.as_deref(),
            headers: &message.headers,
        };
        fields.encode_into(&mut self.bytes);
        self.count += 1;
    }

    /// Makes room for about so many bytes.
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.bytes.reserve(HEADER_BYTES + bytes);
        self
    }

    /// How many messages were pushed.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Was nothing pushed?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The batch's size in bytes so far, before compression.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len().max(HEADER_BYTES)
    }

    /// Compresses and closes the batch. An error when nothing was pushed, or when it exceeds the
    /// format's 2 GiB.
    pub fn build(mut self) -> Result<Batch, Error> {
        if self.count == 0 {
            return Err(Error::Empty);
        }
        let records_len = self.bytes.len() - HEADER_BYTES;
        let too_large = |_| Error::BuiltTooLarge(records_len);
        // Readers take the opened records' lengths as i32 as well.
        i32::try_from(records_len).map_err(too_large)?;
        let count = i32::try_from(self.count).map_err(too_large)?;
        if self.compression != Compression::None {
            let compressed = self.compression.compress(&self.bytes[HEADER_BYTES..], None)?;
            self.bytes.truncate(HEADER_BYTES);
            self.bytes.put_slice(&compressed);
        }
        let batch_length = self.bytes.len() - LENGTH_PREFIX_BYTES;
        let (producer_id, producer_epoch, base_sequence) =
            self.producer.unwrap_or((ProducerId(-1), -1, -1));
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length: i32::try_from(batch_length).map_err(too_large)?,
            leader_epoch: -1,
            crc: 0,
            attributes: Attributes(self.compression.id().into()),
            last_offset_delta: count - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: producer_id.0,
            producer_epoch,
            base_sequence,
            record_count: count,
        };
        let covered = crc32c(&header.encode()[ATTRIBUTES_AT..]);
        header.crc = crc32c_append(covered, &self.bytes[HEADER_BYTES..]);
        self.bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
        Ok(Batch::from_parts(header, self.bytes.freeze()))
    }
}

/// What one record is made of.
pub(crate) struct Fields<'a> {
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [Header],
}

impl Fields<'_> {
    /// Appends the record in its stored form: attributes (unused, one byte), deltas, key, value,
    /// headers, after their length.
    pub(crate) fn encode_into(&self, out: &mut BytesMut) {
        let headers = self.headers.iter();
        let length = 1
            + varint::len(self.timestamp_delta)
            + varint::len(self.offset_delta)
            + field_len(self.key)
            + field_len(self.value)
            + varint::len(wide(self.headers.len()))
            + headers
                .map(|header| field_len(Some(&header.name)) + field_len(header.value.as_deref()))
                .sum::<usize>();
        out.reserve(length + varint::len(wide(length)));
        varint::put(out, wide(length));
        out.put_u8(0);
        varint::put(out, self.timestamp_delta);
        varint::put(out, self.offset_delta);
        put_field(out, self.key);
        put_field(out, self.value);
        varint::put(out, wide(self.headers.len()));
        for header in self.headers {
            put_field(out, Some(&header.name));
            put_field(out, header.value.as_deref());
        }
    }
}

/// A length as a varint's value. No buffer in memory exceeds `isize::MAX`.
fn wide(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn field_len(field: Option<&[u8]>) -> usize {
    field.map_or(varint::len(-1), |bytes| varint::len(wide(bytes.len())) + bytes.len())
}

fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, wide(bytes.len()));
            out.put_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
