//! Zigzag varints: golden forms, round trip, over-long and cut forms.

use super::*;
use proptest::prelude::*;

fn encoded(value: i64) -> BytesMut {
    let mut out = BytesMut::new();
    put(&mut out, value);
    out
}

#[test]
fn golden_forms() {
    for (value, bytes) in [
        (0, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (-64, &[0x7f]),
        (64, &[0x80, 1]),
        (8191, &[0xfe, 0x7f]),
        (8192, &[0x80, 0x80, 1]),
        (i32::MAX.into(), &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        (i32::MIN.into(), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
    ] {
        assert_eq!(&encoded(value)[..], bytes, "{value}");
        assert_eq!(read_i64(&mut &bytes[..]), Some(value));
    }
}

#[test]
fn a_form_that_overflows_or_never_ends_is_refused() {
    assert_eq!(read_i32(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None, "33 bits");
    assert_eq!(read_i32(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..]), None, "six bytes");
    assert_eq!(read_i64(&mut &[0xff; 10][..]), None, "never ends");
    let mut bits_65 = [0xff; 10];
    bits_65[9] = 2;
    assert_eq!(read_i64(&mut &bits_65[..]), None);
    for cut in [&[][..], &[0x80], &[0x80, 0x80]] {
        assert_eq!(read_i32(&mut &cut[..]), None);
        assert_eq!(read_i64(&mut &cut[..]), None);
    }
}

#[test]
fn a_padded_form_within_the_bound_is_read_as_the_java_client_reads_it() {
    assert_eq!(read_i32(&mut &[0x82, 0x80, 0x80, 0x80, 0][..]), Some(1));
}

proptest! {
    #[test]
    fn every_i64_round_trips_in_its_length(value: i64, tail: u8) {
        let mut bytes = encoded(value);
        prop_assert_eq!(bytes.len(), len(value));
        bytes.put_u8(tail);
        let mut rest = &bytes[..];
        prop_assert_eq!(read_i64(&mut rest), Some(value));
        prop_assert_eq!(rest, &[tail]);
    }

    #[test]
    fn every_i32_round_trips_and_nothing_wider_is_taken_for_one(value: i32, wide: i64) {
        prop_assert_eq!(read_i32(&mut &encoded(value.into())[..]), Some(value));
        let read = read_i32(&mut &encoded(wide)[..]);
        prop_assert_eq!(read, i32::try_from(wide).ok());
    }
}
