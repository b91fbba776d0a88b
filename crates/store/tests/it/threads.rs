//! Many threads at once on the machine's disk: writers, readers, retirement.

use crate::{
    batches::{append_to, at, batch, split, stamped, target},
    subject::{block_on, die, read, weight},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
};
use tramline_store::{
    Commit, DiskOptions, DiskStore, Error, LogStore, Op, Purpose,
    fs::{RealFiles, sim::Random},
};
use tramline_types::{LogId, Offset};

const WRITERS: u64 = 4;
const BATCHES: u64 = 400;

fn options() -> DiskOptions {
    DiskOptions {
        wal_file_bytes: 512 * 1024,
        wal_retire_bytes: 1024 * 1024,
        wal_bytes_max: 4 * 1024 * 1024,
        headroom_bytes: 512 * 1024,
        cache_bytes: 300 * 1024,
        direct_extent_bytes: 64 * 1024,
        segment_bytes_max: 1024 * 1024,
        on_failure: Arc::new(die),
        ..DiskOptions::default()
    }
}

fn open(dir: &Path) -> Arc<DiskStore> {
    DiskStore::open(Arc::new(RealFiles), dir, options()).unwrap()
}

/// The batch that is at one offset of a log: one record each.
fn batch_at(log: u64, offset: u64) -> bytes::Bytes {
    let payload =
        if offset % 29 == 28 { 70_000 } else { 500 + usize::try_from(offset).unwrap() % 3000 };
    batch(log * 1_000_000 + offset, 1, payload, 1)
}

/// Appends one batch after another, at most eight of them not durable.
fn write(store: &DiskStore, log: u64, durable: &AtomicU64) {
    let (done, ended) = mpsc::channel();
    let mut open = 0;
    for offset in 0..BATCHES {
        let one = batch_at(log, offset);
        let mut ops = vec![append_to(&[target(LogId(log), offset)], &one, 1)];
        ops.push(Op::Delta(LogId(log), offset.to_be_bytes().to_vec().into()));
        if offset % 100 == 50 {
            ops.push(Op::Checkpoint(LogId(log), offset.to_be_bytes().to_vec().into()));
        }
        let reserving = store.reserve(Purpose::Publish, weight(&ops), ops.len());
        let reservation = block_on(reserving.wait()).unwrap();
        let done = done.clone();
        let on_durable = Box::new(move || done.send(offset).unwrap());
        store.submit(Commit { ops: ops.into(), on_durable }, reservation);
        open += 1;
        while open >= 8 {
            durable.store(ended.recv().unwrap() + 1, Ordering::SeqCst);
            open -= 1;
        }
    }
    drop(done);
    for offset in ended {
        durable.store(offset + 1, Ordering::SeqCst);
    }
}

/// What lies from an offset on is exactly what was written, as far as it is durable.
fn check_from(store: &DiskStore, log: u64, from: u64, durable: u64, limit: usize) {
    let batches = match read(store, LogId(log), at(from), limit) {
        Ok(batches) => batches,
        Err(error) => panic!("log {log} from {from}: {error}"),
    };
    let bytes = batches.pieces.concat();
    let mut offset = from;
    for one in split(&bytes) {
        let expected = stamped(&batch_at(log, offset), target(LogId(log), offset));
        assert!(one == expected, "log {log}: offset {offset} of a read from {from}");
        offset += 1;
    }
    assert_eq!(batches.next, at(offset));
    assert!(offset > from || from >= durable, "log {log}: nothing at {from} of {durable}");
}

#[test]
fn readers_see_what_writers_were_told_while_files_retire() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = open(dir.path());
    let ops: Vec<Op> = (0..WRITERS).map(|log| Op::Create(LogId(log), Offset::ZERO)).collect();
    let (done, ended) = mpsc::channel();
    let reservation = block_on(store.reserve(Purpose::Upkeep, 0, ops.len()).wait()).unwrap();
    let on_durable = Box::new(move || done.send(()).unwrap());
    store.submit(Commit { ops: ops.into(), on_durable }, reservation);
    ended.recv().unwrap();
    let durable: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (store, durable, stop) = (&store, &durable, &stop);
            scope.spawn(move || {
                let mut random = Random::new(seed);
                while !stop.load(Ordering::SeqCst) {
                    let log = random.below(WRITERS);
                    let end = durable[usize::try_from(log).unwrap()].load(Ordering::SeqCst);
                    let from = if random.one_in(2) { end } else { random.below(end + 1) };
                    check_from(store, log, from, end, 1 + random.index(50_000));
                    std::thread::yield_now();
                }
            });
        }
        let writers: Vec<_> = durable
            .iter()
            .zip(0..)
            .map(|(durable, log)| {
                let store = &store;
                scope.spawn(move || write(store, log, durable))
            })
            .collect();
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, Ordering::SeqCst);
        assert!(written.iter().all(Result::is_ok), "a writer panicked");
    });
    check_all(&store);
    assert!(store.stats().commits > WRITERS * BATCHES);
    block_on(store.close());
    drop(store);
    let store = open(dir.path());
    check_all(&store);
    for log in 0..WRITERS {
        let state = store.take_state(LogId(log)).unwrap();
        assert_eq!(state.checkpoint.as_deref(), Some(&350_u64.to_be_bytes()[..]));
        let deltas: Vec<u64> = (351..BATCHES).collect();
        let found =
            state.deltas.iter().map(|delta| u64::from_be_bytes(delta[..].try_into().unwrap()));
        assert_eq!(found.collect::<Vec<_>>(), deltas);
    }
    let second = DiskStore::open(Arc::new(RealFiles), dir.path(), options()).map(|_| ());
    assert!(matches!(second, Err(Error::Directory(reason)) if reason.contains("in use")));
    assert_eq!(store.damage(), []);
}

fn check_all(store: &DiskStore) {
    for log in 0..WRITERS {
        assert_eq!(store.ends(LogId(log)).unwrap().next, at(BATCHES));
        for from in 0..BATCHES {
            check_from(store, log, from, BATCHES, 1);
        }
        check_from(store, log, 0, BATCHES, usize::MAX);
    }
}
