//! Every input that the fuzz target `wal` is seeded with or once found.

use std::{fs, path::Path};

#[test]
fn every_corpus_input_is_survived() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wal");
    let (mut replayed, mut ops) = (0, 0);
    for entry in fs::read_dir(directory).unwrap() {
        ops += super::fuzz_wal(&fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 30, "only {replayed} inputs are left of the corpus");
    assert!(ops > 0, "no input has the format that is read");
}
