//! Frames.
//!
//! ```text
//! kind: u8 | channel: u16 | size: u32 | payload: size bytes | end: 0xCE
//! ```
//!
//! A declared size is checked against the limit before anything waits for so many bytes.

use crate::{DecodeError, Writer};

/// What a client sends first.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// The last byte of every frame.
pub const FRAME_END: u8 = 0xce;

/// The bytes of a frame that are not payload.
pub const FRAME_OVERHEAD: usize = 8;

/// The bytes before the payload.
const HEAD_BYTES: usize = 7;

/// A heartbeat.
pub const HEARTBEAT: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, FRAME_END];

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A method and its arguments.
    Method,
    /// The properties of a message and the size of its body.
    Header,
    /// A part of a body.
    Body,
    /// Nothing: the peer lives.
    Heartbeat,
}

impl FrameKind {
    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    fn from_wire(code: u8) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Method),
            2 => Ok(Self::Header),
            3 => Ok(Self::Body),
            8 => Ok(Self::Heartbeat),
            _ => Err(DecodeError::UnknownFrame(code)),
        }
    }
}

/// One frame, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: FrameKind,
    /// Whose it is; 0 is the connection.
    pub channel: u16,
    /// What it carries, in bytes.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The frame's bytes in all.
    pub fn len(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }

    /// A frame is never empty.
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// How many bytes the first frame takes, as far as its head is there.
fn declared(buf: &[u8], frame_max: usize) -> Result<Option<usize>, DecodeError> {
    let Some(head) = buf.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let [kind, _, _, size @ ..] = *head;
    FrameKind::from_wire(kind)?;
    let limit = frame_max.saturating_sub(FRAME_OVERHEAD);
    let bytes = usize::try_from(u32::from_be_bytes(size)).unwrap_or(usize::MAX);
    if bytes > limit {
        return Err(DecodeError::FrameTooLarge { bytes, limit });
    }
    Ok(Some(bytes + FRAME_OVERHEAD))
}

/// The bytes of the whole frames at the front. What follows is the beginning of another frame; an
/// error is told once it stands at the front.
pub fn whole_frames(buf: &[u8], frame_max: usize) -> Result<usize, DecodeError> {
    let mut whole = 0;
    loop {
        match declared(&buf[whole..], frame_max) {
            Ok(Some(bytes)) if bytes <= buf.len() - whole => whole += bytes,
            Ok(_) => return Ok(whole),
            Err(error) if whole == 0 => return Err(error),
            Err(_) => return Ok(whole),
        }
    }
}

/// The first frame; `None` when it is not all there.
pub fn split(buf: &[u8], frame_max: usize) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some(bytes) = declared(buf, frame_max)? else { return Ok(None) };
    let Some(frame) = buf.get(..bytes) else { return Ok(None) };
    let (kind, end) = (FrameKind::from_wire(frame[0])?, frame[bytes - 1]);
    if end != FRAME_END {
        return Err(DecodeError::InvalidFrameEnd(end));
    }
    let channel = u16::from_be_bytes([frame[1], frame[2]]);
    Ok(Some(Frame { kind, channel, payload: &frame[HEAD_BYTES..bytes - 1] }))
}

/// Writes the head of a frame whose payload's size is known.
pub(crate) fn encode_head(writer: &mut Writer, kind: FrameKind, channel: u16, size: usize) {
    writer.u8(kind.code());
    writer.u16(channel);
    writer.size(size);
}

/// Writes a frame around what `payload` writes.
pub(crate) fn encode(
    writer: &mut Writer,
    kind: FrameKind,
    channel: u16,
    payload: impl FnOnce(&mut Writer),
) {
    writer.u8(kind.code());
    writer.u16(channel);
    writer.sized(payload);
    writer.u8(FRAME_END);
}
