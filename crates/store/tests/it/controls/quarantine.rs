//! Power cuts while a damaged file is copied and then used again: at every moment the damaged
//! bytes are somewhere.

use crate::{
    batches::{append_to, at, batch, target},
    powercut::{DIR, or_panicked, step_upkeep},
    subject::weight,
};
use std::{path::Path, sync::Arc};
use tramline_store::{
    Commit, DiskOptions, DiskStore, LogStore, Op, Purpose, Reserving,
    fs::{
        SimFiles,
        sim::{Random, SyncSite},
    },
};
use tramline_types::LogId;

const A: LogId = LogId(1);
const WAL_FILE: u64 = 32 * 1024;

fn options() -> DiskOptions {
    DiskOptions {
        wal_file_bytes: WAL_FILE,
        wal_retire_bytes: 2 * WAL_FILE,
        wal_bytes_max: 8 * WAL_FILE,
        headroom_bytes: 0,
        ..DiskOptions::default()
    }
}

fn open(files: &SimFiles) -> Arc<DiskStore> {
    DiskStore::open_stepped(Arc::new(files.clone()), Path::new(DIR), options()).unwrap()
}

/// A group of one batch, where there is room.
fn append(store: &DiskStore, next: &mut u64) {
    let ops = vec![append_to(&[target(A, *next)], &batch(*next, 1, 3000, 1), 1)];
    if let Reserving::Ready(reservation) = store.reserve(Purpose::Publish, weight(&ops), 1) {
        store.submit(Commit { ops: ops.into(), on_durable: Box::new(|| ()) }, reservation);
        *next += 1;
        store.step_commit();
    }
}

/// A disk with a damaged file, its name and its bytes.
fn damaged(random: &mut Random) -> (SimFiles, String, Vec<u8>) {
    let files = SimFiles::new(random.next_u64());
    let store = open(&files);
    let Reserving::Ready(reservation) = store.reserve(Purpose::Upkeep, 0, 1) else {
        panic!("a new store has room");
    };
    let ops = vec![Op::Create(A, at(0))].into();
    store.submit(Commit { ops, on_durable: Box::new(|| ()) }, reservation);
    let mut next = 0;
    for _ in 0..14 {
        append(&store, &mut next);
        store.step_prepare();
    }
    drop(store);
    let name = format!("{:016x}.wal", 1 + random.below(2));
    let path = Path::new(DIR).join("wal").join(&name);
    // Within the first batches: what follows proves that they were durable.
    files.flip_bit(&path, 8 * (4096 + 200 + random.index(2500))).unwrap();
    let image = files.content(&path).unwrap();
    (files, name, image)
}

fn cut(seed: u64, without: Option<&SyncSite>) -> Result<SimFiles, String> {
    let mut random = Random::new(seed);
    let (files, name, image) = damaged(&mut random);
    if let Some(site) = without {
        files.disable_site(site);
    }
    files.capture_at(files.operations() + 1 + random.below(60));
    let store = open(&files);
    let mut next = store.ends(A).map_err(|error| error.to_string())?.next.get();
    for _ in 0..40 {
        append(&store, &mut next);
        step_upkeep(&store);
        store.step_retire(true);
    }
    let picture = files.captured().unwrap_or_else(|| files.process_kill()).power_cut();
    let holds = |directory: &str| {
        let path = Path::new(DIR).join(directory).join(&name);
        picture.content(&path).is_ok_and(|content| content == image)
    };
    if holds("wal") || holds("quarantine") {
        return Ok(files);
    }
    Err(format!("{name} is in neither directory"))
}

/// One run; what went wrong, if anything did.
pub(super) fn run(seed: u64, without: Option<&SyncSite>) -> Result<(), String> {
    or_panicked(|| cut(seed, without).map(|_| ()))
}

/// The same with every place that has asked for a sync.
pub(super) fn sites(seed: u64) -> Vec<SyncSite> {
    cut(seed, None).unwrap().sync_sites()
}

#[test]
fn damaged_bytes_are_kept_through_power_cuts() {
    for seed in 0..300 {
        run(seed, None).unwrap();
    }
}
