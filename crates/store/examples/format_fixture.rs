//! Writes a small data directory with everything in it, and what it holds as text: what later
//! versions have to be able to start on. `cargo run -p tramline-store --example format_fixture --
//! crates/store/tests/fixtures/format-N`

#[path = "../tests/it/format/dump.rs"]
mod dump;

use std::{error::Error, fs, path::Path, sync::Arc};
use tramline_record::{BatchBuilder, Compression};
use tramline_store::fs::RealFiles;
use tramline_store::{
    Append, Commit, DiskOptions, DiskStore, LogStore, Op, Purpose, Reserving, Target,
};
use tramline_types::{LogId, Message, Offset, Timestamp};

const A: LogId = LogId(1);
const B: LogId = LogId(2);
const C: LogId = LogId(3);
const D: LogId = LogId(4);
const E: LogId = LogId(5);

fn at(offset: u64) -> Offset {
    Offset::new(offset).expect("offsets here are small")
}

fn append(targets: &[(LogId, u64)], records: u32, value_bytes: usize) -> Append {
    let mut builder = BatchBuilder::new(Compression::None);
    let (_, seed) = targets[0];
    for record in 0..records {
        let byte = u8::try_from((seed * 7 + u64::from(record)) % 251).expect("below 251");
        let message = Message { value: Some(vec![byte; value_bytes].into()), ..Message::default() };
        builder.push(&message, Timestamp::from_millis(1_700_000_000_000 + seed.cast_signed()));
    }
    Append {
        targets: targets
            .iter()
            .map(|&(log, base)| Target { log, base: at(base), leader_epoch: 3 })
            .collect(),
        batch: builder.build().expect("a few small records").bytes().clone(),
        offsets: records,
        max_timestamp: Timestamp::from_millis(1_700_000_000_000 + seed.cast_signed()),
    }
}

fn commit(store: &DiskStore, ops: Vec<Op>) {
    let reservation = loop {
        match store.reserve(Purpose::Upkeep, 64 * 1024 - 8192, 1) {
            Reserving::Ready(reservation) => break reservation,
            _ => store.step_prepare(),
        }
    };
    store.submit(Commit { ops: ops.into(), on_durable: Box::new(|| ()) }, reservation);
}

/// Every operation, in one order; a pause is a commit group's end.
fn fill(store: &DiskStore, round: u64) {
    let first = round * 40;
    for n in 0..20 {
        let base = first + n * 2;
        commit(
            store,
            vec![
                Op::Append(append(&[(A, base)], 2, 300)),
                Op::Delta(A, format!("a{base}").into_bytes().into()),
            ],
        );
        commit(store, vec![Op::Append(append(&[(B, 100 + base), (C, base)], 2, 150))]);
        if n % 4 == 3 {
            while store.step_commit() {}
            store.step_prepare();
        }
    }
    // Enough for a segment of its own.
    for n in 0..4 {
        commit(store, vec![Op::Append(append(&[(D, round * 8 + n * 2)], 2, 1500))]);
    }
    while store.step_commit() {}
    commit(store, vec![Op::Checkpoint(B, format!("b{round}").into_bytes().into())]);
    commit(store, vec![Op::Trim(A, at(first + 6)), Op::Discard(C, vec![at(first)..at(first + 4)])]);
    let replaced = append(&[(B, 100 + first + 2)], 2, 77);
    commit(store, vec![Op::Replace(B, at(100 + first)..at(100 + first + 8), vec![replaced])]);
    let key = |name: &str| format!("{name}/{round}").into_bytes().into();
    commit(store, vec![Op::Put(key("kept"), "value".into()), Op::Put("gone".into(), "x".into())]);
    commit(store, vec![Op::Remove("gone".into())]);
    while store.step_commit() {}
    store.step_prepare();
}

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).ok_or("give the directory to write")?;
    let out = Path::new(&out);
    let data = out.join("data");
    fs::create_dir_all(&data)?;
    let options = DiskOptions {
        wal_file_bytes: 64 * 1024,
        wal_retire_bytes: 128 * 1024,
        headroom_bytes: 0,
        direct_extent_bytes: 8 * 1024,
        segment_bytes_max: 32 * 1024,
        ..DiskOptions::default()
    };
    let open = || DiskStore::open_stepped(Arc::new(RealFiles), &data, options.clone());
    let store = open()?;
    commit(&store, vec![Op::Create(A, at(0)), Op::Create(B, at(100)), Op::Create(C, at(0))]);
    commit(&store, vec![Op::Create(D, at(0)), Op::Create(E, at(0)), Op::Delete(E)]);
    fill(&store, 0);
    fill(&store, 1);
    store.step_retire(true);
    fill(&store, 2);
    drop(store);
    // A second start, and the end without a clean close: both leave their traces.
    let store = open()?;
    fill(&store, 3);
    // Whether discarded batches are still shown is open: below the start they are not.
    commit(&store, vec![Op::Append(append(&[(A, 160)], 1, 10)), Op::Trim(C, at(124))]);
    while store.step_commit() {}
    drop(store);
    fs::write(out.join("expected.txt"), dump::dump(&*open_copy(&data, &options)?))?;
    fs::remove_file(data.join("LOCK"))?;
    Ok(())
}

/// A start changes the directory: the expectation is read from a copy.
fn open_copy(data: &Path, options: &DiskOptions) -> Result<Arc<DiskStore>, Box<dyn Error>> {
    let copy = std::env::temp_dir().join(format!("tramline-fixture-{}", std::process::id()));
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    for dir in ["", "wal", "seg", "ckpt", "quarantine"] {
        fs::create_dir_all(copy.join(dir))?;
        for entry in fs::read_dir(data.join(dir))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), copy.join(dir).join(entry.file_name()))?;
            }
        }
    }
    Ok(DiskStore::open_stepped(Arc::new(RealFiles), &copy, options.clone())?)
}
