//! What every test begins with: a directory, a world, an administrator and an auditor.

use crate::live::{
    image::{Mount, make_ext4, may_mount},
    load::Client,
    machine::Machine,
    world::{World, now},
};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{path::Path, sync::Arc};
use tramline_store::fs::sim::Random;

static TURN: RwLock<()> = RwLock::new(());

/// The machine for this test alone: it needs all of it, or disturbs others.
pub fn alone() -> RwLockWriteGuard<'static, ()> {
    TURN.write()
}

/// The machine together with other tests that need little of it.
pub fn together() -> RwLockReadGuard<'static, ()> {
    TURN.read()
}

/// A directory, a world, an administrator and an auditor.
pub struct Site {
    /// What outlives the broker.
    pub world: Arc<World>,
    /// Decides the random moments.
    pub random: Random,
    /// Creates and deletes topics.
    pub admin: Client,
    /// Reads everything.
    pub auditor: Client,
    /// Last, so that it goes after all that lies in it.
    pub directory: tempfile::TempDir,
}

impl Site {
    /// A site in a temporary directory.
    pub fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory for the test");
        let mut random = Random::new(seed());
        let world = Arc::new(World::new(directory.path()));
        let mut client = |name: &str| Client {
            name: name.to_owned(),
            world: Arc::clone(&world),
            random: Random::new(random.next_u64()),
        };
        let (admin, auditor) = (client("admin"), client("audit"));
        Self { world, random, admin, auditor, directory }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// An empty ext4 file system on a disk of its own, if this machine lets us mount.
    pub fn disk(&self, mib: u64) -> Option<Mount> {
        if !may_mount(self.path()) {
            return None;
        }
        let image = self.path().join("disk.img");
        make_ext4(&image, mib).expect("an image can be made");
        Some(Mount::ext4(&image, &self.path().join("disk")).expect("it can be mounted"))
    }

    /// A machine with its files in this site's directory, and its data where it is told.
    pub fn machine(&self, data: &Path, config: &str) -> Machine {
        Machine::new(self.path(), data, config)
    }

    /// Checks everything so far, and that something was there to check.
    #[track_caller]
    pub fn expect_good(&self, machine: &Machine, sends_ok_min: usize) {
        let report = self.world.check();
        eprintln!("{report}");
        assert!(report.is_good(), "{report}\n{}", machine.log());
        let sends_ok = report.totals.sends_ok;
        assert!(sends_ok >= sends_ok_min, "only {sends_ok} sends were acknowledged");
    }
}

impl Drop for Site {
    /// What failed can be looked at.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.directory.disable_cleanup(true);
            eprintln!("kept: {}", self.path().display());
        }
    }
}

/// Decides the random moments; printed, so that a run can be tried again.
fn seed() -> u64 {
    let seed = std::env::var("TRAMLINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(now);
    eprintln!("TRAMLINE_SEED={seed}");
    seed
}
