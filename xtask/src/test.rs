//! `cargo xtask test`: unit, integration, crash and conformance tests, counted per suite.
//!
//! Each suite gives a [`Tally`] or says why it cannot run here. On a developer's machine such a
//! suite is skipped with the reason; under CI a skip is a failure, and so is a count below the
//! one in `conformance/counts.toml`.

mod broker;
mod counts;
mod java;
mod python;
mod rust;
mod system;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::project::Project;
use counts::{Counts, Expected};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs one suite alone (`--only list` names them).
    #[arg(long, value_name = "SUITE")]
    only: Option<String>,
    /// How often the crash suite kills the broker.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Writes this run's counts to `conformance/counts.toml`.
    #[arg(long)]
    record: bool,
}

/// What a suite needs to run.
struct Context<'a> {
    project: &'a Project,
    /// The release binary, where the suite asks for it.
    broker: PathBuf,
    rounds: u32,
    /// What the suite must leave out, and its count so far.
    expected: Expected,
}

/// How many tests of a suite ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// What came of a suite.
enum Outcome {
    Ran(Tally),
    /// It cannot run on this machine, and why.
    Skipped(String),
}

/// A part of the tests with a count of its own.
struct Suite {
    name: &'static str,
    needs_broker: bool,
    run: fn(&Context) -> Result<Outcome>,
}

const SUITES: &[Suite] = &[
    Suite { name: "rust", needs_broker: false, run: rust::run },
    Suite { name: "crash", needs_broker: true, run: rust::crash },
    Suite { name: "confluent-kafka", needs_broker: true, run: python::newest },
    Suite { name: "confluent-kafka-2.0", needs_broker: true, run: python::oldest },
    Suite { name: "kcat", needs_broker: true, run: python::kcat },
    Suite { name: "readme", needs_broker: true, run: python::readme },
    Suite { name: "network", needs_broker: true, run: python::network },
    Suite { name: "kafka-clients", needs_broker: true, run: java::run },
];

/// A suite's row in the closing table.
struct Row {
    name: &'static str,
    outcome: Result<Outcome>,
    excluded: usize,
    expected_run: u32,
    took: Duration,
}

/// Builds, runs the suites, prints the table and the closing line.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let suites = chosen(options.only.as_deref())?;
    let counts_path = project.root().join("conformance/counts.toml");
    let mut counts = Counts::read(&counts_path)?;
    let started = Instant::now();
    let broker = broker::path(project);
    if suites.iter().any(|suite| suite.needs_broker) {
        broker::build(project)?;
    }
    if suites.iter().any(|suite| ["rust", "crash"].contains(&suite.name)) {
        rust::build(project)?;
    }
    let built = started.elapsed();
    println!("built in {:.0} s", built.as_secs_f64());

    let mut rows = Vec::new();
    for suite in suites {
        println!("\n== {} ==", suite.name);
        let expected = counts.expected(suite.name);
        let excluded = expected.excluded.len();
        let expected_run = expected.run;
        let broker = broker.clone();
        let cx = Context { project, broker, rounds: options.rounds, expected };
        let suite_started = Instant::now();
        let outcome = (suite.run)(&cx);
        let took = suite_started.elapsed();
        rows.push(Row { name: suite.name, outcome, excluded, expected_run, took });
    }
    if options.record {
        for row in &rows {
            if let Ok(Outcome::Ran(tally)) = row.outcome {
                counts.set_run(row.name, tally.passed + tally.failed);
            }
        }
        counts.write(&counts_path)?;
    }
    report(project, rows, options.record, started.elapsed().saturating_sub(built))
}

fn chosen(only: Option<&str>) -> Result<Vec<&'static Suite>> {
    let Some(only) = only else {
        return Ok(SUITES.iter().collect());
    };
    let chosen: Vec<_> = SUITES.iter().filter(|suite| suite.name == only).collect();
    if chosen.is_empty() {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("there is no suite `{only}`; there are: {}", names.join(", "));
    }
    Ok(chosen)
}

/// Prints what ran, fails where something failed, and leaves the closing line in a file for
/// `.ci/run`.
fn report(project: &Project, rows: Vec<Row>, is_recorded: bool, took: Duration) -> Result<()> {
    let mut faults = Vec::new();
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
    }
    for fault in &faults {
        println!("- {fault}");
    }
    let line =
        format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped);
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
