use super::*;
use crate::fs::{AlignedBuf, probe};
use std::{path::PathBuf, time::Duration};
use tramline_types::{Clock, Monotonic, Timestamp};

/// A directory of this test's own, below the target directory so that it is on a real disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/../../target")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn blocks(byte: u8, count: usize) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(count * BLOCK);
    buf.as_mut_slice().fill(byte);
    buf
}

#[test]
fn what_each_mode_writes_another_mode_reads() {
    let dir = scratch();
    for mode in [OpenMode::Write, OpenMode::Direct] {
        let path = dir.path().join(format!("{mode:?}"));
        let file = RealFiles.open(&path, mode).unwrap();
        file.write_at(0, &blocks(1, 2)).unwrap();
        file.write_sync_at(BLOCK as u64, &blocks(2, 2)).unwrap();
        file.sync().unwrap();
        assert_eq!(file.len().unwrap(), 3 * BLOCK as u64);
        let reader = RealFiles.open(&path, OpenMode::Read).unwrap();
        let mut all = vec![9; 4 * BLOCK];
        assert_eq!(reader.read_at(0, &mut all).unwrap(), 3 * BLOCK);
        assert!(all[..BLOCK].iter().all(|byte| *byte == 1));
        assert!(all[BLOCK..3 * BLOCK].iter().all(|byte| *byte == 2));
        let mut direct = AlignedBuf::zeroed(2 * BLOCK);
        assert_eq!(file.read_at(2 * BLOCK as u64, &mut direct).unwrap(), BLOCK);
        assert!(direct[..BLOCK].iter().all(|byte| *byte == 2));
    }
}

#[test]
fn a_direct_file_of_any_length_is_read_to_its_end() {
    let dir = scratch();
    let path = dir.path().join("odd");
    fs::write(&path, vec![5; BLOCK + 10]).unwrap();
    let file = RealFiles.open(&path, OpenMode::Direct).unwrap();
    let mut buf = AlignedBuf::zeroed(4 * BLOCK);
    assert_eq!(file.read_at(0, &mut buf).unwrap(), BLOCK + 10);
}

#[test]
fn a_direct_file_refuses_what_is_not_aligned() {
    let dir = scratch();
    let file = RealFiles.open(&dir.path().join("direct"), OpenMode::Direct).unwrap();
    for (position, len) in [(1, BLOCK), (0, BLOCK - 1), (512, 512)] {
        let refused = file.write_at(position, &blocks(0, 1)[..len]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{len} bytes at {position}");
    }
}

#[test]
fn allocating_extends_and_keeps_what_is_there() {
    let dir = scratch();
    let file = RealFiles.open(&dir.path().join("grown"), OpenMode::Write).unwrap();
    file.write_at(0, b"kept").unwrap();
    file.allocate(100_000).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
    file.allocate(10).unwrap();
    assert_eq!(file.len().unwrap(), 100_000, "allocating less never cuts");
    file.truncate(4).unwrap();
    let mut all = [0; 10];
    assert_eq!(file.read_at(0, &mut all).unwrap(), 4);
    assert_eq!(&all[..4], b"kept");
}

#[test]
fn a_lock_is_exclusive_until_its_guard_is_dropped() {
    let dir = scratch();
    let path = dir.path().join("LOCK");
    let guard = RealFiles.lock(&path).unwrap();
    let second = RealFiles.lock(&path).map(|_| ()).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::WouldBlock);
    drop(guard);
    RealFiles.lock(&path).map(|_| ()).unwrap();
}

#[test]
fn directories_are_made_with_their_parents_and_list_their_names() {
    let dir = scratch();
    let deep: PathBuf = dir.path().join("a/b/c");
    let files: &dyn Files = &RealFiles;
    RealFiles.create_dir_all(&deep).unwrap();
    RealFiles.create_dir_all(&deep).unwrap();
    for name in ["one", "two"] {
        RealFiles.open(&deep.join(name), OpenMode::Write).unwrap();
    }
    RealFiles.rename(&deep.join("one"), &deep.join("three")).unwrap();
    RealFiles.remove(&deep.join("two")).unwrap();
    files.sync_dir(&deep).unwrap();
    assert_eq!(RealFiles.list(&deep).unwrap(), ["three"]);
    let (free, total) =
        (RealFiles.free_bytes(&deep).unwrap(), RealFiles.total_bytes(&deep).unwrap());
    assert!(0 < free && free <= total, "{free} of {total}");
    let missing = RealFiles.open(&deep.join("two"), OpenMode::Read).map(|_| ()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn the_portable_calls_do_the_same() {
    let dir = scratch();
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let (file, direct) = portable::open_direct(&options, &dir.path().join("p")).unwrap();
    assert!(!direct);
    portable::leave_direct(&file).unwrap();
    assert_eq!(portable::write_at(&file, b"abc", 2).unwrap(), 3);
    let mut all = [9; 5];
    assert_eq!(portable::read_at(&file, &mut all, 0).unwrap(), 5);
    assert_eq!(&all, b"\0\0abc");
    let refused = [
        portable::write_sync_at(&file, b"x", 0).unwrap_err(),
        portable::allocate(&file, 1).unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Unsupported));
    portable::sync_dir(dir.path()).unwrap();
    portable::prefetch(&file, 0, 1);
    assert!(portable::free_bytes(dir.path()).unwrap() > 0);
}

/// Each look moves it on by a millisecond.
struct Ticking(parking_lot::Mutex<u64>);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn monotonic(&self) -> Monotonic {
        let mut millis = self.0.lock();
        *millis += 1;
        Monotonic::from_origin(Duration::from_millis(*millis))
    }

    fn sleep_until(
        &self,
        _: Option<Monotonic>,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

#[test]
fn the_probe_ends_by_the_clock_and_leaves_nothing_behind() {
    let dir = scratch();
    let clock = Ticking(parking_lot::Mutex::new(0));
    let report = probe(&RealFiles, dir.path(), &clock).unwrap();
    assert_eq!(report.syncs, 350);
    assert_eq!(report.sync_p50, Duration::from_millis(1));
    assert_eq!(report.sync_p99, Duration::from_millis(1));
    assert!(report.sequential_mb_per_s > 0.0);
    assert_eq!(RealFiles.list(dir.path()).unwrap(), [""; 0]);
}
