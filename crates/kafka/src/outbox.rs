//! Answers on their way out: chunks in order, written together.

use bytes::{Buf, Bytes};
use std::{collections::VecDeque, io::IoSlice};

/// Chunks of one vectored write. More than this many small answers are rare, and large ones
/// fill the socket's buffer before.
pub(crate) const SLICES_MAX: usize = 64;

/// What is to be written.
#[derive(Default)]
pub(crate) struct Outbox {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Appends one answer.
    pub(crate) fn push(&mut self, chunks: Vec<Bytes>) {
        for chunk in chunks {
            if !chunk.is_empty() {
                self.bytes += chunk.len();
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Fills `slices` with what comes next; gives how many.
    pub(crate) fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.chunks);
        pairs.map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count()
    }

    /// So many bytes are gone.
    pub(crate) fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written > 0 {
            let front = self.chunks.front_mut().expect("no more was written than there is");
            let taken = front.len().min(written);
            front.advance(taken);
            written -= taken;
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_goes_and_the_rest_stays_in_order() {
        let mut outbox = Outbox::default();
        outbox.push(vec![Bytes::from_static(b"abc"), Bytes::new(), Bytes::from_static(b"de")]);
        outbox.push(vec![Bytes::from_static(b"f")]);
        outbox.advance(4);
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let n = outbox.fill(&mut slices);
        let rest: Vec<u8> = slices[..n].iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!((rest.as_slice(), outbox.len()), (&b"ef"[..], 2));
        outbox.advance(2);
        assert!(outbox.is_empty());
    }
}
