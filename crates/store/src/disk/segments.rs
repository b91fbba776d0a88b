//! Which segments and checkpoint files exist, how much of each is still needed, and their open
//! files.
//!
//! A segment is first written directly (unsealed: only the write-ahead log knows what is in it)
//! or by retirement; once sealed it ends with a footer and never changes. When nothing refers to
//! it any more its file is removed, or written again as another segment.

mod spare;

pub(super) use spare::SPARES_MAX;

use super::DiskOptions;
use super::footer::{ChunkEntry, TRAILER_BYTES, Trailer};
use super::inner::{Pinned, io_error};
use super::log::{Place, Reference};
use super::manifest::StoredFile;
use super::reading::read_file;
use super::writer::{Stop, fatal, later};
use crate::Error;
use crate::fs::{File, Files, OpenMode};
use parking_lot::Mutex;
use spare::{Spare, Spares};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Footer entries kept in memory, over all segments.
const FOOTER_ENTRIES_MAX: usize = 128 * 1024;

/// An open segment.
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) file: Arc<dyn File>,
    /// Opened past the page cache: only whole blocks can be read.
    pub(super) direct: bool,
    _pin: Arc<()>,
}

/// What is known of a segment.
struct State {
    /// Held by nobody else for longer than one read or write: what is closed or removed here
    /// gives its descriptor and its space back.
    open: Option<Arc<Segment>>,
    /// Shared with every open file of it: one that is read from is not written again.
    pins: Arc<()>,
    /// What logs refer to, counted once per log, and what they did at most.
    live: Live,
    referred: u64,
    /// The last commit group that wrote or pointed into it while it was written directly.
    group: u64,
    /// The first write-ahead file that points into it.
    first_wal: u64,
    /// Where the next direct write goes; `None` when nothing more is written.
    end: Option<u64>,
    /// How long it is while it is written; then, where its bytes end.
    capacity: u64,
    /// Its length, once it has a footer.
    sealed: Option<u64>,
    footer: Option<Arc<[ChunkEntry]>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            open: None,
            pins: Arc::default(),
            live: Live::default(),
            referred: 0,
            group: 0,
            first_wal: u64::MAX,
            end: None,
            capacity: 0,
            sealed: None,
            footer: None,
        }
    }
}

impl State {
    /// Nothing more is written directly. The open file goes: readers open it anew, as one of
    /// those whose number is bounded.
    fn stop_direct(&mut self) {
        if let Some(end) = self.end.take() {
            (self.capacity, self.open) = (end, None);
        }
    }

    /// What is left of it that can be written again: its bytes, unless somebody still reads it.
    fn into_spare(mut self, id: u64) -> Option<Spare> {
        self.open = None;
        let bytes = self.sealed.or(self.end).unwrap_or(self.capacity);
        (Arc::strong_count(&self.pins) == 1).then_some(Spare { id, bytes })
    }
}

/// How much of a file is needed.
#[derive(Clone, Copy, Default)]
struct Live {
    bytes: u64,
    references: u64,
}

impl Live {
    fn change(&mut self, change: &Reference) {
        self.bytes = self.bytes.saturating_add_signed(change.bytes);
        self.references = self.references.saturating_add_signed(change.count);
    }
}

/// A checkpoint file: how much of it is needed.
#[derive(Clone, Copy, Default)]
struct CheckpointState {
    live: Live,
    referred: u64,
    length: u64,
}

#[derive(Default)]
struct Table {
    segments: HashMap<u64, State>,
    checkpoints: HashMap<u64, CheckpointState>,
    next_segment: u64,
    next_checkpoint: u64,
    open: VecDeque<u64>,
    footers: VecDeque<(u64, usize)>,
    footer_entries: usize,
    spares: Spares,
}

pub(super) struct Segments {
    files: Arc<dyn Files>,
    dir: PathBuf,
    /// Sealed segments kept open for reading.
    open_max: usize,
    /// Smaller ones are not worth to be written again.
    spare_bytes_min: u64,
    table: Mutex<Table>,
}

/// A segment's file name.
pub(super) fn segment_name(id: u64) -> String {
    format!("{id:016x}.seg")
}

/// A checkpoint file's name.
pub(super) fn checkpoint_name(id: u64) -> String {
    format!("{id:016x}.ckpt")
}

/// The id in such a name.
pub(super) fn id_of(name: &str, suffix: &str) -> Option<u64> {
    let hex = name.strip_suffix(suffix)?;
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok())?
}

impl Segments {
    pub(super) fn new(files: Arc<dyn Files>, dir: &Path, options: &DiskOptions) -> Self {
        let open_max = options.segments_open_max;
        let spare_bytes_min = options.segment_bytes_max / 2;
        let (dir, table) = (dir.to_owned(), Mutex::default());
        Self { files, dir, open_max, spare_bytes_min, table }
    }

    pub(super) fn path(&self, id: u64) -> PathBuf {
        self.dir.join(segment_name(id))
    }

    /// The open segment; opened where it is not. `None` when there is none of this id any more.
    pub(super) fn get(&self, id: u64) -> Option<io::Result<Arc<Segment>>> {
        {
            let table = self.table.lock();
            if let Some(open) = &table.segments.get(&id)?.open {
                return Some(Ok(Arc::clone(open)));
            }
        }
        let opened = self.files.open(&self.path(id), OpenMode::Read);
        let mut table = self.table.lock();
        // Where it went meanwhile, a file that is missing is no damage.
        let state = table.segments.get_mut(&id)?;
        let segment = match opened {
            Ok(file) => {
                Arc::new(Segment { id, file, direct: false, _pin: Arc::clone(&state.pins) })
            }
            Err(e) => return Some(Err(e)),
        };
        state.open = Some(Arc::clone(&segment));
        table.open.push_back(id);
        table.bound_open(self.open_max);
        Some(Ok(segment))
    }

    /// Ids that were never used before.
    pub(super) fn next_segment(&self) -> u64 {
        let mut table = self.table.lock();
        table.next_segment += 1;
        table.next_segment - 1
    }

    pub(super) fn next_checkpoint(&self) -> u64 {
        let mut table = self.table.lock();
        table.next_checkpoint += 1;
        table.next_checkpoint - 1
    }

    pub(super) fn next_ids(&self) -> (u64, u64) {
        let table = self.table.lock();
        (table.next_segment, table.next_checkpoint)
    }

    /// After recovery: ids go on from here.
    pub(super) fn start_at(&self, segment: u64, checkpoint: u64) {
        let mut table = self.table.lock();
        table.next_segment = table.next_segment.max(segment);
        table.next_checkpoint = table.next_checkpoint.max(checkpoint);
    }

    /// Whether a dead segment's file is there to be written again.
    pub(super) fn has_spare(&self) -> bool {
        !self.table.lock().spares.is_empty()
    }

    /// Makes a segment to be written directly, with its space allocated and its name durable, out
    /// of a dead one's file where there is one. Returns its id.
    pub(super) fn create_direct(&self, capacity: u64) -> Result<u64, Stop> {
        let id = self.next_segment();
        let path = self.path(id);
        let spare = self.table.lock().spares.take();
        if let Some(spare) = spare {
            let renamed = self.files.rename(&self.path(spare.id), &path);
            renamed.map_err(later("rename", &path))?;
        }
        let capacity = capacity.max(spare.map_or(0, |spare| spare.bytes));
        let file = self.files.open(&path, OpenMode::Direct).map_err(later("make", &path))?;
        if let Err(e) = file.allocate(capacity) {
            let _ = self.files.remove(&path);
            return Err(later("allocate", &path)(e));
        }
        // Its length becomes durable with the first write.
        self.files.sync_dir(&self.dir).map_err(fatal("sync", &path))?;
        let pins = Arc::default();
        let segment = Segment { id, file, direct: true, _pin: Arc::clone(&pins) };
        let open = Some(Arc::new(segment));
        // Until its first write is applied it must not look dead.
        let group = u64::MAX;
        let state = State { open, pins, end: Some(0), group, capacity, ..State::default() };
        self.table.lock().segments.insert(id, state);
        Ok(id)
    }

    /// Where a group's next bytes go in a segment written directly; `None` when they do not fit,
    /// or when nothing more may be written to it.
    pub(super) fn place_direct(
        &self,
        id: u64,
        bytes: u64,
        group: u64,
    ) -> Option<(Arc<Segment>, u64)> {
        let mut table = self.table.lock();
        let state = table.segments.get_mut(&id)?;
        let position = state.end?;
        let segment = state.open.clone().filter(|_| position + bytes <= state.capacity);
        let Some(segment) = segment else {
            state.stop_direct();
            return None;
        };
        state.end = Some(position + bytes);
        state.group = group;
        Some((segment, position))
    }

    /// Nothing more is written directly to a segment.
    pub(super) fn stop_direct(&self, id: u64) {
        if let Some(state) = self.table.lock().segments.get_mut(&id) {
            state.stop_direct();
        }
    }

    /// A log refers to bytes in a segment that is written directly.
    pub(super) fn refer(&self, place: Place, group: u64, wal: u64) {
        let Some(id) = place.file.as_segment() else { return };
        let bytes = u64::from(place.length);
        let mut table = self.table.lock();
        let state = table.segments.entry(id).or_default();
        state.capacity = state.capacity.max(u64::from(place.position) + bytes);
        state.live.change(&Reference::taken(id, bytes));
        state.referred += bytes;
        if state.group == u64::MAX || state.group < group {
            state.group = group;
        }
        if state.sealed.is_none() {
            state.first_wal = state.first_wal.min(wal);
        }
    }

    /// What logs refer to has changed; true when nothing refers to the segment any more.
    pub(super) fn change(&self, change: &Reference) -> bool {
        let mut table = self.table.lock();
        let Some(state) = table.segments.get_mut(&change.file) else { return false };
        state.live.change(change);
        state.referred = state.referred.max(state.live.bytes);
        state.live.references == 0
    }

    /// Nothing refers to it any more, whatever was counted.
    pub(super) fn abandon(&self, id: u64) {
        if let Some(state) = self.table.lock().segments.get_mut(&id) {
            state.live = Live::default();
        }
    }

    /// A sealed segment, as made by retirement or listed by the manifest.
    pub(super) fn add_sealed(&self, id: u64, length: u64, referred: u64) {
        let mut table = self.table.lock();
        let state = table.segments.entry(id).or_default();
        *state = State { sealed: Some(length), referred, live: state.live, ..State::default() };
    }

    /// A segment written directly got its footer, and the index goes by it.
    pub(super) fn set_sealed(&self, id: u64, length: u64) {
        let mut table = self.table.lock();
        if let Some(state) = table.segments.get_mut(&id) {
            state.sealed = Some(length);
            state.first_wal = u64::MAX;
            state.open = None;
        }
    }

    /// Takes the segments whose first pointers lie in a write-ahead file up to this one out of
    /// direct writing: (id, the last group that wrote to it).
    pub(super) fn close_direct(&self, wal: u64) -> Vec<(u64, u64)> {
        let mut table = self.table.lock();
        let mut closed = Vec::new();
        for (id, state) in &mut table.segments {
            if state.first_wal <= wal {
                state.stop_direct();
                closed.push((*id, state.group));
            }
        }
        closed.sort_unstable();
        closed
    }

    /// Where the bytes of a closed direct segment end, those that nothing refers to included.
    pub(super) fn direct_end(&self, id: u64) -> u64 {
        self.table.lock().segments.get(&id).map_or(0, |state| state.capacity)
    }

    /// Removes from the table the segments that nothing refers to and that no commit after
    /// `group` can point into. Returns how many they are, and the files to be removed: where the
    /// disk `is_roomy` some are kept, to be written again.
    pub(super) fn take_dead(&self, group: u64, is_roomy: bool) -> (usize, Vec<u64>) {
        let mut table = self.table.lock();
        let is_dead = |state: &State| state.live.references == 0 && state.group < group;
        let mut dead = table
            .segments
            .iter()
            .filter(|(_, state)| is_dead(state))
            .map(|(id, _)| *id)
            .collect::<Vec<_>>();
        dead.sort_unstable();
        let mut gone = table.spares.look(is_roomy);
        for id in &dead {
            let spare = table.segments.remove(id).and_then(|state| state.into_spare(*id));
            match spare.filter(|spare| is_roomy && spare.bytes >= self.spare_bytes_min) {
                Some(spare) => gone.extend(table.spares.keep(spare)),
                None => gone.push(*id),
            }
        }
        (dead.len(), gone)
    }

    /// Removes from the table, and returns, the checkpoint files that nothing refers to.
    pub(super) fn take_dead_checkpoints(&self) -> Vec<u64> {
        let mut table = self.table.lock();
        let dead = table.checkpoints.iter().filter(|(_, state)| state.live.references == 0);
        let mut dead = dead.map(|(id, _)| *id).collect::<Vec<_>>();
        dead.sort_unstable();
        for id in &dead {
            table.checkpoints.remove(id);
        }
        dead
    }

    /// A checkpoint file, before logs refer to it.
    pub(super) fn add_checkpoint(&self, id: u64, length: u64, referred: u64) {
        let mut table = self.table.lock();
        let live = table.checkpoints.get(&id).map_or_else(Live::default, |state| state.live);
        table.checkpoints.insert(id, CheckpointState { live, referred, length });
    }

    /// The same for a checkpoint file.
    pub(super) fn change_checkpoint(&self, change: &Reference) {
        let mut table = self.table.lock();
        if let Some(state) = table.checkpoints.get_mut(&change.file) {
            state.live.change(change);
            state.referred = state.referred.max(state.live.bytes);
        }
    }

    /// The sealed segments of which less than half is needed, with what is, the least first.
    pub(super) fn sparse(&self) -> Vec<(u64, u64)> {
        let table = self.table.lock();
        let sealed = table.segments.iter().filter(|(_, state)| state.sealed.is_some());
        sparse(sealed.map(|(id, state)| (*id, state.live, state.referred)))
    }

    /// The same of checkpoint files.
    pub(super) fn sparse_checkpoints(&self) -> Vec<(u64, u64)> {
        let table = self.table.lock();
        sparse(table.checkpoints.iter().map(|(id, state)| (*id, state.live, state.referred)))
    }

    /// For the manifest: the sealed segments and the checkpoint files.
    pub(super) fn stored(&self) -> (Vec<StoredFile>, Vec<StoredFile>) {
        let table = self.table.lock();
        let mut segments = Vec::new();
        for (&id, state) in &table.segments {
            if let Some(length) = state.sealed.filter(|_| state.live.references > 0) {
                segments.push(StoredFile { id, length, referred: state.referred });
            }
        }
        let checkpoints = table.checkpoints.iter();
        let mut checkpoints = checkpoints
            .map(|(&id, state)| StoredFile { id, length: state.length, referred: state.referred })
            .collect::<Vec<_>>();
        segments.sort_unstable_by_key(|file| file.id);
        checkpoints.sort_unstable_by_key(|file| file.id);
        (segments, checkpoints)
    }

    /// The segments that something refers to.
    pub(super) fn ids(&self) -> Vec<u64> {
        self.table.lock().segments.keys().copied().collect()
    }

    pub(super) fn checkpoint_ids(&self) -> Vec<u64> {
        self.table.lock().checkpoints.keys().copied().collect()
    }

    /// What segments and checkpoint files take on disk, with those that are to be written again.
    pub(super) fn bytes(&self) -> u64 {
        let table = self.table.lock();
        let segments = table.segments.values();
        let segments = segments.map(|state| state.sealed.unwrap_or(state.capacity)).sum::<u64>();
        let segments = segments + table.spares.bytes();
        segments + table.checkpoints.values().map(|state| state.length).sum::<u64>()
    }

    /// A sealed segment's entries, ordered by log and offset.
    pub(super) fn footer(&self, id: u64) -> Option<Result<Arc<[ChunkEntry]>, FooterError>> {
        if let Some(footer) = &self.table.lock().segments.get(&id)?.footer {
            return Some(Ok(Arc::clone(footer)));
        }
        let segment = match self.get(id)? {
            Ok(segment) => segment,
            Err(e) => return Some(Err(FooterError::Io(e))),
        };
        let entries = match read_footer(&Pinned::Segment(segment), id) {
            Ok(entries) => Arc::<[ChunkEntry]>::from(entries),
            Err(e) => return Some(Err(e)),
        };
        let mut table = self.table.lock();
        if let Some(state) = table.segments.get_mut(&id) {
            state.footer = Some(Arc::clone(&entries));
            table.footer_entries += entries.len();
            table.footers.push_back((id, entries.len()));
            table.bound_footers();
        }
        Some(Ok(entries))
    }

    /// Removes a segment's file.
    pub(super) fn remove(&self, id: u64) -> Result<(), Error> {
        let path = self.path(id);
        self.files.remove(&path).map_err(io_error("remove", &path))
    }
}

impl Table {
    fn bound_open(&mut self, open_max: usize) {
        while self.open.len() > open_max {
            let Some(oldest) = self.open.pop_front() else { break };
            if let Some(state) = self.segments.get_mut(&oldest)
                && state.open.as_ref().is_some_and(|open| !open.direct)
            {
                state.open = None;
            }
        }
    }

    fn bound_footers(&mut self) {
        while self.footer_entries > FOOTER_ENTRIES_MAX && self.footers.len() > 1 {
            let Some((oldest, entries)) = self.footers.pop_front() else { break };
            self.footer_entries -= entries;
            if let Some(state) = self.segments.get_mut(&oldest) {
                state.footer = None;
            }
        }
    }
}

fn sparse(files: impl Iterator<Item = (u64, Live, u64)>) -> Vec<(u64, u64)> {
    let is_sparse = |live: &Live, referred: u64| live.references > 0 && live.bytes < referred / 2;
    let sparse = files.filter(|(_, live, referred)| is_sparse(live, *referred));
    let mut sparse = sparse.map(|(id, live, _)| (id, live.bytes)).collect::<Vec<_>>();
    sparse.sort_unstable_by_key(|(id, live)| (*live, *id));
    sparse
}

/// Why a footer cannot be used.
pub(super) enum FooterError {
    Io(io::Error),
    Damaged,
}

fn read_footer(segment: &Pinned, id: u64) -> Result<Vec<ChunkEntry>, FooterError> {
    let length = segment.file().len().map_err(FooterError::Io)?;
    let trailer_at = length.checked_sub(TRAILER_BYTES as u64).ok_or(FooterError::Damaged)?;
    let direct = matches!(segment, Pinned::Segment(segment) if segment.direct);
    let read = |position, length| {
        read_file(segment.file(), direct, position, length).map_err(FooterError::Io)
    };
    let trailer = Trailer::decode(&read(trailer_at, TRAILER_BYTES as u64)?)
        .map_err(|_| FooterError::Damaged)?;
    let end = trailer.position.checked_add(trailer.entry_bytes());
    if trailer.id != id || end.is_none_or(|end| end > trailer_at) {
        return Err(FooterError::Damaged);
    }
    let bytes = read(trailer.position, trailer.entry_bytes())?;
    trailer.decode_entries(&bytes).map_err(|_| FooterError::Damaged)
}
