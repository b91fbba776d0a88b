//! Which segments and checkpoint files exist, how much of each is still needed, and their open
//! files.
//!
//! A segment is first written directly (unsealed: only the write-ahead log knows what is in it)
//! or by retirement; once sealed it ends with a footer and never changes.

use super::inner::io_error;
use crate::Error;
use crate::fs::{File, Files, OpenMode};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open segment.
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) file: Arc<dyn File>,
    /// Opened past the page cache: only whole blocks can be read.
    pub(super) direct: bool,
}

/// What is known of a segment.
#[derive(Default)]
pub(super) struct SegmentState {
    pub(super) open: Option<Arc<Segment>>,
    /// The bytes that logs refer to, counted once per log; and what they ever did.
    pub(super) live: u64,
    pub(super) referred: u64,
    /// The last commit group that pointed into it while it was written directly.
    pub(super) last_group: u64,
    pub(super) sealed: bool,
}

pub(super) struct Segments {
    files: Arc<dyn Files>,
    dir: PathBuf,
    state: Mutex<HashMap<u64, SegmentState>>,
}

/// A segment's file name.
pub(super) fn segment_name(id: u64) -> String {
    format!("{id:016x}.seg")
}

impl Segments {
    pub(super) fn new(files: Arc<dyn Files>, dir: &Path) -> Self {
        Self { files, dir: dir.to_owned(), state: Mutex::default() }
    }

    pub(super) fn path(&self, id: u64) -> PathBuf {
        self.dir.join(segment_name(id))
    }

    /// The open segment; opened where it is not.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Segment>> {
        let sealed = {
            let state = self.state.lock();
            let segment = state.get(&id)?;
            if let Some(open) = &segment.open {
                return Some(Arc::clone(open));
            }
            segment.sealed
        };
        self.open(id, sealed).ok()
    }

    fn open(&self, id: u64, sealed: bool) -> Result<Arc<Segment>, Error> {
        let mode = if sealed { OpenMode::Read } else { OpenMode::Direct };
        let path = self.path(id);
        let file = self.files.open(&path, mode).map_err(io_error("open", &path))?;
        let segment = Arc::new(Segment { id, file, direct: !sealed });
        let mut state = self.state.lock();
        if let Some(known) = state.get_mut(&id) {
            known.open = Some(Arc::clone(&segment));
        }
        Ok(segment)
    }

    /// A log refers to bytes in a segment that is written directly.
    pub(super) fn refer(&self, id: u64, bytes: u64, group: u64) {
        let mut state = self.state.lock();
        let segment = state.entry(id).or_default();
        segment.live += bytes;
        segment.referred += bytes;
        segment.last_group = segment.last_group.max(group);
    }

    /// A log no longer refers to bytes; true when nothing refers to the segment.
    pub(super) fn release(&self, id: u64, bytes: u64) -> bool {
        let mut state = self.state.lock();
        let Some(segment) = state.get_mut(&id) else { return false };
        segment.live = segment.live.saturating_sub(bytes);
        segment.live == 0
    }

    /// What segments and checkpoint files take on disk.
    pub(super) fn bytes(&self) -> u64 {
        0
    }

    pub(super) fn release_checkpoint(&self, _id: u64, _bytes: u64) -> bool {
        false
    }
}
