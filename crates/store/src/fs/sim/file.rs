//! One file's bytes: what is durable, what a reader sees, and the changes between the two.

use super::{Random, SECTOR};
use std::ops::Range;

#[derive(Clone, Debug)]
enum Change {
    Write { position: usize, bytes: Vec<u8> },
    Grow(usize),
    Cut(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { position, bytes } => put(content, *position, bytes),
            Self::Grow(len) => content.resize(content.len().max(*len), 0),
            Self::Cut(len) => content.resize(*len, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[position..end].copy_from_slice(bytes);
}

#[derive(Clone, Default)]
pub(super) struct FileBytes {
    durable: Vec<u8>,
    content: Vec<u8>,
    pending: Vec<Change>,
}

impl FileBytes {
    pub(super) fn of(content: Vec<u8>) -> Self {
        Self { durable: content.clone(), content, pending: Vec::new() }
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn write(&mut self, position: usize, bytes: &[u8]) {
        self.change(Change::Write { position, bytes: bytes.to_vec() });
    }

    pub(super) fn grow(&mut self, len: usize) {
        self.change(Change::Grow(len));
    }

    pub(super) fn cut(&mut self, len: usize) {
        self.change(Change::Cut(len));
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.content);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Makes the write that came last durable, with the lengths set before it, and no other.
    pub(super) fn sync_last_write(&mut self) {
        let Some(Change::Write { position, bytes }) = self.pending.pop() else {
            panic!("a synced write is written first");
        };
        let mut kept = Vec::new();
        for change in self.pending.drain(..) {
            match change {
                Change::Write { .. } => kept.push(change),
                Change::Grow(_) => change.apply(&mut self.durable),
                Change::Cut(len) => {
                    change.apply(&mut self.durable);
                    kept = kept.into_iter().flat_map(|old| without(old, len..usize::MAX)).collect();
                }
            }
        }
        // Nothing older can come back over it.
        let written = position..position + bytes.len();
        self.pending = kept.into_iter().flat_map(|older| without(older, written.clone())).collect();
        put(&mut self.durable, position, &bytes);
    }

    /// What the sync would have written is in nobody's memory any more.
    pub(super) fn lose_pending(&mut self) {
        self.pending.clear();
    }

    pub(super) fn lose_last(&mut self) {
        self.pending.pop();
    }

    /// The bytes that a power cut leaves.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        let fate = random.below(4);
        for change in &self.pending {
            match (fate, change) {
                (0, _) => {}
                (1, _) => change.apply(&mut content),
                (_, Change::Write { position, bytes }) => match random.below(4) {
                    0 => {}
                    1 => change.apply(&mut content),
                    torn => tear(&mut content, *position, bytes, (torn == 2, &mut *random)),
                },
                _ if random.one_in(2) => change.apply(&mut content),
                _ => {}
            }
        }
        content
    }
}

/// The parts of a write that lie outside the range.
fn without(change: Change, range: Range<usize>) -> Vec<Change> {
    let Change::Write { position, bytes } = change else { return vec![change] };
    let end = position + bytes.len();
    if end <= range.start || position >= range.end {
        return vec![Change::Write { position, bytes }];
    }
    let mut parts = Vec::new();
    if position < range.start {
        parts.push(Change::Write { position, bytes: bytes[..range.start - position].to_vec() });
    }
    if end > range.end {
        let bytes = bytes[range.end - position..].to_vec();
        parts.push(Change::Write { position: range.end, bytes });
    }
    parts
}

/// Writes some of the sectors: a beginning, or any.
fn tear(
    content: &mut Vec<u8>,
    position: usize,
    bytes: &[u8],
    (beginning, random): (bool, &mut Random),
) {
    let end = position + bytes.len();
    let kept_until = position + random.index(bytes.len() + 1);
    let mut start = position;
    while start < end {
        let stop = (start / SECTOR + 1).saturating_mul(SECTOR).min(end);
        let kept = if beginning { stop <= kept_until } else { random.one_in(2) };
        if kept {
            put(content, start, &bytes[start - position..stop - position]);
        }
        start = stop;
    }
}
