use bytes::Bytes;
use proptest::prelude::*;

use crate::{DecodeError, ITEMS_MAX, Reader, Writer};

fn reader(bytes: &[u8]) -> Reader {
    Reader::new(Bytes::copy_from_slice(bytes))
}

#[test]
fn slices_and_strings_share_the_frame() {
    let frame = Bytes::from(b"\x00\x05hello\x00\x00\x00\x05world".to_vec());
    let mut reader = Reader::new(frame.clone());
    let string = reader.nullable_string(false).unwrap().unwrap();
    let bytes = reader.nullable_bytes(false).unwrap().unwrap();

    assert_eq!(string, "hello");
    assert_eq!(string.as_bytes().as_ptr(), frame[2..].as_ptr());
    assert_eq!(bytes.as_ptr(), frame[11..].as_ptr());
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn values_that_end_early_are_truncated_and_consume_nothing_more_than_the_frame() {
    assert_eq!(reader(b"\0\0\0").i32(), Err(DecodeError::Truncated));
    assert_eq!(reader(b"").bool(), Err(DecodeError::Truncated));
    assert_eq!(reader(b"\0\x02a").nullable_string(false), Err(DecodeError::Truncated));
    assert_eq!(reader(b"\x03a").nullable_string(true), Err(DecodeError::Truncated));
    assert_eq!(reader(b"\xff\xff").unsigned_varint(), Err(DecodeError::Truncated));
    assert_eq!(reader(b"abc").slice(4), Err(DecodeError::Truncated));
}

#[test]
fn declared_lengths_are_checked_before_anything_is_allocated() {
    for length in [5, 1 << 20, i32::MAX] {
        let bytes = [&length.to_be_bytes()[..], b"abcd"].concat();
        assert_eq!(reader(&bytes).nullable_bytes(false), Err(DecodeError::Truncated), "{length}");
        assert_eq!(reader(&bytes).array_length(false), Err(DecodeError::Truncated), "{length}");
    }
    for length in [-2, i32::MIN] {
        let bytes = [&length.to_be_bytes()[..], b"abcd"].concat();
        let error = DecodeError::InvalidLength(i64::from(length));
        assert_eq!(reader(&bytes).nullable_bytes(false), Err(error));
        assert_eq!(reader(&bytes).array_length(false), Err(error));
    }
    // Compact lengths are unsigned: u32::MAX is one more than the largest length.
    let huge = b"\xff\xff\xff\xff\x0fabcd";
    assert_eq!(reader(huge).nullable_bytes(true), Err(DecodeError::Truncated));
    assert_eq!(reader(huge).array_length(true), Err(DecodeError::Truncated));
    assert_eq!(reader(huge).nullable_string(true), Err(DecodeError::Truncated));
}

#[test]
fn null_and_empty_are_told_apart() {
    assert_eq!(reader(b"\xff\xff").nullable_string(false), Ok(None));
    assert_eq!(reader(b"\0\0").nullable_string(false), Ok(Some("".into())));
    assert_eq!(reader(b"\0").nullable_string(true), Ok(None));
    assert_eq!(reader(b"\x01").nullable_string(true), Ok(Some("".into())));
    assert_eq!(reader(b"\xff\xff\xff\xff").array_length(false), Ok(None));
    assert_eq!(reader(b"\0").array_length(true), Ok(None));
    assert_eq!(reader(b"\x01").array_length(true), Ok(Some(0)));
}

#[test]
fn strings_longer_than_kafka_allows_are_refused_even_when_compact() {
    let mut writer = Writer::new();
    writer.unsigned_varint(0x8001);
    writer.raw(&vec![b'a'; 0x8000]);
    let refused = Reader::new(writer.into_bytes()).nullable_string(true);
    assert_eq!(refused, Err(DecodeError::InvalidLength(0x8000)));
}

#[test]
fn strings_that_are_not_utf8_are_refused() {
    assert_eq!(reader(b"\0\x02\xc3\x28").nullable_string(false), Err(DecodeError::InvalidUtf8));
}

#[test]
fn variable_length_integers_longer_than_their_type_are_refused() {
    let invalid = Err(DecodeError::InvalidVarint);
    assert_eq!(reader(b"\xff\xff\xff\xff\x0f").unsigned_varint(), Ok(u32::MAX));
    assert_eq!(reader(b"\xff\xff\xff\xff\x1f").unsigned_varint(), invalid);
    assert_eq!(reader(b"\x80\x80\x80\x80\x80\x00").unsigned_varint(), invalid);
    let longest = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(reader(longest).varlong(), Ok(i64::MIN));
    let over = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
    assert_eq!(reader(over).varlong(), Err(DecodeError::InvalidVarint));
    let long = b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00";
    assert_eq!(reader(long).varlong(), Err(DecodeError::InvalidVarint));
}

#[test]
fn arrays_reserve_no_more_memory_than_bytes_remain() {
    let reader = reader(&[0; 1000]);
    assert!(reader.vec_for::<[u64; 8]>(1000).capacity() <= 1000 / 64);
    assert!(reader.vec_for::<u8>(10).capacity() <= 10);
}

#[test]
fn all_arrays_of_a_message_share_one_item_budget() {
    let mut reader = Reader::with_items_max(Bytes::from_static(b"\x04\x04aaaa"), 5);
    assert_eq!(reader.array_length(true), Ok(Some(3)));
    assert_eq!(reader.array_length(true), Err(DecodeError::TooManyItems));
}

#[test]
fn items_in_tagged_fields_count_against_the_budget() {
    // Two tagged fields of two bytes, each an array of one element.
    let bytes = Bytes::from_static(b"\x02\x00\x02\x02a\x01\x02\x02a");
    let read = |items_max| {
        let mut reader = Reader::with_items_max(bytes.clone(), items_max);
        reader.tagged_fields(|_, field| {
            field.array_length(true)?;
            field.u8()?;
            Ok(true)
        })
    };
    assert_eq!(read(1), Err(DecodeError::TooManyItems));
    assert_eq!(read(2), Ok(()));
}

#[test]
fn tagged_fields_are_skipped_unless_known_and_must_fit_their_size() {
    // Tag 0 with "ab", tag 7 with "c".
    let bytes = b"\x02\x00\x02ab\x07\x01c!";
    let mut all = reader(bytes);
    assert_eq!(all.skip_tagged_fields(), Ok(()));
    assert_eq!(all.rest().as_ref(), b"!");

    let mut seen = Vec::new();
    let mut one = reader(bytes);
    let result = one.tagged_fields(|tag, field| {
        seen.push(tag);
        Ok(tag == 7 && field.u8()? == b'c')
    });
    assert_eq!((result, seen), (Ok(()), vec![0, 7]));

    let mut short = reader(bytes);
    let result = short.tagged_fields(|_, field| field.u8().map(|_| true));
    assert_eq!(result, Err(DecodeError::TrailingBytes(1)));
    let mut long = reader(bytes);
    let result = long.tagged_fields(|_, field| field.i32().map(|_| true));
    assert_eq!(result, Err(DecodeError::Truncated));
}

#[test]
fn a_huge_count_of_tagged_fields_ends_with_the_bytes() {
    let result = reader(b"\xff\xff\xff\xff\x0f\x00\x00\x00\x00").skip_tagged_fields();
    assert_eq!(result, Err(DecodeError::Truncated));
}

proptest! {
    #[test]
    fn numbers_survive_a_round_trip(
        small: i32, large: i64, unsigned: u32, short: i16, double: f64, flag: bool,
    ) {
        let mut writer = Writer::new();
        writer.varint(small);
        writer.varlong(large);
        writer.unsigned_varint(unsigned);
        writer.i16(short);
        writer.f64(double);
        writer.bool(flag);
        writer.i64(large);
        let mut reader = Reader::new(writer.into_bytes());
        prop_assert_eq!(reader.varint(), Ok(small));
        prop_assert_eq!(reader.varlong(), Ok(large));
        prop_assert_eq!(reader.unsigned_varint(), Ok(unsigned));
        prop_assert_eq!(reader.i16(), Ok(short));
        prop_assert_eq!(reader.f64().map(f64::to_bits), Ok(double.to_bits()));
        prop_assert_eq!(reader.bool(), Ok(flag));
        prop_assert_eq!(reader.i64(), Ok(large));
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, flexible: bool) {
        let frame = Bytes::from(bytes);
        let items_max = frame.len().min(ITEMS_MAX);
        let mut reader = Reader::with_items_max(frame, items_max);
        while reader.remaining() > 0 {
            let before = reader.remaining();
            let _ = reader.nullable_string(flexible);
            let _ = reader.nullable_bytes(flexible);
            let _ = reader.array_length(flexible);
            let _ = reader.varlong();
            let _ = reader.skip_tagged_fields();
            if reader.remaining() == before {
                break;
            }
        }
    }
}
