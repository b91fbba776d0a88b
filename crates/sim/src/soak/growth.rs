//! Whether what the broker takes grows with time: memory and descriptors of one process while it
//! lives, stored bytes over the whole run.

use crate::{live::usage::Usage, soak::Failure};

/// Fewer samples of one process than this say nothing.
const SAMPLES_MIN: usize = 6;
/// The last may be half as much again as the first, and this.
const MEMORY_MORE: u64 = 64 << 20;
const DESCRIPTORS_MORE: u64 = 32;
const STORED_MORE: u64 = 128 << 20;

/// The samples.
#[derive(Default)]
pub(super) struct Growth {
    /// Of the process that is sampled.
    pid: Option<u32>,
    processes: Vec<Vec<Usage>>,
    stored: Vec<u64>,
}

impl Growth {
    pub(super) fn add(&mut self, pid: u32, usage: Usage, stored: u64) {
        if self.pid != Some(pid) {
            self.pid = Some(pid);
            // What is too short to say something is not kept.
            self.processes.retain(|samples| samples.len() >= SAMPLES_MIN);
            self.processes.push(Vec::new());
        }
        self.processes.last_mut().expect("it was just pushed").push(usage);
        self.stored.push(stored);
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        for samples in &self.processes {
            let of = |what: fn(&Usage) -> u64| samples.iter().map(what).collect::<Vec<_>>();
            check("memory", &of(|usage| usage.memory), MEMORY_MORE)?;
            check("descriptors", &of(|usage| usage.descriptors), DESCRIPTORS_MORE)?;
        }
        check("stored bytes", &self.stored, STORED_MORE)
    }
}

/// Compares the medians of the first and of the last third; what comes first warms up.
fn check(what: &str, samples: &[u64], more: u64) -> Result<(), Failure> {
    if samples.len() < SAMPLES_MIN {
        return Ok(());
    }
    let third = samples.len() / 3;
    let (first, last) = (median(&samples[1..=third]), median(&samples[samples.len() - third..]));
    if last > first + first / 2 + more {
        return Err(format!("{what} grew from {first} to {last}: {samples:?}"));
    }
    Ok(())
}

fn median(samples: &[u64]) -> u64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_noticed_and_what_swings_is_not() {
        let leak: Vec<u64> = (0..30).map(|i| i << 24).collect();
        assert!(check("memory", &leak, MEMORY_MORE).is_err());
        let swing: Vec<u64> = (0..30).map(|i| (i % 5) << 26).collect();
        assert_eq!(check("memory", &swing, MEMORY_MORE), Ok(()));
        assert_eq!(check("memory", &leak[..3], MEMORY_MORE), Ok(()));
    }

    #[test]
    fn a_process_is_judged_by_itself() {
        let mut growth = Growth::default();
        for i in 0..20 {
            let usage = Usage { memory: (i + 1) << 28, ..Usage::default() };
            growth.add(u32::try_from(i / 4).unwrap(), usage, 0);
        }
        assert_eq!(growth.check(), Ok(()), "no process had enough samples");
        for i in 0..8 {
            growth.add(99, Usage { memory: i << 28, ..Usage::default() }, 0);
        }
        assert!(growth.check().is_err());
    }
}
