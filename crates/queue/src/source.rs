//! The messages of a lane that are in memory.
//!
//! A durable lane has a [`Window`] over its log: the messages at the cursor, put there as they
//! are enqueued or loaded, and those to be redelivered. A transient lane has all its messages
//! here: [`Memory`] is its log.

use roaring::RoaringTreemap;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tramline_types::{Message, Timestamp};

/// A message in memory with what the engine goes by.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The message.
    pub message: Arc<Message>,
    /// The bytes of its body.
    pub bytes: u32,
    /// When it came.
    pub enqueued_at: Timestamp,
    /// When it is dead by its own time to live.
    pub expires_at: Option<Timestamp>,
    /// The hash of its group, where it has one.
    pub group: Option<u64>,
}

/// What memory a message takes beyond its body.
const OVERHEAD_BYTES: usize = 256;

impl Loaded {
    /// The memory that it takes.
    pub fn memory(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX).saturating_add(OVERHEAD_BYTES)
    }
}

/// Where a lane's messages come from.
pub(crate) enum Source {
    Log(Window),
    Memory(Memory),
}

impl Source {
    /// The first message at or above the cursor; `None` when that is not in memory.
    pub(crate) fn fresh(&self, cursor: u64) -> Option<(u64, &Loaded)> {
        match self {
            Self::Log(window) => window.fresh(cursor),
            Self::Memory(memory) => memory.get(cursor).map(|loaded| (cursor, loaded)),
        }
    }

    /// Takes what [`Source::fresh`] gave.
    pub(crate) fn take_fresh(&mut self, offset: u64) -> Option<Loaded> {
        match self {
            Self::Log(window) => window.take_fresh(offset),
            Self::Memory(memory) => memory.get(offset).cloned(),
        }
    }

    pub(crate) fn returned(&self, offset: u64) -> Option<&Loaded> {
        match self {
            Self::Log(window) => window.recalled.get(&offset),
            Self::Memory(memory) => memory.get(offset),
        }
    }

    pub(crate) fn take_returned(&mut self, offset: u64) -> Option<Loaded> {
        match self {
            Self::Log(window) => window.take_recalled(offset),
            Self::Memory(memory) => memory.get(offset).cloned(),
        }
    }

    /// The cursor moved over these without taking them.
    pub(crate) fn skip_to(&mut self, cursor: u64) {
        if let Self::Log(window) = self {
            window.skip_to(cursor);
        }
    }

    /// A message that is not to be delivered soon; a log has it when it is.
    pub(crate) fn drop_loaded(&mut self, offset: u64) {
        if let Self::Log(window) = self {
            drop(window.take_recalled(offset));
        }
    }

    /// Nothing is in memory yet.
    pub(crate) fn restart(&mut self, cursor: u64) {
        if let Self::Log(window) = self {
            *window = Window::at(cursor);
        }
    }

    /// This one was left out, if it was come to: what is fresh is loaded anew from there on.
    pub(crate) fn reload(&mut self, from: u64) {
        if let Self::Log(window) = self {
            window.cut(from);
        }
    }

    /// These are done with.
    pub(crate) fn forget(&mut self, from: u64, to: u64) {
        match self {
            Self::Log(window) => {
                if !window.recalled.is_empty() {
                    while let Some(offset) = window.recalled.range(from..to).next().map(|e| *e.0) {
                        window.take_recalled(offset);
                    }
                }
            }
            Self::Memory(memory) => memory.forget(from, to),
        }
    }
}

impl Source {
    /// As [`Source::forget`], for scattered ones.
    pub(crate) fn forget_all(&mut self, gone: &RoaringTreemap) {
        match self {
            Self::Log(window) => {
                let recalled = window.recalled.keys().copied();
                let gone: Vec<u64> = recalled.filter(|offset| gone.contains(*offset)).collect();
                gone.into_iter().for_each(|offset| drop(window.take_recalled(offset)));
            }
            Self::Memory(memory) => {
                gone.iter().for_each(|offset| memory.forget(offset, offset + 1))
            }
        }
    }
}

/// The part of a log that is in memory.
#[derive(Default)]
pub(crate) struct Window {
    /// Fresh messages in order; every one of the log below `next` and at or above the cursor.
    entries: VecDeque<(u64, Loaded)>,
    next: u64,
    /// Messages that are to be delivered again.
    recalled: BTreeMap<u64, Loaded>,
    bytes: usize,
}

impl Window {
    /// A window that has nothing yet of what lies at `next` and above.
    pub(crate) fn at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// The memory that it takes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the next load of fresh messages starts.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    fn fresh(&self, cursor: u64) -> Option<(u64, &Loaded)> {
        let (offset, loaded) = self.entries.front()?;
        debug_assert!(*offset >= cursor, "what the cursor passed was taken or skipped");
        Some((*offset, loaded))
    }

    fn take_fresh(&mut self, offset: u64) -> Option<Loaded> {
        let (at, loaded) = self.entries.pop_front()?;
        debug_assert_eq!(at, offset);
        self.bytes = self.bytes.saturating_sub(loaded.memory());
        Some(loaded)
    }

    fn take_recalled(&mut self, offset: u64) -> Option<Loaded> {
        let loaded = self.recalled.remove(&offset)?;
        self.bytes = self.bytes.saturating_sub(loaded.memory());
        Some(loaded)
    }

    fn skip_to(&mut self, cursor: u64) {
        while self.entries.front().is_some_and(|(offset, _)| *offset < cursor) {
            if let Some((_, loaded)) = self.entries.pop_front() {
                self.bytes = self.bytes.saturating_sub(loaded.memory());
            }
        }
        self.next = self.next.max(cursor);
    }

    /// Nothing from here on is known any more.
    fn cut(&mut self, from: u64) {
        while self.entries.back().is_some_and(|(offset, _)| *offset >= from) {
            if let Some((_, loaded)) = self.entries.pop_back() {
                self.bytes = self.bytes.saturating_sub(loaded.memory());
            }
        }
        self.next = self.next.min(from);
    }

    /// A message that was appended; kept if it follows what is here and there is room.
    pub(crate) fn push(&mut self, offset: u64, cursor: u64, loaded: Loaded, bytes_max: usize) {
        if self.entries.is_empty() && cursor == offset {
            self.next = offset;
        }
        if self.next != offset || self.bytes >= bytes_max {
            return;
        }
        self.next = offset + 1;
        self.bytes += loaded.memory();
        self.entries.push_back((offset, loaded));
    }

    /// A message that was appended and is not to be delivered soon.
    pub(crate) fn push_absent(&mut self, offset: u64, cursor: u64) {
        if self.entries.is_empty() && cursor == offset {
            self.next = offset;
        }
        if self.next == offset {
            self.next = offset + 1;
        }
    }

    /// A message that was loaded from the log.
    pub(crate) fn insert_fresh(&mut self, offset: u64, loaded: Loaded) {
        if offset >= self.next {
            self.next = offset + 1;
            self.bytes += loaded.memory();
            self.entries.push_back((offset, loaded));
        }
    }

    /// All below `next` is known now.
    pub(crate) fn loaded_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    pub(crate) fn insert_recalled(&mut self, offset: u64, loaded: Loaded) {
        let bytes = loaded.memory();
        if self.recalled.insert(offset, loaded).is_none() {
            self.bytes += bytes;
        }
    }
}

/// All messages of a transient lane, by offset.
#[derive(Default)]
pub(crate) struct Memory {
    base: u64,
    entries: VecDeque<Option<Loaded>>,
}

impl Memory {
    fn index(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.base)?).ok()
    }

    pub(crate) fn get(&self, offset: u64) -> Option<&Loaded> {
        self.entries.get(self.index(offset)?)?.as_ref()
    }

    /// The offset that the next message gets.
    pub(crate) fn next(&self) -> u64 {
        self.base + u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn push(&mut self, loaded: Loaded) {
        self.entries.push_back(Some(loaded));
    }

    fn forget(&mut self, from: u64, to: u64) {
        for offset in from.max(self.base)..to.min(self.next()) {
            if let Some(index) = self.index(offset)
                && let Some(entry) = self.entries.get_mut(index)
            {
                *entry = None;
            }
        }
        while self.entries.front().is_some_and(Option::is_none) {
            self.entries.pop_front();
            self.base += 1;
        }
        if self.entries.is_empty() && self.entries.capacity() > 4096 {
            self.entries = VecDeque::new();
        }
    }
}
