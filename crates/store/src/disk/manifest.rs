//! The manifest: what holds before the first live write-ahead file.
//!
//! Kept twice, as `MANIFEST.a` and `MANIFEST.b`, written whole: to a temporary file, synced,
//! renamed, the directory synced; first a, then b. Retired files are used again only after both.
//!
//! ```text
//! magic "TRAMMAN1" | format u32 | generation u64 | first live u64 | newest u64 | commit u64
//! link: sequence u64, end u64, group u64, commit u64, crc u32   before the first live file
//! next segment u64 | next checkpoint u64
//! segments u32 × (id u64, length u64, referred u64)
//! checkpoints u32 × (id u64, length u64, referred u64)
//! logs u32 × (id u64, start u64, next u64,
//!             extents u32 × (segment, base, next, bytes u64, max timestamp i64),
//!             discards u32 × (start, end u64),
//!             state u32 × (kind u8, commit, checkpoint u64, position, length, crc u32),
//!             lost u32 × (start, end u64, text))
//! pairs u32 × (key, value)                                       bytes and text: u32 and bytes
//! damage u32 × (has log u8, log u64, has offsets u8, first, last u64, text)
//! crc u32: CRC32C over all before it
//! ```

use super::codec::{Cursor, Malformed, Sink};
use super::log::{BlobHome, BlobKind, Extent, Lost, StateBlob};
use super::wal::Link;
use crate::Damage;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;
use tramline_types::{LogId, Offset, Timestamp};

const MAGIC: &[u8; 8] = b"TRAMMAN1";
const FORMAT: u32 = 1;

/// A file that the logs refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredFile {
    pub(super) id: u64,
    pub(super) length: u64,
    /// The bytes that logs referred to when it was written.
    pub(super) referred: u64,
}

/// One log without what the write-ahead log holds of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredLog {
    pub(super) id: u64,
    pub(super) start: Offset,
    /// The base of the first append that is not retired.
    pub(super) next: Offset,
    pub(super) extents: Vec<Extent>,
    pub(super) discards: Vec<Range<Offset>>,
    pub(super) state: Vec<StateBlob>,
    pub(super) lost: Vec<Lost>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) generation: u64,
    pub(super) first_live: u64,
    /// The largest sequence number given to a write-ahead file.
    pub(super) newest: u64,
    /// The last commit that the log table and the pairs include.
    pub(super) commit: u64,
    pub(super) link: Link,
    pub(super) next_segment: u64,
    pub(super) next_checkpoint: u64,
    pub(super) segments: Vec<StoredFile>,
    pub(super) checkpoints: Vec<StoredFile>,
    pub(super) logs: Vec<StoredLog>,
    pub(super) pairs: BTreeMap<Bytes, Bytes>,
    pub(super) damage: Vec<Damage>,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(MAGIC);
        out.put_u32(FORMAT);
        for value in [self.generation, self.first_live, self.newest, self.commit] {
            out.put_u64(value);
        }
        let link = self.link;
        for value in [link.sequence, link.end, link.group, link.commit] {
            out.put_u64(value);
        }
        out.put_u32(link.crc);
        out.put_u64(self.next_segment);
        out.put_u64(self.next_checkpoint);
        for files in [&self.segments, &self.checkpoints] {
            out.put_length(files.len());
            for file in files {
                out.put_u64(file.id);
                out.put_u64(file.length);
                out.put_u64(file.referred);
            }
        }
        out.put_length(self.logs.len());
        self.logs.iter().for_each(|log| encode_log(&mut out, log));
        out.put_length(self.pairs.len());
        for (key, value) in &self.pairs {
            out.put_bytes(key);
            out.put_bytes(value);
        }
        out.put_length(self.damage.len());
        for damage in &self.damage {
            out.put_u8(u8::from(damage.log.is_some()));
            out.put_u64(damage.log.map_or(0, |log| log.0));
            let (first, last) = damage.offsets.unwrap_or_default();
            out.put_u8(u8::from(damage.offsets.is_some()));
            out.put_u64(first.get());
            out.put_u64(last.get());
            out.put_bytes(damage.detail.as_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.put_u32(crc);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let body = bytes.len().checked_sub(4).ok_or(Malformed)?;
        let (body, crc) = bytes.split_at(body);
        if Cursor::new(crc).u32()? != crc32c::crc32c(body) {
            return Err(Malformed);
        }
        let mut cursor = Cursor::new(body);
        if cursor.take(MAGIC.len())? != MAGIC || cursor.u32()? != FORMAT {
            return Err(Malformed);
        }
        let mut manifest = Self {
            generation: cursor.u64()?,
            first_live: cursor.u64()?,
            newest: cursor.u64()?,
            commit: cursor.u64()?,
            link: Link {
                sequence: cursor.u64()?,
                end: cursor.u64()?,
                group: cursor.u64()?,
                commit: cursor.u64()?,
                crc: cursor.u32()?,
            },
            next_segment: cursor.u64()?,
            next_checkpoint: cursor.u64()?,
            segments: list(&mut cursor, decode_file)?,
            checkpoints: list(&mut cursor, decode_file)?,
            logs: list(&mut cursor, decode_log)?,
            ..Self::default()
        };
        let pair = |cursor: &mut Cursor<'_>| {
            let key = Bytes::copy_from_slice(cursor.bytes()?);
            Ok((key, Bytes::copy_from_slice(cursor.bytes()?)))
        };
        manifest.pairs = list(&mut cursor, pair)?.into_iter().collect();
        manifest.damage = list(&mut cursor, decode_damage)?;
        if cursor.is_empty() { Ok(manifest) } else { Err(Malformed) }
    }
}

/// Reads a counted list. Grows as items are read: a wrong count allocates nothing.
fn list<T>(
    cursor: &mut Cursor<'_>,
    item: impl Fn(&mut Cursor<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let count = cursor.length()?;
    let mut items = Vec::new();
    for _ in 0..count {
        items.push(item(cursor)?);
    }
    Ok(items)
}

fn decode_file(cursor: &mut Cursor<'_>) -> Result<StoredFile, Malformed> {
    Ok(StoredFile { id: cursor.u64()?, length: cursor.u64()?, referred: cursor.u64()? })
}

fn encode_log(out: &mut Vec<u8>, log: &StoredLog) {
    for value in [log.id, log.start.get(), log.next.get()] {
        out.put_u64(value);
    }
    out.put_length(log.extents.len());
    for extent in &log.extents {
        for value in [extent.segment, extent.base.get(), extent.next.get(), extent.bytes] {
            out.put_u64(value);
        }
        out.put(&extent.max_timestamp.as_millis().to_le_bytes());
    }
    out.put_length(log.discards.len());
    for range in &log.discards {
        out.put_u64(range.start.get());
        out.put_u64(range.end.get());
    }
    out.put_length(log.state.len());
    for blob in &log.state {
        let (BlobHome::Wal(home) | BlobHome::Checkpoint(home)) = blob.home;
        out.put_u8(u8::from(blob.kind == BlobKind::Delta));
        out.put_u64(blob.commit);
        out.put_u64(home);
        out.put_u32(blob.position);
        out.put_u32(blob.length);
        out.put_u32(blob.crc);
    }
    out.put_length(log.lost.len());
    for lost in &log.lost {
        out.put_u64(lost.range.start.get());
        out.put_u64(lost.range.end.get());
        out.put_bytes(lost.detail.as_bytes());
    }
}

fn decode_log(cursor: &mut Cursor<'_>) -> Result<StoredLog, Malformed> {
    Ok(StoredLog {
        id: cursor.u64()?,
        start: cursor.offset()?,
        next: cursor.offset()?,
        extents: list(cursor, decode_extent)?,
        discards: list(cursor, decode_range)?,
        state: list(cursor, decode_blob)?,
        lost: list(cursor, |cursor| {
            Ok(Lost { range: decode_range(cursor)?, detail: text(cursor)? })
        })?,
    })
}

fn decode_extent(cursor: &mut Cursor<'_>) -> Result<Extent, Malformed> {
    let extent = Extent {
        segment: cursor.u64()?,
        base: cursor.offset()?,
        next: cursor.offset()?,
        bytes: cursor.u64()?,
        max_timestamp: Timestamp::from_millis(cursor.i64()?),
    };
    if extent.base >= extent.next { Err(Malformed) } else { Ok(extent) }
}

fn decode_range(cursor: &mut Cursor<'_>) -> Result<Range<Offset>, Malformed> {
    let range = cursor.offset()?..cursor.offset()?;
    if range.is_empty() { Err(Malformed) } else { Ok(range) }
}

fn decode_blob(cursor: &mut Cursor<'_>) -> Result<StateBlob, Malformed> {
    let kind = match cursor.u8()? {
        0 => BlobKind::Checkpoint,
        1 => BlobKind::Delta,
        _ => return Err(Malformed),
    };
    Ok(StateBlob {
        kind,
        commit: cursor.u64()?,
        home: BlobHome::Checkpoint(cursor.u64()?),
        position: cursor.u32()?,
        length: cursor.u32()?,
        crc: cursor.u32()?,
    })
}

fn decode_damage(cursor: &mut Cursor<'_>) -> Result<Damage, Malformed> {
    let has_log = cursor.u8()? != 0;
    let log = LogId(cursor.u64()?);
    let has_offsets = cursor.u8()? != 0;
    let offsets = (cursor.offset()?, cursor.offset()?);
    Ok(Damage {
        log: has_log.then_some(log),
        offsets: has_offsets.then_some(offsets),
        detail: text(cursor)?,
    })
}

fn text(cursor: &mut Cursor<'_>) -> Result<String, Malformed> {
    Ok(String::from_utf8_lossy(cursor.bytes()?).into_owned())
}

#[cfg(test)]
mod tests;
