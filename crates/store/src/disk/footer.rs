//! A segment's footer: which batches lie where, in chunks of about 64 KiB.
//!
//! ```text
//! batches, each log's in order of offsets
//! chunk entries, 56 bytes each, ordered by (log, base):
//!   0 log u64 | 8 base u64 | 16 next u64 | 24 max timestamp i64 | 32 position u64
//!   40 length u32 | 44 crc u32 (CRC32C of the bytes) | 48 leader epoch i32 | 52 flags u32
//! zeros, so that the file's length is a multiple of 4096
//! trailer, the last 32 bytes:
//!   0 magic "TRAMSEG1" | 8 segment id u64 | 16 position of the entries u64 | 24 entries u32
//!   28 crc u32: CRC32C over the entries and bytes 0..28 of the trailer
//! ```
//! Flag 1: the chunk is one batch that another log's chunk holds too; its stamp is another's,
//! and the reader puts this entry's base and leader epoch into a copy.

use super::codec::{Cursor, Malformed, Sink};
use crate::fs::BLOCK;
use tramline_types::{LogId, Offset, Timestamp};

const MAGIC: &[u8; 8] = b"TRAMSEG1";
const ENTRY_BYTES: usize = 56;
/// The length of the trailer.
pub(super) const TRAILER_BYTES: usize = 32;
const FLAG_FOREIGN: u32 = 1;

/// A run of a log's batches in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkEntry {
    pub(super) log: LogId,
    pub(super) base: Offset,
    pub(super) next: Offset,
    pub(super) max_timestamp: Timestamp,
    pub(super) position: u64,
    pub(super) length: u32,
    pub(super) crc: u32,
    pub(super) leader_epoch: i32,
    /// One batch with another log's stamp.
    pub(super) foreign: bool,
}

/// The footer's bytes for a segment whose batches end at `position`, a multiple of the block.
pub(super) fn encode(id: u64, position: u64, entries: &[ChunkEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY_BYTES + TRAILER_BYTES + BLOCK);
    for entry in entries {
        out.put_u64(entry.log.0);
        out.put_u64(entry.base.get());
        out.put_u64(entry.next.get());
        out.put(&entry.max_timestamp.as_millis().to_le_bytes());
        out.put_u64(entry.position);
        out.put_u32(entry.length);
        out.put_u32(entry.crc);
        out.put(&entry.leader_epoch.to_le_bytes());
        out.put_u32(if entry.foreign { FLAG_FOREIGN } else { 0 });
    }
    let mut crc = crc32c::crc32c(&out);
    out.resize((out.len() + TRAILER_BYTES).next_multiple_of(BLOCK) - TRAILER_BYTES, 0);
    let trailer = out.len();
    out.put(MAGIC);
    out.put_u64(id);
    out.put_u64(position);
    out.put_length(entries.len());
    crc = crc32c::crc32c_append(crc, &out[trailer..]);
    out.put_u32(crc);
    out
}

/// What the last bytes of a segment say about its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) id: u64,
    pub(super) position: u64,
    pub(super) entries: u32,
    crc: u32,
    own_crc_input: [u8; TRAILER_BYTES - 4],
}

impl Trailer {
    /// Reads the last [`TRAILER_BYTES`] of a segment.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let own_crc_input =
            bytes.get(..TRAILER_BYTES - 4).and_then(|b| b.try_into().ok()).ok_or(Malformed)?;
        let mut cursor = Cursor::new(bytes);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(Malformed);
        }
        let (id, position) = (cursor.u64()?, cursor.u64()?);
        let (entries, crc) = (cursor.u32()?, cursor.u32()?);
        Ok(Self { id, position, entries, crc, own_crc_input })
    }

    /// The length of the entries.
    pub(super) fn entry_bytes(&self) -> u64 {
        u64::from(self.entries) * ENTRY_BYTES as u64
    }

    /// Reads the entries.
    pub(super) fn decode_entries(&self, bytes: &[u8]) -> Result<Vec<ChunkEntry>, Malformed> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(bytes), &self.own_crc_input);
        if crc != self.crc || bytes.len() as u64 != self.entry_bytes() {
            return Err(Malformed);
        }
        let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
        entries.iter().map(|entry| decode_entry(Cursor::new(entry))).collect()
    }
}

fn decode_entry(mut cursor: Cursor<'_>) -> Result<ChunkEntry, Malformed> {
    let entry = ChunkEntry {
        log: LogId(cursor.u64()?),
        base: cursor.offset()?,
        next: cursor.offset()?,
        max_timestamp: Timestamp::from_millis(cursor.i64()?),
        position: cursor.u64()?,
        length: cursor.u32()?,
        crc: cursor.u32()?,
        leader_epoch: cursor.i32()?,
        foreign: cursor.u32()? & FLAG_FOREIGN != 0,
    };
    if entry.base >= entry.next { Err(Malformed) } else { Ok(entry) }
}

/// Puts one log's batches, in order, into chunks.
#[derive(Default)]
pub(super) struct Chunker {
    open: Option<ChunkEntry>,
    done: Vec<ChunkEntry>,
}

impl Chunker {
    /// Adds a batch: `batch` is the chunk that it alone would be. With `breaks` it starts one.
    /// Its bytes, where they are at hand, save the costly joining of two checksums.
    pub(super) fn push(&mut self, batch: ChunkEntry, breaks: bool, bytes: Option<&[u8]>) {
        if let Some(open) = &mut self.open {
            let adjoins = open.log == batch.log
                && open.next <= batch.base
                && !breaks
                && !open.foreign
                && !batch.foreign
                && open.position + u64::from(open.length) == batch.position
                && u64::from(open.length) + u64::from(batch.length) <= super::log::CHUNK_BYTES;
            if adjoins {
                let length = usize::try_from(batch.length).unwrap_or(usize::MAX);
                open.crc = match bytes {
                    Some(bytes) => crc32c::crc32c_append(open.crc, bytes),
                    None => crc32c::crc32c_combine(open.crc, batch.crc, length),
                };
                open.length += batch.length;
                open.next = batch.next;
                open.max_timestamp = open.max_timestamp.max(batch.max_timestamp);
                return;
            }
        }
        self.done.extend(self.open.replace(batch));
    }

    /// All chunks, ordered for the footer.
    pub(super) fn finish(mut self) -> Vec<ChunkEntry> {
        self.done.extend(self.open);
        self.done.sort_by_key(|chunk| (chunk.log, chunk.base));
        self.done
    }
}

#[cfg(test)]
mod tests;
