//! Write-ahead files: their names, their header block, and the walk over their frames.
//!
//! ```text
//! header block (4096 bytes), rest zero:
//! 0  magic "TRAMWAL1"
//! 8  state u32               1 prepared, 2 in use
//! 12 blocks u32              the file's length in blocks of 4096
//! 16 sequence u64            of this use of the file; also the epoch of its frames
//! 24 previous sequence u64   the file before this one, 0: none
//! 32 previous end u64        where its last frame ends, with its padding
//! 40 group u64               the last group before this file
//! 48 commit u64              the last commit before this file
//! 56 manifest generation u64 the newest manifest when this file came into use
//! 64 frame crc u32           the crc of the last frame before this file
//! 68 crc u32                 CRC32C over bytes 0..68
//! ```
//! A prepared header has zeros from 32 to 68. The header in use is written in one go with the
//! file's first group, so a file whose header is not in use holds nothing that was acknowledged.

use super::codec::{Cursor, Malformed, Sink};
use super::frame::{ALIGNMENT, Frame, FrameHeader, NoFrame};
use crate::fs::{AlignedBuf, BLOCK, File};
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"TRAMWAL1";
const PREPARED: u32 = 1;
const IN_USE: u32 = 2;
const CRC_AT: usize = 68;

/// Where the first group of a file starts.
pub(super) const FIRST_GROUP: usize = BLOCK;

/// One use of a write-ahead file.
pub(super) struct WalFile {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
    pub(super) file: Arc<dyn File>,
    /// The newest frame before this file.
    pub(super) before: Link,
}

/// A file's name.
pub(super) fn name(sequence: u64) -> String {
    format!("{sequence:016x}.wal")
}

/// The sequence number in a file's name.
pub(super) fn sequence_of(name: &str) -> Option<u64> {
    let hex = name.strip_suffix(".wal")?;
    (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok())?
}

impl WalFile {
    /// Its length in blocks.
    pub(super) fn blocks(&self) -> u32 {
        u32::try_from(self.bytes / BLOCK as u64).expect("write-ahead files are below 4 GiB")
    }
}

/// A point between two frames: all that the next one builds on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    /// The file that the last frame lies in, 0: none.
    pub(super) sequence: u64,
    /// Where the last group in it ends.
    pub(super) end: u64,
    pub(super) group: u64,
    pub(super) commit: u64,
    /// The crc of the last frame.
    pub(super) crc: u32,
}

impl Link {
    /// The header of the frame that comes next, a commit's number counted already.
    pub(super) const fn next_frame(&self, epoch: u64) -> FrameHeader {
        FrameHeader {
            epoch,
            group: self.group,
            commit: self.commit,
            previous: self.crc,
            last: false,
        }
    }
}

/// The first block of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// Nothing acknowledged in it.
    Prepared { sequence: u64, previous: u64, blocks: u32 },
    /// Groups follow.
    InUse { sequence: u64, link: Link, generation: u64, blocks: u32 },
}

impl Header {
    /// Which use of the file it is for.
    pub(super) const fn sequence(&self) -> u64 {
        match *self {
            Self::Prepared { sequence, .. } | Self::InUse { sequence, .. } => sequence,
        }
    }

    /// The file's length in blocks.
    pub(super) const fn blocks(&self) -> u32 {
        match *self {
            Self::Prepared { blocks, .. } | Self::InUse { blocks, .. } => blocks,
        }
    }

    /// The file before this one.
    pub(super) const fn previous(&self) -> u64 {
        match self {
            Self::Prepared { previous, .. } => *previous,
            Self::InUse { link, .. } => link.sequence,
        }
    }

    /// Appends the header block.
    pub(super) fn encode(&self, buf: &mut AlignedBuf) {
        let mut fields = Vec::with_capacity(CRC_AT + 4);
        fields.put(MAGIC);
        let (state, sequence, link, generation) = match *self {
            Self::Prepared { sequence, previous, .. } => {
                (PREPARED, sequence, Link { sequence: previous, ..Link::default() }, 0)
            }
            Self::InUse { sequence, link, generation, .. } => (IN_USE, sequence, link, generation),
        };
        fields.put_u32(state);
        fields.put_u32(self.blocks());
        for value in [sequence, link.sequence, link.end, link.group, link.commit, generation] {
            fields.put_u64(value);
        }
        fields.put_u32(link.crc);
        fields.put_u32(crc32c::crc32c(&fields));
        buf.put(&fields);
        buf.pad_to_block();
    }

    /// Reads a header block.
    pub(super) fn decode(block: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(block);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(Malformed);
        }
        let state = cursor.u32()?;
        let blocks = cursor.u32()?;
        let (sequence, previous, end) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let (group, commit, generation) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let crc = cursor.u32()?;
        if cursor.u32()? != crc32c::crc32c(&block[..CRC_AT]) {
            return Err(Malformed);
        }
        match state {
            PREPARED => Ok(Self::Prepared { sequence, previous, blocks }),
            IN_USE => {
                let link = Link { sequence: previous, end, group, commit, crc };
                Ok(Self::InUse { sequence, link, generation, blocks })
            }
            _ => Err(Malformed),
        }
    }
}

/// Whether a frame of this use of the file seems to begin here.
pub(super) fn begins_frame(bytes: &[u8], at: usize, epoch: u64) -> bool {
    let fields = bytes.get(at..).map(Cursor::new);
    fields.is_some_and(|mut c| c.u64().is_ok() && c.u64() == Ok(epoch))
}

/// Walks the frames of one file's bytes.
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    epoch: u64,
    at: usize,
    /// Where the file after this one says that this one ends.
    end: Option<usize>,
    group: u64,
    commit: u64,
    crc: u32,
    /// The frame before was the last of its group.
    closed: bool,
    /// After damage, the next frame's numbers are taken as they are.
    resumed: bool,
}

/// What the walk comes upon.
pub(super) enum Step<'a> {
    /// The next frame.
    Frame(Frame<'a>),
    /// Nothing more; `torn` where bytes that are no frame were cut off.
    End { torn: bool },
    /// Bytes that were acknowledged and are no frame any more. The walk goes on behind them.
    Damage { at: usize, resumed: usize },
}

impl<'a> Walk<'a> {
    /// Starts at the first group. `link` is what came before; `None` takes the file's word.
    pub(super) fn new(bytes: &'a [u8], epoch: u64, link: Option<Link>, end: Option<u64>) -> Self {
        let resumed = link.is_none();
        let link = link.unwrap_or_default();
        let end = end.map(|end| usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len()));
        let (group, commit, crc) = (link.group, link.commit, link.crc);
        Self { bytes, epoch, at: FIRST_GROUP, end, group, commit, crc, closed: true, resumed }
    }

    /// The point behind the last frame: within a block where the rest of the group was cut.
    pub(super) const fn link(&self) -> Link {
        let end = self.at as u64;
        Link { sequence: self.epoch, end, group: self.group, commit: self.commit, crc: self.crc }
    }

    /// Goes on from the current frame to the next.
    pub(super) fn step(&mut self) -> Step<'a> {
        if self.end.is_some_and(|end| self.at >= end) {
            return Step::End { torn: false };
        }
        match self.decode(self.at) {
            Ok(frame) if self.follows(&frame) => {
                self.accept(&frame);
                Step::Frame(frame)
            }
            _ => self.stop(),
        }
    }

    fn decode(&self, at: usize) -> Result<Frame<'a>, NoFrame> {
        Frame::decode(self.bytes, at, 0, self.epoch)
    }

    fn follows(&self, frame: &Frame<'_>) -> bool {
        let group = if self.closed { self.group.checked_add(1) } else { Some(self.group) };
        let header = &frame.header;
        let commit = self.commit.checked_add(u64::from(frame.is_commit()));
        self.resumed
            || (Some(header.group) == group
                && Some(header.commit) == commit
                && header.previous == self.crc)
    }

    fn accept(&mut self, frame: &Frame<'_>) {
        let header = &frame.header;
        let alignment = if header.last { BLOCK } else { ALIGNMENT };
        self.at = (self.at + frame.length).next_multiple_of(alignment).min(self.bytes.len());
        (self.group, self.commit, self.crc) = (header.group, header.commit, frame.crc);
        self.closed = header.last;
        self.resumed = false;
    }

    /// No frame at the current place. Damage, if something later proves that it was durable;
    /// otherwise the end.
    fn stop(&mut self) -> Step<'a> {
        let at = self.at;
        let open_group = if self.closed { self.group.saturating_add(1) } else { self.group };
        let proof = self.later_group(open_group);
        if self.end.is_none() && proof.is_none() {
            let torn = !self.closed || begins_frame(self.bytes, at, self.epoch);
            return Step::End { torn };
        }
        // The shortest hole: the stored length of the bad frame often still leads to the next.
        let resumed = self.behind_bad_frame(open_group).or(proof);
        self.at = resumed.or(self.end).unwrap_or(self.bytes.len());
        self.resumed = true;
        Step::Damage { at, resumed: self.at }
    }

    /// The first block behind the current place that starts a frame of a later group.
    fn later_group(&self, group: u64) -> Option<usize> {
        let end = self.end.unwrap_or(self.bytes.len());
        let mut at = (self.at + 1).next_multiple_of(BLOCK);
        while at < end {
            if self.decode(at).is_ok_and(|frame| frame.header.group > group) {
                return Some(at);
            }
            at += BLOCK;
        }
        None
    }

    fn behind_bad_frame(&self, group: u64) -> Option<usize> {
        let length = Cursor::new(self.bytes.get(self.at..)?).length().ok()?;
        let end = self.at.checked_add(length)?;
        [ALIGNMENT, BLOCK].into_iter().find_map(|alignment| {
            let at = end.checked_next_multiple_of(alignment)?;
            let frame = self.decode(at).ok().filter(|_| at > self.at)?;
            (frame.header.group >= group).then_some(at)
        })
    }

    /// Whether a frame proves that a group of this number became durable.
    pub(super) fn proves(&self, group: u64) -> bool {
        self.decode(FIRST_GROUP).is_ok_and(|frame| frame.header.group > group)
            || self.later_group(group).is_some()
    }
}

/// Walks arbitrary bytes as a write-ahead file, for fuzzing: returns how many operations were
/// read.
pub(super) fn walk_any(bytes: &[u8]) -> usize {
    let header = bytes.get(..BLOCK).map(Header::decode);
    let (epoch, link) = match header {
        Some(Ok(Header::InUse { sequence, link, .. })) => (sequence, Some(link)),
        Some(Ok(Header::Prepared { sequence, .. })) => (sequence, None),
        _ => (1, None),
    };
    let mut walk = Walk::new(bytes, epoch, link, None);
    let mut ops = 0;
    loop {
        match walk.step() {
            Step::Frame(frame) => {
                ops += frame.ops().filter(Result::is_ok).count();
                ops += frame.told().map_or(0, |told| told.ends().count());
            }
            Step::Damage { .. } => {}
            Step::End { .. } => return ops,
        }
    }
}
