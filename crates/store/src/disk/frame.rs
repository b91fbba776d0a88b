//! Frames: one commit each, or what a group tells of the ends of logs; checksummed as a whole,
//! chained to the one before.
//!
//! ```text
//! 0  length u32     of the whole frame; 0: nothing follows in this group
//! 4  crc u32        CRC32C over bytes 0..4 and 8..length
//! 8  epoch u64      the sequence number of the file's use: frames of another one are empty space
//! 16 group u64      which commit group, from 1; a group is one write and one sync
//! 24 commit u64     which commit, from 1; the last one, where it tells of ends
//! 32 previous u32   the crc of the frame before, across files
//! 36 ops u32        how many operations or ends follow
//! 40 kind u8        1 commit, 2 ends
//! 41 flags u8      1: the last frame of its group; then zeros
//! 48 operations, or ends
//! ```
//! A frame starts at a multiple of 8, a group at a multiple of 4096. All integers are little
//! endian. A decoder never allocates by a stored length.

use super::codec::{Cursor, Malformed, Sink};
use super::ends::{Ends, Told};
use crate::fs::AlignedBuf;
use crate::{Append, Commit, Op};
use std::ops::Range;
use tramline_types::{LogId, Offset, Timestamp};

/// The length of a frame's header.
pub(super) const HEADER_BYTES: usize = 48;
/// Frames start at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
const KIND_COMMIT: u8 = 1;
const KIND_ENDS: u8 = 2;
const TARGET_BYTES: usize = 20;

const CREATE: u8 = 1;
const APPEND: u8 = 2;
const APPEND_EXTENT: u8 = 3;
const DELTA: u8 = 4;
const CHECKPOINT: u8 = 5;
const TRIM: u8 = 6;
const DISCARD: u8 = 7;
const REPLACE: u8 = 8;
const DELETE: u8 = 9;
const PUT: u8 = 10;
const REMOVE: u8 = 11;

/// What identifies a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub(super) epoch: u64,
    pub(super) group: u64,
    pub(super) commit: u64,
    pub(super) previous: u32,
    /// The last of its group: the next group starts at the next block.
    pub(super) last: bool,
}

/// Where the bytes of an append lie outside the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pointer {
    pub(super) segment: u64,
    pub(super) position: u32,
    pub(super) length: u32,
    pub(super) crc: u32,
}

/// How long a commit's frame is at most, without its padding.
pub(super) fn commit_bytes_max(commit: &Commit) -> usize {
    HEADER_BYTES + commit.ops.iter().map(op_bytes).sum::<usize>() + ALIGNMENT
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Create(..) | Op::Trim(..) => 17,
        Op::Append(append) => append_bytes(append),
        Op::Delta(_, bytes) | Op::Checkpoint(_, bytes) => 13 + bytes.len(),
        Op::Discard(_, ranges) => 13 + 16 * ranges.len(),
        Op::Replace(_, _, appends) => 29 + appends.iter().map(append_bytes).sum::<usize>(),
        Op::Delete(_) => 9,
        Op::Put(key, value) => 9 + key.len() + value.len(),
        Op::Remove(key) => 5 + key.len(),
    }
}

/// How many bytes an append takes inline, which is never less than with a pointer but for tiny
/// batches, which get none.
fn append_bytes(append: &Append) -> usize {
    21 + TARGET_BYTES * append.targets.len() + append.batch.len()
}

/// Appends one frame to a group's buffer; `pointers` gives, per append in order, where its
/// bytes lie if not inline. Returns the frame's crc.
pub(super) fn encode(
    buf: &mut AlignedBuf,
    header: FrameHeader,
    commit: &Commit,
    pointers: &mut dyn Iterator<Item = Option<Pointer>>,
) -> u32 {
    let start = begin(buf);
    let mut ops = 0u32;
    for op in &commit.ops {
        ops += 1;
        if let Op::Replace(_, _, appends) = op {
            ops += u32::try_from(appends.len()).expect("bounded by the file size");
        }
        encode_op(buf, op, pointers);
    }
    finish(buf, start, header, (KIND_COMMIT, ops))
}

/// Appends the frame that ends a group: the ends of at most so many logs. Returns its crc.
pub(super) fn encode_ends(
    buf: &mut AlignedBuf,
    header: FrameHeader,
    ends: &Ends,
    entries_max: usize,
) -> u32 {
    let start = begin(buf);
    let entries = ends.encode(buf, entries_max);
    finish(buf, start, header, (KIND_ENDS, entries))
}

/// How long such a frame is.
pub(super) const fn ends_bytes(entries: usize) -> usize {
    HEADER_BYTES + 8 + entries * super::ends::END_BYTES
}

fn begin(buf: &mut AlignedBuf) -> usize {
    let start = buf.len();
    buf.put(&[0; HEADER_BYTES]);
    start
}

fn finish(buf: &mut AlignedBuf, start: usize, header: FrameHeader, (kind, ops): (u8, u32)) -> u32 {
    let length = u32::try_from(buf.len() - start).expect("bounded by the file size");
    let frame = &mut buf.as_mut_slice()[start..];
    frame[0..4].copy_from_slice(&length.to_le_bytes());
    frame[8..16].copy_from_slice(&header.epoch.to_le_bytes());
    frame[16..24].copy_from_slice(&header.group.to_le_bytes());
    frame[24..32].copy_from_slice(&header.commit.to_le_bytes());
    frame[32..36].copy_from_slice(&header.previous.to_le_bytes());
    frame[36..40].copy_from_slice(&ops.to_le_bytes());
    frame[40] = kind;
    frame[41] = u8::from(header.last);
    let crc = frame_crc(frame);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    let end = buf.len().next_multiple_of(ALIGNMENT);
    buf.resize(end);
    crc
}

fn frame_crc(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[0..4]), &frame[8..])
}

fn encode_op(buf: &mut AlignedBuf, op: &Op, pointers: &mut dyn Iterator<Item = Option<Pointer>>) {
    match op {
        Op::Create(log, start) => put_pair(buf, CREATE, *log, *start),
        Op::Append(append) => encode_append(buf, append, pointers.next().flatten()),
        Op::Delta(log, bytes) => put_blob(buf, DELTA, *log, bytes),
        Op::Checkpoint(log, bytes) => put_blob(buf, CHECKPOINT, *log, bytes),
        Op::Trim(log, start) => put_pair(buf, TRIM, *log, *start),
        Op::Discard(log, ranges) => {
            buf.put_u8(DISCARD);
            buf.put_u64(log.0);
            buf.put_length(ranges.len());
            for range in ranges {
                buf.put_u64(range.start.get());
                buf.put_u64(range.end.get());
            }
        }
        Op::Replace(log, range, appends) => {
            put_pair(buf, REPLACE, *log, range.start);
            buf.put_u64(range.end.get());
            buf.put_length(appends.len());
            for append in appends {
                encode_append(buf, append, pointers.next().flatten());
            }
        }
        Op::Delete(log) => {
            buf.put_u8(DELETE);
            buf.put_u64(log.0);
        }
        Op::Put(key, value) => {
            buf.put_u8(PUT);
            buf.put_bytes(key);
            buf.put_bytes(value);
        }
        Op::Remove(key) => {
            buf.put_u8(REMOVE);
            buf.put_bytes(key);
        }
    }
}

fn put_pair(buf: &mut AlignedBuf, kind: u8, log: LogId, offset: Offset) {
    buf.put_u8(kind);
    buf.put_u64(log.0);
    buf.put_u64(offset.get());
}

fn put_blob(buf: &mut AlignedBuf, kind: u8, log: LogId, bytes: &[u8]) {
    buf.put_u8(kind);
    buf.put_u64(log.0);
    buf.put_bytes(bytes);
}

fn encode_append(buf: &mut AlignedBuf, append: &Append, pointer: Option<Pointer>) {
    let mut fixed = [0; 21];
    fixed[0] = if pointer.is_some() { APPEND_EXTENT } else { APPEND };
    let targets = u32::try_from(append.targets.len()).expect("bounded by the file size");
    let length = u32::try_from(append.batch.len()).expect("bounded by the file size");
    fixed[1..5].copy_from_slice(&targets.to_le_bytes());
    fixed[5..9].copy_from_slice(&append.offsets.to_le_bytes());
    fixed[9..17].copy_from_slice(&append.max_timestamp.as_millis().to_le_bytes());
    fixed[17..21].copy_from_slice(&length.to_le_bytes());
    buf.put(&fixed);
    for target in &append.targets {
        let mut fields = [0; TARGET_BYTES];
        fields[0..8].copy_from_slice(&target.log.0.to_le_bytes());
        fields[8..16].copy_from_slice(&target.base.get().to_le_bytes());
        fields[16..20].copy_from_slice(&target.leader_epoch.to_le_bytes());
        buf.put(&fields);
    }
    match pointer {
        Some(pointer) => {
            buf.put_u64(pointer.segment);
            buf.put_u64(u64::from(pointer.position));
            buf.put_u32(pointer.crc);
        }
        None => {
            let at = buf.len();
            buf.put(&append.batch);
            if let Some(first) = append.targets.first() {
                stamp(&mut buf.as_mut_slice()[at..], first.base, first.leader_epoch);
            }
        }
    }
}

/// Writes the base offset and the leader epoch into a batch's header.
pub(super) fn stamp(batch: &mut [u8], base: Offset, leader_epoch: i32) {
    if let Some(field) = batch.get_mut(0..8) {
        field.copy_from_slice(&base.get().to_be_bytes());
    }
    if let Some(field) = batch.get_mut(12..16) {
        field.copy_from_slice(&leader_epoch.to_be_bytes());
    }
}

/// Why there is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoFrame {
    /// The length is zero: the end of a group, or space never written.
    Empty,
    /// Whole, but of another use of the file: empty space.
    Stale,
    /// Not a frame.
    Damaged,
}

/// One whole frame whose checksum was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) header: FrameHeader,
    pub(super) crc: u32,
    pub(super) length: usize,
    kind: u8,
    ops: u32,
    body: &'a [u8],
    /// Where the body starts in the file.
    body_at: usize,
}

impl<'a> Frame<'a> {
    /// Reads the frame at `at` of a buffer that starts at `file_position` in its file.
    pub(super) fn decode(
        bytes: &'a [u8],
        at: usize,
        file_position: usize,
        epoch: u64,
    ) -> Result<Self, NoFrame> {
        let rest = bytes.get(at..).ok_or(NoFrame::Empty)?;
        let frame = Self::parse(rest, at + file_position).map_err(|Malformed| NoFrame::Damaged)?;
        let frame = frame.ok_or(NoFrame::Empty)?;
        if frame.header.epoch != epoch {
            return Err(NoFrame::Stale);
        }
        // The checksum is the expensive part: stale frames are told apart before it.
        if frame_crc(&rest[..frame.length]) != frame.crc {
            return Err(NoFrame::Damaged);
        }
        Ok(frame)
    }

    /// The same for bytes that this process wrote itself.
    pub(super) fn decode_trusted(bytes: &'a [u8], at: usize, file_position: usize) -> Self {
        let frame = bytes.get(at..).map(|rest| Self::parse(rest, at + file_position));
        frame.and_then(Result::ok).flatten().expect("the frame was just written here")
    }

    /// What a frame with a wrong checksum seems to say.
    pub(super) fn decode_untrusted(bytes: &'a [u8], at: usize, epoch: u64) -> Option<Self> {
        let frame = Self::parse(bytes.get(at..)?, at).ok().flatten()?;
        (frame.header.epoch == epoch).then_some(frame)
    }

    fn parse(rest: &'a [u8], position: usize) -> Result<Option<Self>, Malformed> {
        let mut cursor = Cursor::new(rest);
        let length = cursor.length()?;
        if length == 0 {
            return Ok(None);
        }
        let crc = cursor.u32()?;
        let (epoch, group, commit) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let (previous, ops) = (cursor.u32()?, cursor.u32()?);
        let (kind, flags) = (cursor.u8()?, cursor.u8()?);
        let header = FrameHeader { epoch, group, commit, previous, last: flags & 1 == 1 };
        if length < HEADER_BYTES || length > rest.len() || !matches!(kind, KIND_COMMIT | KIND_ENDS)
        {
            return Err(Malformed);
        }
        let body = &rest[HEADER_BYTES..length];
        let body_at = position + HEADER_BYTES;
        Ok(Some(Self { header, crc, length, kind, ops, body, body_at }))
    }

    /// Whether it is a commit.
    pub(super) const fn is_commit(&self) -> bool {
        self.kind == KIND_COMMIT
    }

    /// What it tells of the ends of logs, where it is no commit.
    pub(super) fn told(&self) -> Option<Told<'a>> {
        if self.is_commit() { None } else { Told::decode(self.body).ok() }
    }

    /// Its operations, in order.
    pub(super) const fn ops(&self) -> Ops<'a> {
        let left = if self.is_commit() { self.ops } else { 0 };
        Ops { cursor: Cursor::new(self.body), left, body_at: self.body_at }
    }
}

/// The operations of a frame.
#[derive(Clone, Debug)]
pub(super) struct Ops<'a> {
    cursor: Cursor<'a>,
    left: u32,
    body_at: usize,
}

/// One operation as stored. [`Self::Replace`] is followed by its appends.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoredOp<'a> {
    Create(LogId, Offset),
    Append(StoredAppend<'a>),
    Delta(LogId, Blob<'a>),
    Checkpoint(LogId, Blob<'a>),
    Trim(LogId, Offset),
    Discard(LogId, Ranges<'a>),
    Replace { log: LogId, start: Offset, end: Offset, appends: usize },
    Delete(LogId),
    Put(&'a [u8], &'a [u8]),
    Remove(&'a [u8]),
}

/// Bytes and where in the file they lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blob<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

/// An append as stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredAppend<'a> {
    pub(super) offsets: u32,
    pub(super) max_timestamp: Timestamp,
    pub(super) place: StoredPlace<'a>,
    targets: &'a [u8],
}

/// Where an append's bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum StoredPlace<'a> {
    Inline(Blob<'a>),
    Extent(Pointer),
}

impl<'a> StoredAppend<'a> {
    /// Who gets it, each with its place in the list.
    pub(super) fn targets(&self) -> impl Iterator<Item = crate::Target> + use<'a> {
        let (targets, _) = self.targets.as_chunks::<TARGET_BYTES>();
        let offsets = u64::from(self.offsets);
        targets.iter().filter_map(move |fields| {
            let mut cursor = Cursor::new(fields);
            let log = LogId(cursor.u64().ok()?);
            let base = cursor.offset().ok()?;
            Offset::new(base.get().checked_add(offsets)?).filter(|next| *next > base)?;
            Some(crate::Target { log, base, leader_epoch: cursor.i32().ok()? })
        })
    }

    /// The stored length of the batch.
    pub(super) fn length(&self) -> u32 {
        match self.place {
            StoredPlace::Inline(blob) => {
                u32::try_from(blob.bytes.len()).expect("its length was stored as u32")
            }
            StoredPlace::Extent(pointer) => pointer.length,
        }
    }
}

/// Offset ranges as stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranges<'a>(&'a [u8]);

impl<'a> Ranges<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Range<Offset>> + use<'a> {
        let (ranges, _) = self.0.as_chunks::<16>();
        ranges.iter().filter_map(|fields| {
            let mut cursor = Cursor::new(fields);
            Some(cursor.offset().ok()?..cursor.offset().ok()?)
        })
    }
}

impl<'a> Ops<'a> {
    fn blob(&mut self) -> Result<(LogId, Blob<'a>), Malformed> {
        let log = LogId(self.cursor.u64()?);
        let bytes = self.cursor.bytes()?;
        Ok((log, Blob { bytes, at: self.body_at + self.cursor.position() - bytes.len() }))
    }

    fn append(&mut self, inline: bool) -> Result<StoredAppend<'a>, Malformed> {
        let count = self.cursor.length()?;
        let offsets = self.cursor.u32()?;
        let max_timestamp = Timestamp::from_millis(self.cursor.i64()?);
        let length = self.cursor.u32()?;
        let targets = self.cursor.take(count.checked_mul(TARGET_BYTES).ok_or(Malformed)?)?;
        let place = if inline {
            let bytes = self.cursor.take(usize::try_from(length).map_err(|_| Malformed)?)?;
            let at = self.body_at + self.cursor.position() - bytes.len();
            StoredPlace::Inline(Blob { bytes, at })
        } else {
            let (segment, position) = (self.cursor.u64()?, self.cursor.u64()?);
            let position = u32::try_from(position).map_err(|_| Malformed)?;
            StoredPlace::Extent(Pointer { segment, position, length, crc: self.cursor.u32()? })
        };
        Ok(StoredAppend { offsets, max_timestamp, place, targets })
    }

    fn decode(&mut self) -> Result<StoredOp<'a>, Malformed> {
        let kind = self.cursor.u8()?;
        Ok(match kind {
            CREATE => StoredOp::Create(LogId(self.cursor.u64()?), self.cursor.offset()?),
            APPEND | APPEND_EXTENT => StoredOp::Append(self.append(kind == APPEND)?),
            DELTA => self.blob().map(|(log, blob)| StoredOp::Delta(log, blob))?,
            CHECKPOINT => self.blob().map(|(log, blob)| StoredOp::Checkpoint(log, blob))?,
            TRIM => StoredOp::Trim(LogId(self.cursor.u64()?), self.cursor.offset()?),
            DISCARD => {
                let log = LogId(self.cursor.u64()?);
                let count = self.cursor.length()?;
                let ranges = self.cursor.take(count.checked_mul(16).ok_or(Malformed)?)?;
                StoredOp::Discard(log, Ranges(ranges))
            }
            REPLACE => StoredOp::Replace {
                log: LogId(self.cursor.u64()?),
                start: self.cursor.offset()?,
                end: self.cursor.offset()?,
                appends: self.cursor.length()?,
            },
            DELETE => StoredOp::Delete(LogId(self.cursor.u64()?)),
            PUT => {
                let key = self.cursor.bytes()?;
                StoredOp::Put(key, self.cursor.bytes()?)
            }
            REMOVE => StoredOp::Remove(self.cursor.bytes()?),
            _ => return Err(Malformed),
        })
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<StoredOp<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return (!self.cursor.is_empty()).then(|| {
                self.cursor = Cursor::new(&[]);
                Err(Malformed)
            });
        }
        self.left -= 1;
        let op = self.decode();
        if op.is_err() {
            self.left = 0;
            self.cursor = Cursor::new(&[]);
        }
        Some(op)
    }
}

#[cfg(test)]
mod tests;
