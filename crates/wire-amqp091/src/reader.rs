//! AMQP's primitive types, read from one frame.
//!
//! Strings are slices of the frame. Every declared length is checked against the bytes that
//! remain before anything is allocated.

use crate::{DecodeError, Table};

/// Reads values off the front of a payload.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// The current octet of packed bits, and how many of them are taken.
    bits: (u8, u8),
}

macro_rules! fixed {
    ($($name:ident: $doc:literal),* $(,)?) => {$(
        #[doc = $doc]
        pub fn $name(&mut self) -> Result<$name, DecodeError> {
            Ok($name::from_be_bytes(self.array()?))
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A reader of one payload.
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload, bits: (0, 8) }
    }

    /// What is left.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Checks that nothing is left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::TrailingBytes(left)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        self.bits = (0, 8);
        Ok(*array)
    }

    /// `length` bytes.
    pub fn slice(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (slice, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        self.bits = (0, 8);
        Ok(slice)
    }

    fixed! {
        i8: "A signed byte.",
        u8: "A byte.",
        i16: "A big-endian `i16`.",
        u16: "A big-endian `u16`.",
        i32: "A big-endian `i32`.",
        u32: "A big-endian `u32`.",
        i64: "A big-endian `i64`.",
        u64: "A big-endian `u64`.",
        f32: "A big-endian IEEE 754 single.",
        f64: "A big-endian IEEE 754 double.",
    }

    /// One of the bits that share an octet with their neighbours, lowest first.
    pub fn bit(&mut self) -> Result<bool, DecodeError> {
        let (mut octet, mut taken) = self.bits;
        if taken == 8 {
            octet = self.u8()?;
            taken = 0;
        }
        self.bits = (octet, taken + 1);
        Ok(octet >> taken & 1 == 1)
    }

    /// A length of 32 bits, checked against what remains, and so many bytes.
    pub fn long_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u32()?;
        self.slice(usize::try_from(length).map_err(|_| DecodeError::Truncated)?)
    }

    /// A length of 8 bits and so many bytes.
    pub fn short_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u8()?;
        self.slice(usize::from(length))
    }

    /// A short string.
    pub fn short_str(&mut self) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.short_bytes()?).map_err(|_| DecodeError::InvalidUtf8)
    }
}

/// A type that a method's argument may have.
pub trait Field: Sized {
    /// Reads one.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Writes one.
    fn write(&self, writer: &mut crate::Writer);
}

macro_rules! number_field {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.$type()
            }
            fn write(&self, writer: &mut crate::Writer) {
                writer.$type(*self);
            }
        }
    )*};
}

number_field!(u8, u16, u32, u64);

impl Field for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.bit()
    }
    fn write(&self, writer: &mut crate::Writer) {
        writer.bit(*self);
    }
}

/// A short string: at most 255 bytes, the rest is cut off when it is written.
impl Field for String {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(reader.short_str()?.to_owned())
    }
    fn write(&self, writer: &mut crate::Writer) {
        writer.short_str(self);
    }
}

/// A long string.
impl Field for Vec<u8> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(reader.long_bytes()?.to_vec())
    }
    fn write(&self, writer: &mut crate::Writer) {
        writer.long_bytes(self);
    }
}

impl Field for Table {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode(reader.long_bytes()?)
    }
    fn write(&self, writer: &mut crate::Writer) {
        writer.sized(|writer| self.encode_into(writer));
    }
}
