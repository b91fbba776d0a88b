//! A broker's wall clock, set wrong while it runs: a library that is loaded before all others
//! adds what a file says to the time of day.

use crate::live::machine::Machine;
use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCE: &str = include_str!("clock_shim.c");

/// The wall clock of the brokers that run with it.
pub struct WallClock {
    library: PathBuf,
    path: PathBuf,
    offset: fs::File,
}

impl WallClock {
    /// Compiles the library into this directory; the error says why there is none.
    pub fn make(directory: &Path) -> Result<Self, String> {
        let [source, library, path] =
            ["clock.c", "clock.so", "clock.offset"].map(|name| directory.join(name));
        let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
        fs::write(&source, SOURCE).map_err(failed)?;
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]);
        let output = compile.arg(&library).arg(&source).output();
        let output = output.map_err(|error| format!("cc: {error}"))?;
        if !output.status.success() {
            return Err(format!("cc: {}", String::from_utf8_lossy(&output.stderr)));
        }
        fs::write(&path, 0_i64.to_ne_bytes()).map_err(failed)?;
        let offset = fs::File::options().write(true).open(&path).map_err(failed)?;
        Ok(Self { library, path, offset })
    }

    /// The broker goes by this clock from its next start on.
    #[must_use]
    pub fn give_to(&self, machine: Machine) -> Machine {
        machine
            .with_environment("LD_PRELOAD", &self.library)
            .with_environment("TRAMLINE_CLOCK_OFFSET", &self.path)
    }

    /// How far the clock is off, from now on.
    pub fn set(&self, millis: i64) {
        let nanos = millis.saturating_mul(1_000_000).to_ne_bytes();
        self.offset.write_all_at(&nanos, 0).expect("the file is ours");
    }
}
