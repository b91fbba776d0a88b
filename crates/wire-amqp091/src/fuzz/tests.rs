//! Replays the corpora of the fuzz targets.

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
