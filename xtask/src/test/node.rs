//! The suites written in JavaScript: kafkajs, amqplib, the AWS SDK and sqs-consumer, by npm and
//! Node's own test runner.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Context, SetUp, Tally, system};
use crate::process;

/// The tests of one client: the folder they are in, and their name.
pub(super) struct Run {
    folder: &'static str,
    name: &'static str,
}

/// kafkajs.
pub(super) const KAFKAJS: Run = Run { folder: "test/", name: "kafkajs" };
/// amqplib.
pub(super) const AMQPLIB: Run = Run { folder: "amqplib/", name: "amqplib" };
/// The AWS SDK for JavaScript, its client of SQS.
pub(super) const AWS_SDK: Run = Run { folder: "sqs/", name: "aws-sdk-js" };
/// sqs-consumer.
pub(super) const SQS_CONSUMER: Run = Run { folder: "sqs-consumer/", name: "sqs-consumer" };

/// ws, eventsource and the broker's client for browsers: realtime channels.
pub(super) const REALTIME: Run = Run { folder: "realtime/", name: "realtime-node" };

/// What the suites' `package.json` says.
const NODE_MIN: u32 = 20;
const SET_UP_LIMIT: Duration = Duration::from_secs(10 * 60);
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Makes sure of Node and the clients.
pub(super) fn set_up(cx: &Context) -> Result<SetUp> {
    let (source, directory) = directories(cx);
    install(&source, &directory)
}

/// Installs the packages of a lock file, in a copy, so that the checkout stays as it is.
pub(super) fn install(source: &Path, directory: &Path) -> Result<SetUp> {
    if let Some(reason) = system::need("node", "--version", "nodejs") {
        return Ok(SetUp::Missing(reason));
    }
    let version = process::output(Command::new("node").arg("--version"))?;
    if major(&version).is_none_or(|major| major < NODE_MIN) {
        return Ok(SetUp::Missing(format!("Node {}: {NODE_MIN} is needed", version.trim())));
    }
    if let Some(reason) = system::need("npm", "--version", "npm") {
        return Ok(SetUp::Missing(reason));
    }
    std::fs::create_dir_all(directory)?;
    let stamp = directory.join("installed.json");
    let wanted = std::fs::read_to_string(source.join("package-lock.json"))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(SetUp::Ready);
    }
    println!("installing the packages of {}", source.display());
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(file), directory.join(file))?;
    }
    let mut install = Command::new("npm");
    install.current_dir(directory).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]);
    if let Err(error) = process::run(&mut install, SET_UP_LIMIT) {
        return Ok(SetUp::Missing(format!("npm cannot install them here: {error:#}")));
    }
    std::fs::write(&stamp, wanted)?;
    Ok(SetUp::Ready)
}

/// Runs every test file of a client, two at a time; each has a broker of its own.
pub(super) fn run(cx: &Context, run: &Run) -> Result<Tally> {
    let (source, directory) = directories(cx);
    let report = cx.reports()?.join(format!("{}.tap", run.name));
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new("node");
    command.current_dir(source).args(["--test", "--test-concurrency=2"]);
    command.args(["--test-reporter=tap", "--test-reporter-destination"]).arg(&report);
    command.args(["--test-reporter=spec", "--test-reporter-destination=stdout", run.folder]);
    command.env("NODE_PATH", directory.join("node_modules")).env("TRAMLINE_BINARY", &cx.broker);
    let excluded: Vec<_> = cx.expected.excluded.keys().map(String::as_str).collect();
    command.env("TRAMLINE_EXCLUDED", excluded.join("\n"));
    let status = cx.status(&mut command, LIMIT)?;
    let text = std::fs::read_to_string(&report);
    let text = text.with_context(|| format!("Node left no report: {status}"))?;
    let tally = tally(&text).context("Node's report has no counts")?;
    ensure!(status.success() || tally.failed > 0, "Node's test runner failed: {status}");
    ensure!(tally != Tally::default(), "Node ran no test");
    Ok(tally)
}

fn directories(cx: &Context) -> (PathBuf, PathBuf) {
    let root = cx.project.root();
    (root.join("conformance/node"), root.join(".test-env/node"))
}

/// The first number of `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The counts that close a report in TAP.
pub(super) fn tally(tap: &str) -> Option<Tally> {
    let count = |name: &str| -> Option<u32> {
        let line = tap.lines().rev().find_map(|line| line.strip_prefix(&format!("# {name} ")));
        line?.trim().parse().ok()
    };
    Some(Tally {
        passed: count("pass")?,
        failed: count("fail")? + count("cancelled")?,
        skipped: count("skipped")? + count("todo")?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Tally, major, tally};

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major(""), None);
    }

    #[test]
    fn a_cancelled_test_counts_as_failed() {
        let tap = "ok 1 - a\n# tests 12\n# suites 0\n# pass 8\n# fail 1\n# cancelled 2\n\
            # skipped 1\n# todo 0\n# duration_ms 7.5\n";
        assert_eq!(tally(tap), Some(Tally { passed: 8, failed: 3, skipped: 1 }));
        assert_eq!(tally("TAP version 13\n"), None);
    }
}
