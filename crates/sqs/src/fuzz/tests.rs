//! Every input that the fuzz targets are seeded with or once found, and broken ones around them.

use super::*;
use std::{fs, path::Path};

/// Runs a target over its corpus, each input also cut and with single bytes changed.
fn replay(target: &str, run: fn(&[u8]), n_min: usize) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut replayed = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let good = fs::read(entry.unwrap().path()).unwrap();
        run(&good);
        for at in 0..good.len().min(200) {
            run(&good[..at]);
            for byte in [0, b'"', b'%', 0xff] {
                let mut broken = good.clone();
                broken[at] = byte;
                run(&broken);
            }
        }
        replayed += 1;
    }
    assert!(replayed >= n_min, "only {replayed} inputs are left of the corpus");
}

#[test]
fn requests_of_json_are_survived() {
    replay("sqs_json", fuzz_json, 30);
}

#[test]
fn requests_of_the_query_protocol_are_survived() {
    replay("sqs_query", fuzz_query, 30);
}

#[test]
fn signatures_are_survived() {
    replay("sqs_signature", fuzz_signature, 4);
}
