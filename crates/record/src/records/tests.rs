//! Records with hostile lengths, counts and ends.

use super::*;
use crate::Attributes;
use bytes::{BufMut, BytesMut};

/// Varint fields, then raw bytes: the inside of one record without its length.
fn body(fields: &[i64]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(0);
    for &field in fields {
        varint::put(&mut out, field);
    }
    out
}

fn with_length(length: i64, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    varint::put(&mut out, length);
    out.put_slice(body);
    out.freeze()
}

fn whole(body: &[u8]) -> Bytes {
    with_length(i64::try_from(body.len()).unwrap(), body)
}

fn records(opened: Bytes, record_count: i32) -> Vec<Result<Record, Error>> {
    let header = BatchHeader {
        base_offset: 0,
        batch_length: 0,
        leader_epoch: -1,
        crc: 0,
        attributes: Attributes(0),
        last_offset_delta: 9,
        base_timestamp: 100,
        max_timestamp: 100,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count,
    };
    Records::new(&header, opened).collect()
}

fn refused(opened: Bytes) -> &'static str {
    match records(opened, 1).as_slice() {
        [Err(Error::InvalidRecord { index: 0, detail })] => detail,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_smallest_record_is_seven_bytes() {
    let smallest = whole(&body(&[5, 3, -1, -1, 0]));
    assert_eq!(smallest.len(), 7);
    let record =
        Record { offset_delta: 3, timestamp: 105, key: None, value: None, headers: Vec::new() };
    assert_eq!(records(smallest, 1), [Ok(record)]);
}

#[test]
fn parts_are_slices_of_the_opened_batch() {
    let mut bytes = body(&[0, 0, 1]);
    bytes.put_slice(b"k");
    varint::put(&mut bytes, 0);
    varint::put(&mut bytes, 0);
    let opened = whole(&bytes);
    let list = records(opened.clone(), 1);
    let [Ok(record)] = list.as_slice() else { panic!("{list:?}") };
    let key = record.key.as_ref().unwrap();
    assert_eq!(key.as_ptr(), opened[5..].as_ptr());
    assert_eq!(record.value.as_deref(), Some(&b""[..]), "empty is not null");
}

#[test]
fn any_negative_length_is_null_as_in_the_java_client() {
    let list = records(whole(&body(&[0, 0, i32::MIN.into(), -7, 0])), 1);
    let [Ok(record)] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!((&record.key, &record.value), (&None, &None));
}

#[test]
fn hostile_record_lengths_are_refused() {
    let inside = body(&[0, 0, -1, -1, 0]);
    for length in [0, 1, -1, 5, 7, i32::MAX.into(), i32::MIN.into(), i64::MAX] {
        refused(with_length(length, &inside));
    }
    assert_eq!(refused(Bytes::new()), "its length is cut short or too long");
    assert_eq!(refused(with_length(0, &[])), "it is empty");
}

#[test]
fn hostile_field_lengths_are_refused() {
    for length in [1, 2, i32::MAX.into(), i64::from(i32::MAX) + 1, i64::MAX] {
        refused(whole(&body(&[0, 0, length])));
        refused(whole(&body(&[0, 0, -1, length])));
        refused(whole(&body(&[0, 0, -1, -1, 1, length])));
        refused(whole(&body(&[0, 0, -1, -1, 1, 0, length])));
    }
    assert_eq!(refused(whole(&body(&[0, i64::MAX]))), "its offset is cut short or too long");
}

#[test]
fn hostile_header_counts_are_refused_before_memory_is_taken() {
    assert_eq!(refused(whole(&body(&[0, 0, -1, -1, -1]))), "its header count is negative");
    for count in [1, 2, i32::MAX.into()] {
        let detail = "it has more headers than allowed or than bytes for them";
        assert_eq!(refused(whole(&body(&[0, 0, -1, -1, count]))), detail);
    }
    let count = RECORD_HEADERS_MAX + 1;
    let mut bytes = body(&[0, 0, -1, -1, i64::try_from(count).unwrap()]);
    bytes.put_bytes(0, count * 2);
    refused(whole(&bytes));
}

#[test]
fn a_header_without_a_name_is_refused() {
    assert_eq!(refused(whole(&body(&[0, 0, -1, -1, 1, -1, -1]))), "a header has no name");
}

#[test]
fn a_record_must_end_where_it_says() {
    let mut bytes = body(&[0, 0, -1, -1, 0]);
    bytes.put_u8(0);
    assert_eq!(refused(whole(&bytes)), "it is shorter than its length");
}

fn at_offsets(offset_deltas: &[i64]) -> Bytes {
    let bytes = offset_deltas.iter().flat_map(|&delta| whole(&body(&[0, delta, -1, -1, 0])));
    bytes.collect()
}

#[test]
fn offsets_rise_within_the_batch() {
    let good = [&[0, 1][..], &[0, 9], &[3, 4, 8], &[9]];
    for deltas in good {
        let list = records(at_offsets(deltas), i32::try_from(deltas.len()).unwrap());
        let read = list.into_iter().map(|record| i64::from(record.unwrap().offset_delta));
        assert!(read.eq(deltas.iter().copied()));
    }
    for delta in [-1, 10, i32::MIN.into(), i32::MAX.into()] {
        refused(at_offsets(&[delta]));
    }
    for deltas in [[0, 0], [5, 4], [1, 0]] {
        assert!(records(at_offsets(&deltas), 2)[1].is_err(), "{deltas:?}");
    }
}

#[test]
fn the_batch_must_end_with_its_last_record() {
    let two = at_offsets(&[0, 1]);
    assert_eq!(records(two.clone(), 2).iter().filter(|record| record.is_ok()).count(), 2);

    let list = records(two.clone(), 1);
    let surplus = Error::InvalidRecord { index: 1, detail: "bytes follow the last record" };
    assert!(list[0].is_ok());
    assert_eq!(list[1..], [Err(surplus)]);

    let list = records(two, i32::MAX);
    assert_eq!(list.len(), 3, "an error ends the list");
    assert!(matches!(list[2], Err(Error::InvalidRecord { index: 2, .. })));
}

#[test]
fn timestamps_wrap_instead_of_overflowing() {
    let list = records(whole(&body(&[i64::MAX, 0, -1, -1, 0])), 1);
    let [Ok(record)] = list.as_slice() else { panic!("{list:?}") };
    assert_eq!(record.timestamp, 100_i64.wrapping_add(i64::MAX));
}

#[test]
fn a_message_has_no_timestamp_when_the_record_has_none() {
    let record =
        Record { offset_delta: 0, timestamp: -1, key: None, value: None, headers: Vec::new() };
    assert_eq!(Message::from(record), Message::default());
}
