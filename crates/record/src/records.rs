//! The records of an opened batch, one after the other.
//!
//! ```text
//! length varint | attributes i8 | timestamp delta varlong | offset delta varint
//! key length varint, key | value length varint, value | header count varint
//! then per header: name length varint, name | value length varint, value
//! ```
//! A negative length is null. Each record must end where its length says, and the last one where
//! the bytes end. Offset deltas must rise and stay within the batch: a producer could otherwise
//! give its records the offsets of others, as no broker step before this looks inside.

use crate::{BatchHeader, Error, varint};
use bytes::Bytes;
use tramline_types::{Header, Message, Timestamp, limits::RECORD_HEADERS_MAX};

/// One record of an opened batch; its parts are slices of the opened batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record's offset less the batch's base offset: above the one before, and at most the
    /// batch's last.
    pub offset_delta: i32,
    /// Milliseconds since the epoch: the producer's, or the broker's if the batch says so.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// In the producer's order; names may repeat.
    pub headers: Vec<Header>,
}

impl Record {
    /// What one element of a list of records takes, without the bytes that it shares.
    pub(crate) fn list_bytes(&self) -> usize {
        size_of::<Self>() + self.headers.capacity() * size_of::<Header>()
    }
}

impl From<Record> for Message {
    fn from(record: Record) -> Self {
        Self {
            key: record.key,
            value: record.value,
            headers: record.headers,
            timestamp: (record.timestamp >= 0).then(|| Timestamp::from_millis(record.timestamp)),
        }
    }
}

/// Iterates over the records of an opened batch. After an error it is at its end.
#[derive(Clone, Debug)]
pub struct Records {
    opened: Bytes,
    at: usize,
    index: usize,
    count: usize,
    /// The least that the next record's offset delta may be.
    offset_delta_min: i64,
    last_offset_delta: i32,
    base_timestamp: i64,
    log_append_time: Option<i64>,
}

impl Records {
    pub(crate) fn new(header: &BatchHeader, opened: Bytes) -> Self {
        let log_append_time = header.attributes.is_log_append_time();
        Self {
            opened,
            at: 0,
            index: 0,
            count: usize::try_from(header.record_count).unwrap_or(0),
            offset_delta_min: 0,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            log_append_time: log_append_time.then_some(header.max_timestamp),
        }
    }

    fn decode_next(&mut self) -> Result<Record, &'static str> {
        let mut rest = &self.opened[self.at..];
        let length = varint::read_i32(&mut rest).ok_or("its length is cut short or too long")?;
        let length = usize::try_from(length).map_err(|_| "its length is negative")?;
        let record = rest.get(..length).ok_or("its length exceeds the bytes that are there")?;
        let start = self.opened.len() - rest.len();
        self.at = start + length;
        let fields = Fields { record, rest: record, slice: self.opened.slice(start..self.at) };
        let record = fields.decode(self.base_timestamp, self.log_append_time)?;
        let offset_delta = i64::from(record.offset_delta);
        if offset_delta < self.offset_delta_min || record.offset_delta > self.last_offset_delta {
            return Err("its offset is not above the one before or outside the batch");
        }
        self.offset_delta_min = offset_delta + 1;
        Ok(record)
    }
}

impl Iterator for Records {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index == self.count {
            let surplus = self.at < self.opened.len();
            self.at = self.opened.len();
            let detail = "bytes follow the last record";
            return surplus.then_some(Err(Error::InvalidRecord { index: self.index, detail }));
        }
        let index = self.index;
        self.index += 1;
        let record = self.decode_next();
        if record.is_err() {
            self.index = self.count;
            self.at = self.opened.len();
        }
        Some(record.map_err(|detail| Error::InvalidRecord { index, detail }))
    }
}

/// The inside of one record: `rest` shrinks from the front, `slice` owns the same bytes.
struct Fields<'a> {
    record: &'a [u8],
    rest: &'a [u8],
    slice: Bytes,
}

impl Fields<'_> {
    fn decode(
        mut self,
        base_timestamp: i64,
        log_append_time: Option<i64>,
    ) -> Result<Record, &'static str> {
        let (_attributes, rest) = self.rest.split_first().ok_or("it is empty")?;
        self.rest = rest;
        let timestamp_delta =
            varint::read_i64(&mut self.rest).ok_or("its timestamp is cut short or too long")?;
        let offset_delta =
            varint::read_i32(&mut self.rest).ok_or("its offset is cut short or too long")?;
        let key = self.bytes()?;
        let value = self.bytes()?;
        let headers = self.headers()?;
        if !self.rest.is_empty() {
            return Err("it is shorter than its length");
        }
        // Wraps, as the Java client's reader does: any sum is some timestamp.
        let timestamp = log_append_time.unwrap_or(base_timestamp.wrapping_add(timestamp_delta));
        Ok(Record { offset_delta, timestamp, key, value, headers })
    }

    fn bytes(&mut self) -> Result<Option<Bytes>, &'static str> {
        let length = varint::read_i32(&mut self.rest).ok_or("a length is cut short or too long")?;
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let Some((_, after)) = self.rest.split_at_checked(length) else {
            return Err("a length exceeds the bytes that are there");
        };
        let start = self.record.len() - self.rest.len();
        self.rest = after;
        Ok(Some(self.slice.slice(start..start + length)))
    }

    fn headers(&mut self) -> Result<Vec<Header>, &'static str> {
        let count =
            varint::read_i32(&mut self.rest).ok_or("its header count is cut short or too long")?;
        let count = usize::try_from(count).map_err(|_| "its header count is negative")?;
        // A header takes two bytes at least.
        if count > RECORD_HEADERS_MAX || count > self.rest.len() / 2 {
            return Err("it has more headers than allowed or than bytes for them");
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let name = self.bytes()?.ok_or("a header has no name")?;
            let value = self.bytes()?;
            headers.push(Header { name, value });
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests;
