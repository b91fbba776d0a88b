//! The pages in Chromium: Playwright's library drives Debian's browser, and Celery does the work.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Context, SetUp, Tally, node, python, system};

const LIMIT: Duration = Duration::from_secs(10 * 60);
const BROWSER: &str = "chromium";

/// Makes sure of Node with the packages of the lock file, Celery's environment and the browser.
pub(super) fn set_up(cx: &Context) -> Result<SetUp> {
    if let SetUp::Missing(reason) = node::install(&source(cx), &directory(cx))? {
        return Ok(SetUp::Missing(reason));
    }
    for environment in [python::newest_environment(cx)?, python::sqs_environment(cx)?] {
        if let Err(reason) = environment {
            return Ok(SetUp::Missing(reason));
        }
    }
    Ok(system::need(BROWSER, "--version", BROWSER).into())
}

/// Runs the tests, one after the other: a browser and workers are much for a small machine.
pub(super) fn run(cx: &Context) -> Result<Tally> {
    let there = |found: Result<PathBuf, String>| found.map_err(|reason| anyhow::anyhow!(reason));
    let python = there(python::newest_environment(cx)?)?;
    let python_sqs = there(python::sqs_environment(cx)?)?;
    let report = cx.reports()?.join("browser.tap");
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new("node");
    command.current_dir(source(cx)).args(["--test", "--test-concurrency=1"]);
    command.args(["--test-reporter=tap", "--test-reporter-destination"]).arg(&report);
    command.args(["--test-reporter=spec", "--test-reporter-destination=stdout"]);
    command.args(["jobs.test.js", "realtime.test.js"]);
    command.env("NODE_PATH", directory(cx).join("node_modules"));
    command.env("TRAMLINE_BINARY", &cx.broker).env("TRAMLINE_PYTHON", python);
    command.env("TRAMLINE_PYTHON_SQS", python_sqs).env("TRAMLINE_CHROMIUM", path_of(BROWSER)?);
    let status = cx.status(&mut command, LIMIT)?;
    let text = std::fs::read_to_string(&report);
    let text = text.with_context(|| format!("Node left no report: {status}"))?;
    let tally = node::tally(&text).context("Node's report has no counts")?;
    ensure!(status.success() || tally.failed > 0, "Node's test runner failed: {status}");
    ensure!(tally != Tally::default(), "Node ran no test");
    Ok(tally)
}

/// Where a program is.
fn path_of(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join(program));
    found.into_iter().find(|path| path.is_file()).with_context(|| format!("no `{program}`"))
}

fn source(cx: &Context) -> PathBuf {
    cx.project.root().join("conformance/browser")
}

fn directory(cx: &Context) -> PathBuf {
    cx.project.root().join(".test-env/browser")
}
