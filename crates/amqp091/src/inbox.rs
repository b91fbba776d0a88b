//! What came in: whole frames, in one piece of memory that bodies may stay slices of.

use bytes::{Bytes, BytesMut};
use tramline_wire_amqp091::{DecodeError, frame};

/// What a read makes room for: grows while reads fill it, shrinks while they do not.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;

/// The bytes of one connection that are not handled yet.
pub(crate) struct Inbox {
    /// Read, not looked at; ends in the middle of a frame as a rule.
    received: BytesMut,
    read_bytes: usize,
    /// Whole frames, and how far they are handled.
    frames: Bytes,
    handled: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            frames: Bytes::new(),
            handled: 0,
        }
    }
}

impl Inbox {
    /// Where to read to, and how much fits.
    pub(crate) fn room(&mut self) -> (&mut BytesMut, usize) {
        if self.received.capacity() - self.received.len() < self.read_bytes / 4 {
            self.received.reserve(self.read_bytes);
        }
        let room = self.received.capacity() - self.received.len();
        (&mut self.received, room)
    }

    /// A read got `n` bytes where `room` would have fitted.
    pub(crate) fn handle_read(&mut self, n: usize, room: usize) {
        if n == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        } else if n < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
    }

    /// Whether whole frames wait to be handled.
    pub(crate) fn has_frames(&self) -> bool {
        self.handled < self.frames.len()
    }

    /// Takes the whole frames out of what was read; says whether there are any.
    pub(crate) fn split(&mut self, frame_max: usize) -> Result<bool, DecodeError> {
        if self.has_frames() {
            return Ok(true);
        }
        let whole = frame::whole_frames(&self.received, frame_max)?;
        self.frames = self.received.split_to(whole).freeze();
        self.handled = 0;
        Ok(whole > 0)
    }

    /// The frames, and how far they are handled.
    pub(crate) fn frames(&self) -> (Bytes, usize) {
        (self.frames.clone(), self.handled)
    }

    /// The frames are handled up to here.
    pub(crate) fn set_handled(&mut self, handled: usize) {
        self.handled = handled;
        if handled == self.frames.len() {
            // Not held any longer than by the bodies that are slices of it.
            self.frames = Bytes::new();
            self.handled = 0;
        }
    }

    /// Drops everything: nothing more is handled.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The first bytes of a connection, before there are frames.
    pub(crate) fn greeting(&mut self) -> Option<[u8; 8]> {
        let greeting = *self.received.first_chunk()?;
        let _taken = self.received.split_to(greeting.len());
        Some(greeting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_come_out_and_the_rest_waits_for_its_end() {
        let mut inbox = Inbox::default();
        let (heartbeat, half) = (frame::HEARTBEAT, &frame::HEARTBEAT[..5]);
        inbox.room().0.extend_from_slice(&[&heartbeat[..], &heartbeat, half].concat());
        assert_eq!(inbox.split(4096), Ok(true));
        let (frames, handled) = inbox.frames();
        assert_eq!((frames.len(), handled), (16, 0));
        inbox.set_handled(8);
        assert_eq!(inbox.split(4096), Ok(true), "the second waits still");
        inbox.set_handled(16);
        assert_eq!(inbox.split(4096), Ok(false));
        inbox.room().0.extend_from_slice(&heartbeat[5..]);
        assert_eq!(inbox.split(4096), Ok(true));
    }
}
