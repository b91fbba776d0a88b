//! Reads from sealed segments: by the footer's chunks, each checked against its checksum on
//! every read.

use super::footer::ChunkEntry;
use super::inner::{Inner, Pinned};
use super::log::{Entry, Extent, FileRef, Place};
use super::reading::{Failure, batch_extent, coalesced, read_pinned, restamped};
use super::segments::FooterError;
use crate::{Batches, Chunk, Error};
use bytes::Bytes;
use std::sync::Arc;
use tramline_types::{LogId, Offset};

/// One call reads at most so much, unless one chunk is larger.
const READ_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A read of at least so much is probably followed by the next one: so much of what comes then
/// is read ahead.
const BULK_BYTES_MIN: usize = 256 * 1024;
const PREFETCH_BYTES: u64 = 4 * 1024 * 1024;

/// A batch of an extent with its bytes as stored.
type Stored = (Entry, Bytes);

impl Inner {
    /// Whole batches from the one that holds `from`.
    pub(super) fn read_extent(
        &self,
        log: LogId,
        extent: &Extent,
        from: Offset,
        bytes_max: usize,
    ) -> Result<Batches, Failure> {
        let footer = self.extent_footer(extent, from)?;
        let chunks = chunks_of(&footer, log, extent, from);
        let mut pieces = Vec::new();
        let (mut bytes, mut next) = (0usize, extent.next);
        let mut rest = chunks;
        while !rest.is_empty() {
            let run = &rest[..adjacent(rest, bytes_max.saturating_sub(bytes))];
            let (batches, read) = match self.read_chunks(extent, run) {
                Ok(read) => read,
                // The next read begins there and is told.
                Err(_) if !pieces.is_empty() => break,
                Err(failure) => return Err(failure),
            };
            rest = &rest[read..];
            if bytes_max >= BULK_BYTES_MIN && pieces.is_empty() {
                self.prefetch(extent.segment, rest);
            }
            let wanted =
                batches.into_iter().filter(|(e, _)| e.next() > from && extent.holds(e.base));
            for (entry, piece) in wanted {
                if bytes + piece.len() > bytes_max && !pieces.is_empty() {
                    return Ok(Batches { pieces: coalesced(pieces), next });
                }
                bytes += piece.len();
                next = entry.next();
                pieces.push(if entry.foreign { restamped(&piece, &entry) } else { piece });
            }
            if bytes >= bytes_max && !pieces.is_empty() {
                return Ok(Batches { pieces: coalesced(pieces), next });
            }
        }
        Ok(Batches { pieces: coalesced(pieces), next })
    }

    /// Has the next chunks read while these are on their way.
    fn prefetch(&self, segment: u64, chunks: &[ChunkEntry]) {
        let Some(Ok(segment)) = self.segments.get(segment) else { return };
        let (mut rest, mut bytes) = (chunks, 0);
        while bytes < PREFETCH_BYTES && !rest.is_empty() {
            let (run, further) = rest.split_at(adjacent(rest, usize::MAX));
            let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
            let length = last.position + u64::from(last.length) - first.position;
            segment.file.prefetch(first.position, length);
            (rest, bytes) = (further, bytes + length);
        }
    }

    /// All of an extent.
    pub(super) fn read_whole_extent(
        &self,
        log: LogId,
        extent: &Extent,
    ) -> Result<Vec<Stored>, Failure> {
        let footer = self.extent_footer(extent, extent.base)?;
        let mut rest = chunks_of(&footer, log, extent, extent.base);
        let mut all = Vec::new();
        while !rest.is_empty() {
            let run = &rest[..adjacent(rest, usize::MAX)];
            let (batches, read) = self.read_chunks(extent, run)?;
            rest = &rest[read..];
            all.extend(batches);
        }
        all.retain(|(entry, _)| extent.holds(entry.base));
        Ok(all)
    }

    fn extent_footer(&self, extent: &Extent, from: Offset) -> Result<Arc<[ChunkEntry]>, Failure> {
        let name = || self.describe(FileRef::segment(extent.segment));
        let offset = from.max(extent.base);
        match self.segments.footer(extent.segment) {
            None => Err(Failure::Moved),
            Some(Ok(footer)) => Ok(footer),
            Some(Err(FooterError::Io(e))) => Err(self.extent_unreadable(extent, offset, &e)),
            Some(Err(FooterError::Damaged)) => {
                let detail = format!("{}: the footer does not match its checksum", name());
                Err(Failure::Damaged { offset, detail })
            }
        }
    }

    fn extent_unreadable(&self, extent: &Extent, offset: Offset, e: &std::io::Error) -> Failure {
        let path = self.describe(FileRef::segment(extent.segment));
        if e.kind() == std::io::ErrorKind::NotFound {
            return Failure::Damaged { offset, detail: format!("{path} is missing") };
        }
        Failure::Refused(Error::Io { action: "read", path, detail: e.to_string() })
    }

    /// The batches of chunks that lie one behind the other, with the number of chunks read. A
    /// damaged one ends them; it is an error where it is the first.
    fn read_chunks(
        &self,
        extent: &Extent,
        chunks: &[ChunkEntry],
    ) -> Result<(Vec<Stored>, usize), Failure> {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
            return Ok((Vec::new(), chunks.len()));
        };
        let segment = match self.segments.get(extent.segment) {
            None => return Err(Failure::Moved),
            Some(Ok(segment)) => Pinned::Segment(segment),
            Some(Err(e)) => return Err(self.extent_unreadable(extent, first.base, &e)),
        };
        let length = last.position + u64::from(last.length) - first.position;
        let bytes = read_pinned(&self.pool, &segment, first.position, length)
            .map_err(|e| self.extent_unreadable(extent, first.base, &e))?;
        let mut batches = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let from = usize::try_from(chunk.position - first.position).unwrap_or(usize::MAX);
            let to = from.saturating_add(usize::try_from(chunk.length).unwrap_or(usize::MAX));
            let part = (to <= bytes.len()).then(|| bytes.slice(from..to));
            let part = part.filter(|part| crc32c::crc32c(part) == chunk.crc);
            let split = part.and_then(|part| split(extent.segment, chunk, &part));
            match split {
                Some(split) => batches.extend(split),
                None if index > 0 => return Ok((batches, index)),
                None => {
                    let detail = format!(
                        "{}, byte {}: {} bytes do not match their checksum",
                        self.describe(FileRef::segment(extent.segment)),
                        chunk.position,
                        chunk.length
                    );
                    return Err(Failure::Damaged { offset: chunk.base.max(extent.base), detail });
                }
            }
        }
        Ok((batches, chunks.len()))
    }

    /// The stored chunks of a log.
    pub(super) fn chunks(&self, id: LogId, from: Offset) -> Result<Vec<Chunk>, Error> {
        let log = self.log(id).ok_or(Error::UnknownLog(id))?;
        let (start, extents, mut chunks) = {
            let state = log.state.lock();
            let from = from.max(state.start);
            let mut chunks = Vec::new();
            state.dense_chunks(from, &mut chunks);
            let extents = state.extents.iter().filter(|extent| extent.next > from);
            (from, extents.copied().collect::<Vec<_>>(), chunks)
        };
        for extent in &extents {
            match self.extent_footer(extent, start) {
                Ok(footer) => chunks.extend(
                    chunks_of(&footer, id, extent, start)
                        .iter()
                        .map(|chunk| extent.view(chunk))
                        .filter(|chunk| chunk.base < chunk.next),
                ),
                // Moved meanwhile, or damaged: what is known without the footer.
                Err(_) => chunks.push(Chunk {
                    base: extent.base,
                    next: extent.next,
                    bytes: extent.bytes,
                    max_timestamp: extent.max_timestamp,
                }),
            }
        }
        chunks.sort_by_key(|chunk| chunk.base);
        Ok(chunks)
    }
}

impl Extent {
    fn holds(&self, offset: Offset) -> bool {
        (self.base..self.next).contains(&offset)
    }

    /// A chunk as far as it lies in the extent.
    fn view(&self, chunk: &ChunkEntry) -> Chunk {
        Chunk {
            base: chunk.base.max(self.base),
            next: chunk.next.min(self.next),
            bytes: u64::from(chunk.length),
            max_timestamp: chunk.max_timestamp,
        }
    }
}

/// The chunks of an extent from the one that holds `from`.
fn chunks_of<'a>(
    footer: &'a [ChunkEntry],
    log: LogId,
    extent: &Extent,
    from: Offset,
) -> &'a [ChunkEntry] {
    let from = from.max(extent.base);
    let start = footer.partition_point(|chunk| (chunk.log, chunk.next) <= (log, from));
    let end = footer.partition_point(|chunk| (chunk.log, chunk.base) < (log, extent.next));
    footer.get(start..end).unwrap_or_default()
}

/// How many chunks one call reads: those that lie one behind the other, up to a size.
fn adjacent(chunks: &[ChunkEntry], bytes_max: usize) -> usize {
    let limit = READ_BYTES_MAX.min(bytes_max as u64);
    let Some(first) = chunks.first() else { return 0 };
    let adjoins = |pair: &[ChunkEntry]| {
        let end = pair[0].position + u64::from(pair[0].length);
        let next_end = pair[1].position.saturating_add(u64::from(pair[1].length));
        pair[1].position >= end
            && pair[1].position - end < super::log::CHUNK_BYTES
            && next_end - first.position <= limit
    };
    1 + chunks.windows(2).take_while(|pair| adjoins(pair)).count()
}

/// The batches of a chunk whose checksum was right.
fn split(segment: u64, chunk: &ChunkEntry, bytes: &Bytes) -> Option<Vec<Stored>> {
    let mut batches = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header = batch_extent(&bytes[at..])?;
        let end = at.checked_add(header.length).filter(|end| *end <= bytes.len())?;
        let offsets = header.last_offset_delta.checked_add(1)?;
        let position = chunk.position + at as u64;
        let (base, leader_epoch) = if chunk.foreign {
            (chunk.base, chunk.leader_epoch)
        } else {
            (Offset::new(header.base)?, header.leader_epoch)
        };
        Offset::new(base.get().checked_add(u64::from(offsets))?)?;
        let place = Place {
            file: FileRef::segment(segment),
            position: u32::try_from(position).ok()?,
            length: u32::try_from(header.length).ok()?,
        };
        let entry = Entry {
            base,
            offsets,
            leader_epoch,
            max_timestamp: chunk.max_timestamp,
            place,
            crc: 0,
            foreign: chunk.foreign,
            replacing: false,
        };
        batches.push((entry, bytes.slice(at..end)));
        at = end;
    }
    Some(batches)
}
