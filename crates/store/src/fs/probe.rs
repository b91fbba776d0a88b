//! How fast a directory's disk is: what `doctor` shows and benchmarks print beside their figures.

use super::{AlignedBuf, BLOCK, File, Files, OpenMode};
use std::{io, path::Path, time::Duration};
use tramline_types::{Clock, Monotonic};

/// What is written over and over to measure syncs.
const SYNC_AREA: u64 = 1024 * 1024;
/// One sequential write.
const PIECE: usize = 1024 * 1024;
const SYNCS_MAX: usize = 1000;
const SEQUENTIAL_MAX: u64 = 256 * 1024 * 1024;
/// Each of the two measurements ends at this time, or after the write under way then.
const SPAN: Duration = Duration::from_millis(350);
const NAME: &str = ".tramline-probe";

/// What a disk did just now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeReport {
    /// How many 4 KiB writes were synced one after another, into space written before.
    pub syncs: usize,
    /// Half of them took no longer.
    pub sync_p50: Duration,
    /// 99 of 100 took no longer.
    pub sync_p99: Duration,
    /// Sequential writes of 1 MiB with one sync at the end, in 10^6 bytes per second.
    pub sequential_mb_per_s: f64,
}

/// Measures the disk under a directory with a file that it removes again. Takes less than a
/// second unless a single write takes longer.
pub fn probe(files: &dyn Files, dir: &Path, clock: &dyn Clock) -> io::Result<ProbeReport> {
    let path = dir.join(NAME);
    let measured = files.open(&path, OpenMode::Direct).and_then(|file| measure(&*file, clock));
    files.remove(&path)?;
    measured
}

fn measure(file: &dyn File, clock: &dyn Clock) -> io::Result<ProbeReport> {
    file.write_at(0, &AlignedBuf::zeroed(PIECE))?;
    file.sync()?;
    let mut times = sync_times(file, clock)?;
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    Ok(ProbeReport {
        syncs: times.len(),
        sync_p50: at(50),
        sync_p99: at(99),
        sequential_mb_per_s: sequential(file, clock)?,
    })
}

/// At least one.
fn sync_times(file: &dyn File, clock: &dyn Clock) -> io::Result<Vec<Duration>> {
    let block = AlignedBuf::zeroed(BLOCK);
    let mut times = Vec::with_capacity(SYNCS_MAX);
    let started = clock.monotonic();
    let mut before = started;
    let mut position = 0;
    while times.len() < SYNCS_MAX && before.since(started) < SPAN {
        file.write_sync_at(position, &block)?;
        let after = clock.monotonic();
        times.push(after.since(before));
        before = after;
        position = (position + BLOCK as u64) % SYNC_AREA;
    }
    Ok(times)
}

fn sequential(file: &dyn File, clock: &dyn Clock) -> io::Result<f64> {
    let piece = AlignedBuf::zeroed(PIECE);
    let started = clock.monotonic();
    let mut written = 0_u64;
    while written < SEQUENTIAL_MAX && elapsed(clock, started) < SPAN {
        file.write_at(written, &piece)?;
        written += PIECE as u64;
    }
    file.sync()?;
    // A clock that stands still would divide by zero.
    let micros = elapsed(clock, started).as_micros().max(1);
    let bytes_per_micro = u128::from(written) * 1000 / micros;
    Ok(u32::try_from(bytes_per_micro).map_or(f64::from(u32::MAX), f64::from) / 1000.0)
}

fn elapsed(clock: &dyn Clock, started: Monotonic) -> Duration {
    clock.monotonic().since(started)
}
