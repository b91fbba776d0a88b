//! Changes of delivery state as they are logged.
//!
//! ```text
//! delta   time i64, ms | record ...
//! record  kind u8 | fields, each a varint (LEB128, at most 10 bytes)
//! ```
//! Damaged or hostile bytes give fewer records, never a panic, and the owner clamps offsets to
//! what its logs hold.

use std::collections::VecDeque;

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The cursor went over these without delivering them: they are still to be delivered.
    Passed(Run),
    /// Delivered for the first time.
    Delivered(Run),
    /// Delivered again.
    Redelivered(Run),
    /// These deliveries have timed locks, with ascending sequences from this one.
    Locked { run: Run, sequence: u64, until: i64 },
    /// Done with.
    Done(Run),
    /// Ready again; the delivery counts.
    Released(Run),
    /// Ready again as if not delivered.
    Uncounted(Run),
    /// Not to be delivered before this time.
    Delayed { lane: u16, offset: u64, until: i64 },
    /// On its way to the dead-letter target, for this reason.
    Transferring { lane: u16, offset: u64, reason: u8 },
    /// Set aside until asked for.
    Deferred { lane: u16, offset: u64 },
    /// A deduplication id, hashed, until when it counts, and the message that has it.
    Seen { hash: u128, until: i64, lane: u16, offset: u64 },
    /// Messages with a time to live of their own have come.
    Perishable,
    /// What the bodies of the ready messages take, where a bound goes by it.
    BytesReady(u64),
    /// The message of its group that goes first: no other one goes out before it is done.
    Head { lane: u16, offset: u64, group: u64 },
}

/// What is to be logged, in pieces that fit into a commit with room to spare. Runs that follow
/// each other become one.
#[derive(Default)]
pub(crate) struct Journal {
    last: Option<Record>,
    open: Vec<u8>,
    full: VecDeque<Vec<u8>>,
}

/// A piece is closed when it is so long.
const PIECE_BYTES: usize = 256 * 1024;
const TIME_BYTES: usize = 8;

impl Journal {
    pub(crate) fn add(&mut self, record: Record) {
        if let Some(joined) = self.last.and_then(|last| last.followed_by(record)) {
            self.last = Some(joined);
            return;
        }
        self.write();
        self.last = Some(record);
    }

    fn write(&mut self) {
        let Some(last) = self.last.take() else { return };
        if self.open.is_empty() {
            self.open.extend_from_slice(&[0; TIME_BYTES]);
        }
        last.encode_into(&mut self.open);
        if self.open.len() >= PIECE_BYTES {
            self.full.push_back(std::mem::take(&mut self.open));
        }
    }

    /// The next piece, to be logged at this time.
    pub(crate) fn take(&mut self, now: i64) -> Option<Vec<u8>> {
        if self.full.is_empty() {
            self.write();
        }
        // Whatever its size was, the next one starts small: idle queues keep nothing.
        let mut piece = self.full.pop_front().unwrap_or_else(|| std::mem::take(&mut self.open));
        piece.get_mut(..TIME_BYTES)?.copy_from_slice(&now.to_be_bytes());
        Some(piece)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Offsets `from..to` of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) lane: u16,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Run {
    pub(crate) const fn one(lane: u16, offset: u64) -> Self {
        Self { lane, from: offset, to: offset + 1 }
    }

    fn followed_by(self, next: Self) -> Option<Self> {
        (self.lane == next.lane && self.to == next.from).then_some(Self { to: next.to, ..self })
    }
}

impl Record {
    /// Both as one, where that says the same.
    fn followed_by(self, next: Self) -> Option<Self> {
        Some(match (self, next) {
            (Self::Passed(run), Self::Passed(more)) => Self::Passed(run.followed_by(more)?),
            (Self::Delivered(run), Self::Delivered(more)) => {
                Self::Delivered(run.followed_by(more)?)
            }
            (Self::Redelivered(run), Self::Redelivered(more)) => {
                Self::Redelivered(run.followed_by(more)?)
            }
            (Self::BytesReady(_), Self::BytesReady(_)) => next,
            (Self::Done(run), Self::Done(more)) => Self::Done(run.followed_by(more)?),
            (Self::Released(run), Self::Released(more)) => Self::Released(run.followed_by(more)?),
            (Self::Uncounted(run), Self::Uncounted(more)) => {
                Self::Uncounted(run.followed_by(more)?)
            }
            _ => return None,
        })
    }

    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Passed(run) => put_run(out, 1, run),
            Self::Delivered(run) => put_run(out, 2, run),
            Self::Redelivered(run) => put_run(out, 3, run),
            Self::Locked { run, sequence, until } => {
                put_run(out, 4, run);
                put_varint(out, sequence);
                put_varint(out, until.cast_unsigned());
            }
            Self::Done(run) => put_run(out, 5, run),
            Self::Released(run) => put_run(out, 6, run),
            Self::Uncounted(run) => put_run(out, 7, run),
            Self::Delayed { lane, offset, until } => {
                put_place(out, 8, lane, offset);
                put_varint(out, until.cast_unsigned());
            }
            Self::Transferring { lane, offset, reason } => {
                put_place(out, 9, lane, offset);
                out.push(reason);
            }
            Self::Deferred { lane, offset } => put_place(out, 10, lane, offset),
            Self::Seen { hash, until, lane, offset } => {
                put_place(out, 11, lane, offset);
                out.extend_from_slice(&hash.to_be_bytes());
                put_varint(out, until.cast_unsigned());
            }
            Self::Perishable => out.push(12),
            Self::BytesReady(bytes) => {
                out.push(14);
                put_varint(out, bytes);
            }
            Self::Head { lane, offset, group } => {
                put_place(out, 13, lane, offset);
                put_varint(out, group);
            }
        }
    }

    fn decode(rest: &mut &[u8]) -> Option<Self> {
        Some(match byte(rest)? {
            1 => Self::Passed(run(rest)?),
            2 => Self::Delivered(run(rest)?),
            3 => Self::Redelivered(run(rest)?),
            4 => {
                let (run, sequence) = (run(rest)?, varint(rest)?);
                Self::Locked { run, sequence, until: varint(rest)?.cast_signed() }
            }
            5 => Self::Done(run(rest)?),
            6 => Self::Released(run(rest)?),
            7 => Self::Uncounted(run(rest)?),
            8 => {
                let (lane, offset) = place(rest)?;
                Self::Delayed { lane, offset, until: varint(rest)?.cast_signed() }
            }
            9 => {
                let (lane, offset) = place(rest)?;
                Self::Transferring { lane, offset, reason: byte(rest)? }
            }
            10 => {
                let (lane, offset) = place(rest)?;
                Self::Deferred { lane, offset }
            }
            11 => {
                let (lane, offset) = place(rest)?;
                let (hash, after) = rest.split_first_chunk()?;
                *rest = after;
                let hash = u128::from_be_bytes(*hash);
                Self::Seen { hash, until: varint(rest)?.cast_signed(), lane, offset }
            }
            12 => Self::Perishable,
            14 => Self::BytesReady(varint(rest)?),
            13 => {
                let (lane, offset) = place(rest)?;
                Self::Head { lane, offset, group: varint(rest)? }
            }
            _ => return None,
        })
    }
}

/// The time of a delta and its records.
pub(crate) fn decode(delta: &[u8]) -> Option<(i64, Records<'_>)> {
    let (time, rest) = delta.split_first_chunk()?;
    Some((i64::from_be_bytes(*time), Records { rest }))
}

/// Ends before the first record that cannot be read.
pub(crate) struct Records<'a> {
    rest: &'a [u8],
}

impl Records<'_> {
    /// Whether everything was read.
    pub(crate) const fn is_over(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let mut rest = self.rest;
        let record = Record::decode(&mut rest)?;
        self.rest = rest;
        Some(record)
    }
}

fn put_run(out: &mut Vec<u8>, kind: u8, run: Run) {
    put_place(out, kind, run.lane, run.from);
    put_varint(out, run.to.saturating_sub(run.from));
}

fn put_place(out: &mut Vec<u8>, kind: u8, lane: u16, offset: u64) {
    out.push(kind);
    put_varint(out, u64::from(lane));
    put_varint(out, offset);
}

fn run(rest: &mut &[u8]) -> Option<Run> {
    let (lane, from) = place(rest)?;
    let to = from.checked_add(varint(rest)?)?;
    Some(Run { lane, from, to })
}

fn place(rest: &mut &[u8]) -> Option<(u16, u64)> {
    let lane = u16::try_from(varint(rest)?).ok()?;
    Some((lane, varint(rest)?))
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some(byte)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

pub(crate) fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..10_u32 {
        let next = byte(rest)?;
        let bits = u64::from(next & 0x7f);
        let shift = index * 7;
        // The tenth byte has room for one bit only.
        if bits.leading_zeros() < shift {
            return None;
        }
        value |= bits << shift;
        if next & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
