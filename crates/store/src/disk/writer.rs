//! Writes a segment from batches, or the footer of one that was written directly.

use super::footer::{self, ChunkEntry, Chunker};
use super::frame::stamp;
use super::inner::{Inner, io_error};
use super::log::{Entry, FileRef, Place};
use super::segments::segment_name;
use crate::Error;
use crate::fs::{AlignedBuf, BLOCK, File, OpenMode};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tramline_types::LogId;

const FLUSH_BYTES: usize = 1024 * 1024;

/// Why a file could not be made or moved.
#[derive(Debug)]
pub(super) enum Stop {
    /// No space, or a file that cannot be made or read: nothing changed, to be tried again.
    Later(Error),
    /// A write or a sync failed: the end.
    Failed(Error),
}

/// What a failed write or sync means.
pub(super) fn fatal(
    action: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(io::Error) -> Stop {
    let error = io_error(action, path);
    move |e| Stop::Failed(error(e))
}

/// What cannot be made or read now may be later.
pub(super) fn later(
    action: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(io::Error) -> Stop {
    let error = io_error(action, path);
    move |e| Stop::Later(error(e))
}

/// A segment being written.
pub(super) struct SegmentWriter<'a> {
    inner: &'a Inner,
    pub(super) id: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    buf: AlignedBuf,
    flushed: u64,
    chunks: Chunker,
    /// Batches of several logs are stored once.
    stored: HashMap<(FileRef, u32), (u64, u32)>,
}

impl<'a> SegmentWriter<'a> {
    /// Starts a segment of at most so many bytes in so many batches.
    pub(super) fn create(inner: &'a Inner, bytes: u64, batches: usize) -> Result<Self, Stop> {
        let id = inner.segments.next_segment();
        let path = inner.paths.segments.join(segment_name(id));
        let file = inner.files.open(&path, OpenMode::Direct).map_err(later("make", &path))?;
        let footer = (batches as u64 * 56).saturating_add(3 * BLOCK as u64);
        let length = bytes.saturating_add(footer).next_multiple_of(BLOCK as u64);
        if let Err(e) = file.allocate(length) {
            let _ = inner.files.remove(&path);
            return Err(later("allocate", &path)(e));
        }
        let buf = inner.pool.take(2 * FLUSH_BYTES);
        let (chunks, stored) = (Chunker::default(), HashMap::new());
        Ok(Self { inner, id, path, file, buf, flushed: 0, chunks, stored })
    }

    /// Adds a log's batch; one that is there already for another log only by reference.
    /// `breaks`: something of the log that lies elsewhere comes between it and the one before.
    pub(super) fn push(
        &mut self,
        log: LogId,
        entry: &Entry,
        bytes: &[u8],
        breaks: bool,
    ) -> Result<(), Stop> {
        let key = (entry.place.file, entry.place.position);
        if let Some(&(position, crc)) = self.stored.get(&key) {
            self.chunks.push(chunk(log, entry, position, crc, true), breaks, None);
            return Ok(());
        }
        let at = self.buf.len();
        let position = self.flushed + at as u64;
        self.buf.extend_from_slice(bytes);
        let batch = &mut self.buf.as_mut_slice()[at..];
        stamp(batch, entry.base, entry.leader_epoch);
        let crc = crc32c::crc32c(batch);
        self.stored.insert(key, (position, crc));
        self.chunks.push(chunk(log, entry, position, crc, false), breaks, Some(batch));
        if self.buf.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes the whole blocks.
    fn flush(&mut self) -> Result<(), Stop> {
        let whole = self.buf.len() / BLOCK * BLOCK;
        let write = self.file.write_at(self.flushed, &self.buf[..whole]);
        write.map_err(fatal("write", &self.path))?;
        let rest = self.buf[whole..].to_vec();
        self.buf.clear();
        self.buf.extend_from_slice(&rest);
        self.flushed += whole as u64;
        Ok(())
    }

    /// Writes the footer and makes the file durable; returns its length. Its name is durable
    /// after the directory's sync.
    pub(super) fn finish(mut self) -> Result<u64, Stop> {
        self.buf.pad_to_block();
        let position = self.flushed + self.buf.len() as u64;
        let chunks = std::mem::take(&mut self.chunks).finish();
        self.buf.extend_from_slice(&footer::encode(self.id, position, &chunks));
        self.flush()?;
        let length = self.flushed;
        let done = self.file.truncate(length).and_then(|()| self.file.sync());
        done.map_err(fatal("sync", &self.path))?;
        // The buffer goes back to the pool.
        drop(self.inner.pool.share(std::mem::take(&mut self.buf)));
        Ok(length)
    }
}

/// The chunk that one batch alone is.
fn chunk(log: LogId, entry: &Entry, position: u64, crc: u32, foreign: bool) -> ChunkEntry {
    ChunkEntry {
        log,
        base: entry.base,
        next: entry.next(),
        max_timestamp: entry.max_timestamp,
        position,
        length: entry.place.length,
        crc,
        leader_epoch: entry.leader_epoch,
        foreign,
    }
}

/// Puts a footer behind the batches of a segment that was written directly, and cuts it to
/// length. Each with whether a new chunk starts there. Returns the length.
pub(super) fn seal(inner: &Inner, id: u64, entries: &[(LogId, Entry, bool)]) -> Result<u64, Stop> {
    let path = inner.segments.path(id);
    let file = inner.files.open(&path, OpenMode::Direct).map_err(later("open", &path))?;
    let end = |place: Place| u64::from(place.position) + u64::from(place.length);
    let end = entries.iter().map(|(_, entry, _)| end(entry.place)).max().unwrap_or(0);
    let end = end.max(inner.segments.direct_end(id)).next_multiple_of(BLOCK as u64);
    let mut chunks = Chunker::default();
    for (log, entry, breaks) in entries {
        let position = u64::from(entry.place.position);
        chunks.push(chunk(*log, entry, position, entry.crc, entry.foreign), *breaks, None);
    }
    let mut footer = AlignedBuf::default();
    footer.extend_from_slice(&footer::encode(id, end, &chunks.finish()));
    let length = end + footer.len() as u64;
    file.allocate(length).map_err(later("allocate", &path))?;
    let sealed = file.write_at(end, &footer).and_then(|()| {
        file.truncate(length)?;
        file.sync()
    });
    sealed.map_err(fatal("sync", &path))?;
    Ok(length)
}
