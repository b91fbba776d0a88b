//! What every message and every field type can do. `#[derive(KafkaMessage)]` writes the
//! implementations from the version ranges at the fields.

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

use crate::{DecodeError, EncodeError, KafkaStr, Reader, Writer};

use super::{ApiKey, Records};

/// A range of versions of one message, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    /// The oldest version.
    pub min: i16,
    /// The newest version.
    pub max: i16,
}

impl VersionRange {
    /// From the oldest to the newest version.
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    /// Whether `version` is in the range.
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether both ranges are the same; `==` for constants.
    pub const fn equals(self, other: Self) -> bool {
        self.min == other.min && self.max == other.max
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// A structure of the protocol: a whole request or response, or a part of one.
pub trait KafkaMessage: Sized {
    /// The versions that the structure exists in.
    const VERSIONS: VersionRange;
    /// The first version with compact lengths and tagged fields, if there is one.
    const FLEXIBLE_SINCE: Option<i16>;

    /// Reads the structure. Fields that `version` does not have get Kafka's defaults.
    ///
    /// Bytes that follow are left in the reader.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Appends the structure. Fields that `version` does not have are left out if they are
    /// ignorable or have their default, and are an error otherwise.
    fn encode_into(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Raises `throttle_time_ms`, where the structure has it, and gives what it is then.
    fn throttle(&mut self, millis: i32) -> i32 {
        millis
    }
}

/// A request: which API it belongs to, and what answers it.
pub trait Request: KafkaMessage {
    /// The API.
    const API_KEY: ApiKey;
    /// The answer, in the same version.
    type Response: KafkaMessage;
}

/// How one field is spelled in one version.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The version of the message.
    pub version: i16,
    /// Compact lengths.
    pub flexible: bool,
    /// Whether null is allowed.
    pub nullable: bool,
}

impl Format {
    /// The elements of an array: never null themselves.
    const fn element(self) -> Self {
        Self { nullable: false, ..self }
    }
}

/// A value that a field can hold.
pub trait Field: Sized {
    /// Reads the value.
    fn read(reader: &mut Reader, format: Format) -> Result<Self, DecodeError>;
    /// Appends the value.
    fn write(&self, writer: &mut Writer, format: Format) -> Result<(), EncodeError>;
}

/// Implements [`Field`] for the types whose spelling never varies.
macro_rules! plain {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn read(reader: &mut Reader, _format: Format) -> Result<Self, DecodeError> {
                reader.$type()
            }

            fn write(&self, writer: &mut Writer, _format: Format) -> Result<(), EncodeError> {
                writer.$type(*self);
                Ok(())
            }
        }
    )*};
}

plain!(bool, i8, i16, u16, i32, u32, i64, f64);

/// A UUID.
impl Field for [u8; 16] {
    fn read(reader: &mut Reader, _format: Format) -> Result<Self, DecodeError> {
        reader.array()
    }

    fn write(&self, writer: &mut Writer, _format: Format) -> Result<(), EncodeError> {
        writer.raw(self);
        Ok(())
    }
}

/// A value whose length says whether it is null.
pub trait Nullable: Sized {
    /// Reads the value; `None` is null.
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError>;
    /// Appends the value; `None` is null.
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError>;
}

impl<T: Nullable> Field for Option<T> {
    fn read(reader: &mut Reader, format: Format) -> Result<Self, DecodeError> {
        match T::read_nullable(reader, format)? {
            None if !format.nullable => Err(DecodeError::UnexpectedNull),
            value => Ok(value),
        }
    }

    fn write(&self, writer: &mut Writer, format: Format) -> Result<(), EncodeError> {
        if self.is_none() && !format.nullable {
            return Err(EncodeError::UnexpectedNull);
        }
        T::write_nullable(self.as_ref(), writer, format)
    }
}

/// Implements [`Field`] for a [`Nullable`] type where null is not allowed.
macro_rules! not_null {
    ($([$($generic:tt)*] $type:ty),* $(,)?) => {$(
        impl $($generic)* Field for $type {
            fn read(reader: &mut Reader, format: Format) -> Result<Self, DecodeError> {
                Self::read_nullable(reader, format)?.ok_or(DecodeError::UnexpectedNull)
            }

            fn write(&self, writer: &mut Writer, format: Format) -> Result<(), EncodeError> {
                Self::write_nullable(Some(self), writer, format)
            }
        }
    )*};
}

not_null!([] KafkaStr, [] Bytes, [] Records, [<T: Field>] Vec<T>);

impl Nullable for KafkaStr {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        reader.nullable_string(format.flexible)
    }

    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        writer.nullable_string(format.flexible, value)
    }
}

impl Nullable for Bytes {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        reader.nullable_bytes(format.flexible)
    }

    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        writer.nullable_bytes(format.flexible, value)
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn read_nullable(reader: &mut Reader, format: Format) -> Result<Option<Self>, DecodeError> {
        let Some(count) = reader.array_length(format.flexible)? else { return Ok(None) };
        let mut items = reader.vec_for(count);
        for _ in 0..count {
            items.push(T::read(reader, format.element())?);
        }
        Ok(Some(items))
    }

    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        format: Format,
    ) -> Result<(), EncodeError> {
        writer.length(format.flexible, value.map(Self::len))?;
        value.into_iter().flatten().try_for_each(|item| item.write(writer, format.element()))
    }
}
