//! One log's messages and their state, as sets of offsets.
//!
//! ```text
//! floor <= cursor <= tail
//! below the floor      done
//! floor .. cursor      done, except what is in `outstanding`: returned, parked or locked
//! cursor .. tail       never handed out: ready, except what is in `parked`
//! ```
//! Invariant: `returned`, the locked ones, the parked ones below the cursor and those that wait
//! in `fair` are disjoint and make up `outstanding`; `undelivered` and `counts` have only members of `outstanding`; `ahead`
//! has only parked ones at or above the cursor.

use crate::{
    fair::Fair,
    locks::Locks,
    source::{Memory, Source, Window},
};
use roaring::RoaringTreemap;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Offsets spread well by one multiplication.
#[derive(Default)]
pub(crate) struct OffsetHasher(u64);

impl Hasher for OffsetHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

pub(crate) type OffsetMap<T> = HashMap<u64, T, BuildHasherDefault<OffsetHasher>>;

pub(crate) struct Lane {
    pub(crate) level: u16,
    /// Where its log begins, as last told.
    pub(crate) start: u64,
    pub(crate) cursor: u64,
    /// What may be shown: the durable end.
    pub(crate) end: u64,
    /// The offset after the last one enqueued.
    pub(crate) tail: u64,
    pub(crate) outstanding: RoaringTreemap,
    pub(crate) returned: RoaringTreemap,
    pub(crate) parked: RoaringTreemap,
    /// Done with before the cursor came: parked until it does.
    pub(crate) ahead: RoaringTreemap,
    /// Below the cursor and never delivered.
    pub(crate) undelivered: RoaringTreemap,
    /// How often delivered, with the current delivery, where that is not once.
    pub(crate) counts: OffsetMap<u32>,
    pub(crate) locks: Locks,
    pub(crate) source: Source,
    /// Looked at, and wait for the turn of their group.
    pub(crate) fair: Fair,
    pub(crate) n_returned: u64,
    /// Parked at or above the cursor.
    pub(crate) n_parked_fresh: u64,
}

impl Lane {
    pub(crate) fn in_log(level: u16, start: u64, next: u64) -> Self {
        Self::new(level, start, next, Source::Log(Window::at(start)))
    }

    pub(crate) fn in_memory(level: u16) -> Self {
        Self::new(level, 0, 0, Source::Memory(Memory::default()))
    }

    fn new(level: u16, start: u64, next: u64, source: Source) -> Self {
        Self {
            level,
            start,
            cursor: start,
            end: next,
            tail: next,
            outstanding: RoaringTreemap::new(),
            returned: RoaringTreemap::new(),
            parked: RoaringTreemap::new(),
            ahead: RoaringTreemap::new(),
            undelivered: RoaringTreemap::new(),
            counts: OffsetMap::default(),
            locks: Locks::default(),
            source,
            fair: Fair::default(),
            n_returned: 0,
            n_parked_fresh: 0,
        }
    }

    /// Everything below is done.
    pub(crate) fn floor(&self) -> u64 {
        self.outstanding.min().unwrap_or(self.cursor)
    }

    /// How many could be delivered.
    pub(crate) fn ready(&self) -> u64 {
        // What the cursor went over before it was durable waits for that.
        if self.end < self.cursor {
            return self.returned.range_cardinality(..self.end) + self.fair.len();
        }
        self.n_returned
            + self.fair.len()
            + self.end.saturating_sub(self.cursor).saturating_sub(self.n_parked_fresh)
    }

    /// How many could be, once all that was enqueued is durable.
    pub(crate) fn enqueued(&self) -> u64 {
        self.n_returned
            + self.fair.len()
            + self.tail.saturating_sub(self.cursor).saturating_sub(self.n_parked_fresh)
    }

    /// The first one below the cursor that could be delivered: the cursor may have gone over
    /// messages that are not durable yet.
    pub(crate) fn first_returned(&self) -> Option<u64> {
        self.returned.min().filter(|offset| *offset < self.end)
    }

    /// Whether a message below the cursor could be delivered, now or when its group's turn is.
    pub(crate) fn is_waiting(&self, offset: u64) -> bool {
        self.returned.contains(offset) || self.fair.contains(offset)
    }

    /// How many of these lie before an offset; those that wait for a turn may go later.
    pub(crate) fn waiting_before(&self, offset: u64) -> u64 {
        self.returned.range_cardinality(..offset) + self.fair.count_before(offset)
    }

    /// The first one of these.
    pub(crate) fn first_waiting(&self) -> Option<u64> {
        self.returned.min().into_iter().chain(self.fair.first()).min()
    }

    /// One that could be delivered waits for the turn of its group.
    pub(crate) fn set_aside(&mut self, offset: u64, group: Option<u64>) {
        if self.returned.remove(offset) {
            self.n_returned -= 1;
            self.fair.add(offset, group);
        }
    }

    /// The one whose turn it is goes next; `false` when none waits.
    pub(crate) fn take_turn(&mut self) -> bool {
        let Some(offset) = self.fair.poll() else { return false };
        self.n_returned += u64::from(self.returned.insert(offset));
        true
    }

    /// Nothing waits for a turn any more.
    pub(crate) fn fold_turns(&mut self) {
        if !self.fair.is_empty() {
            self.returned |= self.fair.take();
            self.n_returned = self.returned.len();
        }
    }

    /// How often a message was delivered, the current delivery included.
    pub(crate) fn count(&self, offset: u64) -> u32 {
        let default = u32::from(offset < self.cursor && !self.undelivered.contains(offset));
        self.counts.get(&offset).copied().unwrap_or(default)
    }

    pub(crate) fn was_delivered(&self, offset: u64) -> bool {
        offset < self.cursor && !self.undelivered.contains(offset)
    }

    /// The cursor moves to `to`; nothing it goes over was delivered, and all of it that is not
    /// parked is ready.
    pub(crate) fn pass(&mut self, to: u64) {
        if to <= self.cursor {
            return;
        }
        for offset in self.cursor..to {
            if self.n_parked_fresh > 0 && self.parked.contains(offset) {
                self.n_parked_fresh -= 1;
                if self.ahead.remove(offset) {
                    self.parked.remove(offset);
                    continue;
                }
            } else if self.returned.insert(offset) {
                self.n_returned += 1;
            }
            self.outstanding.insert(offset);
            self.undelivered.insert(offset);
        }
        self.cursor = to;
        self.source.skip_to(to);
    }

    /// The cursor moves on over `from..to`, which are now out.
    pub(crate) fn deliver_fresh(&mut self, from: u64, to: u64) {
        self.pass(from);
        if to <= self.cursor {
            return;
        }
        let from = self.cursor;
        if self.n_parked_fresh > 0 {
            let parked = self.parked.range_cardinality(from..to);
            self.parked.remove_range(from..to);
            self.ahead.remove_range(from..to);
            self.n_parked_fresh = self.n_parked_fresh.saturating_sub(parked);
        }
        self.outstanding.insert_range(from..to);
        self.cursor = to;
    }

    /// A message below the cursor goes out again.
    pub(crate) fn deliver_again(&mut self, offset: u64) {
        if self.returned.remove(offset) {
            self.n_returned -= 1;
        }
        if !self.undelivered.is_empty() && self.undelivered.remove(offset) {
            return;
        }
        let count = self.counts.get(&offset).copied().unwrap_or(1).saturating_add(1);
        self.set_count(offset, count);
    }

    fn set_count(&mut self, offset: u64, count: u32) {
        if count == 1 {
            self.counts.remove(&offset);
        } else {
            self.counts.insert(offset, count);
        }
    }

    /// These are done with. Their locks have been taken off.
    pub(crate) fn finish(&mut self, from: u64, to: u64) {
        if from > self.cursor {
            return self.finish_ahead(from, to);
        }
        if !self.returned.is_empty() {
            self.n_returned = self.n_returned.saturating_sub(self.returned.remove_range(from..to));
        }
        self.fair.remove(from, to);
        if !self.parked.is_empty() {
            if to > self.cursor && self.n_parked_fresh > 0 {
                let fresh = self.parked.range_cardinality(from.max(self.cursor)..to);
                self.n_parked_fresh = self.n_parked_fresh.saturating_sub(fresh);
                self.ahead.remove_range(from..to);
            }
            self.parked.remove_range(from..to);
        }
        if !self.undelivered.is_empty() {
            self.undelivered.remove_range(from..to);
        }
        if !self.counts.is_empty() {
            if to - from < u64::try_from(self.counts.len()).unwrap_or(u64::MAX) {
                for offset in from..to {
                    self.counts.remove(&offset);
                }
            } else {
                self.counts.retain(|offset, _| !(from..to).contains(offset));
            }
        }
        if to == from + 1 {
            self.outstanding.remove(from);
        } else {
            self.outstanding.remove_range(from..to);
        }
        self.source.forget(from, to);
        if to > self.cursor {
            self.cursor = to;
            self.source.skip_to(to);
        }
    }

    /// These are done with, and others before them have yet to be delivered.
    fn finish_ahead(&mut self, from: u64, to: u64) {
        let parked = self.parked.range_cardinality(from..to);
        self.n_parked_fresh += (to - from).saturating_sub(parked);
        self.parked.insert_range(from..to);
        self.ahead.insert_range(from..to);
        self.source.forget(from, to);
    }

    /// All that could be delivered from below the cursor is done with; gives what that was.
    pub(crate) fn finish_returned(&mut self) -> RoaringTreemap {
        self.fold_turns();
        // What is not durable yet stays.
        let mut gone = self.returned.clone();
        gone.remove_range(self.end..);
        self.returned.remove_range(..self.end);
        self.n_returned = self.returned.len();
        self.source.forget_all(&gone);
        self.outstanding -= &gone;
        self.undelivered -= &gone;
        self.counts.retain(|offset, _| !gone.contains(*offset));
        gone
    }

    /// A message that was out is ready again. Its lock has been taken off.
    pub(crate) fn release(&mut self, offset: u64, counted: bool) {
        if !counted {
            self.uncount(offset);
        }
        if self.returned.insert(offset) {
            self.n_returned += 1;
        }
    }

    /// The current delivery does not count.
    pub(crate) fn uncount(&mut self, offset: u64) {
        let count = self.count(offset).saturating_sub(1);
        self.set_count(offset, count);
    }

    /// A message is not ready any more, and not out either.
    pub(crate) fn park(&mut self, offset: u64) {
        if self.parked.insert(offset) && offset >= self.cursor {
            self.n_parked_fresh += 1;
        }
        if self.returned.remove(offset) {
            self.n_returned -= 1;
        }
        self.fair.remove(offset, offset + 1);
    }

    /// A parked message is ready again; nothing happens to one that is not parked.
    pub(crate) fn unpark(&mut self, offset: u64) -> bool {
        if self.ahead.contains(offset) || !self.parked.remove(offset) {
            return false;
        }
        if offset >= self.cursor {
            self.n_parked_fresh = self.n_parked_fresh.saturating_sub(1);
        } else if self.returned.insert(offset) {
            self.n_returned += 1;
        }
        true
    }
}
