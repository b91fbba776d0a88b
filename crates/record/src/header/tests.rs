//! The header against golden fields and hostile ones.

use super::*;

fn header() -> BatchHeader {
    BatchHeader {
        base_offset: 0x0102_0304_0506_0708,
        batch_length: 200,
        leader_epoch: 0x1112_1314,
        crc: 0xf1f2_f3f4,
        attributes: Attributes(0b01_0010),
        last_offset_delta: 9,
        base_timestamp: 1_700_000_000_000,
        max_timestamp: 1_700_000_000_005,
        producer_id: 77,
        producer_epoch: 3,
        base_sequence: 40,
        record_count: 10,
    }
}

fn decode(header: BatchHeader) -> Result<BatchHeader, Error> {
    BatchHeader::decode(&header.encode())
}

#[test]
fn every_field_is_at_its_place() {
    let bytes = header().encode();
    assert_eq!(bytes[..12], [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 200]);
    assert_eq!(bytes[12..21], [0x11, 0x12, 0x13, 0x14, 2, 0xf1, 0xf2, 0xf3, 0xf4]);
    assert_eq!(bytes[21..27], [0, 0b01_0010, 0, 0, 0, 9]);
    assert_eq!(bytes[27..35], 1_700_000_000_000_i64.to_be_bytes());
    assert_eq!(bytes[35..43], 1_700_000_000_005_i64.to_be_bytes());
    assert_eq!(bytes[43..], [0, 0, 0, 0, 0, 0, 0, 77, 0, 3, 0, 0, 0, 40, 0, 0, 0, 10]);
    assert_eq!(BatchHeader::decode(&bytes), Ok(header()));
    assert_eq!(header().total_bytes(), 212);
}

#[test]
fn attributes_tell_codec_and_flags() {
    let attributes = Attributes(0b01_0010);
    assert_eq!(attributes.compression(), Ok(Compression::Snappy));
    assert!(attributes.is_transactional());
    assert!(!attributes.is_control() && !attributes.is_log_append_time());
    assert!(Attributes(0b10_1000).is_control() && Attributes(0b10_1000).is_log_append_time());
    for id in 5..8 {
        let unknown = BatchHeader { attributes: Attributes(id), ..header() };
        let [_, codec] = id.to_be_bytes();
        assert_eq!(decode(unknown), Err(Error::UnknownCompression(codec)));
    }
}

#[test]
fn bits_that_kafka_has_not_assigned_are_kept() {
    let future = BatchHeader { attributes: Attributes(0xff80), ..header() };
    assert_eq!(decode(future), Ok(future));
}

#[test]
fn fewer_bytes_than_a_header_are_truncated() {
    let bytes = header().encode();
    for present in 0..HEADER_BYTES {
        let error = Error::Truncated { needed: HEADER_BYTES, present };
        assert_eq!(BatchHeader::decode(&bytes[..present]), Err(error));
    }
}

#[test]
fn other_formats_are_named_even_when_shorter_than_this_header() {
    for magic in [0_i8, 1, 3, -1, i8::MIN, i8::MAX] {
        let mut bytes = header().encode();
        bytes[16] = magic.to_be_bytes()[0];
        assert_eq!(BatchHeader::decode(&bytes[..30]), Err(Error::Magic(magic)));
    }
}

#[test]
fn a_length_below_the_header_is_refused() {
    for batch_length in [0, 1, -1, 12, 48, i32::MIN] {
        let short = BatchHeader { batch_length, ..header() };
        assert_eq!(decode(short), Err(Error::Length(batch_length)));
    }
    let bare = BatchHeader { batch_length: 49, record_count: 0, ..header() };
    assert_eq!(decode(bare).map(|header| header.total_bytes()), Ok(HEADER_BYTES));
}

#[test]
fn counts_must_be_possible() {
    let invalid = |record_count, last_offset_delta| {
        let header = BatchHeader { record_count, last_offset_delta, ..header() };
        matches!(decode(header), Err(Error::InvalidHeader(_)))
    };
    assert!(invalid(-1, 9) && invalid(i32::MIN, 9) && invalid(1, -1) && invalid(0, i32::MIN));
    assert!(invalid(11, 9), "more records than offsets");
    assert!(!invalid(3, 9), "compaction leaves gaps");
    assert!(!invalid(i32::MAX, i32::MAX), "compressed, so that the bytes do not tell");

    let plain = BatchHeader { attributes: Attributes(0), batch_length: 49 + 70, ..header() };
    assert_eq!(decode(plain), Ok(plain));
    let crowded = BatchHeader { batch_length: 49 + 69, ..plain };
    let error = Error::InvalidHeader("there are more records than bytes for them");
    assert_eq!(decode(crowded), Err(error));
}

#[test]
fn the_newest_timestamp_is_the_brokers_or_the_larger_one() {
    assert_eq!(header().newest_timestamp(), 1_700_000_000_005);
    let unset = BatchHeader { max_timestamp: -1, ..header() };
    assert_eq!(unset.newest_timestamp(), 1_700_000_000_000);
    let by_broker = BatchHeader { max_timestamp: 5, attributes: Attributes(0b1000), ..header() };
    assert_eq!(by_broker.newest_timestamp(), 5);
}

#[test]
fn the_last_offset_does_not_overflow() {
    let last = BatchHeader { base_offset: i64::MAX, ..header() };
    assert_eq!(last.last_offset(), i64::MAX);
    assert_eq!(BatchHeader { base_offset: 5, ..header() }.last_offset(), 14);
}
