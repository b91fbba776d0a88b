//! What every test begins with: a directory, a world, an administrator and an auditor.

use crate::{
    load::Client,
    machine::Machine,
    world::{World, now},
};
use parking_lot::Mutex;
use std::{path::Path, sync::Arc};
use tramline_store::fs::sim::Random;

/// All tests take turns.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Site {
    pub(crate) world: Arc<World>,
    pub(crate) random: Random,
    pub(crate) admin: Client,
    pub(crate) auditor: Client,
    /// Last, so that it goes after all that lies in it.
    pub(crate) directory: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A machine with its files in this site's directory, and its data where it is told.
    pub(crate) fn machine(&self, data: &Path, config: &str) -> Machine {
        Machine::new(self.path(), data, config)
    }

    /// Checks everything so far, and that something was there to check.
    #[track_caller]
    pub(crate) fn expect_good(&self, machine: &Machine, sends_ok_min: usize) {
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
