//! Input that no client sends. Every decoder answers it with a value or an error: it never
//! panics, and never allocates on the word of a length (which would end this process).

use bytes::Bytes;
use proptest::prelude::*;
use tramline_wire::Reader;
use tramline_wire::kafka::{ApiKey, ProduceView, decode_any_request, decode_any_response};

use crate::sample::Sample;

/// Lengths as they appear on the wire: 32 and 16 bits, and compact.
const LENGTHS: [&[u8]; 14] = [
    &[0, 0, 0, 0],
    &[0, 0, 0, 1],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0, 0],
    &[0x7f, 0xff],
    &[0x80, 0],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
];

#[test]
fn truncated_messages_are_refused_at_every_length() {
    for sample in Sample::all() {
        for length in 0..sample.bytes.len() {
            let result = sample.decode(sample.bytes.slice(..length));
            assert!(result.is_err(), "{} cut to {length}", sample.label());
        }
    }
}

#[test]
fn bytes_after_a_message_are_refused() {
    for sample in Sample::all() {
        let longer = Bytes::from([&sample.bytes[..], b"\0"].concat());
        assert!(sample.decode(longer).is_err(), "{}", sample.label());
    }
}

#[test]
fn extreme_lengths_anywhere_are_survived() {
    let mut refused = 0;
    for sample in Sample::all() {
        for at in 0..sample.bytes.len() {
            for length in LENGTHS {
                let mut bytes = sample.bytes.to_vec();
                bytes.splice(at..(at + length.len()).min(bytes.len()), length.iter().copied());
                refused += u32::from(sample.decode(Bytes::from(bytes)).is_err());
            }
        }
    }
    assert!(refused > 100_000, "only {refused} inputs were refused");
}

#[test]
fn a_huge_array_in_a_tiny_message_is_refused() {
    // Metadata v1 with 2^31-1 topics, Produce v3 likewise.
    let metadata = Bytes::from_static(b"\x7f\xff\xff\xff");
    let produce = Bytes::from_static(b"\xff\xff\x00\x01\x00\x00\x00\x01\x7f\xff\xff\xff");
    assert!(decode_any_request(3, 1, metadata).is_err());
    assert!(decode_any_request(0, 3, produce.clone()).is_err());
    assert!(ProduceView::decode(&mut Reader::new(produce), 3).is_err());
}

#[test]
fn a_large_frame_of_tiny_elements_is_refused_by_the_item_budget() {
    // Fetch v12: a byte of topic name and two of empty arrays make a topic of a hundred bytes.
    let count = 2_000_000u32;
    let mut writer = tramline_wire::Writer::new();
    writer.raw(&[0; 4 * 4 + 1 + 4 + 4]);
    writer.unsigned_varint(count + 1);
    for _ in 0..count {
        writer.raw(b"\x01\x01\x00");
    }
    writer.raw(b"\x01\x01\x00");
    let refused = decode_any_request(1, 12, writer.into_bytes());
    assert_eq!(refused, Err(tramline_wire::DecodeError::TooManyItems));
}

#[test]
fn versions_outside_the_range_are_refused() {
    for &api_key in ApiKey::ALL {
        for version in [api_key.versions().min - 1, api_key.versions().max + 1, i16::MIN, i16::MAX]
        {
            let body = Bytes::from_static(&[0; 256]);
            let refused = Some(tramline_wire::DecodeError::UnsupportedVersion(version));
            assert_eq!(decode_any_request(api_key.code(), version, body.clone()).err(), refused);
            assert_eq!(decode_any_response(api_key.code(), version, body).err(), refused);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_bytes_are_survived(
        pick in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..4], 0..300),
    ) {
        let api_key = *pick.get(ApiKey::ALL);
        let bytes = Bytes::from(bytes);
        for version in api_key.versions().min..=api_key.versions().max {
            let _ = decode_any_request(api_key.code(), version, bytes.clone());
            let _ = decode_any_response(api_key.code(), version, bytes.clone());
        }
    }
}
