//! One broker process for hours, under mixed load and mixed faults.
//!
//! Time goes in rounds. Each round has topics, clients and a history of its own: at its end
//! everything is read, the history is checked and dropped, so that memory does not grow with
//! time. A few topics stay for later rounds, with a digest of what they held. Rounds belong to
//! eras: in every other one the process is killed and stopped, in those between it lives on, and
//! what it takes of the machine must not grow.

#![allow(clippy::disallowed_methods, reason = "real processes take real time")]

mod clients;
mod compacted;
mod disk;
mod fault;
mod growth;
mod kept;
mod report;
mod round;

pub use report::Report;

use crate::live::{
    clock::WallClock,
    machine::{Machine, SMALL},
};
use disk::Disk;
use growth::Growth;
use kept::Kept;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tramline_store::fs::sim::Random;

/// What went wrong: the run ends with it.
pub type Failure = String;

/// How often eras change, at least; a long run has 16 of them.
const ERAS: u32 = 16;
const ERA_MIN: Duration = Duration::from_secs(40);

fn clock_of(clock: Option<&WallClock>) -> Result<&WallClock, Failure> {
    clock.ok_or_else(|| "the clock cannot be set".to_owned())
}

/// A soak that is under way.
pub struct Soak {
    random: Random,
    machine: Machine,
    /// None where this machine cannot set a process's clock wrong.
    clock: Option<WallClock>,
    disk: Disk,
    kept: Kept,
    growth: Growth,
    report: Report,
    era: Duration,
    started: Instant,
}

impl Soak {
    /// Starts the broker in this directory. The seed decides what is done when.
    pub fn start(directory: &Path, seed: u64, duration: Duration) -> Result<Self, Failure> {
        let disk = Disk::make(directory)?;
        let mut report = Report::new(seed);
        report.left_out(disk.missing());
        let mut machine = Machine::new(directory, &disk.data(), SMALL);
        let clock = match WallClock::make(directory) {
            Ok(clock) => {
                machine = clock.give_to(machine);
                Some(clock)
            }
            Err(reason) => {
                crate::live::leave_out("clock-shim", &reason);
                report.left_out(Some(format!("clock jumps: {reason}")));
                None
            }
        };
        let took = machine.try_start()?;
        report.restarted("first start", took);
        Ok(Self {
            random: Random::new(seed),
            machine,
            clock,
            disk,
            kept: Kept::default(),
            growth: Growth::default(),
            report,
            era: (duration / ERAS).max(ERA_MIN),
            started: Instant::now(),
        })
    }

    /// Runs rounds until this much time has passed; tells after each how far it is.
    pub fn run(&mut self, duration: Duration, progress: &dyn Fn(&Report)) -> Result<(), Failure> {
        while self.started.elapsed() < duration {
            let era = self.started.elapsed().as_nanos() / self.era.as_nanos();
            let restarts = era.is_multiple_of(2);
            self.round(restarts)?;
            self.sample()?;
            progress(&self.report);
        }
        self.growth.check()?;
        let status = self.machine.stop();
        if !status.success() {
            return Err(format!("the last stop: {status}\n{}", self.machine.log()));
        }
        Ok(())
    }

    /// What was done so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The end of the broker's log.
    pub fn log(&self) -> String {
        self.machine.log()
    }

    /// Looks at the machine while nothing goes on.
    fn sample(&mut self) -> Result<(), Failure> {
        for bad in ["panicked at", "stored data is damaged"] {
            if self.machine.says(bad) {
                return Err(format!("the broker says `{bad}`\n{}", self.machine.log()));
            }
        }
        let usage = self.machine.usage();
        let stored = self.disk.stored_bytes();
        self.report.sampled(usage, stored, self.started.elapsed());
        self.growth.add(self.machine.pid(), usage, stored);
        Ok(())
    }
}
