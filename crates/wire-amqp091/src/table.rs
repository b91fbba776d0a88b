//! Field tables: names with typed values, in the order in which they were sent.
//!
//! ```text
//! table | length: u32 | (name: short string, letter: u8, value)*
//! array | length: u32 | (letter: u8, value)*
//! ```
//!
//! The letters are RabbitMQ's: `s` is an `i16`, `l` and `L` are both an `i64`.

use crate::{DecodeError, Reader, Writer};

/// How deep tables and arrays may lie in each other.
pub const DEPTH_MAX: usize = 32;

/// One typed value. Each letter keeps its own variant, so that what was read is written again.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and `L` when read
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: the number of decimal places and the digits
    Decimal(u8, u32),
    /// `S`: any bytes, text as a rule
    Text(Vec<u8>),
    /// `x`
    Binary(Vec<u8>),
    /// `A`
    Array(Vec<Self>),
    /// `T`: seconds since the Unix epoch
    Timestamp(u64),
    /// `F`
    Table(Table),
    /// `V`
    Void,
}

/// Names with values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(pub Vec<(String, Value)>);

impl Value {
    /// A text.
    pub fn text(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The number, whatever its width; `None` for anything else.
    pub const fn as_integer(&self) -> Option<i64> {
        match *self {
            Self::I8(number) => Some(number as i64),
            Self::U8(number) => Some(number as i64),
            Self::I16(number) => Some(number as i64),
            Self::U16(number) => Some(number as i64),
            Self::I32(number) => Some(number as i64),
            Self::U32(number) => Some(number as i64),
            Self::I64(number) => Some(number),
            _ => None,
        }
    }

    fn decode(reader: &mut Reader<'_>, depth: usize) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            b't' => Self::Bool(reader.u8()? != 0),
            b'b' => Self::I8(reader.i8()?),
            b'B' => Self::U8(reader.u8()?),
            b's' => Self::I16(reader.i16()?),
            b'u' => Self::U16(reader.u16()?),
            b'I' => Self::I32(reader.i32()?),
            b'i' => Self::U32(reader.u32()?),
            b'l' | b'L' => Self::I64(reader.i64()?),
            b'f' => Self::F32(reader.f32()?),
            b'd' => Self::F64(reader.f64()?),
            b'D' => Self::Decimal(reader.u8()?, reader.u32()?),
            b'S' => Self::Text(reader.long_bytes()?.to_vec()),
            b'x' => Self::Binary(reader.long_bytes()?.to_vec()),
            b'T' => Self::Timestamp(reader.u64()?),
            b'A' => Self::Array(decode_array(reader.long_bytes()?, depth + 1)?),
            b'F' => Self::Table(Table::decode_at(reader.long_bytes()?, depth + 1)?),
            b'V' => Self::Void,
            letter => return Err(DecodeError::UnknownFieldType(letter)),
        })
    }

    const fn letter(&self) -> u8 {
        match self {
            Self::Bool(_) => b't',
            Self::I8(_) => b'b',
            Self::U8(_) => b'B',
            Self::I16(_) => b's',
            Self::U16(_) => b'u',
            Self::I32(_) => b'I',
            Self::U32(_) => b'i',
            Self::I64(_) => b'l',
            Self::F32(_) => b'f',
            Self::F64(_) => b'd',
            Self::Decimal(..) => b'D',
            Self::Text(_) => b'S',
            Self::Binary(_) => b'x',
            Self::Array(_) => b'A',
            Self::Timestamp(_) => b'T',
            Self::Table(_) => b'F',
            Self::Void => b'V',
        }
    }

    fn encode_into(&self, writer: &mut Writer) {
        writer.u8(self.letter());
        match self {
            Self::Bool(value) => writer.u8(u8::from(*value)),
            Self::I8(value) => writer.i8(*value),
            Self::U8(value) => writer.u8(*value),
            Self::I16(value) => writer.i16(*value),
            Self::U16(value) => writer.u16(*value),
            Self::I32(value) => writer.i32(*value),
            Self::U32(value) => writer.u32(*value),
            Self::I64(value) => writer.i64(*value),
            Self::F32(value) => writer.f32(*value),
            Self::F64(value) => writer.f64(*value),
            Self::Decimal(places, digits) => {
                writer.u8(*places);
                writer.u32(*digits);
            }
            Self::Text(bytes) | Self::Binary(bytes) => writer.long_bytes(bytes),
            Self::Timestamp(seconds) => writer.u64(*seconds),
            Self::Array(values) => writer.sized(|writer| {
                values.iter().for_each(|value| value.encode_into(writer));
            }),
            Self::Table(table) => writer.sized(|writer| table.encode_into(writer)),
            Self::Void => {}
        }
    }
}

/// Checks one value without keeping it.
fn check_value(reader: &mut Reader<'_>, depth: usize) -> Result<(), DecodeError> {
    let fixed = match reader.u8()? {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' => return reader.long_bytes().map(|_| ()),
        b'F' => return Table::check_at(reader.long_bytes()?, depth + 1),
        b'A' => {
            let mut values = Reader::new(reader.long_bytes()?);
            if depth >= DEPTH_MAX {
                return Err(DecodeError::TooDeep);
            }
            while !values.rest().is_empty() {
                check_value(&mut values, depth + 1)?;
            }
            return Ok(());
        }
        letter => return Err(DecodeError::UnknownFieldType(letter)),
    };
    reader.slice(fixed).map(|_| ())
}

fn decode_array(bytes: &[u8], depth: usize) -> Result<Vec<Value>, DecodeError> {
    if depth > DEPTH_MAX {
        return Err(DecodeError::TooDeep);
    }
    let mut reader = Reader::new(bytes);
    let mut values = Vec::new();
    while !reader.rest().is_empty() {
        values.push(Value::decode(&mut reader, depth)?);
    }
    Ok(values)
}

impl Table {
    /// An empty table.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads one without its length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_at(bytes, 0)
    }

    fn decode_at(bytes: &[u8], depth: usize) -> Result<Self, DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut reader = Reader::new(bytes);
        let mut fields = Vec::new();
        while !reader.rest().is_empty() {
            let name = reader.short_str()?.to_owned();
            fields.push((name, Value::decode(&mut reader, depth)?));
        }
        Ok(Self(fields))
    }

    /// Whether [`Table::decode`] would read it, told without keeping anything.
    pub fn check(bytes: &[u8]) -> Result<(), DecodeError> {
        Self::check_at(bytes, 0)
    }

    fn check_at(bytes: &[u8], depth: usize) -> Result<(), DecodeError> {
        if depth > DEPTH_MAX {
            return Err(DecodeError::TooDeep);
        }
        let mut reader = Reader::new(bytes);
        while !reader.rest().is_empty() {
            reader.short_str()?;
            check_value(&mut reader, depth)?;
        }
        Ok(())
    }

    /// Writes it without its length.
    pub fn encode_into(&self, writer: &mut Writer) {
        for (name, value) in &self.0 {
            writer.short_str(name);
            value.encode_into(writer);
        }
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Sets a value in its place, or at the end.
    pub fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(field, _)| field == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Removes every value of this name; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(field, _)| field != name);
        self.0.len() != before
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
