//! Directories that earlier versions wrote: this one starts on them and finds everything.

pub(crate) mod dump;

use std::{fs, path::Path, sync::Arc};
use tempfile::TempDir;
use tramline_store::{DiskOptions, DiskStore, Error, LogStore, fs::RealFiles};

fn fixture(format: u32) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

/// A start changes the directory: it gets a copy.
fn copy(format: u32) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for dir in ["", "wal", "seg", "ckpt"] {
        fs::create_dir_all(to.path().join(dir)).unwrap();
        for entry in fs::read_dir(fixture(format).join("data").join(dir)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), to.path().join(dir).join(entry.file_name())).unwrap();
            }
        }
    }
    to
}

fn open(dir: &Path) -> Result<Arc<DiskStore>, Error> {
    let options = DiskOptions {
        wal_file_bytes: 64 * 1024,
        wal_retire_bytes: 128 * 1024,
        headroom_bytes: 0,
        ..DiskOptions::default()
    };
    DiskStore::open_stepped(Arc::new(RealFiles), dir, options)
}

fn starts_and_goes_on(format: u32) {
    let dir = copy(format);
    let expected = fs::read_to_string(fixture(format).join("expected.txt")).unwrap();
    for round in 0..3 {
        let store = open(dir.path()).unwrap();
        assert_eq!(dump::dump(&store), expected, "start {round}");
        assert_eq!(store.damage(), []);
        if round == 1 {
            assert!(store.step_retire(true));
        }
    }
}

#[test]
fn a_directory_of_format_1_is_complete() {
    starts_and_goes_on(1);
}

/// Format 1 does not tell the ends of logs.
#[test]
fn damage_in_a_directory_of_format_1_gives_no_offset_twice() {
    let ends = |store: &DiskStore| {
        store.logs().into_iter().map(|log| (log, store.ends(log).unwrap().next)).collect::<Vec<_>>()
    };
    let whole = ends(&open(copy(1).path()).unwrap());
    for block in 1..6 {
        let dir = copy(1);
        let path = dir.path().join("wal/0000000000000005.wal");
        let mut content = fs::read(&path).unwrap();
        content[block * 4096 + 100] ^= 1;
        fs::write(&path, content).unwrap();
        for start in 0..2 {
            let store = open(dir.path()).unwrap();
            for ((log, before), (_, next)) in whole.iter().zip(ends(&store)) {
                assert!(next >= *before, "block {block}, start {start}: {log} ends at {next}");
            }
        }
    }
}

#[test]
fn a_directory_of_format_2_is_complete() {
    starts_and_goes_on(2);
}
