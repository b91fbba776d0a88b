//! Replays the corpora of the fuzz targets.

use super::Table;
use proptest::prelude::*;
use std::{fs, path::Path};

fn replay(target: &str, run: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let inputs = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let replayed = inputs.map(|input| run(&fs::read(input).unwrap())).count();
    assert!(replayed > 0);
}

#[test]
fn corpora_are_read_without_a_panic() {
    replay("amqp091_frames", super::fuzz_frames);
    replay("amqp091_table", super::fuzz_table);
    replay("amqp091_properties", super::fuzz_properties);
}

/// Bytes that look like fields, so that what is deep inside is reached.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\x01aV".to_vec()),
        Just(b"\x00t\x01".to_vec()),
        Just(b"\x02\xc3\xa4D\x02\0\0\0\x07".to_vec()),
        Just(b"\x01sS\0\0\0\x02hi".to_vec()),
        Just(b"\x01nl\0\0\0\0\0\0\0\x01".to_vec()),
        Just(b"\x01a?".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    let flat = prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat());
    let nested = |letter: u8, inside: &[u8]| {
        let length = u32::try_from(inside.len()).unwrap().to_be_bytes();
        [&[1, b'x', letter][..], &length, inside].concat()
    };
    flat.prop_recursive(40, 200, 2, move |inside| {
        (prop_oneof![Just(b'F'), Just(b'A'), Just(b'x')], inside)
            .prop_map(move |(letter, inside)| nested(letter, &inside))
    })
}

proptest! {
    #[test]
    fn what_is_checked_is_what_is_read(data in fields()) {
        super::fuzz_table(&data);
    }
}

#[test]
fn what_is_nested_too_deep_is_told_by_the_check_as_well() {
    for letter in [b'F', b'A'] {
        let mut table = Vec::new();
        for depth in 0..=crate::DEPTH_MAX + 2 {
            let length = u32::try_from(table.len()).unwrap().to_be_bytes();
            // Names are there in tables, and at the top.
            let name: &[u8] =
                if letter == b'F' || depth == crate::DEPTH_MAX + 2 { b"\x01x" } else { b"" };
            table = [name, &[letter], &length, &table].concat();
            super::fuzz_table(&table);
        }
        assert_eq!(Table::check(&table), Err(crate::DecodeError::TooDeep));
    }
}
