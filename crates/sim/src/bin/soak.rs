//! `soak SECONDS SEED`: runs the broker that `TRAMLINE_BIN` names for so long, under load and
//! faults. Exits with 1 at the first thing that must not be; what was there then is kept.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

use indicatif::{ProgressBar, ProgressStyle};
use std::{process::ExitCode, time::Duration};
use tramline_sim::soak::{Failure, Report, Soak};

fn main() -> ExitCode {
    let arguments: Vec<u64> =
        std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let [seconds, seed] = arguments[..] else {
        eprintln!("usage: soak SECONDS SEED");
        return ExitCode::from(2);
    };
    match run(Duration::from_secs(seconds), seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("the soak failed: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(duration: Duration, seed: u64) -> Result<(), Failure> {
    let mut directory =
        tempfile::Builder::new().prefix("tramline-soak-").tempdir().map_err(|e| e.to_string())?;
    println!("soak for {} s, seed {seed}, in {}", duration.as_secs(), directory.path().display());
    let bar = ProgressBar::new(duration.as_secs());
    let style = ProgressStyle::with_template("{elapsed_precise} of {len} s {wide_bar} {msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let mut soak = Soak::start(directory.path(), seed, duration)?;
    let progress = |report: &Report| {
        bar.set_position(bar.elapsed().as_secs().min(duration.as_secs()));
        bar.set_message(format!(
            "{} rounds, {} sends, {} faults, {} starts",
            report.rounds,
            report.totals.sends_ok,
            report.faults(),
            report.restarts()
        ));
    };
    let outcome = soak.run(duration, &progress);
    bar.finish_and_clear();
    print!("{}", soak.report());
    if outcome.is_err() {
        directory.disable_cleanup(true);
        eprintln!("kept: {}", directory.path().display());
    }
    outcome
}
