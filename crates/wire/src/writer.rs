//! Kafka's primitive types, written as the chunks of one frame.
//!
//! Small values go into one growing head. Large byte strings that are already shared (record
//! data) are not copied: the head is cut around them at the end, and what comes out is a list of
//! chunks for a vectored write.
//!
//! ```text
//! head    [size][header .. length][.. more .. length][..]
//! shared                         ^records           ^records
//! chunks  [size .. length][records][.. length][records][..]
//! ```

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

use crate::reader::STRING_BYTES_MAX;
use crate::{EncodeError, KafkaStr};

/// Byte strings shorter than this are copied: a chunk of a vectored write costs more.
pub const SHARED_BYTES_MIN: usize = 512;

/// Appends values to a frame.
#[derive(Debug, Default)]
pub struct Writer {
    head: BytesMut,
    /// Where in `head` a shared slice is inserted, ascending.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

/// Defines one writing method per fixed-size integer, big-endian.
macro_rules! fixed {
    ($($name:ident $put:ident: $doc:literal),* $(,)?) => {$(
        #[doc = $doc]
        pub fn $name(&mut self, value: $name) {
            self.head.$put(value);
        }
    )*};
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty writer with room for `bytes` bytes that are not shared.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { head: BytesMut::with_capacity(bytes), shared: Vec::new(), shared_bytes: 0 }
    }

    /// How many bytes were written, shared ones included.
    pub fn len(&self) -> usize {
        self.head.len() + self.shared_bytes
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fixed! {
        i8 put_i8: "A signed byte.",
        u8 put_u8: "A byte.",
        i16 put_i16: "A big-endian `i16`.",
        u16 put_u16: "A big-endian `u16`.",
        i32 put_i32: "A big-endian `i32`.",
        u32 put_u32: "A big-endian `u32`.",
        i64 put_i64: "A big-endian `i64`.",
        f64 put_f64: "A big-endian IEEE 754 double.",
    }

    /// A boolean, one byte.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Bytes without a length, copied.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.head.put_slice(bytes);
    }

    /// Bytes without a length, shared if that is worth it.
    pub fn raw_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            return self.raw(bytes);
        }
        self.shared.push((self.head.len(), bytes.clone()));
        self.shared_bytes += bytes.len();
    }

    /// An unsigned variable-length integer, 1 to 5 bytes.
    pub fn unsigned_varint(&mut self, value: u32) {
        self.base_128(u64::from(value));
    }

    /// A zigzag variable-length integer, 1 to 5 bytes.
    pub fn varint(&mut self, value: i32) {
        self.base_128(u64::from(((value << 1) ^ (value >> 31)).cast_unsigned()));
    }

    /// A zigzag variable-length integer, 1 to 10 bytes.
    pub fn varlong(&mut self, value: i64) {
        self.base_128(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn base_128(&mut self, mut value: u64) {
        loop {
            let [low, ..] = value.to_le_bytes();
            value >>= 7;
            if value == 0 {
                return self.u8(low & 0x7f);
            }
            self.u8(low | 0x80);
        }
    }

    /// The 32-bit or, if `flexible`, compact length of an array or byte string; `None` is null.
    pub fn length(&mut self, flexible: bool, length: Option<usize>) -> Result<(), EncodeError> {
        let length = match length {
            None => -1,
            Some(length) => i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?,
        };
        if flexible {
            self.unsigned_varint(length.cast_unsigned().wrapping_add(1));
        } else {
            self.i32(length);
        }
        Ok(())
    }

    /// A string, 16-bit or, if `flexible`, compact length; `None` is null.
    pub fn nullable_string(
        &mut self,
        flexible: bool,
        value: Option<&KafkaStr>,
    ) -> Result<(), EncodeError> {
        let bytes = value.map(KafkaStr::as_bytes);
        let length = match bytes.map(Bytes::len) {
            None => -1,
            Some(length) if length > STRING_BYTES_MAX => return Err(EncodeError::TooLong(length)),
            Some(length) => i16::try_from(length).map_err(|_| EncodeError::TooLong(length))?,
        };
        if flexible {
            self.unsigned_varint(u32::from(length.wrapping_add(1).cast_unsigned()));
        } else {
            self.i16(length);
        }
        self.raw(bytes.map_or(&[], |bytes| bytes));
        Ok(())
    }

    /// A byte string, 32-bit or, if `flexible`, compact length; `None` is null.
    pub fn nullable_bytes(
        &mut self,
        flexible: bool,
        value: Option<&Bytes>,
    ) -> Result<(), EncodeError> {
        self.length(flexible, value.map(Bytes::len))?;
        self.raw(value.map_or(&[], |bytes| bytes));
        Ok(())
    }

    /// One tagged field: tag, size, and what `write` writes.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut field = Self::new();
        write(&mut field)?;
        let bytes = field.into_bytes();
        self.unsigned_varint(tag);
        let size = u32::try_from(bytes.len()).map_err(|_| EncodeError::TooLong(bytes.len()))?;
        self.unsigned_varint(size);
        self.raw(&bytes);
        Ok(())
    }

    /// Overwrites the four bytes at the start, which the caller has left free, with the number of
    /// bytes that follow them.
    pub(crate) fn set_size_prefix(&mut self) -> Result<(), EncodeError> {
        let length = self.len().saturating_sub(4);
        let size = i32::try_from(length).map_err(|_| EncodeError::TooLong(length))?;
        let prefix = self.head.first_chunk_mut().expect("four bytes were left free for the size");
        *prefix = size.to_be_bytes();
        Ok(())
    }

    /// What was written, in order, for a vectored write. No chunk is empty.
    pub fn into_chunks(self) -> Vec<Bytes> {
        let head = self.head.freeze();
        let mut chunks = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut start = 0;
        for (at, bytes) in self.shared {
            if at > start {
                chunks.push(head.slice(start..at));
            }
            chunks.push(bytes);
            start = at;
        }
        if head.len() > start {
            chunks.push(head.slice(start..));
        }
        chunks
    }

    /// What was written, in one piece. Copies when something was shared.
    pub fn into_bytes(self) -> Bytes {
        if self.shared.is_empty() {
            return self.head.freeze();
        }
        let mut bytes = BytesMut::with_capacity(self.len());
        for chunk in self.into_chunks() {
            bytes.put_slice(&chunk);
        }
        bytes.freeze()
    }
}
