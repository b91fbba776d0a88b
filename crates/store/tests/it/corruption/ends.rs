//! Damage to what a log was sent last: its offsets are not given out again.

use crate::{
    batches::{append_to, at, batch, target},
    powercut::{DIR, step_upkeep},
    subject::{read, weight},
};
use std::{path::Path, sync::Arc};
use tramline_store::{
    Commit, DiskOptions, DiskStore, Error, LogStore, Op, Purpose, Reserving, fs::SimFiles,
};
use tramline_types::LogId;

const QUIET: LogId = LogId(1);
const BUSY: LogId = LogId(2);

fn open(files: &SimFiles) -> Arc<DiskStore> {
    let options = DiskOptions {
        wal_file_bytes: 64 * 1024,
        wal_retire_bytes: 1024 * 1024,
        headroom_bytes: 0,
        cache_bytes: 0,
        ..DiskOptions::default()
    };
    DiskStore::open_stepped(Arc::new(files.clone()), Path::new(DIR), options).unwrap()
}

fn commit(store: &DiskStore, ops: Vec<Op>) {
    for _ in 0..50 {
        if let Reserving::Ready(reservation) = store.reserve(Purpose::Upkeep, weight(&ops), 1) {
            store.submit(Commit { ops: ops.into(), on_durable: Box::new(|| ()) }, reservation);
            store.step_commit();
            store.step_prepare();
            return;
        }
        step_upkeep(store);
    }
    panic!("there is no room");
}

fn append(store: &DiskStore, log: LogId, bytes: usize) {
    let next = store.ends(log).unwrap().next.get();
    let seed = log.0 * 1_000_000 + next;
    commit(store, vec![append_to(&[target(log, next)], &batch(seed, 2, bytes, 1), 2)]);
}

/// A quiet log whose last append is damaged, with this much of a busy one behind it.
fn damaged(behind: usize) -> SimFiles {
    let files = SimFiles::new(1);
    let store = open(&files);
    commit(&store, vec![Op::Create(QUIET, at(0)), Op::Create(BUSY, at(0))]);
    append(&store, QUIET, 100);
    append(&store, QUIET, 100);
    for _ in 0..behind {
        append(&store, BUSY, 3000);
    }
    drop(store);
    // The header, the creations, and one block for each append.
    let path = Path::new(DIR).join("wal/0000000000000001.wal");
    files.zero(&path, 3 * 4096..4 * 4096).unwrap();
    files
}

fn goes_on_behind(files: &SimFiles) {
    let mut next = 4;
    for _ in 0..3 {
        let store = open(files);
        assert_eq!(store.ends(QUIET).unwrap().next, at(next));
        assert!(store.has_lost(QUIET).unwrap() && !store.has_lost(BUSY).unwrap());
        assert_eq!(read(&*store, QUIET, at(0), 1).unwrap().next, at(2));
        for lost in 2..4 {
            let refused = read(&*store, QUIET, at(lost), 1).unwrap_err();
            assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
        }
        append(&store, QUIET, 100);
        assert_eq!(read(&*store, QUIET, at(next), 1).unwrap().next, at(next + 2));
        next += 2;
        while store.step_retire(true) {}
    }
}

#[test]
fn a_later_group_tells_where_the_log_ended() {
    goes_on_behind(&damaged(1));
}

#[test]
fn a_later_file_tells_where_the_log_ended() {
    goes_on_behind(&damaged(40));
}

#[test]
fn a_file_that_is_gone_is_told_by_the_next_one() {
    let files = damaged(40);
    files.lose(&Path::new(DIR).join("wal/0000000000000001.wal")).unwrap();
    let store = open(&files);
    // The creations are gone with it: there is nothing to give offsets out of.
    assert!(store.logs().is_empty());
    assert!(!store.damage().is_empty());
}

#[test]
fn a_trim_behind_the_loss_ends_the_doubt() {
    let files = damaged(1);
    let store = open(&files);
    append(&store, QUIET, 100);
    commit(&store, vec![Op::Trim(QUIET, at(4))]);
    assert!(!store.has_lost(QUIET).unwrap());
    drop(store);
    let store = open(&files);
    assert_eq!(store.ends(QUIET).unwrap().start, at(4));
    assert!(!store.has_lost(QUIET).unwrap());
}

#[test]
fn a_log_that_nothing_tells_of_goes_on_further_up() {
    let files = damaged(1);
    let path = Path::new(DIR).join("wal/0000000000000001.wal");
    // The frame that tells of ends is the last of each group; the busy one's is taken away.
    let content = files.content(&path).unwrap();
    let group = &content[4 * 4096..5 * 4096];
    let commit = u32::from_le_bytes(group[..4].try_into().unwrap()).next_multiple_of(8);
    files.flip_bit(&path, 8 * (4 * 4096 + usize::try_from(commit).unwrap() + 60)).unwrap();
    let store = open(&files);
    let next = store.ends(QUIET).unwrap().next.get();
    assert!(next > 1 << 32, "{next}");
    assert!(matches!(read(&*store, QUIET, at(3), 1), Err(Error::Damaged { .. })));
    append(&store, QUIET, 100);
    drop(store);
    let store = open(&files);
    assert_eq!(store.ends(QUIET).unwrap().next, at(next + 2), "the same again");
}

#[test]
fn a_change_of_state_that_is_lost_is_reported_for_its_log() {
    let files = SimFiles::new(1);
    let store = open(&files);
    commit(&store, vec![Op::Create(QUIET, at(0)), Op::Create(BUSY, at(0))]);
    for delta in ["one", "two", "three"] {
        commit(&store, vec![Op::Delta(QUIET, delta.into())]);
    }
    append(&store, BUSY, 100);
    drop(store);
    let path = Path::new(DIR).join("wal/0000000000000001.wal");
    files.zero(&path, 3 * 4096..4 * 4096).unwrap();
    let store = open(&files);
    let damage = store.damage();
    assert!(damage.iter().any(|damage| damage.log == Some(QUIET)), "{damage:?}");
    assert!(damage.iter().all(|damage| damage.log != Some(BUSY)), "{damage:?}");
    assert_eq!(store.take_state(QUIET).unwrap().deltas, ["one", "three"]);
}
