//! WebSocket frames (RFC 6455, section 5), sans-io: bytes in, whole messages out.
//!
//! ```text
//! fin 1 | rsv 3 | opcode 4 | mask 1 | length 7 | length 16 or 64 | mask 32 | payload
//! ```
//! Without extensions: no compression, so no bombs. A declared length is checked and never
//! allocated.

use bytes::{Buf, Bytes, BytesMut};

/// Frames of one message.
const FRAGMENTS_MAX: usize = 1024;
const CONTROL_BYTES_MAX: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Text, checked.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// To be answered with the same bytes.
    Ping(Bytes),
    /// The answer to a ping.
    Pong,
    /// The end, with the client's code.
    Close(Option<u16>),
}

impl Message {
    /// The text, of one that is text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Why a client is refused: the codes of section 7.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A frame that cannot be.
    Protocol(&'static str),
    /// Text that is not UTF-8.
    NotText,
    /// A message above the limit.
    TooLarge,
}

impl Refusal {
    /// The code and the reason of the close.
    pub(crate) const fn code(self) -> (u16, &'static str) {
        match self {
            Self::Protocol(reason) => (1002, reason),
            Self::NotText => (1007, "the text is not UTF-8"),
            Self::TooLarge => (1009, "the message is too large"),
        }
    }
}

/// Puts messages together.
#[derive(Debug)]
pub(crate) struct Decoder {
    bytes_max: usize,
    /// The opcode of the message that has begun.
    begun: Option<u8>,
    message: BytesMut,
    fragments: usize,
}

struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    header_bytes: usize,
    payload_bytes: usize,
}

impl Decoder {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, begun: None, message: BytesMut::new(), fragments: 0 }
    }

    /// Bytes of a message that is not whole.
    pub(crate) fn held(&self) -> usize {
        self.message.len()
    }

    /// Whether a message has begun.
    pub(crate) const fn is_inside(&self) -> bool {
        self.begun.is_some()
    }

    /// The next message; `None` when more bytes are needed.
    pub(crate) fn next(&mut self, bytes: &mut BytesMut) -> Result<Option<Message>, Refusal> {
        loop {
            let Some(header) = self.header(bytes)? else { return Ok(None) };
            if bytes.len() < header.header_bytes + header.payload_bytes {
                return Ok(None);
            }
            bytes.advance(header.header_bytes);
            let mut payload = bytes.split_to(header.payload_bytes);
            unmask(&mut payload, header.mask);
            if let Some(message) = self.take(&header, payload)? {
                return Ok(Some(message));
            }
        }
    }

    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Refusal> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(Refusal::Protocol("reserved bits are set"));
        }
        if second & 0x80 == 0 {
            return Err(Refusal::Protocol("the frame is not masked"));
        }
        let (length, rest, header_bytes) = match second & 0x7f {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest, 8),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest, 14),
                None => return Ok(None),
            },
            length => (u64::from(length), rest, 6),
        };
        if opcode >= CLOSE && (!fin || length > CONTROL_BYTES_MAX) {
            return Err(Refusal::Protocol("a control frame is too long or in pieces"));
        }
        let payload_bytes = usize::try_from(length).map_err(|_| Refusal::TooLarge)?;
        if payload_bytes.saturating_add(self.message.len()) > self.bytes_max {
            return Err(Refusal::TooLarge);
        }
        let Some((mask, _)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        Ok(Some(Header { fin, opcode, mask: *mask, header_bytes, payload_bytes }))
    }

    fn take(&mut self, header: &Header, payload: BytesMut) -> Result<Option<Message>, Refusal> {
        match (header.opcode, self.begun) {
            (PING, _) => return Ok(Some(Message::Ping(payload.freeze()))),
            (PONG, _) => return Ok(Some(Message::Pong)),
            (CLOSE, _) => return close_code(&payload).map(|code| Some(Message::Close(code))),
            (CONTINUATION, Some(_)) | (TEXT | BINARY, None) => {}
            (CONTINUATION | TEXT | BINARY, _) => {
                return Err(Refusal::Protocol("the frame does not fit to the one before"));
            }
            _ => return Err(Refusal::Protocol("an unknown opcode")),
        }
        let opcode = *self.begun.get_or_insert(header.opcode);
        self.fragments += 1;
        if self.fragments > FRAGMENTS_MAX {
            return Err(Refusal::TooLarge);
        }
        if self.message.is_empty() {
            self.message = payload;
        } else {
            self.message.extend_from_slice(&payload);
        }
        if !header.fin {
            return Ok(None);
        }
        self.begun = None;
        self.fragments = 0;
        let message = std::mem::take(&mut self.message);
        Ok(Some(if opcode == TEXT {
            let text = String::from_utf8(message.into()).map_err(|_| Refusal::NotText)?;
            Message::Text(text)
        } else {
            Message::Binary(message.freeze())
        }))
    }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Refusal> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        let is_empty = payload.is_empty();
        return if is_empty { Ok(None) } else { Err(Refusal::Protocol("half a close code")) };
    };
    let code = u16::from_be_bytes(*code);
    let known = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !known {
        return Err(Refusal::Protocol("a close code that cannot be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(Refusal::NotText);
    }
    Ok(Some(code))
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let whole = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ whole).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame.into()
}

/// A frame of text.
pub(crate) fn text(payload: &[u8]) -> Bytes {
    frame(TEXT, payload)
}

/// A ping without a payload.
pub(crate) fn ping() -> Bytes {
    frame(PING, b"")
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    frame(PONG, payload)
}

/// The end, and why. A reason that is too long is cut.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(CLOSE, &payload)
}

#[cfg(test)]
mod tests;
