//! The machine that the broker runs on: its disk, its process, and what befalls them.

use super::{Backing, Settings, client::World, pump};
use crate::Step;
use std::{path::Path, sync::Arc};
use tramline_broker::{Broker, CompactionOptions, ConfigPushOptions, Options};
use tramline_store::{
    DiskOptions, DiskStore, LogStore, MemoryStore,
    fs::sim::{Random, SimFiles, Times},
};
use tramline_testkit::FakeClock;

/// The data directory on the simulated disk.
const DIRECTORY: &str = "/data";

pub(super) struct Machine {
    settings: Settings,
    random: Random,
    clock: FakeClock,
    world: Arc<World>,
    store: Store,
    crashes: u32,
    /// The free space is bounded.
    tight: bool,
    /// A crash is planned within a call that changes files.
    planned: bool,
}

enum Store {
    Off(Disk),
    Memory(Arc<MemoryStore>),
    Disk(Arc<DiskStore>, SimFiles),
}

/// What outlives the process.
enum Disk {
    Memory(MemoryStore),
    Files(SimFiles),
}

impl Machine {
    pub(super) fn new(settings: Settings, seed: u64, clock: FakeClock, world: Arc<World>) -> Self {
        let mut random = Random::new(seed);
        let disk = match settings.backing {
            Backing::Memory => Disk::Memory(MemoryStore::stepped()),
            Backing::Disk => Disk::Files(SimFiles::new(random.next_u64())),
        };
        Self {
            settings,
            random,
            clock,
            world,
            store: Store::Off(disk),
            crashes: 0,
            tight: false,
            planned: false,
        }
    }

    pub(super) const fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Starts the process on what the disk holds; now and then crashes within recovery.
    pub(super) async fn start(&mut self) {
        loop {
            let Store::Off(disk) = std::mem::replace(&mut self.store, off()) else {
                unreachable!("the machine is off before it is started");
            };
            self.store = match disk {
                Disk::Memory(store) => Store::Memory(Arc::new(store)),
                Disk::Files(files) => self.open(files),
            };
            if !matches!(self.store, Store::Off(_)) {
                break;
            }
        }
        self.start_broker().await;
    }

    /// Opens the store. Off again where recovery itself was interrupted.
    fn open(&mut self, files: SimFiles) -> Store {
        if let Some(kind) = self.settings.disabled_sync {
            files.disable_sync(kind, Times::All);
        }
        let interrupted = self.random.one_in(4);
        if interrupted {
            files.capture_at(files.operations() + 1 + self.random.below(30));
        }
        let opened =
            DiskStore::open_stepped(Arc::new(files.clone()), Path::new(DIRECTORY), self.options());
        if interrupted && let Some(captured) = files.captured() {
            return Store::Off(Disk::Files(self.after_crash(&captured, "within recovery")));
        }
        files.capture_at(0); // No call has this number: nothing is captured later on.
        match opened {
            Ok(store) => {
                let text = format!("opened: {:?}", store.recovery());
                self.world.note("machine", Step::Note { text });
                Store::Disk(store, files)
            }
            Err(error) => self.world.give_up(&format!("the store does not open: {error}")),
        }
    }

    /// Sizes so small that files roll over, retire and fill up all the time.
    fn options(&mut self) -> DiskOptions {
        const KIB: u64 = 1024;
        let world = Arc::clone(&self.world);
        let expected = self.settings.disabled_sync.is_some();
        DiskOptions {
            wal_file_bytes: 64 * KIB,
            wal_retire_bytes: 128 * KIB,
            wal_bytes_max: 512 * KIB,
            headroom_bytes: 128 * KIB,
            cache_bytes: 64 * 1024 * usize::from(!self.random.one_in(3)),
            index_bytes: 64 * 1024,
            direct_extent_bytes: 12 * 1024,
            segment_bytes_max: 128 * KIB,
            segments_open_max: 4,
            group_bytes_max: 32 * 1024,
            clock: Some(Arc::new(self.clock.clone())),
            on_failure: Arc::new(move |reason| {
                if !expected {
                    world.problem(format!("the store failed: {reason}"));
                }
            }),
        }
    }

    async fn start_broker(&mut self) {
        let store: Arc<dyn LogStore> = match &self.store {
            Store::Memory(store) => Arc::clone(store) as _,
            Store::Disk(store, _) => Arc::clone(store) as _,
            Store::Off(_) => unreachable!("the store is open before the broker starts"),
        };
        for damage in store.damage() {
            self.world.problem(format!("reported as damaged: {damage:?}"));
        }
        let options = Options {
            auto_create_topics: false,
            retention_check_interval: std::time::Duration::from_secs(2),
            compaction: CompactionOptions {
                interval: std::time::Duration::from_millis(300),
                map_bytes_max: 1024,
                ..CompactionOptions::default()
            },
            config_push: ConfigPushOptions {
                history: 2,
                dead_bytes_free: 4 * 1024,
                ..ConfigPushOptions::default()
            },
            job_log_bytes_min: 8 * 1024,
            ..Options::default()
        };
        let starting = tokio::spawn(Broker::start(store, Arc::new(self.clock.clone()), options));
        while !starting.is_finished() {
            pump().await;
            self.commit_quietly();
        }
        match starting.await {
            Ok(Ok(broker)) => self.world.link.up(broker),
            Ok(Err(error)) => self.world.give_up(&format!("the broker does not start: {error}")),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Writes one commit group. False when there was nothing to write.
    pub(super) async fn commit(&mut self) -> bool {
        let did = self.commit_quietly();
        self.check_planned().await;
        did
    }

    fn commit_quietly(&self) -> bool {
        match &self.store {
            Store::Memory(store) => store.step(),
            Store::Disk(store, _) => store.step_commit(),
            Store::Off(_) => false,
        }
    }

    /// Lets the retirer do what is due, now and then what is not due yet.
    pub(super) async fn retire(&mut self) {
        if let Store::Disk(store, _) = &self.store {
            store.step_prepare();
            store.step_retire(self.random.one_in(4));
        }
        self.check_planned().await;
    }

    /// Crashes within one of the next calls that change files.
    pub(super) fn plan_crash(&mut self) {
        if let Store::Disk(_, files) = &self.store {
            files.capture_at(files.operations() + 1 + self.random.below(20));
            self.planned = true;
        }
    }

    /// Takes the crash that was planned, if its moment has come.
    pub(super) async fn check_planned(&mut self) {
        if let Store::Disk(_, files) = &self.store
            && self.planned
            && let Some(captured) = files.captured()
        {
            let files = self.after_crash(&captured, "within a call");
            self.restart(Disk::Files(files)).await;
        }
    }

    /// Bounds the free space, or lifts the bound.
    pub(super) fn change_free_space(&mut self) {
        if let Store::Disk(_, files) = &self.store {
            self.tight = !self.tight;
            let free = self.tight.then(|| self.random.below(512 * 1024));
            files.set_free_bytes(free);
        }
    }

    /// Lifts the bound of the free space: everything must go on by itself.
    pub(super) fn free_space(&mut self) {
        if let Store::Disk(_, files) = &self.store {
            self.tight = false;
            files.set_free_bytes(None);
        }
    }

    /// Cuts the power or kills the process now, and starts again.
    pub(super) async fn crash(&mut self, when: &str) {
        let disk = match &self.store {
            Store::Memory(store) => {
                let reopened = store.reopen();
                self.note(&format!("killed {when}"));
                Disk::Memory(reopened)
            }
            Store::Disk(_, files) => {
                let files = files.clone();
                Disk::Files(self.after_crash(&files, when))
            }
            Store::Off(_) => return,
        };
        self.restart(disk).await;
    }

    async fn restart(&mut self, disk: Disk) {
        self.planned = false;
        self.world.link.down();
        if self.tight && self.random.one_in(2) {
            self.tight = false;
        }
        if let (Disk::Files(files), false) = (&disk, self.tight) {
            files.set_free_bytes(None);
        }
        self.store = Store::Off(disk);
        pump().await;
        self.start().await;
    }

    /// The disk as the next process finds it.
    fn after_crash(&mut self, files: &SimFiles, when: &str) -> SimFiles {
        if self.random.one_in(3) {
            self.note(&format!("process killed {when}"));
            files.process_kill()
        } else {
            self.note(&format!("power cut {when}"));
            files.power_cut()
        }
    }

    fn note(&mut self, text: &str) {
        self.crashes += 1;
        self.world.note("machine", Step::Note { text: text.to_owned() });
        self.world.note("machine", Step::Crash);
    }

    /// Ends the process in good order.
    pub(super) async fn stop(&mut self) {
        let Some(broker) = self.world.link.broker() else { return };
        let closing = tokio::spawn(async move { broker.close().await });
        const STEPS_MAX: usize = 10_000;
        for _ in 0..STEPS_MAX {
            if closing.is_finished() {
                return;
            }
            pump().await;
            self.commit_quietly();
        }
        self.world.problem("the broker does not close".to_owned());
    }
}

fn off() -> Store {
    Store::Off(Disk::Memory(MemoryStore::stepped()))
}
