//! Directories that earlier versions wrote: this one starts on them and finds everything.

pub(crate) mod dump;

use std::{fs, path::Path, sync::Arc};
use tempfile::TempDir;
use tramline_store::fs::{Files, RealFiles, SimFiles};
use tramline_store::{Commit, DiskOptions, DiskStore, Error, LogStore, Op, Purpose, Reserving};

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
    open_on(Arc::new(RealFiles), dir)
}

fn open_on(files: Arc<dyn Files>, dir: &Path) -> Result<Arc<DiskStore>, Error> {
    let options = DiskOptions {
        wal_file_bytes: 64 * 1024,
        wal_retire_bytes: 128 * 1024,
        headroom_bytes: 0,
        ..DiskOptions::default()
    };
    DiskStore::open_stepped(files, dir, options)
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

const SIMULATED: &str = "/data";

/// The same on a simulated disk, all of it durable.
fn simulated(format: u32, seed: u64) -> SimFiles {
    let (files, to) = (SimFiles::new(seed), Path::new(SIMULATED));
    let on: &dyn Files = &files;
    for dir in ["wal", "seg", "ckpt"] {
        on.create_dir_all(&to.join(dir)).unwrap();
    }
    on.sync_dir(Path::new("/")).unwrap();
    on.sync_dir(to).unwrap();
    for dir in ["", "wal", "seg", "ckpt"] {
        for entry in fs::read_dir(fixture(format).join("data").join(dir)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let content = fs::read(entry.path()).unwrap();
                files.set_content(&to.join(dir).join(entry.file_name()), content).unwrap();
            }
        }
    }
    files
}

fn start(files: &SimFiles) -> Arc<DiskStore> {
    open_on(Arc::new(files.clone()), Path::new(SIMULATED)).unwrap()
}

/// Starts, and writes the first group.
fn upgrade(files: &SimFiles) {
    let store = start(files);
    let Reserving::Ready(reservation) = store.reserve(Purpose::Upkeep, 100, 1) else {
        panic!("no room")
    };
    let ops = [Op::Put("upgraded".into(), "yes".into())].into_iter().collect();
    store.submit(Commit { ops, on_durable: Box::new(|| ()) }, reservation);
    assert!(store.step_commit());
}

#[test]
fn an_upgrade_that_is_cut_short_anywhere_is_gone_on_with() {
    let expected = fs::read_to_string(fixture(1).join("expected.txt")).unwrap();
    let whole = simulated(1, 0);
    let before = whole.operations();
    upgrade(&whole);
    let calls = whole.operations() - before;
    assert!(calls > 10, "{calls}");
    for (call, seed) in (1..=calls).flat_map(|call| (0..4).map(move |seed| (call, seed))) {
        let files = simulated(1, seed);
        files.capture_at(before + call);
        upgrade(&files);
        let picture = files.captured().unwrap();
        let mut files = if seed == 0 { picture.process_kill() } else { picture.power_cut() };
        for start_again in 0..2 {
            let store = start(&files);
            let found = dump::dump(&store);
            let found = found.replace("pair b\"upgraded\" b\"yes\"\n", "");
            assert_eq!(found, expected, "call {call}, seed {seed}, start {start_again}");
            assert_eq!(store.damage(), [], "call {call}, seed {seed}");
            store.step_retire(true);
            drop(store);
            files = files.power_cut();
        }
        let format = files.content(&Path::new(SIMULATED).join("FORMAT")).unwrap();
        assert_eq!(format, b"2\n", "call {call}, seed {seed}");
    }
}
