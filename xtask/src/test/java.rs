//! The suites written in Java: Apache Kafka's own client and what is built on it, RabbitMQ's, and
//! the AWS SDK, by Maven.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Context, SetUp, Tally, system};
use crate::process;

/// What `conformance/java/pom.xml` compiles for.
const JAVA_MIN: u32 = 17;
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// The tests of one client.
pub(super) struct Run {
    report: &'static str,
    /// The test classes, as Surefire takes them.
    tests: &'static str,
}

/// Apache Kafka's own client.
pub(super) const CLIENTS: Run =
    Run { report: "java-clients", tests: "*Test,!StreamsTest,!ConnectTest,!Amqp*Test,!Sqs*Test" };
/// RabbitMQ's client.
pub(super) const AMQP: Run = Run { report: "java-amqp", tests: "Amqp*Test" };
/// The AWS SDK, its client of SQS.
pub(super) const AWS_SDK: Run = Run { report: "java-sqs", tests: "Sqs*Test" };
/// Kafka Streams.
pub(super) const STREAMS: Run = Run { report: "java-streams", tests: "StreamsTest" };
/// Kafka Connect.
pub(super) const CONNECT: Run = Run { report: "java-connect", tests: "ConnectTest" };

/// Builds the Maven project and its tests.
pub(super) fn set_up(cx: &Context) -> Result<SetUp> {
    if let Some(reason) = system::need("javac", "-version", "openjdk-17-jdk-headless") {
        return Ok(SetUp::Missing(reason));
    }
    let version = process::output(Command::new("javac").arg("-version"))?;
    if major(&version).is_none_or(|major| major < JAVA_MIN) {
        return Ok(SetUp::Missing(format!("`{}`: Java {JAVA_MIN} is needed", version.trim())));
    }
    if let Some(reason) = system::need("mvn", "-v", "maven") {
        return Ok(SetUp::Missing(reason));
    }
    process::run(maven(cx)?.arg("test-compile"), LIMIT)?;
    Ok(SetUp::Ready)
}

/// Runs the tests of one client.
pub(super) fn run(cx: &Context, run: &Run) -> Result<Tally> {
    let reports = cx.reports()?.join(run.report);
    let _ = std::fs::remove_dir_all(&reports);
    let mut command = maven(cx)?;
    let excluded = cx.expected.excluded.keys().map(|name| format!(",!{name}"));
    let excluded: String = excluded.collect();
    command.arg(format!("-Dtest={}{excluded}", run.tests));
    command.arg(format!("-Dtests.reports={}", reports.display()));
    // Two runs that begin in the same moment would share the list of their tests.
    command.arg(format!("-DtempDir=surefire-{}", run.report));
    command.arg("surefire:test").env("TRAMLINE_BINARY", &cx.broker);
    let status = cx.status(&mut command, LIMIT)?;
    let tally = read_reports(&reports)?;
    ensure!(status.success() || tally.failed > 0, "Maven failed: {status}");
    ensure!(tally != Tally::default(), "Maven ran no test");
    Ok(tally)
}

fn maven(cx: &Context) -> Result<Command> {
    let mut command = Command::new("mvn");
    command.current_dir(cx.project.root().join("conformance/java"));
    command.args(["--batch-mode", "--no-transfer-progress", "--quiet"]);
    command.arg(format!("-Dtests.directory={}", cx.reports()?.join("java").display()));
    Ok(command)
}

/// The first number of `javac 17.0.15`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(1)?;
    number.split(['.', '-']).next()?.parse().ok()
}

fn read_reports(directory: &Path) -> Result<Tally> {
    let mut sum = Tally::default();
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(sum);
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "xml") {
            let text = std::fs::read_to_string(&path)?;
            let counts = tally(&text);
            sum.add(counts.with_context(|| format!("no counts in `{}`", path.display()))?);
        }
    }
    Ok(sum)
}

/// The counts of a report in JUnit's XML: those of its first `testsuite`.
pub(super) fn tally(xml: &str) -> Option<Tally> {
    let start = xml.find("<testsuite ")?;
    let tag = &xml[start..start + xml[start..].find('>')?];
    let count = |name: &str| -> Option<u32> {
        let value = tag.split(&format!(" {name}=\"")).nth(1)?;
        value[..value.find('"')?].parse().ok()
    };
    let (failed, skipped) = (count("failures")? + count("errors")?, count("skipped")?);
    Some(Tally { passed: count("tests")?.checked_sub(failed + skipped)?, failed, skipped })
}

#[cfg(test)]
mod tests {
    use super::{Tally, major, tally};

    #[test]
    fn the_major_version_of_java_is_read() {
        assert_eq!(major("javac 17.0.15\n"), Some(17));
        assert_eq!(major("javac 25-ea"), Some(25));
        assert_eq!(major(""), None);
    }

    #[test]
    fn the_counts_of_a_report_are_read_from_its_first_suite() {
        let xml = r#"<?xml version="1.0"?><testsuites name="pytest tests"><testsuite
            name="pytest" errors="1" failures="2" skipped="3" tests="10" time="0.1">"#;
        let xml = xml.replace('\n', " ");
        assert_eq!(tally(&xml), Some(Tally { passed: 4, failed: 3, skipped: 3 }));
        assert_eq!(tally("<testsuite name=\"a\">"), None);
    }
}
