//! What a run of the suites prints: a line for each, the closing table, and what made it fail.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Context, Counts, Outcome, Suite, Tally, system, tail};
use crate::project::Project;

/// How much of a failed suite's output is shown.
const LINES_SHOWN: usize = 300;

/// A suite's row in the closing table.
pub(super) struct Row {
    pub(super) name: &'static str,
    outcome: Result<Outcome>,
    excluded: usize,
    expected_run: u32,
    took: Duration,
    /// How many tests failed in a first try, where this is the second.
    first_failed: Option<u32>,
}

impl Row {
    pub(super) fn new(suite: &Suite, cx: &Context, outcome: Result<Outcome>) -> Self {
        let (excluded, expected_run) = (cx.expected.excluded.len(), cx.expected.run);
        Self {
            name: suite.name,
            outcome,
            excluded,
            expected_run,
            took: Duration::ZERO,
            first_failed: None,
        }
    }

    pub(super) fn after(self, took: Duration) -> Self {
        Self { took, ..self }
    }

    /// The row of a second try.
    pub(super) fn after_a_first(self, first: Self) -> Self {
        let first_failed = match first.outcome {
            Ok(Outcome::Ran(tally)) => tally.failed,
            _ => 1,
        };
        Self { first_failed: Some(first_failed), ..self }
    }

    /// Whether its tests ran and one failed, or it broke off.
    pub(super) fn failed(&self) -> bool {
        match &self.outcome {
            Ok(Outcome::Ran(tally)) => tally.failed > 0,
            Ok(Outcome::Skipped(_)) => false,
            Err(_) => true,
        }
    }
}

/// Writes this run's counts for the next ones.
pub(super) fn record(rows: &[Row], counts: &mut Counts, path: &Path) -> Result<()> {
    for row in rows {
        if let Ok(Outcome::Ran(tally)) = row.outcome {
            counts.set_run(row.name, tally.passed + tally.failed);
        }
    }
    counts.write(path)
}

/// Says how a suite ended, with the end of its output where it failed.
pub(super) fn print_one(row: &Row, log: Option<&Path>) {
    let seconds = row.took.as_secs_f64();
    let is_good = matches!(row.outcome, Ok(Outcome::Ran(Tally { failed: 0, .. })));
    println!("{}  {} ({seconds:.0} s)", if is_good { "ok    " } else { "FAILED" }, row.name);
    if let Some(log) = log.filter(|_| !is_good) {
        println!("{}\n-- all of it: {}", tail(log, LINES_SHOWN), log.display());
    }
}

/// Prints what ran, fails where something failed, and leaves the closing line in a file for
/// `.ci/run`.
pub(super) fn print(
    project: &Project,
    rows: Vec<Row>,
    is_recorded: bool,
    took: Duration,
) -> Result<()> {
    let (mut faults, mut second_tries) = (Vec::new(), Vec::new());
    let mut total = Tally::default();
    let heads = ("suite", "run", "failed", "skipped", "excluded", "seconds");
    println!(
        "\n{:<22}{:>7}{:>8}{:>9}{:>10}{:>9}",
        heads.0, heads.1, heads.2, heads.3, heads.4, heads.5
    );
    for row in rows {
        let tally = judge(&row, is_recorded, &mut faults);
        let (run, seconds) = (tally.passed + tally.failed, row.took.as_secs_f64());
        let name = row.name;
        println!(
            "{name:<22}{run:>7}{:>8}{:>9}{:>10}{seconds:>9.1}",
            tally.failed, tally.skipped, row.excluded
        );
        total.add(tally);
        if let Some(failed) = row.first_failed {
            second_tries.push(format!("{name}: second try, {failed} failed in the first"));
        }
    }
    for again in &second_tries {
        println!("- {again}");
    }
    for fault in &faults {
        println!("- {fault}");
    }
    let mut line =
        format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
    if !second_tries.is_empty() {
        line += &format!(" ({})", second_tries.join("; "));
    }
    let summary = project.target().join("test-summary.txt");
    std::fs::write(&summary, format!("{line}\n"))
        .with_context(|| format!("cannot write `{}`", summary.display()))?;
    println!("tests took {:.0} s\n{line}", took.as_secs_f64());
    ensure!(faults.is_empty(), "the tests failed");
    Ok(())
}

/// A row's tally; whatever makes the run fail is added to `faults`.
fn judge(row: &Row, is_recorded: bool, faults: &mut Vec<String>) -> Tally {
    let name = row.name;
    let tally = match &row.outcome {
        Err(error) => {
            faults.push(format!("{name}: {error:#}"));
            return Tally { failed: 1, ..Tally::default() };
        }
        Ok(Outcome::Skipped(reason)) => {
            let reason = format!("{name}: skipped: {reason}");
            if system::is_ci() {
                faults.push(reason);
            } else {
                println!("{reason}");
            }
            return Tally { skipped: 1, ..Tally::default() };
        }
        Ok(Outcome::Ran(tally)) => *tally,
    };
    let run = tally.passed + tally.failed;
    if tally.failed > 0 {
        faults.push(format!("{name}: {} of {run} tests failed", tally.failed));
    }
    if tally.skipped > 0 && system::is_ci() {
        faults.push(format!("{name}: {} tests skipped under CI", tally.skipped));
    }
    if !is_recorded && run + tally.skipped < row.expected_run {
        faults.push(format!(
            "{name}: {run} tests ran, {} stand in `conformance/counts.toml`",
            row.expected_run
        ));
    }
    tally
}
