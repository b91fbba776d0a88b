//! What is done to the broker while it works, one thing at a time.

use crate::{
    live::{machine::Machine, world::World},
    soak::{Failure, Report, clients::crowd, clock_of, disk::Disk},
};
use rustix::process::Signal;
use std::{thread::sleep, time::Duration};
use tramline_store::fs::sim::Random;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Connections of one storm.
const CROWD: usize = 500;

/// Something that a broker must get over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    KillInRecovery,
    Stop,
    Pause,
    FullDisk,
    HungDisk,
    Clock,
    Storm,
}

impl Fault {
    /// Those that the process does not live through.
    const RESTARTS: [Self; 3] = [Self::Kill, Self::KillInRecovery, Self::Stop];
    const OTHERS: [Self; 5] =
        [Self::Pause, Self::FullDisk, Self::HungDisk, Self::Clock, Self::Storm];

    /// One of those that this machine can have.
    pub(super) fn pick(
        random: &mut Random,
        restarts: bool,
        has_disk: bool,
        has_clock: bool,
    ) -> Self {
        loop {
            let fault = match restarts && random.one_in(2) {
                true => Self::RESTARTS[random.index(Self::RESTARTS.len())],
                false => Self::OTHERS[random.index(Self::OTHERS.len())],
            };
            let can = match fault {
                Self::FullDisk | Self::HungDisk => has_disk,
                Self::Clock => has_clock,
                _ => true,
            };
            if can {
                return fault;
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::KillInRecovery => "kill -9 within recovery",
            Self::Stop => "SIGTERM",
            Self::Pause => "SIGSTOP",
            Self::FullDisk => "full disk",
            Self::HungDisk => "hung disk",
            Self::Clock => "clock jump",
            Self::Storm => "connection storm",
        }
    }
}

/// What a fault is done to.
pub(super) struct Victim<'a> {
    pub(super) world: &'a World,
    pub(super) machine: &'a mut Machine,
    pub(super) disk: &'a Disk,
    pub(super) clock: Option<&'a crate::live::clock::WallClock>,
    pub(super) random: &'a mut Random,
    pub(super) report: &'a mut Report,
}

impl Victim<'_> {
    /// Does it, and undoes it; the process runs afterwards.
    pub(super) fn inject(&mut self, fault: Fault) -> Result<(), Failure> {
        self.world.say(fault.name());
        self.report.injected(fault.name());
        match fault {
            Fault::Kill => {
                self.machine.kill();
                self.start(fault)
            }
            Fault::KillInRecovery => {
                self.machine.kill();
                self.machine.launch();
                sleep(Duration::from_micros(self.random.below(60_000)));
                self.machine.kill();
                self.start(fault)
            }
            Fault::Stop => {
                let status = self.machine.stop();
                if !status.success() {
                    return Err(format!("SIGTERM: {status}\n{}", self.machine.log()));
                }
                self.start(fault)
            }
            Fault::Pause => {
                self.machine.signal(Signal::STOP);
                self.hold(2000);
                self.machine.signal(Signal::CONT);
                Ok(())
            }
            Fault::FullDisk => {
                let filled = self.disk.fill()?;
                self.hold(2500);
                drop(filled);
                Ok(())
            }
            Fault::HungDisk => {
                let frozen = self.disk.freeze()?;
                self.hold(2000);
                drop(frozen);
                Ok(())
            }
            Fault::Clock => {
                let jumps = [HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS];
                let clock = clock_of(self.clock)?;
                clock.set(jumps[self.random.index(jumps.len())]);
                self.hold(3000);
                clock.set(0);
                Ok(())
            }
            Fault::Storm => crowd(self.machine.kafka(), CROWD),
        }
    }

    fn start(&mut self, fault: Fault) -> Result<(), Failure> {
        let took = self.machine.try_start().map_err(|e| format!("{e}\n{}", self.machine.log()))?;
        self.report.restarted(fault.name(), took);
        Ok(())
    }

    fn hold(&mut self, millis_max: u64) {
        sleep(Duration::from_millis(200 + self.random.below(millis_max)));
    }
}
