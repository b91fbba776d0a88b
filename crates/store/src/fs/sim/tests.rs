use super::*;
use crate::fs::AlignedBuf;
use std::{collections::BTreeSet, io::ErrorKind};

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn seam(files: &SimFiles) -> &dyn Files {
    files
}

/// A file system with the durable directory `/data/wal`.
fn prepared(seed: u64) -> SimFiles {
    let files = SimFiles::new(seed);
    files.create_dir_all(path("/data/wal")).unwrap();
    seam(&files).sync_dir(path("/")).unwrap();
    seam(&files).sync_dir(path("/data")).unwrap();
    files
}

/// What a number of power cuts leave of one file; `None` where it is gone.
fn contents_after_cuts(files: &SimFiles, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..1000).map(|_| files.power_cut().content(path(name)).ok()).collect()
}

#[test]
fn what_was_synced_survives_every_cut() {
    let files = prepared(1);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    file.write_at(0, b"first").unwrap();
    file.sync().unwrap();
    seam(&files).sync_dir(path("/data")).unwrap();
    let left = contents_after_cuts(&files, "/data/a");
    assert_eq!(left, BTreeSet::from([Some(b"first".to_vec())]));
}

#[test]
fn a_created_file_may_be_lost_until_its_directory_is_synced() {
    let files = prepared(2);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    file.write_at(0, b"x").unwrap();
    file.sync().unwrap();
    let left = contents_after_cuts(&files, "/data/a");
    assert_eq!(left, BTreeSet::from([None, Some(b"x".to_vec())]));
}

#[test]
fn pending_writes_survive_in_any_combination() {
    let files = prepared(3);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    file.write_at(0, &[0; 2 * SECTOR]).unwrap();
    file.sync().unwrap();
    seam(&files).sync_dir(path("/data")).unwrap();
    file.write_at(0, &[1; SECTOR]).unwrap();
    file.write_at(SECTOR as u64, &[2; SECTOR]).unwrap();
    let left: BTreeSet<(u8, u8)> = contents_after_cuts(&files, "/data/a")
        .into_iter()
        .map(|content| content.map(|bytes| (bytes[0], bytes[SECTOR])).unwrap())
        .collect();
    assert_eq!(left, BTreeSet::from([(0, 0), (1, 0), (0, 2), (1, 2)]));
}

#[test]
fn a_pending_write_is_torn_at_sectors() {
    let files = prepared(4);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    file.allocate(4 * SECTOR as u64).unwrap();
    file.sync().unwrap();
    seam(&files).sync_dir(path("/data")).unwrap();
    file.write_at(0, &[1; 4 * SECTOR]).unwrap();
    let left = contents_after_cuts(&files, "/data/a");
    let mut shapes = BTreeSet::new();
    for content in left.into_iter().flatten() {
        let sectors = content.chunks(SECTOR);
        assert!(sectors.clone().all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        shapes.insert(sectors.map(|sector| sector[0]).collect::<Vec<_>>());
    }
    assert_eq!(shapes.len(), 16, "every subset of four sectors: {shapes:?}");
}

#[test]
fn a_synced_write_makes_only_itself_durable() {
    let files = prepared(5);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    file.allocate(3 * SECTOR as u64).unwrap();
    file.sync().unwrap();
    seam(&files).sync_dir(path("/data")).unwrap();
    file.write_at(0, &[1; 2 * SECTOR]).unwrap();
    file.write_sync_at(SECTOR as u64, &[2; SECTOR]).unwrap();
    let left: BTreeSet<(u8, u8)> = contents_after_cuts(&files, "/data/a")
        .into_iter()
        .flatten()
        .map(|bytes| (bytes[0], bytes[SECTOR]))
        .collect();
    assert_eq!(left, BTreeSet::from([(0, 2), (1, 2)]), "and nothing older comes back over it");
}

#[test]
fn a_rename_is_atomic_and_may_be_lost_until_the_directory_is_synced() {
    let files = prepared(6);
    for (name, content) in [("/data/a", b"old"), ("/data/b", b"new")] {
        files.set_content(path(name), content.to_vec()).unwrap();
    }
    files.rename(path("/data/b"), path("/data/a")).unwrap();
    let left: BTreeSet<_> = (0..100)
        .map(|_| {
            let cut = files.power_cut();
            (cut.content(path("/data/a")).unwrap(), cut.content(path("/data/b")).is_ok())
        })
        .collect();
    assert_eq!(left, BTreeSet::from([(b"old".to_vec(), true), (b"new".to_vec(), false)]));
}

#[test]
fn a_removed_file_may_come_back_until_the_directory_is_synced() {
    let files = prepared(7);
    files.set_content(path("/data/a"), b"x".to_vec()).unwrap();
    files.remove(path("/data/a")).unwrap();
    let left = contents_after_cuts(&files, "/data/a");
    assert_eq!(left, BTreeSet::from([None, Some(b"x".to_vec())]));
    seam(&files).sync_dir(path("/data")).unwrap();
    assert_eq!(contents_after_cuts(&files, "/data/a"), BTreeSet::from([None]));
}

#[test]
fn a_killed_process_leaves_what_it_wrote_but_not_durable() {
    let files = prepared(8);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    file.write_at(0, b"x").unwrap();
    let killed = files.process_kill();
    assert_eq!(killed.content(path("/data/a")).unwrap(), b"x");
    assert!(contents_after_cuts(&killed, "/data/a").contains(&None));
    let reopened = killed.open(path("/data/a"), OpenMode::Write).unwrap();
    reopened.sync().unwrap();
    seam(&killed).sync_dir(path("/data")).unwrap();
    assert_eq!(contents_after_cuts(&killed, "/data/a"), BTreeSet::from([Some(b"x".to_vec())]));
}

#[test]
fn a_capture_shows_the_call_begun_and_not_durable() {
    let files = prepared(9);
    let file = files.open(path("/data/wal/1"), OpenMode::Write).unwrap();
    seam(&files).sync_dir(path("/data/wal")).unwrap();
    files.capture_at(files.operations() + 1);
    assert!(files.captured().is_none());
    file.write_sync_at(0, b"x").unwrap();
    let captured = files.captured().unwrap();
    let left = contents_after_cuts(&captured, "/data/wal/1");
    assert!(left.contains(&Some(b"x".to_vec())) && left.contains(&Some(Vec::new())));
    assert_eq!(contents_after_cuts(&files, "/data/wal/1").len(), 1);
}

#[test]
fn a_disabled_sync_reports_success_and_does_nothing() {
    let files = prepared(10);
    files.disable_sync(SyncKind::WalWrite, Times::Nth(2));
    files.disable_sync(SyncKind::WalDirectory, Times::All);
    let file = files.open(path("/data/wal/1"), OpenMode::Write).unwrap();
    seam(&files).sync_dir(path("/data/wal")).unwrap();
    assert!(contents_after_cuts(&files, "/data/wal/1").contains(&None));
    file.write_sync_at(0, b"a").unwrap();
    file.write_sync_at(1, b"b").unwrap();
    file.write_sync_at(2, b"c").unwrap();
    let left: BTreeSet<_> =
        contents_after_cuts(&files, "/data/wal/1").into_iter().flatten().collect();
    assert_eq!(left, BTreeSet::from([b"abc".to_vec(), b"a\0c".to_vec()]));
    assert_eq!(files.sync_count(SyncKind::WalWrite), 3);
}

#[test]
fn a_failed_sync_loses_what_it_covered_for_good() {
    let files = prepared(11);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    seam(&files).sync_dir(path("/data")).unwrap();
    file.write_at(0, b"lost").unwrap();
    files.fail(Call::Sync, 1);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.sync().unwrap();
    assert_eq!(contents_after_cuts(&files, "/data/a"), BTreeSet::from([Some(Vec::new())]));
}

#[test]
fn calls_fail_when_their_turn_comes() {
    let files = prepared(12);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    files.fail(Call::Write, 2);
    files.fail(Call::Read, 1);
    file.write_at(0, b"a").unwrap();
    assert!(files.is_to_fail(Call::Write));
    file.write_at(1, b"b").unwrap_err();
    assert!(!files.is_to_fail(Call::Write));
    file.write_at(1, b"c").unwrap();
    file.read_at(0, &mut [0]).unwrap_err();
    assert_eq!(file.read_at(0, &mut [0]).unwrap(), 1);
}

#[test]
fn a_full_disk_takes_overwrites_and_frees_what_is_removed() {
    let files = prepared(13);
    let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
    file.allocate(1000).unwrap();
    files.set_free_bytes(Some(100));
    assert_eq!(file.allocate(1101).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_at(1050, &[1; 51]).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(0, &[1; 1000]).unwrap();
    file.write_at(1000, &[1; 100]).unwrap();
    assert_eq!(files.free_bytes(path("/data")).unwrap(), 0);
    files.remove(path("/data/a")).unwrap();
    assert_eq!(files.free_bytes(path("/data")).unwrap(), 0, "it is still open");
    drop(file);
    assert_eq!(files.free_bytes(path("/data")).unwrap(), 1100);
}

#[test]
fn a_direct_file_refuses_what_is_not_aligned() {
    let files = prepared(14);
    let file = files.open(path("/data/a"), OpenMode::Direct).unwrap();
    let mut block = AlignedBuf::zeroed(2 * BLOCK);
    for refused in [
        file.write_at(512, &block[..BLOCK]),
        file.write_sync_at(0, &block[..BLOCK - 1]),
        file.write_at(0, &block[8..8 + BLOCK]),
        file.read_at(1, &mut block[..BLOCK]).map(|_| ()),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    file.write_sync_at(BLOCK as u64, &block[BLOCK..]).unwrap();
    assert_eq!(file.len().unwrap(), 2 * BLOCK as u64);
}

#[test]
fn a_lock_is_exclusive_until_its_guard_is_dropped() {
    let files = prepared(15);
    let guard = files.lock(path("/data/LOCK")).unwrap();
    let refused = files.lock(path("/data/LOCK")).map(|_| ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    files.power_cut().lock(path("/data/LOCK")).map(|_| ()).unwrap();
    drop(guard);
    files.lock(path("/data/LOCK")).map(|_| ()).unwrap();
}

#[test]
fn corruption_is_durable() {
    let files = prepared(16);
    files.set_content(path("/data/a"), vec![0; 100]).unwrap();
    let old = files.content(path("/data/a")).unwrap();
    files.flip_bit(path("/data/a"), 8 * 7 + 3).unwrap();
    files.cut_file(path("/data/a"), 50).unwrap();
    let cut = files.power_cut();
    let content = cut.content(path("/data/a")).unwrap();
    assert_eq!((content.len(), content[7]), (50, 8));
    cut.set_content(path("/data/a"), old.clone()).unwrap();
    assert_eq!(cut.content(path("/data/a")).unwrap(), old);
    cut.lose(path("/data/a")).unwrap();
    assert!(cut.power_cut().paths().is_empty());
}

#[test]
fn the_same_seed_decides_the_same() {
    let run = |seed| {
        let files = prepared(seed);
        let file = files.open(path("/data/a"), OpenMode::Write).unwrap();
        file.write_at(0, &[1; 8 * SECTOR]).unwrap();
        (0..20).map(|_| files.power_cut().content(path("/data/a")).ok()).collect::<Vec<_>>()
    };
    assert_eq!(run(77), run(77));
    assert_ne!(run(77), run(78));
}
