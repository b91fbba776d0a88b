//! What a process takes of the machine, as the kernel says it.

use std::{fs, time::Duration};

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory that is not a file's.
    pub memory: u64,
    /// The most resident memory so far, with mapped files.
    pub memory_max: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Time on a processor since the process began.
    pub processor: Duration,
}

/// The kernel's unit of processor time, on every architecture of Linux.
const TICKS_PER_SECOND: u64 = 100;

impl Usage {
    /// What a process that is still there takes; zeros for one that has ended.
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Self {
            memory: kibibytes(&status, "RssAnon:") << 10,
            memory_max: kibibytes(&status, "VmHWM:") << 10,
            descriptors: u64::try_from(descriptors).expect("a count fits 64 bits"),
            processor: processor(&stat),
        }
    }
}

fn kibibytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The 14th and the 15th field; the second one, in parentheses, may hold blanks.
fn processor(stat: &str) -> Duration {
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen() {
        let usage = Usage::of(std::process::id());
        assert!(usage.memory > 0 && usage.memory_max >= usage.memory && usage.descriptors > 2);
    }

    #[test]
    fn processor_time_is_found_behind_a_name_with_blanks() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4 1 2 3 4 250 50 9 9 20 0";
        assert_eq!(processor(stat), Duration::from_secs(3));
    }
}
