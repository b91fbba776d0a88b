//! The workspace's own tests, by cargo, the crash tests, which need the release binary, and the
//! suites of clients written in Rust.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Context, SetUp, Tally, log_to, python, system};
use crate::{process, project::Project, soak};

const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Builds the tests, so that their own time can be told apart.
pub(super) fn build(project: &Project) -> Result<()> {
    for target in [&["--workspace"][..], CRASH] {
        let mut command = project.cargo(&["test", "--locked", "--no-run"]);
        process::run(command.args(target), Duration::from_secs(20 * 60))?;
    }
    soak::build(project)
}

/// Runs every crate's tests, those after a failed one too.
pub(super) fn run(cx: &Context) -> Result<Tally> {
    let args = ["test", "--workspace", "--locked", "--no-fail-fast"];
    counted(&mut cx.project.cargo(&args))
}

/// The crash tests' target. All of the workspace, so that its dependencies are built alike.
const CRASH: &[&str] = &["--workspace", "--test", "crash"];

/// How long the soak of every run takes, and its seed.
const SOAK: Duration = Duration::from_secs(3 * 60);
const SOAK_SEED: u64 = 1;

/// A few minutes of the soak.
pub(super) fn soak(cx: &Context) -> Result<Tally> {
    let mut command = soak::command(cx.project, &cx.broker, SOAK, SOAK_SEED);
    command.env("TRAMLINE_MAY_LEAVE_OUT", may_leave_out(cx));
    if let Some(log) = &cx.log {
        log_to(&mut command, log)?;
    }
    let status = process::status(&mut command, SOAK + soak::LAST_ROUND_MAX)?;
    let passed = u32::from(status.success());
    Ok(Tally { passed, failed: 1 - passed, skipped: 0 })
}

/// What the suite's list of exclusions names, for tests that decide by themselves what this
/// machine can do.
fn may_leave_out(cx: &Context) -> String {
    let names: Vec<_> = cx.expected.excluded.keys().map(String::as_str).collect();
    names.join(",")
}

/// Kills, cuts off, fills up, hangs and damages real brokers under load. Tests that need the
/// machine to themselves see to it.
pub(super) fn crash(cx: &Context) -> Result<Tally> {
    let mut command = cx.project.cargo(&["test", "--locked"]);
    command.args(CRASH).args(["--", "--test-threads=4", "--nocapture"]);
    command.env("TRAMLINE_BIN", &cx.broker).env("TRAMLINE_ROUNDS", cx.rounds.to_string());
    let python = python::newest_environment(cx)?.map_err(anyhow::Error::msg)?;
    command.env("TRAMLINE_PYTHON", python);
    command.env("TRAMLINE_MAY_LEAVE_OUT", may_leave_out(cx));
    counted(&mut command)
}

/// The tests of one client, in a workspace of their own.
pub(super) struct Run {
    package: &'static str,
    /// Whether it comes with C++ to be built.
    is_native: bool,
}

/// The rdkafka crate, and librdkafka with it.
pub(super) const RDKAFKA: Run = Run { package: "tramline-conformance-rust", is_native: true };
/// lapin.
pub(super) const LAPIN: Run = Run { package: "tramline-conformance-lapin", is_native: false };

/// The AWS SDK, its client of SQS.
pub(super) const AWS_SDK: Run = Run { package: "tramline-conformance-aws-sdk", is_native: false };

/// Builds a client's tests.
pub(super) fn set_up_client(cx: &Context, run: &Run) -> Result<SetUp> {
    for program in ["make", "g++"].into_iter().filter(|_| run.is_native) {
        if let Some(reason) = system::need(program, "--version", program) {
            return Ok(SetUp::Missing(reason));
        }
    }
    process::run(client_tests(cx, run)?.arg("--no-run"), Duration::from_secs(20 * 60))?;
    Ok(SetUp::Ready)
}

/// Runs a client's tests.
pub(super) fn client(cx: &Context, run: &Run) -> Result<Tally> {
    let mut command = client_tests(cx, run)?;
    command.args(["--", "--test-threads=3"]).env("TRAMLINE_BINARY", &cx.broker);
    for excluded in cx.expected.excluded.keys() {
        command.args(["--skip", excluded]);
    }
    let status = cx.status(&mut command, LIMIT)?;
    let log = cx.log.as_deref().map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let tally = tally(log.lines());
    ensure!(status.success() || tally.failed > 0, "`cargo test` failed: {status}");
    ensure!(tally != Tally::default(), "`cargo test` ran no test");
    Ok(tally)
}

fn client_tests(cx: &Context, run: &Run) -> Result<Command> {
    let mut command = Command::new("cargo");
    command.current_dir(cx.project.root().join("conformance/rust"));
    command.args(["test", "--locked", "--package", run.package]);
    command.env("CARGO_TARGET_DIR", cx.reports()?.join("rust"));
    Ok(command)
}

fn counted(command: &mut Command) -> Result<Tally> {
    let (status, lines) = process::status_and_lines(command, LIMIT)?;
    let tally = tally(lines.iter().map(String::as_str));
    ensure!(status.success() || tally.failed > 0, "`cargo test` failed: {status}");
    Ok(tally)
}

/// Sums up the lines that close each test binary's run.
fn tally<'a>(lines: impl Iterator<Item = &'a str>) -> Tally {
    let mut sum = Tally::default();
    for line in lines.filter(|line| line.starts_with("test result:")) {
        let words: Vec<_> = line.split([' ', ';']).collect();
        let before = |word| {
            let at = words.iter().position(|one| *one == word).unwrap_or_default();
            words.get(at.wrapping_sub(1)).and_then(|count| count.parse().ok()).unwrap_or_default()
        };
        sum.add(Tally {
            passed: before("passed"),
            failed: before("failed"),
            skipped: before("ignored"),
        });
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{Tally, tally};

    #[test]
    fn cargos_closing_lines_are_summed() {
        let lines = [
            "test a ... ok",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        let expected = Tally { passed: 15, failed: 2, skipped: 1 };
        assert_eq!(tally(lines.into_iter()), expected);
    }
}
