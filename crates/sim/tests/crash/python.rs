//! `confluent-kafka` as load: a Python process that outlives the broker's crashes and writes its
//! own ledger.

use crate::world::World;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const STOP_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Python {
    process: Child,
}

impl Python {
    /// Starts the client, where there is one.
    pub(crate) fn start(
        world: &World,
        address: &str,
        directory: &Path,
        topic: &str,
    ) -> Option<Self> {
        let Some(python) = std::env::var_os("TRAMLINE_PYTHON") else {
            tramline_sim::live::leave_out("confluent-kafka", "TRAMLINE_PYTHON is not set");
            return None;
        };
        let ledger = directory.join("python.jsonl");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/crash/load.py");
        let log = std::fs::File::create(directory.join("python.log"));
        let process = Command::new(python)
            .arg(script)
            .args(["--bootstrap", address, "--topic", topic, "--ledger"])
            .arg(&ledger)
            .stdin(Stdio::piped())
            .stderr(log.expect("a test's directory is writable"))
            .spawn()
            .expect("TRAMLINE_PYTHON can be run");
        world.add_ledger(ledger);
        Some(Self { process })
    }

    /// Closes its standard input, upon which it ends.
    pub(crate) fn stop(mut self) {
        drop(self.process.stdin.take());
        let started = Instant::now();
        while started.elapsed() < STOP_MAX {
            if let Some(status) = self.process.try_wait().expect("the process is ours") {
                assert!(status.success(), "the Python client failed: {status}");
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the Python client does not end");
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // An error means that it has ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
