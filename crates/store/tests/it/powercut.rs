//! Power cuts: random work on a simulated disk, cut at a random call, recovered, compared with
//! the model, and on from there.
//!
//! Whatever was acknowledged before the cut is there; of what was submitted after, a part of it
//! from the front may be; nothing else.

use crate::{
    model::{Model, ensure},
    subject::weight,
    workload::{COUNT, Workload},
};
use parking_lot::Mutex;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};
use tramline_store::{
    Commit, DiskOptions, DiskStore, Error, LogStore, Op, Purpose, Reserving,
    fs::{
        SimFiles,
        sim::{Random, SyncSite},
    },
};

/// Deep enough that its parents have to be made, too.
pub(crate) const DIR: &str = "/srv/tramline/data";
/// How many runs by default; `TRAMLINE_SEEDS` asks for another number.
const SEEDS: u64 = 1000;
/// The payload of a batch that goes to its own segment.
const LARGE: usize = 8 * 1024;
/// Work and a cut, so many times per seed.
const ROUNDS: usize = 4;

/// Small enough that a short run sees every part of the store.
pub(crate) fn options(random: &mut Random) -> DiskOptions {
    if random.one_in(50) {
        // As large as they are in earnest, the files excepted.
        return DiskOptions {
            wal_file_bytes: 2 * 1024 * 1024,
            wal_retire_bytes: 4 * 1024 * 1024,
            headroom_bytes: 4 * 1024 * 1024,
            ..DiskOptions::default()
        };
    }
    let wal_file_bytes = [48, 64, 128][random.index(3)] * 1024;
    DiskOptions {
        wal_file_bytes,
        wal_retire_bytes: wal_file_bytes * (2 + random.below(2)),
        wal_bytes_max: wal_file_bytes * 8,
        headroom_bytes: wal_file_bytes,
        cache_bytes: [0, 20_000, 1_000_000][random.index(3)],
        index_bytes: [2000, 1_000_000][random.index(2)],
        // The smaller one makes groups with extents that several logs share.
        direct_extent_bytes: [1024, LARGE][random.index(2)],
        segment_bytes_max: 64 * 1024,
        group_bytes_max: [4096, 32 * 1024][random.index(2)],
        ..DiskOptions::default()
    }
}

/// A number that no completion gave: nothing failed.
type Failure = Arc<Mutex<Option<String>>>;

struct Run {
    random: Random,
    files: SimFiles,
    options: DiskOptions,
    failure: Failure,
    workload: Workload,
    /// What is known to be durable, and the commits submitted on top.
    base: Model,
    base_number: u64,
    submitted: Vec<Vec<Op>>,
    /// Numbers with the count of the disk's calls when they were acknowledged.
    acknowledged: Arc<Mutex<Vec<(u64, u64)>>>,
    /// Starts are cut short again and again, mostly by kills that leave what is not synced.
    is_restless: bool,
}

impl Run {
    fn new(seed: u64, without: Option<&SyncSite>) -> Self {
        let mut random = Random::new(seed);
        let files = SimFiles::new(random.next_u64());
        if let Some(site) = without {
            files.disable_site(site);
        }
        let failure = Failure::default();
        let seen = Arc::clone(&failure);
        let mut options = options(&mut random);
        options.on_failure = Arc::new(move |reason| *seen.lock() = Some(reason.to_owned()));
        let is_restless = random.one_in(3);
        Self {
            files,
            workload: Workload::new(options.direct_extent_bytes.max(LARGE)),
            options,
            random,
            failure,
            base: Model::default(),
            base_number: 0,
            submitted: Vec::new(),
            acknowledged: Arc::default(),
            is_restless,
        }
    }

    fn open(&self) -> Result<Arc<DiskStore>, String> {
        let files = Arc::new(self.files.clone());
        let store = DiskStore::open_stepped(files, Path::new(DIR), self.options.clone());
        store.map_err(|error| format!("open: {error}"))
    }

    /// Submits one commit unless the store has no room for it.
    fn submit(&mut self, store: &DiskStore) {
        let number = self.base_number + self.submitted.len() as u64 + 1;
        let ops = self.workload.commit(number, &mut self.random);
        for _ in 0..50 {
            match store.reserve(Purpose::Publish, weight(&ops), ops.len()) {
                Reserving::Ready(reservation) => {
                    let (files, acknowledged) =
                        (self.files.clone(), Arc::clone(&self.acknowledged));
                    let on_durable =
                        Box::new(move || acknowledged.lock().push((number, files.operations())));
                    self.submitted.push(ops.clone());
                    store.submit(Commit { ops: ops.into(), on_durable }, reservation);
                    return;
                }
                Reserving::Wait(_) => {
                    step_commit(store);
                    step_upkeep(store);
                }
                Reserving::Refused(Error::TooLarge { .. } | Error::Full { .. }) => break,
                Reserving::Refused(error) => panic!("refused: {error}"),
            }
        }
        self.workload.undo();
    }

    /// Works until the disk has kept a picture of itself; gives that with the number of
    /// acknowledged commits in it.
    fn work(&mut self, store: &DiskStore) -> Result<(SimFiles, u64), String> {
        let actions = 5 + self.random.below(60);
        for action in 0.. {
            if action == actions {
                let ahead = 1 + self.random.below(12);
                self.files.capture_at(self.files.operations() + ahead);
            }
            match self.random.below(16) {
                0..7 => self.submit(store),
                7..12 => step_commit(store),
                12 => step_upkeep(store),
                13..15 => {
                    store.step_retire(true);
                }
                _ => self.check_reads(store)?,
            }
            if let Some(reason) = self.failure.lock().take() {
                return Err(format!("failed: {reason}"));
            }
            let captured = if action > actions + 60 {
                Some((self.files.process_kill(), self.files.operations()))
            } else {
                self.files.captured().map(|files| {
                    let calls = files.operations();
                    (files, calls - 1)
                })
            };
            if let Some((picture, calls)) = captured {
                let acknowledged = self.acknowledged.lock();
                let before = acknowledged.iter().filter(|(_, at)| *at <= calls);
                let number = before.map(|(number, _)| *number).max().unwrap_or(self.base_number);
                return Ok((picture, number));
            }
        }
        unreachable!("the loop returns")
    }

    fn check_reads(&mut self, store: &DiskStore) -> Result<(), String> {
        // Only what is settled can be compared.
        while store.step_commit() {}
        let mut random = Random::new(self.random.next_u64());
        self.workload
            .model
            .check_reads(store, &mut random)
            .map_err(|wrong| format!("live: {wrong}"))
    }

    /// Compares what recovery found with every state that it may have found.
    fn verify(&mut self, store: &DiskStore, acknowledged: u64) -> Result<(), String> {
        let count = store.get(COUNT).map_or(0, |bytes| {
            u64::from_be_bytes(bytes[..].try_into().expect("written as eight bytes"))
        });
        let last = self.base_number + self.submitted.len() as u64;
        ensure((acknowledged..=last).contains(&count), || {
            format!("{count} commits, of {acknowledged} acknowledged and {last} submitted")
        })?;
        let kept = usize::try_from(count - self.base_number).expect("a short list");
        let mut model = std::mem::take(&mut self.base);
        self.submitted.drain(..kept).flatten().for_each(|op| model.apply(&op));
        let mut random = Random::new(self.random.next_u64());
        model.check(store, &mut random).map_err(|wrong| format!("commit {count}: {wrong}"))?;
        self.submitted.clear();
        self.acknowledged.lock().clear();
        self.base_number = count;
        self.workload.resume(model.clone());
        self.base = model;
        Ok(())
    }

    fn cut(&mut self, picture: &SimFiles) -> SimFiles {
        let kills = if self.is_restless { 15 } else { 4 };
        if self.random.below(20) < kills { picture.process_kill() } else { picture.power_cut() }
    }

    fn rounds(&mut self) -> Result<(), String> {
        let mut store = Some(self.recover(0)?);
        for round in 0..ROUNDS {
            let running = store.take().ok_or("no store")?;
            let in_round = |wrong| format!("round {round}: {wrong}");
            let (picture, acknowledged) = self.work(&running).map_err(in_round)?;
            drop(running);
            self.files = self.cut(&picture);
            let recovered = self.recover(acknowledged).map_err(in_round)?;
            store = Some(recovered);
        }
        Ok(())
    }

    /// Opens, sometimes cut short several times, and verifies.
    fn recover(&mut self, acknowledged: u64) -> Result<Arc<DiskStore>, String> {
        loop {
            let is_cut = self.random.below(12) < if self.is_restless { 9 } else { 4 };
            if is_cut {
                self.files.capture_at(1 + self.random.below(25));
            }
            let store = self.open()?;
            match self.files.captured().filter(|_| is_cut) {
                Some(picture) => {
                    drop(store);
                    self.files = self.cut(&picture);
                }
                None => {
                    self.files.capture_at(u64::MAX);
                    self.verify(&store, acknowledged)?;
                    return Ok(store);
                }
            }
        }
    }
}

pub(crate) fn step_commit(store: &DiskStore) {
    store.step_commit();
}

pub(crate) fn step_upkeep(store: &DiskStore) {
    store.step_prepare();
    store.step_retire(false);
}

/// One run without the syncs of one place in the source; what went wrong, if anything did.
pub(crate) fn run(seed: u64, without: Option<&SyncSite>) -> Result<(), String> {
    or_panicked(|| Run::new(seed, without).rounds())
}

/// The same with every place that has asked for a sync.
pub(crate) fn sites(seed: u64) -> Vec<SyncSite> {
    let mut run = Run::new(seed, None);
    run.rounds().expect("nothing is taken away");
    run.files.sync_sites()
}

/// A panic is something wrong like any other.
pub(crate) fn or_panicked(run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

fn seeds() -> u64 {
    std::env::var("TRAMLINE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// The first seed to try, to see one failure again.
fn first_seed() -> u64 {
    std::env::var("TRAMLINE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[test]
fn nothing_acknowledged_is_lost_by_power_cuts() {
    let first = first_seed();
    let failed: Vec<String> = (first..first + seeds())
        .filter_map(|seed| run(seed, None).err().map(|wrong| format!("{seed}: {wrong}")))
        .collect();
    let shown = &failed[..failed.len().min(20)];
    assert!(failed.is_empty(), "{} seeds failed:\n{}", failed.len(), shown.join("\n"));
}
