//! Zigzag variable-length integers, at most 5 bytes for 32 bits and 10 for 64.
//!
//! Over-long forms that overflow are refused; a value has one meaning on every reader.

use bytes::{BufMut, BytesMut};

/// Reads an `i32` off the front; `None` when cut short or out of range.
pub(crate) fn read_i32(rest: &mut &[u8]) -> Option<i32> {
    let raw = u32::try_from(read_raw(rest, 5)?).ok()?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Reads an `i64` off the front; `None` when cut short or out of range.
pub(crate) fn read_i64(rest: &mut &[u8]) -> Option<i64> {
    let raw = read_raw(rest, 10)?;
    Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

fn read_raw(rest: &mut &[u8], bytes_max: u32) -> Option<u64> {
    let mut value = 0_u64;
    for index in 0..bytes_max {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        let shift = index * 7;
        // The tenth byte has room for one bit only.
        if bits.leading_zeros() < shift {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends a value; 32-bit values have the same form.
pub(crate) fn put(out: &mut BytesMut, value: i64) {
    let mut raw = (value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned();
    while raw >= 0x80 {
        let [low, ..] = raw.to_le_bytes();
        out.put_u8(low | 0x80);
        raw >>= 7;
    }
    let [low, ..] = raw.to_le_bytes();
    out.put_u8(low);
}

/// How many bytes [`put`] appends.
pub(crate) fn len(value: i64) -> usize {
    let raw = (value << 1).cast_unsigned() ^ (value >> 63).cast_unsigned();
    match raw {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        _ => 1 + len_raw(raw >> 7),
    }
}

fn len_raw(mut raw: u64) -> usize {
    let mut bytes = 1;
    while raw >= 0x80 {
        raw >>= 7;
        bytes += 1;
    }
    bytes
}

#[cfg(test)]
mod tests;
