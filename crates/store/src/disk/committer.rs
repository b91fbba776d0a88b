//! Writes commit groups: everything that queued up while the last one was synced is the next
//! one. One write, one sync, then the index, then the completions in commit order.

use super::apply::Applier;
use super::beside::Beside;
use super::direct::{Direct, Failed};
use super::ends::{END_BYTES, Ends};
use super::frame::{self, Frame, FrameHeader, Pointer};
use super::inner::Inner;
use super::intake::Pending;
use super::log::FileRef;
use super::spares::Prewrite;
use super::wal::{FIRST_GROUP, Header, Link, WalFile};
use crate::Completion;
use crate::fs::{AlignedBuf, BLOCK};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::time::Duration;

/// A pointer takes less than this in a frame.
const POINTER_BYTES: usize = 32;
/// How long one wait for a prepared file takes; then it is said that there is none.
const SPARE_PATIENCE: Duration = Duration::from_secs(1);
/// What is committed by who submitted it: little, where syncs are about as short as it takes to
/// wake a thread, and where few submit: many are served better by who does nothing else.
const NOW_BYTES_MAX: usize = 16 * 1024;
const NOW_SYNC_MAX: Duration = Duration::from_micros(500);
const NOW_COMMITS_MAX: usize = 4;
/// Averages move by this part of what is new.
const RECENT_PART: u32 = 8;
/// A group tells the ends of so many logs where there is room in its last block,
const ENDS_MIN: usize = 32;
/// of more where they take at most this part of it,
const ENDS_PART: usize = 16;
/// and in a file's first group at most this part of the file.
const FIRST_ENDS_PART: u64 = 8;

/// What groups were like of late, on average.
#[derive(Default)]
struct Recent {
    sync: Duration,
    /// Commits of a group, in so many parts.
    commits: usize,
}

impl Recent {
    fn add(&mut self, sync: Duration, commits: usize) {
        self.sync = (self.sync * (RECENT_PART - 1) + sync) / RECENT_PART;
        self.commits = self.commits - self.commits / RECENT_PART as usize + commits;
    }

    fn is_calm(&self) -> bool {
        self.sync <= NOW_SYNC_MAX && self.commits <= NOW_COMMITS_MAX * RECENT_PART as usize
    }
}

/// A group's last frame takes at least so much.
pub(super) const ENDS_BYTES_MIN: usize = frame::ends_bytes(0);

pub(super) struct Committer {
    inner: Arc<Inner>,
    backlog: VecDeque<Pending>,
    /// The newest frame written.
    link: Link,
    current: Option<Current>,
    frames: Vec<usize>,
    completions: Vec<Completion>,
    direct: Direct,
    beside: Arc<Beside>,
    ends: Ends,
    recent: Recent,
    /// Makes a file at once where none is ready: without threads.
    stepped: bool,
}

struct Current {
    wal: Arc<WalFile>,
    /// Where the next group goes.
    position: usize,
}

impl Current {
    fn room(&self) -> usize {
        usize::try_from(self.wal.bytes).unwrap_or(usize::MAX) - self.position.max(FIRST_GROUP)
    }
}

impl Committer {
    pub(super) fn new(inner: Arc<Inner>, link: Link, ends: Ends, stepped: bool) -> Self {
        Self {
            inner,
            backlog: VecDeque::new(),
            link,
            current: None,
            frames: Vec::new(),
            completions: Vec::new(),
            direct: Direct::default(),
            beside: Arc::new(Beside::default()),
            ends,
            recent: Recent::default(),
            stepped,
        }
    }

    /// Commits one group; false when nothing was queued.
    pub(super) fn step(&mut self) -> bool {
        self.inner.intake.take(&mut self.backlog);
        let Some(first) = self.backlog.front() else { return false };
        if self.inner.has_failed() {
            return false;
        }
        let first = frame::commit_bytes_max(&first.commit) + ENDS_BYTES_MIN;
        if self.current.as_ref().is_none_or(|current| current.room() < first) && !self.roll() {
            return false;
        }
        let Some(current) = &self.current else { return false };
        let room = current.room();
        let (count, bytes) = self.fitting(room);
        let (start, header) = (current.position, current.position < FIRST_GROUP);
        let wal = Arc::clone(&current.wal);
        let total = bytes;
        let before = self.inner.options.clock.as_ref().map(|clock| clock.monotonic());
        let Ok(pointers) = self.extents(count, bytes) else { return false };
        let inline = pointers.iter().flatten().map(|pointer| {
            usize::try_from(pointer.length).unwrap_or(0).saturating_sub(POINTER_BYTES)
        });
        let bytes = bytes - inline.sum::<usize>();
        let capacity = bytes + bytes / ENDS_PART + 2 * BLOCK + if header { FIRST_GROUP } else { 0 };
        let mut buf = self.inner.pool.take(capacity);
        if header {
            let link = self.link;
            let generation = self.inner.counters.generation.load(Relaxed);
            let (sequence, blocks) = (wal.sequence, wal.blocks());
            Header::InUse { sequence, link, generation, blocks }.encode(&mut buf);
        }
        let reserved = self.encode(&mut buf, wal.sequence, count, pointers);
        self.tell_ends(&mut buf, room);
        buf.pad_to_block();
        if !self.write(&wal, start, &buf) || !self.beside.finish(&self.inner) {
            return false;
        }
        if let (Some(clock), Some(before)) = (&self.inner.options.clock, before) {
            let took = clock.monotonic().since(before);
            self.inner.counters.sync(took);
            self.recent.add(took, count);
        }
        self.link.end = (start + buf.len()) as u64;
        self.apply(&wal, start, buf);
        self.inner.counters.group(count as u64, total as u64);
        self.inner.space.written(reserved, self.inner.prepared());
        for completion in self.completions.drain(..) {
            completion();
        }
        true
    }

    /// Commits one group where that takes no longer than to have it done by another thread; false
    /// when nothing became durable.
    pub(super) fn step_now(&mut self) -> bool {
        let bytes = self.inner.intake.bytes_up_to(NOW_BYTES_MAX);
        let has_room = |current: &Current| current.room() > NOW_BYTES_MAX + ENDS_BYTES_MIN;
        self.recent.is_calm()
            && self.backlog.is_empty()
            && bytes.is_some()
            && self.current.as_ref().is_some_and(has_room)
            && self.step()
    }

    /// How many of the queued commits go into the next group, and their length at most.
    fn fitting(&self, room: usize) -> (usize, usize) {
        let limit = room.min(self.inner.options.group_bytes_max) - ENDS_BYTES_MIN;
        let mut bytes = 0;
        let mut count = 0;
        for pending in &self.backlog {
            let next = bytes + frame::commit_bytes_max(&pending.commit);
            if next > limit && count > 0 {
                break;
            }
            bytes = next;
            count += 1;
        }
        (count, bytes)
    }

    /// Begins to write what goes to segments directly.
    fn extents(&mut self, count: usize, bytes: usize) -> Result<Vec<Option<Pointer>>, Failed> {
        if bytes < self.inner.options.direct_extent_bytes {
            return Ok(Vec::new());
        }
        let commits = self.backlog.iter().take(count);
        self.direct.prepare(&self.inner, commits, self.link.group + 1, &self.beside)
    }

    /// Moves commits from the backlog into the buffer, one frame each. Returns what was set
    /// aside for them.
    fn encode(
        &mut self,
        buf: &mut AlignedBuf,
        epoch: u64,
        count: usize,
        pointers: Vec<Option<Pointer>>,
    ) -> usize {
        let mut pointers = pointers.into_iter();
        let mut reserved = 0;
        self.link.sequence = epoch;
        self.link.group += 1;
        self.frames.clear();
        for pending in self.backlog.drain(..count) {
            self.link.commit += 1;
            let header = self.link.next_frame(epoch);
            self.ends.commit(&pending.commit.ops, self.link.group);
            self.frames.push(buf.len());
            self.link.crc = frame::encode(buf, header, &pending.commit, &mut pointers);
            reserved += pending.reserved;
            self.completions.push(pending.commit.on_durable);
        }
        reserved
    }

    /// The last frame of a group: the ends of the logs touched last. `room` is what the file had
    /// for the group.
    fn tell_ends(&mut self, buf: &mut AlignedBuf, room: usize) {
        let used = buf.len() % BLOCK + frame::ends_bytes(0);
        let free = used.next_multiple_of(BLOCK) - used;
        let inner = &self.inner;
        let wanted = if inner.space.is_full() {
            0
        } else if self.ends.is_first(self.link.group) {
            usize::try_from(inner.options.wal_file_bytes / FIRST_ENDS_PART).unwrap_or(usize::MAX)
        } else {
            buf.len() / ENDS_PART
        };
        let left = room.saturating_sub(buf.len() + frame::ends_bytes(0) + FIRST_GROUP);
        let bytes = wanted.min(left).max(free.min(ENDS_MIN * END_BYTES));
        let entries = (bytes / END_BYTES).min(self.ends.len());
        let header = FrameHeader { last: true, ..self.link.next_frame(self.link.sequence) };
        self.link.crc = frame::encode_ends(buf, header, &self.ends, entries);
    }

    fn write(&self, wal: &WalFile, start: usize, buf: &AlignedBuf) -> bool {
        let result = wal.file.write_sync_at(start as u64, buf);
        if let Err(e) = &result {
            self.inner.fail(&format!("write-ahead file {:x}: {e}", wal.sequence));
        }
        result.is_ok()
    }

    /// Makes a durable group readable.
    fn apply(&mut self, wal: &WalFile, start: usize, buf: AlignedBuf) {
        let capacity = buf.capacity();
        let bytes = self.inner.pool.share(buf);
        let position = u32::try_from(start).expect("write-ahead files are below 4 GiB");
        let file = FileRef::wal(wal.sequence);
        self.inner.cache.insert(file, position, bytes.clone(), capacity);
        let inner = Arc::clone(&self.inner);
        let mut durable = inner.durable.lock();
        let mut applier = Applier::new(&inner, &mut durable, None);
        for &at in &self.frames {
            applier.frame(wal.sequence, &Frame::decode_trusted(&bytes, at, start));
        }
        drop(durable);
        if let Some(current) = &mut self.current {
            current.position = start + bytes.len();
            self.inner.counters.room.store(current.room() as u64, Relaxed);
        }
        self.inner.counters.applied_group.store(self.link.group, Release);
    }

    /// Takes the next prepared file into use.
    fn roll(&mut self) -> bool {
        let Some(wal) = self.next_file() else { return false };
        let wal = Arc::new(WalFile { before: self.link, ..wal });
        self.inner.wal.lock().insert(wal.sequence, Arc::clone(&wal));
        self.ends.begin(wal.sequence, self.link.sequence, self.link.group + 1);
        let current = Current { wal, position: 0 };
        self.inner.counters.room.store(current.room() as u64, Relaxed);
        self.current = Some(current);
        self.inner.refresh_space();
        self.inner.upkeep.wake();
        true
    }

    fn next_file(&self) -> Option<WalFile> {
        if let Some(wal) = self.inner.spares.take() {
            return Some(wal);
        }
        // Faster than to wait for the upkeep thread, which may be retiring files.
        self.inner.prepare_spare(Prewrite::Header);
        if self.stepped {
            return self.inner.spares.take();
        }
        while !self.inner.upkeep.is_stopped() {
            self.inner.upkeep.wake();
            if let Some(wal) = self.inner.spares.wait(SPARE_PATIENCE) {
                return Some(wal);
            }
            tracing::warn!("no write-ahead file is ready; commits wait");
        }
        None
    }

    /// Where extents are written while the frames are.
    pub(super) fn beside(&self) -> Arc<Beside> {
        Arc::clone(&self.beside)
    }

    fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }
}

/// Commits until the store is closed and nothing is left.
pub(super) fn run(committer: &Mutex<Committer>, inner: &Inner) {
    while inner.intake.wait() || committer.lock().has_backlog() {
        while committer.lock().step() {}
        if inner.has_failed() {
            break;
        }
    }
    committer.lock().beside.close();
    inner.upkeep.stop();
}
