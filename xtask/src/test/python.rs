//! The suites written in Python: confluent-kafka, kcat and the network.
//!
//! Each version of the client has an environment of its own under `.test-env/`, made from a
//! file of pinned requirements and made again when that file changes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Context, SetUp, Tally, java, system};
use crate::process;

const SET_UP_LIMIT: Duration = Duration::from_secs(10 * 60);
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// confluent-kafka, the newest version.
pub(super) const NEWEST: Run = Run::new("newest", "confluent", "confluent-kafka");
/// confluent-kafka, the 2.0 line.
pub(super) const OLDEST: Run = Run::new("2.0", "confluent", "confluent-kafka-2.0");
/// Debian's kcat.
pub(super) const KCAT: Run =
    Run { needs: Some(("kcat", "-V", "kcat")), ..Run::new("newest", "kcat", "kcat") };
/// The README's own commands.
pub(super) const README: Run =
    Run { needs: Some(("kcat", "-V", "kcat")), ..Run::new("newest", "readme", "readme") };
/// A forwarded port, and a client in another network namespace.
pub(super) const NETWORK: Run =
    Run { needs: Some(("ip", "-V", "iproute2")), ..Run::new("newest", "network", "network") };

/// A Python with the newest confluent-kafka, or why there is none.
pub(super) fn newest_environment(cx: &Context) -> Result<Result<PathBuf, String>> {
    environment(cx.project.root(), "newest")
}

/// A suite run by pytest.
pub(super) struct Run {
    /// Names the environment's file of requirements.
    requirements: &'static str,
    /// The directory of tests.
    tests: &'static str,
    report: &'static str,
    /// A program, its version flag and Debian's package that has it.
    needs: Option<(&'static str, &'static str, &'static str)>,
}

impl Run {
    const fn new(requirements: &'static str, tests: &'static str, report: &'static str) -> Self {
        Self { requirements, tests, report, needs: None }
    }
}

/// Makes the environment.
pub(super) fn set_up(cx: &Context, run: &Run) -> Result<SetUp> {
    if let Some((program, flag, package)) = run.needs
        && let Some(reason) = system::need(program, flag, package)
    {
        return Ok(SetUp::Missing(reason));
    }
    Ok(environment(cx.project.root(), run.requirements)?.err().into())
}

/// Runs pytest on the suite's directory.
pub(super) fn run(cx: &Context, run: &Run) -> Result<Tally> {
    let root = cx.project.root();
    let report = cx.reports()?.join(format!("{}.xml", run.report));
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new(python_of(root, run.requirements));
    command.current_dir(root.join("conformance/python"));
    command.args(["-m", "pytest", "-q", "-rs", "--color=no", "-p", "no:cacheprovider"]);
    command.arg(format!("--junitxml={}", report.display())).arg(run.tests);
    for excluded in cx.expected.excluded.keys() {
        command.arg(format!("--deselect={excluded}"));
    }
    command.env("TRAMLINE_BINARY", &cx.broker);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let status = cx.status(&mut command, LIMIT)?;
    let text = std::fs::read_to_string(&report);
    let text = text.with_context(|| format!("pytest left no report: {status}"))?;
    let tally = java::tally(&text).context("pytest's report has no counts")?;
    ensure!(status.success() || tally.failed > 0, "pytest failed: {status}");
    ensure!(tally != Tally::default(), "pytest ran no test");
    Ok(tally)
}

fn python_of(root: &Path, name: &str) -> PathBuf {
    root.join(format!(".test-env/python-{name}/bin/python"))
}

/// The environment's Python, or why there is none.
fn environment(root: &Path, name: &str) -> Result<Result<PathBuf, String>> {
    if !system::has("python3", "--version") {
        return Ok(Err("`python3` is missing: sudo apt-get install python3-venv".to_owned()));
    }
    let directory = root.join(format!(".test-env/python-{name}"));
    let python = python_of(root, name);
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
