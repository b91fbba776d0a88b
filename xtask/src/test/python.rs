//! The suites written in Python: confluent-kafka, kcat and the network.
//!
//! Each version of the client has an environment of its own under `.test-env/`, made from a
//! file of pinned requirements and made again when that file changes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Context, Outcome, Tally, java, system};
use crate::process;

const SET_UP_LIMIT: Duration = Duration::from_secs(10 * 60);
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// confluent-kafka, the newest version.
pub(super) fn newest(cx: &Context) -> Result<Outcome> {
    run(cx, &Run { requirements: "newest", tests: "confluent", report: "confluent-kafka" })
}

/// confluent-kafka, the 2.0 line.
pub(super) fn oldest(cx: &Context) -> Result<Outcome> {
    run(cx, &Run { requirements: "2.0", tests: "confluent", report: "confluent-kafka-2.0" })
}

/// Debian's kcat.
pub(super) fn kcat(cx: &Context) -> Result<Outcome> {
    if let Some(reason) = system::need("kcat", "-V", "kcat") {
        return Ok(Outcome::Skipped(reason));
    }
    run(cx, &Run { requirements: "newest", tests: "kcat", report: "kcat" })
}

/// The README's own commands.
pub(super) fn readme(cx: &Context) -> Result<Outcome> {
    if let Some(reason) = system::need("kcat", "-V", "kcat") {
        return Ok(Outcome::Skipped(reason));
    }
    run(cx, &Run { requirements: "newest", tests: "readme", report: "readme" })
}

/// A forwarded port, and a client in another network namespace.
pub(super) fn network(cx: &Context) -> Result<Outcome> {
    if let Some(reason) = system::need("ip", "-V", "iproute2") {
        return Ok(Outcome::Skipped(reason));
    }
    run(cx, &Run { requirements: "newest", tests: "network", report: "network" })
}

/// A Python with the newest confluent-kafka, or why there is none.
pub(super) fn newest_environment(cx: &Context) -> Result<Result<PathBuf, String>> {
    environment(cx.project.root(), "newest")
}

struct Run {
    requirements: &'static str,
    /// The directory of tests.
    tests: &'static str,
    report: &'static str,
}

fn run(cx: &Context, run: &Run) -> Result<Outcome> {
    let python = match environment(cx.project.root(), run.requirements)? {
        Ok(python) => python,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let report = cx.project.target().join(format!("conformance/{}.xml", run.report));
    std::fs::create_dir_all(report.parent().context("the report has no directory")?)?;
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new(python);
    command.current_dir(cx.project.root().join("conformance/python"));
    command.args(["-m", "pytest", "-q", "-rs", "--color=no", "-p", "no:cacheprovider"]);
    command.arg(format!("--junitxml={}", report.display())).arg(run.tests);
    for excluded in cx.expected.excluded.keys() {
        command.arg(format!("--deselect={excluded}"));
    }
    command.env("TRAMLINE_BINARY", &cx.broker);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let status = process::status(&mut command, LIMIT)?;
    let text = std::fs::read_to_string(&report);
    let text = text.with_context(|| format!("pytest left no report: {status}"))?;
    let tally = java::tally(&text).context("pytest's report has no counts")?;
    ensure!(status.success() || tally.failed > 0, "pytest failed: {status}");
    ensure!(tally != Tally::default(), "pytest ran no test");
    Ok(Outcome::Ran(tally))
}

/// The environment's Python, or why there is none.
fn environment(root: &Path, name: &str) -> Result<Result<PathBuf, String>> {
    if !system::has("python3", "--version") {
        return Ok(Err("`python3` is missing: sudo apt-get install python3-venv".to_owned()));
    }
    let directory = root.join(format!(".test-env/python-{name}"));
    let python = directory.join("bin/python");
    let requirements = root.join(format!("conformance/python/requirements-{name}.txt"));
    let wanted = std::fs::read_to_string(&requirements).context("no requirements")?;
    let stamp = directory.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(Ok(python));
    }
    println!("making the Python environment `{name}`");
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&directory);
    if let Err(error) = process::run(&mut make, SET_UP_LIMIT) {
        return Ok(Err(format!("no Python environment: {error:#}: install python3-venv")));
    }
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    install.args(["--only-binary=:all:", "--requirement"]).arg(&requirements);
    if let Err(error) = process::run(&mut install, SET_UP_LIMIT) {
        return Ok(Err(format!("the client cannot be installed here: {error:#}")));
    }
    std::fs::write(&stamp, wanted)?;
    Ok(Ok(python))
}
