//! The suites written in Go: franz-go, sarama, amqp091-go and the AWS SDK, by `go test`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{Context, SetUp, Tally, log_to, system};
use crate::process;

/// What `conformance/go/go.mod` asks for.
const GO_MIN: (u32, u32) = (1, 26);
const BUILD_LIMIT: Duration = Duration::from_secs(15 * 60);
const LIMIT: Duration = Duration::from_secs(10 * 60);

/// Builds one package's tests.
pub(super) fn set_up(cx: &Context, package: &str) -> Result<SetUp> {
    if !system::has("go", "version") {
        return Ok(SetUp::Missing("`go` is missing: it is at go.dev".to_owned()));
    }
    let version = process::output(Command::new("go").args(["env", "GOVERSION"]))?;
    if release(&version).is_none_or(|release| release < GO_MIN) {
        let (major, minor) = GO_MIN;
        return Ok(SetUp::Missing(format!("`{}`: Go {major}.{minor} is needed", version.trim())));
    }
    let mut build = go(cx);
    build.args(["test", "-c", "-o"]).arg(binary(cx, package)?).arg(format!("./{package}"));
    process::run(&mut build, BUILD_LIMIT)?;
    Ok(SetUp::Ready)
}

/// Runs one package's tests.
pub(super) fn run(cx: &Context, package: &str) -> Result<Tally> {
    let report = cx.reports()?.join(format!("go-{package}.json"));
    let _ = std::fs::remove_file(&report);
    let mut command = go(cx);
    command.args(["tool", "test2json"]).arg(binary(cx, package)?).arg("-test.v=test2json");
    command.arg("-test.timeout=8m");
    let excluded: Vec<_> = cx.expected.excluded.keys().map(|name| format!("^{name}$")).collect();
    if !excluded.is_empty() {
        command.arg(format!("-test.skip={}", excluded.join("|")));
    }
    command.env("TRAMLINE_BINARY", &cx.broker);
    let status = process::status(log_to(&mut command, &report)?, LIMIT)?;
    let text = std::fs::read_to_string(&report).context("go left no report")?;
    let report = read(&text);
    if let Some(log) = &cx.log {
        std::fs::write(log, &report.output)?;
    }
    let tally = report.tally;
    ensure!(status.success() || tally.failed > 0, "`go test` failed: {status}");
    ensure!(tally != Tally::default(), "`go test` ran no test");
    Ok(tally)
}

fn go(cx: &Context) -> Command {
    let mut command = Command::new("go");
    command.current_dir(cx.project.root().join("conformance/go")).env("GOFLAGS", "-mod=readonly");
    command
}

fn binary(cx: &Context, package: &str) -> Result<PathBuf> {
    Ok(cx.reports()?.join(format!("go-{package}.test")))
}

/// The numbers of `go1.26.8`.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.trim().strip_prefix("go")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

struct Report {
    tally: Tally,
    output: String,
}

/// What `test2json` wrote: the counts of tests without sub-tests, and what they printed.
fn read(lines: &str) -> Report {
    let mut report = Report { tally: Tally::default(), output: String::new() };
    let mut parents = std::collections::BTreeSet::new();
    let mut ended = Vec::new();
    for line in lines.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            report.output.push_str(line);
            report.output.push('\n');
            continue;
        };
        let test = event["Test"].as_str().unwrap_or_default();
        match event["Action"].as_str().unwrap_or_default() {
            "output" => report.output.push_str(event["Output"].as_str().unwrap_or_default()),
            action @ ("pass" | "fail" | "skip") if !test.is_empty() => {
                if let Some((parent, _)) = test.rsplit_once('/') {
                    parents.insert(parent.to_owned());
                }
                ended.push((test.to_owned(), action.to_owned()));
            }
            _ => {}
        }
    }
    for (test, action) in ended {
        // A parent fails with its sub-tests; one that fails by itself has none that failed.
        if !parents.contains(&test) {
            match action.as_str() {
                "pass" => report.tally.passed += 1,
                "fail" => report.tally.failed += 1,
                _ => report.tally.skipped += 1,
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::{Tally, read, release};

    #[test]
    fn the_version_of_go_is_read() {
        assert_eq!(release("go1.26.8\n"), Some((1, 26)));
        assert_eq!(release("devel"), None);
    }

    #[test]
    fn sub_tests_are_counted_and_their_parents_are_not() {
        let lines = r#"{"Action":"run","Test":"TestA"}
            {"Action":"output","Test":"TestA","Output":"=== RUN TestA\n"}
            {"Action":"pass","Test":"TestA/x"}
            {"Action":"fail","Test":"TestA/y"}
            {"Action":"fail","Test":"TestA"}
            {"Action":"skip","Test":"TestB"}
            {"Action":"pass","Test":"TestC"}
            panic
            {"Action":"fail"}"#;
        let lines: Vec<_> = lines.lines().map(str::trim).collect();
        let report = read(&lines.join("\n"));
        assert_eq!(report.tally, Tally { passed: 2, failed: 1, skipped: 1 });
        assert_eq!(report.output, "=== RUN TestA\npanic\n");
    }
}
