use bytes::Bytes;

use crate::{EncodeError, SHARED_BYTES_MIN, Writer};

#[test]
fn large_shared_bytes_are_not_copied_and_keep_their_place() {
    let large = Bytes::from(vec![b'x'; SHARED_BYTES_MIN]);
    let small = Bytes::from(vec![b'y'; SHARED_BYTES_MIN - 1]);
    let mut writer = Writer::new();
    writer.raw(b"head");
    writer.raw_shared(&small);
    writer.raw_shared(&large);
    writer.raw_shared(&large);
    writer.raw(b"tail");
    assert_eq!(writer.len(), 8 + small.len() + 2 * large.len());

    let chunks = writer.into_chunks();
    assert_eq!(chunks.len(), 4);
    assert_eq!(chunks[0], [b"head", small.as_ref()].concat());
    assert_eq!(chunks[1].as_ptr(), large.as_ptr());
    assert_eq!(chunks[2].as_ptr(), large.as_ptr());
    assert_eq!(chunks[3], "tail");
}

#[test]
fn one_piece_is_the_chunks_joined() {
    let large = Bytes::from(vec![b'x'; SHARED_BYTES_MIN]);
    let write = || {
        let mut writer = Writer::new();
        writer.raw_shared(&large);
        writer.i32(-2);
        writer.raw_shared(&large);
        writer
    };
    assert_eq!(write().into_bytes(), write().into_chunks().concat());
}

#[test]
fn the_size_prefix_counts_shared_bytes() {
    let mut writer = Writer::new();
    writer.i32(0);
    writer.raw(b"abc");
    writer.raw_shared(&Bytes::from(vec![0; 1000]));
    writer.set_size_prefix().unwrap();
    assert_eq!(writer.into_chunks()[0].as_ref(), b"\x00\x00\x03\xebabc");
}

#[test]
fn nothing_written_gives_no_chunk() {
    assert!(Writer::new().is_empty());
    assert_eq!(Writer::new().into_chunks(), Vec::<Bytes>::new());
}

#[test]
fn strings_too_long_for_kafka_are_refused() {
    let longest = "a".repeat(0x7fff);
    for flexible in [false, true] {
        let mut writer = Writer::new();
        assert_eq!(writer.nullable_string(flexible, Some(&longest.clone().into())), Ok(()));
        let longer = format!("{longest}a").into();
        let refused = writer.nullable_string(flexible, Some(&longer));
        assert_eq!(refused, Err(EncodeError::TooLong(0x8000)));
    }
}

#[test]
fn variable_length_integers_have_kafkas_spelling() {
    let mut writer = Writer::new();
    writer.unsigned_varint(300);
    writer.varint(-1);
    writer.varint(1);
    writer.varlong(i64::MIN);
    let expected = b"\xac\x02\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(writer.into_bytes().as_ref(), expected);
}
