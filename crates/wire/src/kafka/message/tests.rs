use bytes::Bytes;

use super::*;
use crate::kafka::KafkaMessage;

/// One field of every kind that the derive knows.
#[derive(KafkaMessage, Clone, Debug, PartialEq)]
#[kafka(versions = "1-4", flexible = "3+")]
struct Sample {
    always: i16,
    #[kafka(versions = "2+", default = -1)]
    strict: i32,
    #[kafka(versions = "1-2", ignorable)]
    dropped: bool,
    #[kafka(nullable = "2+", default = Some(KafkaStr::EMPTY))]
    name: Option<KafkaStr>,
    #[kafka(versions = "3+", tagged = 5, ignorable)]
    late: i8,
    #[kafka(versions = "4+", tagged = 2, default = 7)]
    early: i8,
}

fn encode(sample: &Sample, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    sample.encode_into(&mut writer, version)?;
    Ok(writer.into_bytes())
}

fn decode(bytes: &[u8], version: i16) -> Result<Sample, DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let sample = Sample::decode(&mut reader, version)?;
    reader.finish().map(|()| sample)
}

#[test]
fn fields_appear_in_their_versions_only() {
    let sample = Sample { always: 1, dropped: true, ..Sample::default() };
    assert_eq!(encode(&sample, 1).unwrap().as_ref(), b"\0\x01\x01\0\0");
    assert_eq!(encode(&sample, 2).unwrap().as_ref(), b"\0\x01\xff\xff\xff\xff\x01\0\0");
    assert_eq!(encode(&sample, 3).unwrap().as_ref(), b"\0\x01\xff\xff\xff\xff\x01\0");
}

#[test]
fn a_field_that_must_not_be_lost_is_refused_where_it_does_not_fit() {
    let sample = Sample { strict: 5, ..Sample::default() };
    let refused = EncodeError::NotCarried { field: "Sample.strict", version: 1 };
    assert_eq!(encode(&sample, 1), Err(refused));
    assert!(encode(&sample, 2).is_ok());

    let sample = Sample { early: 8, ..Sample::default() };
    let refused = EncodeError::NotCarried { field: "Sample.early", version: 3 };
    assert_eq!(encode(&sample, 3), Err(refused));
}

#[test]
fn an_ignorable_field_is_left_out_where_it_does_not_fit() {
    let sample = Sample { dropped: true, late: 9, ..Sample::default() };
    let decoded = decode(&encode(&sample, 3).unwrap(), 3).unwrap();
    assert_eq!(decoded, Sample { dropped: false, ..sample });
}

#[test]
fn absent_fields_get_their_defaults() {
    let decoded = decode(b"\0\x01\x01\0\0", 1).unwrap();
    assert_eq!((decoded.strict, decoded.early, decoded.late), (-1, 7, 0));
}

#[test]
fn null_is_refused_where_the_version_does_not_allow_it() {
    let sample = Sample { name: None, ..Sample::default() };
    assert_eq!(encode(&sample, 1), Err(EncodeError::UnexpectedNull));
    assert_eq!(decode(b"\0\x01\x01\xff\xff", 1), Err(DecodeError::UnexpectedNull));
    assert_eq!(decode(&encode(&sample, 2).unwrap(), 2), Ok(sample));
}

#[test]
fn tagged_fields_are_written_by_tag_and_only_when_set() {
    let sample = Sample { early: 1, late: 2, ..Sample::default() };
    let bytes = encode(&sample, 4).unwrap();
    assert_eq!(&bytes[7..], b"\x02\x02\x01\x01\x05\x01\x02");
    assert_eq!(decode(&bytes, 4), Ok(sample));

    let bytes = encode(&Sample::default(), 4).unwrap();
    assert_eq!(&bytes[7..], b"\0");
}

#[test]
fn unknown_tags_and_tags_of_other_versions_are_skipped() {
    // Tag 2 belongs to v4; tag 9 to nobody.
    let bytes = b"\0\x01\xff\xff\xff\xff\x01\x02\x02\x01\x01\x09\x03abc";
    assert_eq!(decode(bytes, 3), Ok(Sample { always: 1, ..Sample::default() }));
}

#[test]
fn versions_outside_the_range_are_refused() {
    assert_eq!(decode(b"", 0), Err(DecodeError::UnsupportedVersion(0)));
    assert_eq!(encode(&Sample::default(), 5), Err(EncodeError::UnsupportedVersion(5)));
}

#[test]
fn records_are_equal_however_they_are_cut() {
    let whole = Records::from(Bytes::from_static(b"abcdef"));
    let cut = Records::from(vec![Bytes::from_static(b"ab"), Bytes::from_static(b"cdef")]);
    assert_eq!(whole, cut);
    assert_eq!((cut.total_bytes(), cut.to_bytes()), (6, whole.to_bytes()));
    assert_ne!(whole, Records::from(Bytes::from_static(b"abcdeg")));
    assert_eq!(Records::empty().to_bytes(), Bytes::new());
}

#[test]
fn strings_of_every_origin_are_equal_and_hash_alike() {
    let owned = KafkaStr::from(String::from("naïve"));
    let shared = KafkaStr::try_from(Bytes::from_static("naïve".as_bytes())).unwrap();
    assert_eq!(owned, shared);
    assert_eq!(owned, "naïve");
    assert_eq!(format!("{owned:>7}|{shared:?}"), "  naïve|\"naïve\"");
    assert!(std::collections::HashSet::from([owned]).contains(&shared));
    let invalid = KafkaStr::try_from(Bytes::from_static(b"\xff"));
    assert_eq!(invalid, Err(DecodeError::InvalidUtf8));
}
