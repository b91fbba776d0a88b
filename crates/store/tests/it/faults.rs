//! A disk that fails or fills up: nothing after a failed sync is acknowledged, and a full disk
//! refuses publishers only.

use crate::{
    batches::{append_to, at, batch, target},
    model::Model,
    powercut::{DIR, step_upkeep},
    subject::{block_on, read_all, weight},
};
use parking_lot::Mutex;
use std::{path::Path, sync::Arc};
use tramline_store::{
    Commit, DiskOptions, DiskStore, Error, LogStore, Op, Purpose, Reserving,
    fs::{
        SimFiles,
        sim::{Call, Random},
    },
};
use tramline_types::{LogId, Offset};

const A: LogId = LogId(1);
const WAL_FILE: u64 = 64 * 1024;

type Failures = Arc<Mutex<Vec<String>>>;

fn options() -> (DiskOptions, Failures) {
    let failures = Failures::default();
    let seen = Arc::clone(&failures);
    let options = DiskOptions {
        wal_file_bytes: WAL_FILE,
        wal_retire_bytes: 2 * WAL_FILE,
        wal_bytes_max: 16 * WAL_FILE,
        headroom_bytes: 4 * WAL_FILE,
        cache_bytes: 0,
        direct_extent_bytes: 16 * 1024,
        segment_bytes_max: 64 * 1024,
        on_failure: Arc::new(move |reason| seen.lock().push(reason.to_owned())),
        ..DiskOptions::default()
    };
    (options, failures)
}

fn open(files: &SimFiles, options: &DiskOptions) -> Result<Arc<DiskStore>, Error> {
    DiskStore::open_stepped(Arc::new(files.clone()), Path::new(DIR), options.clone())
}

/// One log that grows, with all that was acknowledged.
struct Growing {
    model: Model,
    acknowledged: Arc<Mutex<usize>>,
    submitted: Vec<Vec<Op>>,
}

impl Growing {
    fn new() -> Self {
        Self { model: Model::default(), acknowledged: Arc::default(), submitted: Vec::new() }
    }

    /// Submits an append, or why not.
    fn append(&mut self, store: &DiskStore, payload: usize) -> Result<(), Error> {
        let mut ops = Vec::new();
        if self.model.logs.is_empty() {
            ops.push(Op::Create(A, Offset::ZERO));
        }
        let next = self.model.logs.get(&A).map_or(0, |log| log.next);
        ops.push(append_to(&[target(A, next)], &batch(next, 1, payload, 1), 1));
        ops.push(Op::Delta(A, next.to_be_bytes().to_vec().into()));
        self.submit(store, Purpose::Publish, ops)
    }

    fn submit(&mut self, store: &DiskStore, purpose: Purpose, ops: Vec<Op>) -> Result<(), Error> {
        let reservation = match store.reserve(purpose, weight(&ops), ops.len()) {
            Reserving::Ready(reservation) => reservation,
            Reserving::Wait(future) => {
                // What was submitted so far makes room.
                while store.step_commit() {}
                step_upkeep(store);
                step_upkeep(store);
                block_on(future)?
            }
            Reserving::Refused(error) => return Err(error),
        };
        let acknowledged = Arc::clone(&self.acknowledged);
        self.submitted.push(ops.clone());
        ops.iter().for_each(|op| self.model.apply(op));
        let on_durable = Box::new(move || *acknowledged.lock() += 1);
        store.submit(Commit { ops: ops.into(), on_durable }, reservation);
        Ok(())
    }

    fn acknowledged(&self) -> usize {
        *self.acknowledged.lock()
    }

    /// The store holds a part from the front that has all that was acknowledged.
    fn check(&self, store: &DiskStore) {
        let mut wrongs = Vec::new();
        for count in self.acknowledged()..=self.submitted.len() {
            let mut model = Model::default();
            self.submitted[..count].iter().flatten().for_each(|op| model.apply(op));
            let mut random = Random::new(1);
            match model.check_reads(store, &mut random) {
                Ok(()) if store.logs().len() == model.logs.len() => return,
                Ok(()) => wrongs.push(format!("{count}: logs {:?}", store.logs())),
                Err(wrong) => wrongs.push(format!("{count}: {wrong}")),
            }
        }
        panic!("no state fits: {wrongs:?}");
    }
}

/// Works with one call failing; true while that call was still to come.
fn fails_once(call: Call, nth: u64) -> bool {
    let files = SimFiles::new(nth);
    let (options, failures) = options();
    files.fail(call, nth);
    let mut growing = Growing::new();
    let store = match open(&files, &options) {
        Ok(store) => store,
        Err(Error::Io { .. }) => return reopened_after(&files, &growing, true),
        Err(error) => panic!("{call:?} {nth}: {error}"),
    };
    for round in 0..40 {
        let size = if round % 5 == 4 { 20_000 } else { 3000 };
        if growing.append(&store, size).is_err() {
            break;
        }
        if round % 3 == 2 {
            store.step_commit();
            step_upkeep(&store);
        }
        if !failures.lock().is_empty() {
            break;
        }
    }
    let failed = !failures.lock().is_empty();
    assert!(failed || files.is_to_fail(call), "{call:?} {nth} failed and nobody was told");
    if failed {
        let before = growing.acknowledged();
        for _ in 0..5 {
            store.step_commit();
            step_upkeep(&store);
        }
        assert_eq!(growing.acknowledged(), before, "{call:?} {nth}: acknowledged after a failure");
        assert_eq!(failures.lock().len(), 1, "{call:?} {nth}: told once");
    }
    drop(store);
    reopened_after(&files, &growing, failed)
}

fn reopened_after(files: &SimFiles, growing: &Growing, failed: bool) -> bool {
    for _ in 0..4 {
        let (options, failures) = options();
        let store = open(&files.power_cut(), &options).unwrap();
        growing.check(&store);
        assert!(failures.lock().is_empty());
    }
    failed
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_the_process_is_told_to_end() {
    let mut nth = 1;
    while fails_once(Call::Sync, nth) {
        nth += 1;
    }
    assert!(nth > 20, "only {nth} syncs were made to fail");
}

#[test]
fn after_a_failed_write_nothing_is_acknowledged_and_the_process_is_told_to_end() {
    let mut nth = 1;
    while fails_once(Call::Write, nth) {
        nth += 1;
    }
    assert!(nth > 2, "only {nth} writes were made to fail");
}

#[test]
fn a_failed_read_of_a_file_is_an_error_and_not_damage() {
    let files = SimFiles::new(1);
    let (options, _) = options();
    let store = open(&files, &options).unwrap();
    let mut growing = Growing::new();
    growing.append(&store, 5000).unwrap();
    while store.step_commit() {}
    files.fail(Call::Read, 1);
    let refused = read_all(&*store, A, at(0), 1).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused:?}");
    assert_eq!(store.damage(), []);
    growing.check(&store);
}

/// Fills the disk until publishers are refused.
fn fill_up(files: &SimFiles, store: &DiskStore, growing: &mut Growing) {
    files.set_free_bytes(Some(12 * WAL_FILE));
    for _ in 0..2000 {
        match growing.append(store, 10_000) {
            Ok(()) => {
                store.step_commit();
                step_upkeep(store);
            }
            Err(Error::Full { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the disk never fills");
}

fn upkeep_works(store: &DiskStore, growing: &mut Growing) {
    let before = growing.acknowledged();
    for round in 0_u64..20 {
        let ops = vec![Op::Delta(A, round.to_be_bytes().to_vec().into())];
        growing.submit(store, Purpose::Upkeep, ops).unwrap();
        store.step_commit();
        step_upkeep(store);
    }
    assert_eq!(growing.acknowledged(), before + 20);
}

#[test]
fn a_full_disk_refuses_publishers_only_and_recovers_by_itself() {
    let files = SimFiles::new(3);
    let (options, failures) = options();
    let store = open(&files, &options).unwrap();
    let mut growing = Growing::new();
    fill_up(&files, &store, &mut growing);
    assert!(store.stats().full);
    growing.check(&store);
    upkeep_works(&store, &mut growing);

    files.set_free_bytes(Some(100 * WAL_FILE));
    step_upkeep(&store);
    assert!(!store.stats().full);
    growing.append(&store, 10_000).unwrap();
    while store.step_commit() {}
    assert_eq!(growing.acknowledged(), growing.submitted.len());
    growing.check(&store);
    assert_eq!(*failures.lock(), [""; 0]);
}

#[test]
fn what_upkeep_is_promised_on_a_full_disk_is_written() {
    let files = SimFiles::new(6);
    let (options, failures) = options();
    let store = open(&files, &options).unwrap();
    let mut growing = Growing::new();
    fill_up(&files, &store, &mut growing);
    files.set_free_bytes(Some(0));
    step_upkeep(&store);
    // Small ones, each a group of its own, until they are refused: without a look at the space
    // in between, and with a few outstanding now and then.
    let mut promised = 0;
    for round in 0..10_000 {
        let delta = vec![Op::Delta(A, vec![7; 100].into())];
        match growing.submit(&store, Purpose::Upkeep, delta) {
            Ok(()) => promised += 1,
            Err(error) => {
                assert!(matches!(error, Error::Full { .. }), "{error:?}");
                break;
            }
        }
        if round % 5 != 0 {
            while store.step_commit() {}
        }
    }
    while store.step_commit() {}
    assert!(promised > 3, "{promised}");
    assert_eq!(growing.acknowledged(), growing.submitted.len(), "promised and not written");
    assert_eq!(*failures.lock(), [""; 0]);
}

#[test]
fn trimming_makes_room_on_a_full_disk() {
    let files = SimFiles::new(4);
    let (options, failures) = options();
    let store = open(&files, &options).unwrap();
    let mut growing = Growing::new();
    fill_up(&files, &store, &mut growing);
    let next = growing.model.logs[&A].next;
    growing.submit(&store, Purpose::Upkeep, vec![Op::Trim(A, at(next))]).unwrap();
    store.step_commit();
    for _ in 0..20 {
        step_upkeep(&store);
    }
    growing.append(&store, 10_000).unwrap();
    while store.step_commit() {}
    growing.check(&store);
    assert_eq!(*failures.lock(), [""; 0]);
}

#[test]
fn a_store_starts_on_a_full_disk() {
    let files = SimFiles::new(5);
    let (options, failures) = options();
    let mut growing = Growing::new();
    let store = open(&files, &options).unwrap();
    fill_up(&files, &store, &mut growing);
    while store.step_commit() {}
    drop(store);
    files.set_free_bytes(Some(0));
    for _ in 0..6 {
        let files = files.power_cut();
        let store = open(&files, &options).unwrap();
        growing.check(&store);
        // The first step looks at the disk.
        step_upkeep(&store);
        assert!(matches!(growing.append(&store, 10_000), Err(Error::Full { .. })));
    }
    let store = open(&files, &options).unwrap();
    upkeep_works(&store, &mut growing);
    files.set_free_bytes(Some(100 * WAL_FILE));
    step_upkeep(&store);
    growing.append(&store, 10_000).unwrap();
    while store.step_commit() {}
    growing.check(&store);
    assert_eq!(*failures.lock(), [""; 0]);
}

#[test]
fn a_store_starts_on_a_full_disk_with_one_copy_of_its_manifest() {
    for name in ["MANIFEST.a", "MANIFEST.b"] {
        let files = SimFiles::new(11);
        let (options, failures) = options();
        let mut growing = Growing::new();
        let store = open(&files, &options).unwrap();
        fill_up(&files, &store, &mut growing);
        while store.step_commit() {}
        drop(store);
        let path = files.paths().into_iter().find(|path| path.ends_with(name)).unwrap();
        files.lose(&path).unwrap();
        files.set_free_bytes(Some(0));
        let store = open(&files, &options).unwrap();
        growing.check(&store);
        upkeep_works(&store, &mut growing);
        drop(store);
        let files = files.power_cut();
        let store = open(&files, &options).unwrap();
        growing.check(&store);
        files.set_free_bytes(Some(100 * WAL_FILE));
        step_upkeep(&store);
        growing.append(&store, 10_000).unwrap();
        while store.step_commit() {}
        growing.check(&store);
        assert_eq!(*failures.lock(), [""; 0]);
    }
}

#[test]
fn what_is_trimmed_gives_its_space_back() {
    let files = SimFiles::new(7);
    let (options, failures) = options();
    let mut store = open(&files, &options).unwrap();
    let mut growing = Growing::new();
    let mut most = 0;
    for round in 0..1500 {
        // Small ones go to shared segments, large ones to segments of their own.
        growing.append(&store, if round % 7 == 6 { 20_000 } else { 1000 }).unwrap();
        if round % 3 == 2 {
            store.step_commit();
            step_upkeep(&store);
        }
        if round % 50 == 49 {
            let next = growing.model.logs[&A].next;
            let ops = vec![Op::Trim(A, at(next - 20)), Op::Checkpoint(A, "short".into())];
            growing.submit(&store, Purpose::Upkeep, ops).unwrap();
            let used = files.paths().iter().map(|path| files.content(path).unwrap().len()).sum();
            most = most.max(used);
        }
        if round % 400 == 399 {
            while store.step_commit() {}
            drop(store);
            store = open(&files, &options).unwrap();
        }
    }
    assert!(most < 40 * usize::try_from(WAL_FILE).unwrap(), "{most} bytes are used");
    while store.step_commit() {}
    growing.check(&store);
    assert_eq!(*failures.lock(), [""; 0]);
}

#[test]
fn an_unretired_log_at_its_bound_makes_publishers_wait() {
    let files = SimFiles::new(6);
    let (mut options, _) = options();
    options.wal_bytes_max = 4 * WAL_FILE;
    options.wal_retire_bytes = 3 * WAL_FILE;
    let store = open(&files, &options).unwrap();
    let mut growing = Growing::new();
    let (mut waited, mut seen) = (0, Vec::new());
    for _ in 0..300 {
        if let Reserving::Wait(_) = store.reserve(Purpose::Publish, 10_000, 2) {
            waited += 1;
        }
        growing.append(&store, 10_000).unwrap();
        store.step_commit();
        seen.push((waited, store.stats().wal_bytes / WAL_FILE));
        let most = seen.iter().map(|(_, files)| *files).max();
        assert!(most <= Some(6), "{seen:?}");
    }
    assert!(waited > 0, "nobody ever waited");
    growing.check(&store);
}
