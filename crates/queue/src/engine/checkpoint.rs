//! The whole state as one value, in place of all deltas before it; in parts, where it is large.
//!
//! ```text
//! first part  version u8 = 4 | parts u32 | the first bytes of the checkpoint
//! other parts mark i64 = i64::MIN + number of the part, from 1 | the bytes that follow
//! checkpoint  time i64 | perishable u8 | bytes ready | lanes | seen | delayed
//!             | transferring | deferred | locked | heads
//! lanes       n, n x (level | cursor | outstanding set | undelivered set | ahead set
//!                     | n, n x (offset | count))
//! set         length | roaring portable format, 64 bits
//! seen        n, n x (hash u128 | lane | offset delta | until delta)
//! delayed     n, n x (lane | offset delta | until delta)
//! transferring n, n x (lane | offset delta | reason u8)
//! deferred    n, n x (lane | offset delta)
//! locked      n, n x (lane | offset delta | sequence delta | until delta)
//! heads       n, n x (lane | offset delta | group hash)
//! ```
//! A mark is no time, so that no part is taken for a delta. Before version 4 there was one part,
//! `version u8 = 3 | checkpoint`. Numbers are varints unless said otherwise; deltas are to the entry before (zigzag), from 0.
//! Times are milliseconds since 1970.

use super::Engine;
use crate::{
    DeadReason, Place,
    delta::{put_varint, varint},
    lane::Lane,
    locks::Held,
};
use bytes::Bytes;
use roaring::RoaringTreemap;
use std::borrow::Cow;
use tramline_types::Timestamp;

const VERSION: u8 = 4;
const VERSION_OF_ONE_PART: u8 = 3;
/// Bytes of one part: it goes into one commit.
const PART_BYTES: usize = if cfg!(test) { 24 } else { 1024 * 1024 };
const HEAD_BYTES: usize = 5;

impl Engine {
    /// Whether the deltas since the last checkpoint have grown so much that one is due.
    pub fn checkpoint_due(&self) -> bool {
        let limit = super::DELTA_BYTES_MIN.max(2 * self.state.checkpoint_bytes);
        self.state.delta_bytes > limit
    }

    /// The state to store in place of everything logged so far, in parts that follow each other.
    /// What [`Engine::take_delta`] has yet to give is in it.
    pub fn checkpoint(&mut self, now: Timestamp) -> Vec<Bytes> {
        let whole = self.whole(now);
        self.state.delta_bytes = 0;
        self.state.checkpoint_bytes = whole.len();
        into_parts(whole)
    }

    fn whole(&mut self, now: Timestamp) -> Vec<u8> {
        self.state.journal.clear();
        for lane in &mut self.lanes {
            // What was a run and has become every second one takes less as bits.
            lane.outstanding.optimize();
            lane.undelivered.optimize();
            lane.ahead.optimize();
        }
        let mut out = vec![VERSION, 0, 0, 0, 0];
        out.extend_from_slice(&now.as_millis().to_be_bytes());
        out.push(u8::from(self.state.perishable));
        put_varint(&mut out, self.state.bytes_ready);
        self.state.bytes_logged = self.state.bytes_ready;
        put_len(&mut out, self.lanes.len());
        for lane in &self.lanes {
            put_lane(&mut out, lane);
        }
        let seen: Vec<(u128, i64, Place)> = self.state.seen.iter().collect();
        put_len(&mut out, seen.len());
        let (mut last, mut last_until) = (0, 0);
        for (hash, until, place) in seen {
            out.extend_from_slice(&hash.to_be_bytes());
            put_place(&mut out, place, &mut last);
            put_delta(&mut out, until.cast_unsigned(), &mut last_until);
        }
        self.put_places(&mut out);
        self.put_locks(&mut out);
        let known = self.state.groups.known();
        put_len(&mut out, known.len());
        let mut last = 0;
        for (place, group) in known {
            put_place(&mut out, place, &mut last);
            put_varint(&mut out, group);
        }
        out
    }

    fn put_places(&self, out: &mut Vec<u8>) {
        let mut delayed: Vec<(Place, i64)> =
            self.state.delayed.iter().map(|(place, until)| (place, until.as_millis())).collect();
        delayed.sort_unstable();
        put_len(out, delayed.len());
        let (mut last, mut last_until) = (0, 0);
        for (place, until) in delayed {
            put_place(out, place, &mut last);
            put_delta(out, until.cast_unsigned(), &mut last_until);
        }
        put_len(out, self.state.transferring.len());
        last = 0;
        for (place, reason) in &self.state.transferring {
            put_place(out, *place, &mut last);
            out.push(reason.code());
        }
        put_len(out, self.state.deferred.len());
        last = 0;
        for place in &self.state.deferred {
            put_place(out, *place, &mut last);
        }
    }

    fn put_locks(&self, out: &mut Vec<u8>) {
        let mut locks: Vec<(Place, u64, i64)> = Vec::with_capacity(self.state.expiries.len());
        for lane in &self.lanes {
            let timed = lane.locks.iter().filter_map(|(offset, held)| {
                Some((lane.place(offset), held.sequence, held.until()?.as_millis()))
            });
            locks.extend(timed);
        }
        locks.sort_unstable();
        put_len(out, locks.len());
        let (mut last, mut last_sequence, mut last_until) = (0, 0, 0);
        for (place, sequence, until) in locks {
            put_place(out, place, &mut last);
            put_delta(out, sequence, &mut last_sequence);
            put_delta(out, until.cast_unsigned(), &mut last_until);
        }
    }

    /// Takes a checkpoint up; `None` where it is damaged: what came before that counts.
    pub(super) fn restore(&mut self, checkpoint: &[u8]) -> Option<()> {
        self.state.checkpoint_bytes = checkpoint.len();
        let mut rest = checkpoint;
        let rest = &mut rest;
        let _time: [u8; 8] = array(rest)?;
        let [perishable] = array(rest)?;
        self.state.perishable = perishable != 0;
        self.state.bytes_ready = varint(rest)?;
        self.state.bytes_logged = self.state.bytes_ready;
        for _ in 0..varint(rest)? {
            self.restore_lane(rest)?;
        }
        let (mut last, mut last_until) = (0, 0);
        for _ in 0..varint(rest)? {
            let hash = u128::from_be_bytes(array(rest)?);
            let place = place(rest, &mut last)?;
            let until = delta(rest, &mut last_until)?.cast_signed();
            self.state.seen.insert(hash, until, place);
        }
        (last, last_until) = (0, 0);
        for _ in 0..varint(rest)? {
            let place = place(rest, &mut last)?;
            let until = Timestamp::from_millis(delta(rest, &mut last_until)?.cast_signed());
            if self.restore_parked(place) {
                self.state.delayed.insert(place, until);
            }
        }
        last = 0;
        for _ in 0..varint(rest)? {
            let place = place(rest, &mut last)?;
            let [reason] = array(rest)?;
            if self.restore_parked(place) {
                self.state.transferring.insert(place, DeadReason::from_code(reason)?);
            }
        }
        last = 0;
        for _ in 0..varint(rest)? {
            let place = place(rest, &mut last)?;
            if self.restore_parked(place) {
                self.state.deferred.insert(place);
            }
        }
        self.restore_locks(rest)?;
        last = 0;
        for _ in 0..varint(rest)? {
            let place = place(rest, &mut last)?;
            let group = varint(rest)?;
            let lane = self.find(place.lane).map(|at| &self.lanes[at]);
            if lane.is_some_and(|lane| lane.outstanding.contains(place.offset)) {
                self.state.groups.set_known(place, group);
            }
        }
        Some(())
    }

    fn restore_lane(&mut self, rest: &mut &[u8]) -> Option<()> {
        let level = u16::try_from(varint(rest)?).ok()?;
        let cursor = varint(rest)?;
        let (mut outstanding, mut undelivered) = (set(rest)?, set(rest)?);
        let mut ahead = set(rest)?;
        let at = self.find(level);
        if let Some(at) = at {
            let lane = &mut self.lanes[at];
            let start = lane.cursor;
            lane.cursor = cursor.clamp(start, lane.tail);
            for set in [&mut outstanding, &mut undelivered] {
                set.remove_range(..start);
                set.remove_range(lane.cursor..);
            }
            (lane.outstanding, lane.undelivered) = (outstanding, undelivered);
            ahead.remove_range(..lane.cursor);
            ahead.remove_range(lane.tail..);
            lane.n_parked_fresh += ahead.len();
            lane.parked |= &ahead;
            lane.ahead = ahead;
        }
        for _ in 0..varint(rest)? {
            let (offset, count) = (varint(rest)?, varint(rest)?);
            if let Some(at) = at
                && self.lanes[at].outstanding.contains(offset)
            {
                self.lanes[at].counts.insert(offset, u32::try_from(count).ok()?);
            }
        }
        Some(())
    }

    /// Parks a message that can be: one that is not done.
    fn restore_parked(&mut self, place: Place) -> bool {
        let Some(at) = self.find(place.lane) else { return false };
        let lane = &mut self.lanes[at];
        let exists = if place.offset < lane.cursor {
            lane.outstanding.contains(place.offset)
        } else {
            place.offset < lane.tail
        };
        if exists {
            lane.park(place.offset);
        }
        exists
    }

    fn restore_locks(&mut self, rest: &mut &[u8]) -> Option<()> {
        let (mut last, mut last_sequence, mut last_until) = (0, 0, 0);
        for _ in 0..varint(rest)? {
            let place = place(rest, &mut last)?;
            let sequence = delta(rest, &mut last_sequence)?;
            let until = Timestamp::from_millis(delta(rest, &mut last_until)?.cast_signed());
            let Some(at) = self.find(place.lane) else { continue };
            let lane = &mut self.lanes[at];
            if !lane.outstanding.contains(place.offset) || lane.parked.contains(place.offset) {
                continue;
            }
            lane.locks.insert(place.offset, Held::timed(sequence, until, 0));
            self.state.expiries.insert((until, place));
        }
        Some(())
    }
}

fn into_parts(mut whole: Vec<u8>) -> Vec<Bytes> {
    let tail = whole.split_off(whole.len().min(PART_BYTES));
    let n = u32::try_from(1 + tail.len().div_ceil(PART_BYTES)).unwrap_or(u32::MAX);
    whole[1..HEAD_BYTES].copy_from_slice(&n.to_be_bytes());
    let mut parts = vec![Bytes::from(whole)];
    for (number, part) in (1..).zip(tail.chunks(PART_BYTES)) {
        let mark: i64 = i64::MIN + number;
        parts.push(Bytes::from([&mark.to_be_bytes()[..], part].concat()));
    }
    parts
}

/// What is stored, sorted out: the checkpoint, if it is there as a whole, and how many of the
/// deltas are parts of it.
pub(super) fn join_parts<'a, D: AsRef<[u8]>>(
    first: &'a [u8],
    deltas: &[D],
) -> Option<(Cow<'a, [u8]>, usize)> {
    let (version, rest) = first.split_first()?;
    if *version == VERSION_OF_ONE_PART {
        return Some((Cow::Borrowed(rest), 0));
    }
    let (n, rest) = rest.split_first_chunk()?;
    let others = usize::try_from(u32::from_be_bytes(*n)).ok()?.checked_sub(1)?;
    if *version != VERSION {
        return None;
    }
    if others == 0 {
        return Some((Cow::Borrowed(rest), 0));
    }
    let mut whole = rest.to_vec();
    for (number, part) in (1..).zip(deltas.get(..others)?) {
        let (mark, part) = part.as_ref().split_first_chunk()?;
        if i64::from_be_bytes(*mark) != i64::MIN + number {
            return None;
        }
        whole.extend_from_slice(part);
    }
    Some((Cow::Owned(whole), others))
}

/// Whether a delta is a part of a checkpoint.
pub(super) fn is_part(delta: &[u8]) -> bool {
    let mark = delta.first_chunk().map(|mark| i64::from_be_bytes(*mark));
    mark.is_some_and(|mark| mark < i64::MIN + i64::from(u32::MAX))
}

fn put_lane(out: &mut Vec<u8>, lane: &Lane) {
    put_varint(out, u64::from(lane.level));
    put_varint(out, lane.cursor);
    put_set(out, &lane.outstanding);
    put_set(out, &lane.undelivered);
    put_set(out, &lane.ahead);
    put_len(out, lane.counts.len());
    for (offset, count) in &lane.counts {
        put_varint(out, *offset);
        put_varint(out, u64::from(*count));
    }
}

fn put_set(out: &mut Vec<u8>, set: &RoaringTreemap) {
    put_len(out, set.serialized_size());
    set.serialize_into(out).expect("a vector takes everything");
}

fn set(rest: &mut &[u8]) -> Option<RoaringTreemap> {
    let length = usize::try_from(varint(rest)?).ok()?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    RoaringTreemap::deserialize_from(bytes).ok()
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    put_varint(out, u64::try_from(len).unwrap_or(u64::MAX));
}

fn put_place(out: &mut Vec<u8>, place: Place, last: &mut u64) {
    put_varint(out, u64::from(place.lane));
    put_delta(out, place.offset, last);
}

fn place(rest: &mut &[u8], last: &mut u64) -> Option<Place> {
    let lane = u16::try_from(varint(rest)?).ok()?;
    Some(Place { lane, offset: delta(rest, last)? })
}

fn put_delta(out: &mut Vec<u8>, value: u64, last: &mut u64) {
    let difference = value.wrapping_sub(*last).cast_signed();
    put_varint(out, (difference << 1).cast_unsigned() ^ (difference >> 63).cast_unsigned());
    *last = value;
}

fn delta(rest: &mut &[u8], last: &mut u64) -> Option<u64> {
    let raw = varint(rest)?;
    let difference = (raw >> 1).cast_signed() ^ -(raw & 1).cast_signed();
    *last = last.wrapping_add(difference.cast_unsigned());
    Some(*last)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*bytes)
}
