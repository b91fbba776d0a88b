//! Frames on their way out, written together.
//!
//! Small frames and small bodies are copied into one buffer that is used again; a large body goes
//! out as it is, between two pieces of that buffer.

use bytes::{Buf, Bytes};
use std::{collections::VecDeque, io::IoSlice};
use tramline_wire_amqp091::Writer;

/// Pieces of one vectored write.
pub(crate) const SLICES_MAX: usize = 64;

/// From this size on a body is not copied: a slice of a write costs about as much as copying
/// two to four KiB.
const SHARED_BYTES_MIN: usize = 4096;

/// What is to be written.
#[derive(Default)]
pub(crate) struct Outbox {
    /// Sealed pieces, which go first.
    chunks: VecDeque<Bytes>,
    chunks_bytes: usize,
    /// Frames are appended here.
    tail: Writer,
    /// How much of the tail is gone already.
    tail_written: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.chunks_bytes + self.tail.len() - self.tail_written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where frames are written to.
    pub(crate) const fn writer(&mut self) -> &mut Writer {
        &mut self.tail
    }

    /// A part of a body, between a frame's head and its end.
    pub(crate) fn body(&mut self, body: Bytes) {
        if body.len() < SHARED_BYTES_MIN {
            self.tail.slice(&body);
            return;
        }
        self.seal();
        self.chunks_bytes += body.len();
        self.chunks.push_back(body);
    }

    fn seal(&mut self) {
        let mut sealed = Bytes::from(std::mem::take(&mut self.tail).into_bytes());
        sealed.advance(self.tail_written);
        self.tail_written = 0;
        if !sealed.is_empty() {
            self.chunks_bytes += sealed.len();
            self.chunks.push_back(sealed);
        }
    }

    /// Fills `slices` with what comes next; gives how many.
    pub(crate) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let tail = &self.tail.as_slice()[self.tail_written..];
        let tail = (!tail.is_empty()).then_some(tail);
        let pieces = self.chunks.iter().map(|chunk| &**chunk).chain(tail);
        slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    /// So many bytes are gone.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.chunks.front_mut().filter(|_| written > 0) {
            let taken = front.len().min(written);
            front.advance(taken);
            written -= taken;
            self.chunks_bytes -= taken;
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.tail_written += written;
        if self.tail_written == self.tail.len() {
            self.tail.clear();
            self.tail_written = 0;
        }
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.tail = Writer::new();
            self.chunks.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let n = outbox.fill(&mut slices);
        slices[..n].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn what_was_written_goes_and_the_rest_stays_in_order() {
        let mut outbox = Outbox::default();
        outbox.writer().slice(b"head");
        outbox.body(Bytes::from_static(b"small"));
        outbox.body(Bytes::from(vec![b'x'; SHARED_BYTES_MIN]));
        outbox.writer().slice(b"end");
        assert_eq!(outbox.len(), 9 + SHARED_BYTES_MIN + 3);
        outbox.advance(2);
        assert_eq!(&waiting(&outbox)[..8], b"adsmallx");
        outbox.advance(7 + SHARED_BYTES_MIN + 1);
        assert_eq!(waiting(&outbox), b"nd");
        outbox.body(Bytes::from(vec![b'y'; SHARED_BYTES_MIN]));
        assert_eq!(&waiting(&outbox)[..3], b"ndy");
        outbox.advance(2 + SHARED_BYTES_MIN);
        assert!(outbox.is_empty());
        assert_eq!(outbox.len(), 0);
        outbox.shrink();
    }
}
