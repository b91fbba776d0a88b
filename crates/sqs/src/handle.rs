//! Receipt handles: a delivery of a queue, and when it was made, as opaque text.

use crate::error::{Code, Error};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tramline_broker::{LockToken, Queue};
use tramline_types::Timestamp;

/// The form of handles.
const VERSION: u8 = 1;
const BYTES: usize = 1 + 8 + LockToken::BYTES + 8;

/// A delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    /// The queue's id.
    pub(crate) queue: u64,
    pub(crate) token: LockToken,
    pub(crate) received: Timestamp,
}

impl Handle {
    pub(crate) fn encode(&self) -> String {
        let mut bytes = [0; BYTES];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.queue.to_be_bytes());
        bytes[9..9 + LockToken::BYTES].copy_from_slice(&self.token.to_bytes());
        bytes[9 + LockToken::BYTES..].copy_from_slice(&self.received.as_millis().to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (version, rest) = bytes.split_first_chunk::<1>()?;
        let (queue, rest) = rest.split_first_chunk()?;
        let (token, rest) = rest.split_first_chunk()?;
        let (received, _) = rest.split_first_chunk()?;
        (*version == [VERSION]).then(|| Self {
            queue: u64::from_be_bytes(*queue),
            token: LockToken::from_bytes(*token),
            received: Timestamp::from_millis(i64::from_be_bytes(*received)),
        })
    }

    /// Reads a handle of this queue.
    pub(crate) fn parse(text: &str, queue: &Queue) -> Result<Self, Error> {
        Self::decode(text).filter(|handle| handle.queue == queue.id()).ok_or_else(|| {
            // What it was is not repeated at any length.
            let shown: String = text.chars().take(128).collect();
            let message =
                format!("The input receipt handle \"{shown}\" is not a valid receipt handle.");
            Error::new(Code::ReceiptHandleIsInvalid, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tramline_broker::Place;

    #[test]
    fn handles_read_back_and_other_texts_are_none() {
        let token = LockToken { place: Place { lane: 3, offset: 1 << 40 }, sequence: 77 };
        let handle = Handle { queue: 9, token, received: Timestamp::from_millis(-5) };
        let text = handle.encode();
        assert_eq!(Handle::decode(&text), Some(handle));
        for wrong in ["", "x", &text[1..], &format!("{text}A"), "?".repeat(47).as_str()] {
            assert_eq!(Handle::decode(wrong), None, "{wrong}");
        }
    }
}
