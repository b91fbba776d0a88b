//! Every input that the fuzz target `record` is seeded with or once found.

use std::{fs, path::Path};

#[test]
fn every_corpus_input_is_survived() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/record");
    let mut replayed = 0;
    for entry in fs::read_dir(directory).unwrap() {
        tramline_record::fuzz_batch(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 170, "only {replayed} inputs are left of the corpus");
}
