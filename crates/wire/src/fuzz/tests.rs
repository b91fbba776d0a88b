//! Every input that the fuzz target `kafka_request` is seeded with or once found.

use std::{fs, path::Path};

#[test]
fn every_corpus_input_is_survived() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/kafka_request");
    let mut replayed = 0;
    for entry in fs::read_dir(directory).unwrap() {
        super::fuzz_request(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 290, "only {replayed} inputs are left of the corpus");
}
