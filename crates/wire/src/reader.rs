//! Kafka's primitive types, read from one frame.
//!
//! Byte strings are slices of the frame. Every declared length is checked against the bytes that
//! remain before anything is allocated, arrays reserve no more memory than bytes remain, and one
//! message has at most [`ITEMS_MAX`] array elements in all: an element may be a single byte on
//! the wire and a hundred in memory.

#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes};

use crate::{DecodeError, KafkaStr};

/// Array elements of one message, all arrays together, unless a reader is told otherwise.
///
/// A Metadata answer for the 200,000 partitions of a full node has about 600,000.
pub const ITEMS_MAX: usize = 1 << 20;

/// The longest string, in bytes: Kafka's strings have a signed 16-bit length, and its compact
/// strings keep that limit.
pub const STRING_BYTES_MAX: usize = 0x7fff;

/// Reads values off the front of a frame.
#[derive(Clone, Debug)]
pub struct Reader {
    rest: Bytes,
    items_left: usize,
}

/// Defines one reading method per fixed-size integer, big-endian.
macro_rules! fixed {
    ($($name:ident: $doc:literal),* $(,)?) => {$(
        #[doc = $doc]
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            Ok($name::from_be_bytes(self.array()?))
        }
    )*};
}

impl Reader {
    /// A reader of one frame, without its size prefix.
    pub fn new(frame: Bytes) -> Self {
        Self::with_items_max(frame, ITEMS_MAX)
    }

    /// A reader that accepts `items_max` array elements in all.
    pub fn with_items_max(frame: Bytes, items_max: usize) -> Self {
        Self { rest: frame, items_left: items_max }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// What is left, without reading it.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// Checks that nothing is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    /// `N` bytes, copied.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = *self.rest.first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest.advance(N);
        Ok(array)
    }

    /// `length` bytes, shared with the frame.
    pub fn slice(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(length))
    }

    fixed! {
        i8: "A signed byte.",
        u8: "A byte.",
        i16: "A big-endian `i16`.",
        u16: "A big-endian `u16`.",
        i32: "A big-endian `i32`.",
        u32: "A big-endian `u32`.",
        i64: "A big-endian `i64`.",
        f64: "A big-endian IEEE 754 double.",
    }

    /// A boolean: any byte but 0 is true, as in Kafka.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// An unsigned variable-length integer of at most 5 bytes and 32 bits.
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.base_128(5)?).map_err(|_| DecodeError::InvalidVarint)
    }

    /// A zigzag variable-length integer of at most 5 bytes and 32 bits.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.unsigned_varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// A zigzag variable-length integer of at most 10 bytes and 64 bits.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.base_128(10)?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// Seven bits a byte, least significant first, in at most `bytes_max` bytes.
    fn base_128(&mut self, bytes_max: usize) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for (index, &byte) in self.rest.iter().take(bytes_max).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * index;
            if shift == 63 && bits > 1 {
                return Err(DecodeError::InvalidVarint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                self.rest.advance(index + 1);
                return Ok(value);
            }
        }
        if self.rest.len() < bytes_max {
            return Err(DecodeError::Truncated);
        }
        Err(DecodeError::InvalidVarint)
    }

    /// A length that counts bytes or elements of at least one byte each; `None` is null.
    fn checked(&self, length: i64) -> Result<Option<usize>, DecodeError> {
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(length) if length <= self.rest.len() => Ok(Some(length)),
            Ok(_) => Err(DecodeError::Truncated),
            Err(_) => Err(DecodeError::InvalidLength(length)),
        }
    }

    /// The 32-bit or, if `flexible`, compact length of an array or byte string; `None` is null.
    fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length =
            if flexible { i64::from(self.unsigned_varint()?) - 1 } else { i64::from(self.i32()?) };
        self.checked(length)
    }

    /// A string, 16-bit or, if `flexible`, compact length; `None` is null.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<KafkaStr>, DecodeError> {
        let length =
            if flexible { i64::from(self.unsigned_varint()?) - 1 } else { i64::from(self.i16()?) };
        match self.checked(length)? {
            None => Ok(None),
            Some(length) if length > STRING_BYTES_MAX => {
                Err(DecodeError::InvalidLength(i64::try_from(length).unwrap_or(i64::MAX)))
            }
            Some(length) => KafkaStr::try_from(self.slice(length)?).map(Some),
        }
    }

    /// A byte string, 32-bit or, if `flexible`, compact length; `None` is null.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        match self.length(flexible)? {
            None => Ok(None),
            Some(length) => self.slice(length).map(Some),
        }
    }

    /// The number of elements of an array, which are then read one by one; `None` is null.
    ///
    /// The number is at most the bytes that remain, and is taken off this reader's item budget.
    pub fn array_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let Some(count) = self.length(flexible)? else { return Ok(None) };
        self.items_left = self.items_left.checked_sub(count).ok_or(DecodeError::TooManyItems)?;
        Ok(Some(count))
    }

    /// A vector for `count` elements that reserves no more memory than bytes remain here.
    pub fn vec_for<T>(&self, count: usize) -> Vec<T> {
        Vec::with_capacity(count.min(self.rest.len() / size_of::<T>().max(1)))
    }

    /// The tagged fields at the end of a flexible structure. `known` reads those that it knows
    /// from a reader of just that field and says so; the others are skipped.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            let size = usize::try_from(size).map_err(|_| DecodeError::Truncated)?;
            let bytes = self.slice(size)?;
            let mut field = Self::with_items_max(bytes, self.items_left);
            if known(tag, &mut field)? {
                self.items_left = field.items_left;
                field.finish()?;
            }
        }
        Ok(())
    }

    /// Tagged fields of which none is known.
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(|_, _| Ok(false))
    }
}
