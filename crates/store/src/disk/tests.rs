mod descriptors;
mod shared;

use super::*;
use crate::Batches;
use crate::fs::{Files, RealFiles};
use crate::{Append, Op, Target};
use smallvec::{SmallVec, smallvec};
use std::future::Future;
use std::path::Path;
use std::sync::mpsc;
use std::task::{Context, Poll};
use tramline_record::{BatchBuilder, Compression};
use tramline_types::{Message, Timestamp};

const LOG: LogId = LogId(7);

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    let (tx, rx) = mpsc::channel::<()>();
    let waker = futures_util::task::waker(Arc::new(Wake(Mutex::new(tx))));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        rx.recv().unwrap();
    }
}

struct Wake(Mutex<mpsc::Sender<()>>);

impl futures_util::task::ArcWake for Wake {
    fn wake_by_ref(this: &Arc<Self>) {
        let _ = this.0.lock().send(());
    }
}

fn read(store: &DiskStore, log: LogId, from: u64, bytes_max: usize) -> Result<Batches, Error> {
    match store.read(log, offset(from), bytes_max) {
        Reading::Ready(result) => result,
        Reading::Pending(future) => wait(future),
    }
}

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn batch(records: u32, bytes: usize, seed: u8) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in 0..records {
        let value = vec![seed.wrapping_add(record.to_le_bytes()[0]); bytes];
        let message = Message { value: Some(value.into()), ..Message::default() };
        builder.push(&message, Timestamp::from_millis(1_000));
    }
    builder.build().unwrap().bytes().clone()
}

fn append(log: LogId, base: u64, records: u32, batch: Bytes) -> Op {
    Op::Append(Append {
        targets: smallvec![Target { log, base: offset(base), leader_epoch: 3 }],
        batch,
        offsets: records,
        max_timestamp: Timestamp::from_millis(1_000),
    })
}

fn submit(store: &DiskStore, ops: impl IntoIterator<Item = Op>) -> mpsc::Receiver<()> {
    let (tx, rx) = mpsc::channel();
    let ops = ops.into_iter().collect::<SmallVec<_>>();
    let Reserving::Ready(reservation) = store.reserve(Purpose::Upkeep, 1000, 1) else {
        panic!("refused")
    };
    let on_durable = Box::new(move || tx.send(()).unwrap_or_default());
    store.submit(Commit { ops, on_durable }, reservation);
    rx
}

fn commit(store: &DiskStore, ops: impl IntoIterator<Item = Op>) {
    let durable = submit(store, ops);
    while store.step_commit() {}
    durable.recv().unwrap();
}

fn open(dir: &Path, options: DiskOptions) -> Arc<DiskStore> {
    DiskStore::open(files(), dir, options).unwrap()
}

fn open_stepped(dir: &Path, options: DiskOptions) -> Arc<DiskStore> {
    DiskStore::open_stepped(files(), dir, options).unwrap()
}

fn files() -> Arc<dyn Files> {
    Arc::new(RealFiles)
}

fn small() -> DiskOptions {
    DiskOptions { wal_file_bytes: 256 * 1024, wal_retire_bytes: 1 << 20, ..DiskOptions::default() }
}

/// Reads a whole log and checks that each batch is stamped with the offset it follows on.
fn read_all(store: &DiskStore, log: LogId, from: u64) -> Vec<Bytes> {
    let mut at = offset(from);
    let mut out = Vec::new();
    while at < store.ends(log).unwrap().next {
        let read = read(store, log, at.get(), 64 * 1024).unwrap();
        assert!(read.next > at, "no progress at {at}");
        for mut piece in read.pieces {
            while let Some(batch) = tramline_record::Batch::decode_first(&mut piece).unwrap() {
                out.push(batch.bytes().clone());
            }
        }
        at = read.next;
    }
    out
}

fn bases(batches: &[Bytes]) -> Vec<u64> {
    batches.iter().map(|b| u64::from_be_bytes(b[0..8].try_into().unwrap())).collect()
}

#[test]
fn what_was_committed_is_read_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), DiskOptions::default());
    commit(&store, [Op::Create(LOG, Offset::ZERO), Op::Put("k".into(), "v".into())]);
    for base in 0..20 {
        commit(&store, [append(LOG, base * 2, 2, batch(2, 100, 1))]);
    }
    commit(&store, [Op::Checkpoint(LOG, "c".into()), Op::Delta(LOG, "d".into())]);
    let hot = read_all(&store, LOG, 0);
    assert_eq!(bases(&hot), (0..20).map(|i| i * 2).collect::<Vec<_>>());
    wait(store.close());
    drop(store);

    let store = open(dir.path(), DiskOptions::default());
    assert_eq!(store.recovery().commits, 22);
    assert_eq!(store.damage(), []);
    assert_eq!(read_all(&store, LOG, 0), hot);
    assert_eq!(store.get(b"k"), Some("v".into()));
    let state = store.take_state(LOG).unwrap();
    assert_eq!((state.checkpoint, state.deltas), (Some("c".into()), vec!["d".into()]));
    commit(&store, [append(LOG, 40, 1, batch(1, 10, 2))]);
    assert_eq!(bases(&read_all(&store, LOG, 39)), [38, 40]);
}

#[test]
fn files_roll_over_and_a_restart_reads_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_stepped(dir.path(), small());
    commit(&store, [Op::Create(LOG, offset(5))]);
    for index in 0..60 {
        commit(&store, [append(LOG, 5 + index, 1, batch(1, 10_000, 9))]);
    }
    let hot = read_all(&store, LOG, 5);
    wait(store.close());
    drop(store);
    let store = open_stepped(dir.path(), small());
    assert!(store.recovery().wal_files > 2, "{:?}", store.recovery());
    assert_eq!(store.damage(), []);
    assert_eq!(read_all(&store, LOG, 5), hot);
}

#[test]
fn one_batch_in_two_logs_is_stamped_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let other = LogId(8);
    let targets = smallvec![
        Target { log: LOG, base: offset(0), leader_epoch: 1 },
        Target { log: other, base: offset(50), leader_epoch: 2 },
    ];
    let both = Op::Append(Append {
        targets,
        batch: batch(1, 100, 3),
        offsets: 1,
        max_timestamp: Timestamp::from_millis(1),
    });
    let store = open_stepped(dir.path(), small());
    commit(&store, [Op::Create(LOG, offset(0)), Op::Create(other, offset(50)), both]);
    let check = |store: &DiskStore| {
        let (one, two) = (read_all(store, LOG, 0), read_all(store, other, 50));
        assert_eq!((bases(&one), bases(&two)), (vec![0], vec![50]));
        assert_eq!((&one[0][12..16], &two[0][12..16]), (&[0, 0, 0, 1][..], &[0, 0, 0, 2][..]));
    };
    check(&store);
    wait(store.close());
    drop(store);
    check(&open_stepped(dir.path(), small()));
}

#[test]
fn many_threads_commit_in_groups() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), DiskOptions::default());
    commit(&store, (0..4).map(|log| Op::Create(LogId(log), Offset::ZERO)));
    std::thread::scope(|scope| {
        for log in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let batch = batch(1, 1000, 5);
                let waits = (0..500)
                    .map(|base| submit(store, [append(LogId(log), base, 1, batch.clone())]))
                    .collect::<Vec<_>>();
                waits.iter().for_each(|wait| wait.recv().unwrap());
            });
        }
    });
    assert!(store.stats().groups < 2000);
    for log in 0..4 {
        assert_eq!(bases(&read_all(&store, LogId(log), 0)), (0..500).collect::<Vec<_>>());
    }
}

#[test]
fn who_waits_commits_by_himself_beside_the_thread() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), DiskOptions::default());
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    let here = std::thread::current().id();
    let by_us = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (tx, done) = mpsc::channel();
    let mut base = 0;
    // The thread may be faster each time, but hardly always.
    while by_us.load(Relaxed) < 20 {
        let Reserving::Ready(reservation) = store.reserve(Purpose::Upkeep, 1000, 1) else {
            panic!("refused")
        };
        let (by_us, tx) = (Arc::clone(&by_us), tx.clone());
        let on_durable = Box::new(move || {
            by_us.fetch_add(usize::from(std::thread::current().id() == here), Relaxed);
            tx.send(base).unwrap();
        });
        let ops = [append(LOG, base, 1, batch(1, 10, 1))].into_iter().collect();
        store.submit(Commit { ops, on_durable }, reservation);
        store.commit_now();
        assert_eq!(done.recv().unwrap(), base);
        base += 1;
    }
    drop(store);
    let store = open(dir.path(), DiskOptions::default());
    assert_eq!(store.ends(LOG).unwrap().next, offset(base));
}

#[test]
fn a_second_process_is_kept_out_and_a_newer_format_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), DiskOptions::default());
    let again = DiskStore::open(files(), dir.path(), DiskOptions::default());
    assert!(matches!(again, Err(Error::Directory(_))));
    wait(store.close());
    std::fs::write(dir.path().join("FORMAT"), "99\n").unwrap();
    let newer = DiskStore::open(files(), dir.path(), DiskOptions::default()).map(|_| ());
    assert!(matches!(newer, Err(Error::Directory(text)) if text.contains("99")));
}

/// A heavy log's batches, larger together than the direct threshold.
fn heavy(store: &DiskStore, log: LogId, base: u64, n: u64) {
    let waits = (0..n)
        .map(|index| submit(store, [append(log, base + index, 1, batch(1, 20_000, 7))]))
        .collect::<Vec<_>>();
    while store.step_commit() {}
    waits.iter().for_each(|wait| wait.recv().unwrap());
}

fn direct() -> DiskOptions {
    DiskOptions {
        wal_file_bytes: 1 << 20,
        direct_extent_bytes: 64 * 1024,
        segment_bytes_max: 1 << 20,
        ..small()
    }
}

#[test]
fn a_heavy_log_is_written_to_its_segment_and_survives_retirement() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_stepped(dir.path(), direct());
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    for round in 0..12 {
        heavy(&store, LOG, round * 20, 20);
    }
    let hot = read_all(&store, LOG, 0);
    assert_eq!(bases(&hot), (0..240).collect::<Vec<_>>());
    assert!(store.stats().segment_bytes > 4_000_000, "{:?}", store.stats());
    wait(store.close());
    drop(store);
    let store = open_stepped(dir.path(), direct());
    assert_eq!(store.damage(), []);
    assert_eq!(read_all(&store, LOG, 0), hot);
    heavy(&store, LOG, 240, 20);
    heavy(&store, LOG, 260, 20);
    assert!(store.step_retire(true));
    let before = read_all(&store, LOG, 0);
    assert_eq!(bases(&before), (0..280).collect::<Vec<_>>());
    wait(store.close());
    drop(store);
    let store = open_stepped(dir.path(), direct());
    assert_eq!(store.damage(), []);
    assert_eq!(read_all(&store, LOG, 0), before);
    let chunks = wait(store.chunks(LOG, Offset::ZERO)).unwrap();
    assert_eq!(chunks.first().unwrap().base, Offset::ZERO);
    assert!(chunks.windows(2).all(|pair| pair[0].next == pair[1].base));
    assert_eq!(chunks.iter().map(|c| c.bytes).sum::<u64>(), store.usage(LOG).unwrap());
}

#[test]
fn retirement_keeps_what_lives_and_frees_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let other = LogId(8);
    let store = open_stepped(dir.path(), small());
    commit(&store, [Op::Create(LOG, Offset::ZERO), Op::Create(other, Offset::ZERO)]);
    commit(&store, [Op::Checkpoint(LOG, "c1".into()), Op::Delta(LOG, "d1".into())]);
    commit(&store, [Op::Put("a".into(), "1".into()), Op::Put("b".into(), "2".into())]);
    for index in 0..200 {
        let both = Op::Append(Append {
            targets: smallvec![
                Target { log: LOG, base: offset(index), leader_epoch: 1 },
                Target { log: other, base: offset(index), leader_epoch: 2 },
            ],
            batch: batch(1, 3000, 3),
            offsets: 1,
            max_timestamp: Timestamp::from_millis(7),
        });
        commit(&store, [both]);
    }
    commit(&store, [Op::Delta(LOG, "d2".into()), Op::Remove("a".into())]);
    let (one, two) = (read_all(&store, LOG, 0), read_all(&store, other, 0));
    let wal = store.stats().wal_bytes;
    assert!(store.step_retire(true));
    assert!(store.stats().wal_bytes < wal);
    let check = |store: &DiskStore| {
        assert_eq!(store.damage(), []);
        assert_eq!(read_all(store, LOG, 0), one);
        assert_eq!(read_all(store, other, 0), two);
        assert_eq!(store.scan(b""), [("b".into(), "2".into())]);
        assert_eq!(wait(store.chunks(other, offset(5))).unwrap()[0].base, offset(5));
    };
    check(&store);
    wait(store.close());
    drop(store);
    let store = open_stepped(dir.path(), small());
    check(&store);
    let state = store.take_state(LOG).unwrap();
    assert_eq!(
        (state.checkpoint, state.deltas),
        (Some("c1".into()), vec!["d1".into(), "d2".into()])
    );

    commit(&store, [Op::Trim(LOG, offset(200)), Op::Delete(other)]);
    commit(&store, []);
    assert!(store.step_retire(false));
    assert_eq!(store.stats().segment_bytes, 4096, "only the state is left");
    wait(store.close());
    drop(store);
    let store = open_stepped(dir.path(), small());
    assert_eq!(store.logs(), [LOG]);
    assert_eq!(store.ends(LOG).unwrap(), Ends { start: offset(200), next: offset(200) });
}

#[test]
fn what_compaction_puts_below_a_start_that_has_moved_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_stepped(dir.path(), small());
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    for base in 0..20 {
        commit(&store, [append(LOG, base, 1, batch(1, 1000, 1))]);
    }
    commit(&store, [Op::Trim(LOG, offset(10))]);
    let left = store.usage(LOG).unwrap();
    let anew = |base| match append(LOG, base, 1, batch(1, 1000, 2)) {
        Op::Append(append) => append,
        _ => unreachable!(),
    };
    commit(&store, [Op::Replace(LOG, offset(0)..offset(12), [3, 9, 11].map(anew).to_vec())]);
    assert_eq!(bases(&read_all(&store, LOG, 10)), (11..20).collect::<Vec<_>>());
    assert!(store.usage(LOG).unwrap() < left, "{} bytes are kept", store.usage(LOG).unwrap());
    wait(store.close());
    drop(store);
    let store = open_stepped(dir.path(), small());
    assert_eq!(bases(&read_all(&store, LOG, 10)), (11..20).collect::<Vec<_>>());
}

#[test]
fn a_note_of_damage_keeps_the_newest_file_number() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_stepped(dir.path(), small());
    commit(&store, [Op::Create(LOG, Offset::ZERO)]);
    let fill = |store: &DiskStore, from: u64| {
        for base in from..from + 60 {
            commit(store, [append(LOG, base, 1, batch(1, 10_000, 9))]);
        }
    };
    fill(&store, 0);
    assert!(store.step_retire(true));
    let manifest = || {
        let bytes = std::fs::read(dir.path().join("MANIFEST.a")).unwrap();
        manifest::Manifest::decode(&bytes).unwrap()
    };
    let before = manifest();
    fill(&store, 60);
    wait(store.close());
    drop(store);
    let path = dir.path().join("wal").join(wal::name(before.first_live));
    let mut content = std::fs::read(&path).unwrap();
    content[10_000] ^= 1;
    std::fs::write(&path, content).unwrap();
    let store = open_stepped(dir.path(), small());
    assert_ne!(store.damage(), []);
    let after = manifest();
    assert!(after.generation > before.generation, "the damage is noted");
    assert!(after.newest >= before.newest, "{} was {}", after.newest, before.newest);
}
