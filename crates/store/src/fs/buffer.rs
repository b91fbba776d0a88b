//! A growable byte buffer whose memory starts at a multiple of [`BLOCK`], as direct I/O needs.
//!
//! Invariant: `len <= blocks.len() * BLOCK`; the bytes past `len` are initialised but
//! meaningless, so a cleared buffer is filled again without being zeroed first.

use super::BLOCK;
use bytemuck::{Pod, Zeroable};
use std::ops::{Deref, DerefMut};

/// One unit of direct I/O.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(4096))]
struct Block([u8; BLOCK]);

/// A growable byte buffer, aligned for direct I/O. `Bytes::from_owner` takes it as it is.
#[derive(Clone, Default)]
pub struct AlignedBuf {
    blocks: Vec<Block>,
    len: usize,
}

impl AlignedBuf {
    /// An empty buffer with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { blocks: Vec::with_capacity(bytes.div_ceil(BLOCK)), len: 0 }
    }

    /// A buffer of so many zero bytes.
    pub fn zeroed(bytes: usize) -> Self {
        Self { blocks: vec![Block::zeroed(); bytes.div_ceil(BLOCK)], len: bytes }
    }

    /// How many bytes it holds.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes it can hold without allocating.
    pub const fn capacity(&self) -> usize {
        self.blocks.capacity() * BLOCK
    }

    /// What it holds.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.len]
    }

    /// What it holds, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.len]
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let room = self.blocks.len() * BLOCK - self.len;
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        let start = self.len;
        self.len += head.len();
        self.as_mut_slice()[start..].copy_from_slice(head);
        // Only when every initialised block is full: whole blocks are then copied once, never
        // zeroed first.
        let (whole, tail) = rest.as_chunks::<BLOCK>();
        self.blocks.extend(whole.iter().map(|block| Block(*block)));
        if !tail.is_empty() {
            let mut block = Block::zeroed();
            block.0[..tail.len()].copy_from_slice(tail);
            self.blocks.push(block);
        }
        self.len += rest.len();
    }

    /// Cuts it, or extends it with zeros.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            let end = len.min(self.blocks.len() * BLOCK);
            let start = self.len;
            self.len = end;
            self.as_mut_slice()[start..].fill(0);
            if len > end {
                self.blocks.resize(len.div_ceil(BLOCK), Block::zeroed());
            }
        }
        self.len = len;
    }

    /// Makes it so long; what it holds then is not said. For what is read into.
    pub fn set_len(&mut self, len: usize) {
        if len > self.blocks.len() * BLOCK {
            self.blocks.resize(len.div_ceil(BLOCK), Block::zeroed());
        }
        self.len = len;
    }

    /// Appends zeros up to the next multiple of [`BLOCK`].
    pub fn pad_to_block(&mut self) {
        self.resize(self.len.next_multiple_of(BLOCK));
    }

    /// Empties it; the memory stays.
    pub const fn clear(&mut self) {
        self.len = 0;
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl std::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
