//! Stored batches as messages. Bytes that are UTF-8 appear as `key`, `value` and `name`, others
//! as `key_base64`, `value_base64` and `name_base64`.

use crate::error::Error;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::sync::Arc;
use tramline_broker::{self as broker, Fetched};
use tramline_record::{Batch, Compression, Record};
use tramline_types::{Header, limits::BATCH_BYTES_OPENED_MAX};

/// A message with its place.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    partition: u32,
    pub(crate) offset: i64,
    record: Record,
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("partition", &self.partition)?;
        map.serialize_entry("offset", &self.offset)?;
        map.serialize_entry("timestamp", &self.record.timestamp)?;
        bytes_entry(&mut map, ["key", "key_base64"], self.record.key.as_ref())?;
        bytes_entry(&mut map, ["value", "value_base64"], self.record.value.as_ref())?;
        map.serialize_entry("headers", &HeaderList(&self.record.headers))?;
        map.end()
    }
}

/// A queue's message: its key, value and headers.
pub(crate) struct QueueMessage(pub(crate) Arc<tramline_types::Message>);

impl Serialize for QueueMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        bytes_entry(&mut map, ["key", "key_base64"], self.0.key.as_ref())?;
        bytes_entry(&mut map, ["value", "value_base64"], self.0.value.as_ref())?;
        map.serialize_entry("headers", &HeaderList(&self.0.headers))?;
        map.end()
    }
}

struct HeaderList<'a>(&'a [Header]);

impl Serialize for HeaderList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(OneHeader))
    }
}

struct OneHeader<'a>(&'a Header);

impl Serialize for OneHeader<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        bytes_entry(&mut map, ["name", "name_base64"], Some(&self.0.name))?;
        bytes_entry(&mut map, ["value", "value_base64"], self.0.value.as_ref())?;
        map.end()
    }
}

fn bytes_entry<M: SerializeMap>(
    map: &mut M,
    [text_name, base64_name]: [&str; 2],
    bytes: Option<&Bytes>,
) -> Result<(), M::Error> {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => map.serialize_entry(text_name, &None::<&str>),
        Some((Ok(text), _)) => map.serialize_entry(text_name, text),
        Some((Err(_), bytes)) => map.serialize_entry(base64_name, &STANDARD.encode(bytes)),
    }
}

/// How much may be made of what was fetched: a compressed batch may open to far more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Messages.
    pub(crate) messages: usize,
    /// Bytes of their keys, values and headers; one message at least.
    pub(crate) bytes: usize,
}

/// The messages at `from` and above, within `limit`, and where to read on. Records that only
/// steer (transaction markers) are passed over.
pub(crate) fn messages(
    fetched: &Fetched,
    partition: u32,
    from: i64,
    limit: Limit,
) -> Result<(Vec<Message>, i64), Error> {
    let mut messages: Vec<Message> = Vec::new();
    let mut bytes = 0_usize;
    let mut next = from;
    for piece in &fetched.pieces {
        let mut piece = piece.clone();
        while let Some(batch) = Batch::decode_first_trusted(&mut piece).map_err(damaged)? {
            let header = batch.header();
            let opened = header.attributes.compression() != Ok(Compression::None);
            if !header.attributes.is_control() {
                for record in records(&batch) {
                    let offset = header.base_offset + i64::from(record.offset_delta);
                    if offset < from {
                        continue; // A batch is always given whole.
                    }
                    bytes = bytes.saturating_add(record_bytes(&record));
                    let full = messages.len() >= limit.messages || bytes > limit.bytes;
                    if full && !messages.is_empty() {
                        return Ok((messages, next));
                    }
                    next = offset + 1;
                    let record = if opened { detached(record) } else { record };
                    messages.push(Message { partition, offset, record });
                }
            }
            next = next.max(header.last_offset() + 1);
        }
    }
    Ok((messages, next))
}

/// A batch is stored as its producer made it, so what its valid checksum covers may still be no
/// records: such a batch is passed over, or it would block every reader here for good.
fn records(batch: &Batch) -> Vec<Record> {
    batch.records(BATCH_BYTES_OPENED_MAX).unwrap_or_else(|error| {
        let offset = batch.header().base_offset;
        tracing::debug!(offset, %error, "passed over a batch that cannot be opened");
        Vec::new()
    })
}

/// A copy: parts of it would keep in memory all that its batch was opened to.
fn detached(record: Record) -> Record {
    let copy = |bytes: Option<Bytes>| bytes.map(|bytes| Bytes::copy_from_slice(&bytes));
    let header = |header: Header| Header {
        name: Bytes::copy_from_slice(&header.name),
        value: copy(header.value),
    };
    Record {
        key: copy(record.key),
        value: copy(record.value),
        headers: record.headers.into_iter().map(header).collect(),
        ..record
    }
}

fn record_bytes(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter().map(|header| header.name.len() + length(&header.value));
    length(&record.key) + length(&record.value) + headers.sum::<usize>()
}

fn damaged(error: tramline_record::Error) -> Error {
    broker::Error::DataDamaged(error.to_string()).into()
}
