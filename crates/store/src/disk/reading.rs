//! Reads: from the tail cache at once, otherwise by a few reader threads from the files, every
//! batch checked before it is served.

use super::cache::Pool;
use super::frame::stamp;
use super::inner::{Inner, Pinned};
use super::log::{Entry, Found, Log, Place};
use super::oneshot;
use crate::fs::{AlignedBuf, BLOCK, File};
use crate::{Batches, Error, Reading};
use bytes::{Bytes, BytesMut};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use tramline_types::{LogId, Offset};

/// Pieces up to this are copied together: cheaper than one slice of a vectored write each.
const COALESCED_BYTES_MAX: usize = 1024;
/// Batches this close in one file are read with one call.
const READ_GAP_MAX: u32 = 64 * 1024;
/// One call reads at most so much, unless one batch is larger.
const READ_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// Reads waiting for a thread; above this the caller's thread does it.
const JOBS_MAX: usize = 16 * 1024;
/// A read that lost a file to retirement finds the batches in their new place.
const ATTEMPTS_MAX: usize = 16;
const BATCH_HEADER_BYTES: usize = 61;

/// What reading a file came to.
pub(super) enum Failure {
    /// The file was retired meanwhile.
    Moved,
    /// The bytes are wrong.
    Damaged {
        offset: Offset,
        detail: String,
    },
    Refused(Error),
}

impl Inner {
    pub(super) fn read(self: &Arc<Self>, id: LogId, from: Offset, bytes_max: usize) -> Reading {
        let Some(log) = self.log(id) else { return Reading::Ready(Err(Error::UnknownLog(id))) };
        let found = {
            let state = log.state.lock();
            if from < state.start {
                let start = state.start;
                return Reading::Ready(Err(Error::BelowStart { log: id, from, start }));
            }
            state.find(from, bytes_max)
        };
        match found {
            Found::Nothing => {
                return Reading::Ready(Ok(Batches { pieces: Vec::new(), next: from }));
            }
            Found::Lost(lost) => {
                let offset = from.max(lost.range.start);
                return Reading::Ready(Err(Error::Damaged {
                    log: id,
                    offset,
                    detail: lost.detail,
                }));
            }
            Found::Dense(entries) => {
                if let Some(batches) = self.cached(&entries) {
                    return Reading::Ready(Ok(batches));
                }
            }
            Found::Extent(_) => {}
        }
        let inner = Arc::clone(self);
        Reading::Pending(self.readers.run(move || inner.read_files(&log, from, bytes_max)))
    }

    /// As many of the entries as the cache has; `None` when the first is missing.
    fn cached(&self, entries: &[Entry]) -> Option<Batches> {
        let runs = Runs { entries }.collect::<Vec<_>>();
        let mut pieces = Vec::with_capacity(runs.len());
        self.cache.get(runs.iter().map(|run| run.place), &mut pieces);
        let last = runs.get(pieces.len().checked_sub(1)?)?;
        let next = last.next;
        for (piece, run) in pieces.iter_mut().zip(&runs) {
            if run.first.foreign {
                *piece = restamped(piece, &run.first);
            }
        }
        Some(Batches { pieces: coalesced(pieces), next })
    }

    fn read_files(&self, log: &Log, from: Offset, bytes_max: usize) -> Result<Batches, Error> {
        let (mut from, mut attempts) = (from, 0);
        while attempts < ATTEMPTS_MAX {
            let found = {
                let state = log.state.lock();
                if state.deleted {
                    return Err(Error::UnknownLog(log.id));
                }
                if from < state.start {
                    return Err(Error::BelowStart { log: log.id, from, start: state.start });
                }
                state.find(from, bytes_max)
            };
            let read = match found {
                Found::Nothing => return Ok(Batches { pieces: Vec::new(), next: from }),
                Found::Lost(lost) => {
                    let offset = from.max(lost.range.start);
                    return Err(Error::Damaged { log: log.id, offset, detail: lost.detail });
                }
                Found::Dense(entries) => self.read_entries(&entries),
                Found::Extent(extent) => self.read_extent(log.id, &extent, from, bytes_max),
            };
            match read {
                // All that was left of a run had been replaced or discarded.
                Ok(batches) if batches.pieces.is_empty() && batches.next > from => {
                    from = batches.next;
                }
                Ok(batches) => return Ok(batches),
                Err(Failure::Moved) => attempts += 1,
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Damaged { offset, detail }) => {
                    self.report(crate::Damage {
                        log: Some(log.id),
                        offsets: Some((offset, offset)),
                        detail: detail.clone(),
                    });
                    return Err(Error::Damaged { log: log.id, offset, detail });
                }
            }
        }
        let detail = "its files kept moving".to_owned();
        Err(Error::Io { action: "read", path: log.id.to_string(), detail })
    }

    /// Reads entries from their file: all those of the first file that are close together.
    fn read_entries(&self, entries: &[Entry]) -> Result<Batches, Failure> {
        let Some(first) = entries.first() else { return Err(Failure::Moved) };
        let near = near(entries);
        let pinned = match self.pin(first.place.file) {
            Some(Ok(pinned)) => pinned,
            Some(Err(e)) => return Err(self.unreadable(first, &e)),
            None => return Err(Failure::Moved),
        };
        let start = near.iter().map(|entry| entry.place.position).min().unwrap_or_default();
        let end = near.iter().map(|entry| end_of(entry.place)).max().unwrap_or_default();
        let read = read_pinned(&self.pool, &pinned, u64::from(start), u64::from(end - start));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(e) => return Err(self.unreadable(first, &e)),
        };
        drop(pinned);
        let mut pieces = Vec::with_capacity(near.len());
        let mut next = first.base;
        for entry in near {
            let from = usize::try_from(entry.place.position - start).unwrap_or(usize::MAX);
            let to = usize::try_from(end_of(entry.place) - start).unwrap_or(usize::MAX);
            let piece = (to <= bytes.len()).then(|| bytes.slice(from..to));
            let piece = piece.filter(|batch| is_whole(batch, entry));
            let Some(piece) = piece else {
                if pieces.is_empty() {
                    return Err(self.damaged_entry(entry));
                }
                break;
            };
            pieces.push(if entry.foreign { restamped(&piece, entry) } else { piece });
            next = entry.next();
        }
        Ok(Batches { pieces: coalesced(pieces), next })
    }

    fn damaged_entry(&self, entry: &Entry) -> Failure {
        let detail = format!(
            "{}: the batch at byte {} does not match its checksum",
            self.describe(entry.place.file),
            entry.place.position
        );
        Failure::Damaged { offset: entry.base, detail }
    }

    fn unreadable(&self, entry: &Entry, e: &std::io::Error) -> Failure {
        let path = self.describe(entry.place.file);
        if e.kind() == std::io::ErrorKind::NotFound {
            return Failure::Damaged { offset: entry.base, detail: format!("{path} is missing") };
        }
        Failure::Refused(Error::Io { action: "read", path, detail: e.to_string() })
    }

    /// A file's name, for messages.
    pub(super) fn describe(&self, file: super::log::FileRef) -> String {
        match (file.as_wal(), file.as_segment()) {
            (Some(sequence), _) => format!("wal/{}", super::wal::name(sequence)),
            (_, Some(id)) => format!("seg/{}", super::segments::segment_name(id)),
            _ => String::new(),
        }
    }
}

fn end_of(place: Place) -> u32 {
    place.position.saturating_add(place.length)
}

/// The first entries that one call can read.
fn near(entries: &[Entry]) -> &[Entry] {
    let is_near = |pair: &[Entry]| {
        let (before, entry) = (pair[0].place, pair[1].place);
        let gap = entry.position.checked_sub(end_of(before));
        entry.file == before.file
            && gap.is_some_and(|gap| gap <= READ_GAP_MAX)
            && end_of(entry) - entries[0].place.position <= READ_BYTES_MAX
    };
    let far = entries.windows(2).position(|pair| !is_near(pair));
    far.map_or(entries, |last| &entries[..=last])
}

/// Adjacent batches of one file, as one place.
struct Runs<'a> {
    entries: &'a [Entry],
}

struct Run {
    first: Entry,
    place: Place,
    next: Offset,
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let (&first, mut rest) = self.entries.split_first()?;
        let mut run = Run { first, place: first.place, next: first.next() };
        while let Some((entry, further)) = rest.split_first() {
            let adjoins = entry.place.file == run.place.file
                && entry.place.position == end_of(run.place)
                && !entry.foreign
                && !first.foreign;
            let Some(length) = run.place.length.checked_add(entry.place.length) else { break };
            if !adjoins {
                break;
            }
            run.place.length = length;
            run.next = entry.next();
            rest = further;
        }
        self.entries = rest;
        Some(run)
    }
}

/// Reads a run of bytes, whole blocks where the file needs that, into a buffer of the pool.
pub(super) fn read_pinned(
    pool: &Arc<Pool>,
    pinned: &Pinned,
    position: u64,
    length: u64,
) -> std::io::Result<Bytes> {
    let direct = match pinned {
        Pinned::Wal(_) => true,
        Pinned::Segment(segment) => segment.direct,
    };
    let run = Stretch::new(direct, position, length)?;
    let mut buf = pool.take(run.bytes);
    let filled = run.fill(pinned.file(), &mut buf)?;
    Ok(run.cut(&pool.share(buf), filled))
}

/// Reads up to `length` bytes; fewer only at the end of the file.
pub(super) fn read_file(
    file: &dyn File,
    direct: bool,
    position: u64,
    length: u64,
) -> std::io::Result<Bytes> {
    let run = Stretch::new(direct, position, length)?;
    let mut buf = AlignedBuf::default();
    let filled = run.fill(file, &mut buf)?;
    Ok(run.cut(&Bytes::from_owner(buf), filled))
}

/// What is read for a run of bytes.
struct Stretch {
    direct: bool,
    start: u64,
    bytes: usize,
    /// Where the run lies in it.
    wanted: Range<usize>,
}

impl Stretch {
    fn new(direct: bool, position: u64, length: u64) -> std::io::Result<Self> {
        let unit = if direct { BLOCK as u64 } else { 1 };
        let start = position / unit * unit;
        let end = position.saturating_add(length).next_multiple_of(unit);
        let size = |bytes: u64| {
            let too_large = |_| std::io::Error::from(std::io::ErrorKind::OutOfMemory);
            usize::try_from(bytes).map_err(too_large)
        };
        let skip = size(position - start)?;
        let wanted = skip..skip + size(length)?;
        Ok(Self { direct, start, bytes: size(end - start)?, wanted })
    }

    /// Reads; tells how much there was.
    fn fill(&self, file: &dyn File, buf: &mut AlignedBuf) -> std::io::Result<usize> {
        buf.set_len(self.bytes);
        let mut filled = 0;
        while filled < buf.len() {
            let n = file.read_at(self.start + filled as u64, &mut buf[filled..])?;
            filled += n;
            if n == 0 || (self.direct && n % BLOCK != 0) {
                break;
            }
        }
        Ok(filled)
    }

    fn cut(&self, bytes: &Bytes, filled: usize) -> Bytes {
        bytes.slice(self.wanted.start.min(filled)..self.wanted.end.min(filled))
    }
}

/// Whether these are the bytes of that batch: its own checksum, and around it what we stamped.
pub(super) fn is_whole(batch: &[u8], entry: &Entry) -> bool {
    let header = batch_header(batch);
    header.is_some_and(|header| {
        header.length == batch.len()
            && header.crc_is_right
            && (entry.foreign
                || (header.base == entry.base.get() && header.leader_epoch == entry.leader_epoch))
    })
}

/// What the store looks at in a batch's header.
pub(super) struct BatchHeader {
    pub(super) base: u64,
    pub(super) leader_epoch: i32,
    pub(super) length: usize,
    pub(super) last_offset_delta: u32,
    crc_is_right: bool,
}

/// Reads the header of the batch that starts here, its checksum verified where all of it is
/// there.
fn batch_header(batch: &[u8]) -> Option<BatchHeader> {
    let mut header = batch_extent(batch)?;
    let crc = u32::from_be_bytes(batch.get(17..21)?.try_into().ok()?);
    header.crc_is_right = crc32c::crc32c(batch.get(21..header.length)?) == crc;
    Some(header)
}

/// The same without the checksum.
pub(super) fn batch_extent(batch: &[u8]) -> Option<BatchHeader> {
    if batch.len() < BATCH_HEADER_BYTES {
        return None;
    }
    let length = u32::from_be_bytes(batch.get(8..12)?.try_into().ok()?);
    let length = usize::try_from(length).ok()?.checked_add(12)?;
    if batch[16] != 2 || length < BATCH_HEADER_BYTES {
        return None;
    }
    Some(BatchHeader {
        base: u64::from_be_bytes(batch.get(0..8)?.try_into().ok()?),
        leader_epoch: i32::from_be_bytes(batch.get(12..16)?.try_into().ok()?),
        length,
        last_offset_delta: u32::from_be_bytes(batch.get(23..27)?.try_into().ok()?),
        crc_is_right: false,
    })
}

/// A copy with this target's stamp.
pub(super) fn restamped(batch: &Bytes, entry: &Entry) -> Bytes {
    let mut copy = BytesMut::from(&batch[..]);
    stamp(&mut copy, entry.base, entry.leader_epoch);
    copy.freeze()
}

/// Puts tiny neighbours together.
pub(super) fn coalesced(pieces: Vec<Bytes>) -> Vec<Bytes> {
    let is_tiny = |piece: &Bytes| piece.len() <= COALESCED_BYTES_MAX;
    if !pieces.windows(2).any(|pair| is_tiny(&pair[0]) && is_tiny(&pair[1])) {
        return pieces;
    }
    let mut out = Vec::with_capacity(pieces.len() / 2);
    let mut rest = &pieces[..];
    while let Some((first, others)) = rest.split_first() {
        let tiny = rest.iter().take_while(|piece| is_tiny(piece)).count();
        if tiny < 2 {
            out.push(first.clone());
            rest = others;
            continue;
        }
        let (run, others) = rest.split_at(tiny);
        let mut joined = BytesMut::with_capacity(run.iter().map(Bytes::len).sum());
        run.iter().for_each(|piece| joined.extend_from_slice(piece));
        out.push(joined.freeze());
        rest = others;
    }
    out
}

type Job = Box<dyn FnOnce() + Send>;

/// The threads that read files.
pub(super) struct ReaderPool {
    threaded: bool,
    state: Arc<Jobs>,
}

#[derive(Default)]
struct Jobs {
    queue: Mutex<(VecDeque<Job>, bool)>,
    arrived: Condvar,
}

impl ReaderPool {
    /// With `threaded` off, whoever polls a read does it.
    pub(super) fn new(threaded: bool) -> Self {
        Self { threaded, state: Arc::default() }
    }

    /// The work of one thread, until closed.
    pub(super) fn worker(&self) -> impl FnOnce() + Send + 'static {
        let jobs = Arc::clone(&self.state);
        move || {
            while let Some(job) = jobs.next() {
                job();
            }
        }
    }

    /// Runs a job on a thread; the future resolves to its result.
    pub(super) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> futures_util::future::BoxFuture<'static, Result<T, Error>> {
        if !self.threaded {
            return Box::pin(async move { job() });
        }
        let (tx, rx) = oneshot::channel();
        let mut queue = self.state.queue.lock();
        if queue.1 || queue.0.len() >= JOBS_MAX {
            drop(queue);
            return Box::pin(async move { job() });
        }
        queue.0.push_back(Box::new(move || {
            if !tx.is_abandoned() {
                tx.send(job());
            }
        }));
        drop(queue);
        self.state.arrived.notify_one();
        Box::pin(async move { rx.await.unwrap_or(Err(Error::Closed)) })
    }

    pub(super) const fn is_threaded(&self) -> bool {
        self.threaded
    }

    pub(super) fn close(&self) {
        self.state.queue.lock().1 = true;
        self.state.arrived.notify_all();
    }
}

impl Jobs {
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(job) = queue.0.pop_front() {
                return Some(job);
            }
            if queue.1 {
                return None;
            }
            self.arrived.wait(&mut queue);
        }
    }
}
