//! Hashing of the places that jobs are found by.

use std::hash::Hasher;

/// Of a queue's id and a place: numbers that nobody chooses. Those of sixteen offsets in a row lie
/// beside each other, because messages come and go in rows.
#[derive(Default)]
pub(super) struct PlaceHasher {
    before: u64,
    last: u64,
}

/// Numbers of a row, as bits.
const ROW: u32 = 4;

const fn mixed(number: u64) -> u64 {
    // SplitMix64's: every bit of a number reaches the top ones and the bottom ones.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

impl Hasher for PlaceHasher {
    fn finish(&self) -> u64 {
        let row = mixed(self.before ^ (self.last >> ROW)) << ROW;
        let within = self.last & ((1 << ROW) - 1);
        // A table tells those beside each other apart by their top bits.
        (row | within) ^ (within << (u64::BITS - ROW))
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.before = mixed(self.before ^ self.last);
        self.last = number;
    }
}
