//! `cargo xtask test`: unit, integration, crash and conformance tests, counted per suite.
//!
//! Each suite gives a [`Tally`] or says why it cannot run here. On a developer's machine such a
//! suite is skipped with the reason; under CI a skip is a failure, and so is a count below the
//! one in `conformance/counts.toml`. What the suites need is made before the first one runs;
//! those that wait more than they work then run side by side. A client's suite that fails there
//! runs once more by itself, for clients have races of their own that a busy machine brings out;
//! what failed the first time is printed, and the table and the closing line say so.

mod broker;
mod browser;
mod counts;
mod go;
mod java;
mod node;
mod python;
mod report;
mod rust;
mod system;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::{process, project::Project};
use counts::{Counts, Expected};
use report::Row;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Runs these suites alone (`--only list` names them).
    #[arg(long, value_name = "SUITE")]
    only: Vec<String>,
    /// Tests this binary instead of building one.
    #[arg(long, value_name = "PATH")]
    broker: Option<PathBuf>,
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
    /// Where the suite's output goes, unless it is shown as it comes.
    log: Option<PathBuf>,
}

impl Context<'_> {
    /// Runs one of the suite's programs.
    fn status(&self, command: &mut Command, limit: Duration) -> Result<ExitStatus> {
        if let Some(log) = &self.log {
            log_to(command, log)?;
        }
        process::status(command, limit)
    }

    /// Where the suites' reports and logs are.
    fn reports(&self) -> Result<PathBuf> {
        reports(self.project)
    }
}

/// Sends what a program prints to the end of a file.
fn log_to<'a>(command: &'a mut Command, log: &Path) -> Result<&'a mut Command> {
    let open = std::fs::OpenOptions::new().create(true).append(true).open(log);
    let log = open.with_context(|| format!("cannot write `{}`", log.display()))?;
    Ok(command.stdout(log.try_clone()?).stderr(log))
}

fn reports(project: &Project) -> Result<PathBuf> {
    let directory = project.target().join("conformance");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make `{}`", directory.display()))?;
    Ok(directory)
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

/// Whether a suite's needs are there, or why they cannot be had on this machine.
enum SetUp {
    Ready,
    Missing(String),
}

impl From<Option<String>> for SetUp {
    fn from(missing: Option<String>) -> Self {
        missing.map_or(Self::Ready, Self::Missing)
    }
}

/// A part of the tests with a count of its own.
struct Suite {
    name: &'static str,
    kind: Kind,
}

/// What makes a suite ready and runs it.
enum Kind {
    /// The workspace's own tests, which use the whole machine.
    Rust,
    /// Kills and power cuts, which use the whole machine too.
    Crash,
    /// A few minutes of load and faults.
    Soak,
    Python(python::Run),
    Java(java::Run),
    Node(node::Run),
    /// The pages in a browser.
    Browser,
    /// A client written in Rust.
    RustClient(rust::Run),
    /// A package of the Go module.
    Go(&'static str),
}

impl Kind {
    fn is_alone(&self) -> bool {
        matches!(self, Self::Rust | Self::Crash)
    }

    /// Whether cargo builds what it runs.
    fn is_of_cargo(&self) -> bool {
        self.is_alone() || matches!(self, Self::Soak)
    }

    /// Whether it tests through a client that others wrote.
    fn is_of_a_client(&self) -> bool {
        !self.is_of_cargo()
    }

    fn set_up(&self, cx: &Context) -> Result<SetUp> {
        match self {
            Self::Rust | Self::Soak => Ok(SetUp::Ready),
            Self::Crash => python::newest_environment(cx).map(|python| python.err().into()),
            Self::Python(run) => python::set_up(cx, run),
            Self::Java(_) => java::set_up(cx),
            Self::Node(_) => node::set_up(cx),
            Self::Browser => browser::set_up(cx),
            Self::RustClient(run) => rust::set_up_client(cx, run),
            Self::Go(package) => go::set_up(cx, package),
        }
    }

    fn run(&self, cx: &Context) -> Result<Tally> {
        match self {
            Self::Rust => rust::run(cx),
            Self::Crash => rust::crash(cx),
            Self::Soak => rust::soak(cx),
            Self::Python(run) => python::run(cx, run),
            Self::Java(run) => java::run(cx, run),
            Self::Node(run) => node::run(cx, run),
            Self::Browser => browser::run(cx),
            Self::RustClient(run) => rust::client(cx, run),
            Self::Go(package) => go::run(cx, package),
        }
    }
}

/// In the order of their start: of those that run side by side, the long ones first.
const SUITES: &[Suite] = &[
    Suite { name: "rust", kind: Kind::Rust },
    Suite { name: "crash", kind: Kind::Crash },
    Suite { name: "soak", kind: Kind::Soak },
    Suite { name: "kafka-clients", kind: Kind::Java(java::CLIENTS) },
    Suite { name: "kafka-streams", kind: Kind::Java(java::STREAMS) },
    Suite { name: "kafka-connect", kind: Kind::Java(java::CONNECT) },
    Suite { name: "confluent-kafka", kind: Kind::Python(python::NEWEST) },
    Suite { name: "confluent-kafka-2.0", kind: Kind::Python(python::OLDEST) },
    Suite { name: "rdkafka", kind: Kind::RustClient(rust::RDKAFKA) },
    Suite { name: "browser", kind: Kind::Browser },
    Suite { name: "lapin", kind: Kind::RustClient(rust::LAPIN) },
    Suite { name: "celery-sqs", kind: Kind::Python(python::CELERY_SQS) },
    Suite { name: "kombu-own", kind: Kind::Python(python::KOMBU_OWN) },
    Suite { name: "aws-sdk-rust", kind: Kind::RustClient(rust::AWS_SDK) },
    Suite { name: "amqp-client", kind: Kind::Java(java::AMQP) },
    Suite { name: "aws-sdk-java", kind: Kind::Java(java::AWS_SDK) },
    Suite { name: "kafkajs", kind: Kind::Node(node::KAFKAJS) },
    Suite { name: "amqplib", kind: Kind::Node(node::AMQPLIB) },
    Suite { name: "aws-sdk-js", kind: Kind::Node(node::AWS_SDK) },
    Suite { name: "sqs-consumer", kind: Kind::Node(node::SQS_CONSUMER) },
    Suite { name: "franz-go", kind: Kind::Go("franz") },
    Suite { name: "sarama", kind: Kind::Go("sarama") },
    Suite { name: "amqp091-go", kind: Kind::Go("amqp091") },
    Suite { name: "aws-sdk-go", kind: Kind::Go("sqs") },
    Suite { name: "kafka-python", kind: Kind::Python(python::KAFKA_PYTHON) },
    Suite { name: "kafka-python-own", kind: Kind::Python(python::KAFKA_PYTHON_OWN) },
    Suite { name: "aiokafka", kind: Kind::Python(python::AIO) },
    Suite { name: "pika", kind: Kind::Python(python::PIKA) },
    Suite { name: "aio-pika", kind: Kind::Python(python::AIO_PIKA) },
    Suite { name: "celery", kind: Kind::Python(python::CELERY) },
    Suite { name: "boto3", kind: Kind::Python(python::BOTO3) },
    Suite { name: "boto3-query", kind: Kind::Python(python::BOTO3_QUERY) },
    Suite { name: "moto-own", kind: Kind::Python(python::MOTO_OWN) },
    Suite { name: "realtime-python", kind: Kind::Python(python::REALTIME) },
    Suite { name: "realtime-node", kind: Kind::Node(node::REALTIME) },
    Suite { name: "kcat", kind: Kind::Python(python::KCAT) },
    Suite { name: "http", kind: Kind::Python(python::HTTP) },
    Suite { name: "promtool", kind: Kind::Python(python::PROMTOOL) },
    Suite { name: "readme", kind: Kind::Python(python::README) },
    Suite { name: "network", kind: Kind::Python(python::NETWORK) },
];

/// How many suites run side by side: they wait for time-outs more than for the processor.
const SUITES_AT_ONCE: usize = 3;

/// How many suites may run a second time; where more fail, it is not a client's race.
const SECOND_TRIES: usize = 3;

/// Builds, runs the suites, prints the table and the closing line.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let suites = chosen(&options.only)?;
    let counts_path = project.root().join("conformance/counts.toml");
    let mut counts = Counts::read(&counts_path)?;
    let started = Instant::now();
    let broker = match &options.broker {
        Some(broker) => std::path::absolute(broker)?,
        None => broker::path(project),
    };
    if options.broker.is_none() && suites.iter().any(|suite| !matches!(suite.kind, Kind::Rust)) {
        broker::build(project)?;
    }
    if suites.iter().any(|suite| suite.kind.is_of_cargo()) {
        rust::build(project)?;
    }
    let context = |suite: &Suite| -> Result<Context> {
        let expected = counts.expected(suite.name);
        let log = reports(project)?.join(format!("{}.log", suite.name));
        let _ = std::fs::remove_file(&log);
        let log = (!suite.kind.is_alone()).then_some(log);
        let broker = broker.clone();
        Ok(Context { project, broker, rounds: options.rounds, expected, log })
    };
    let mut ready = Vec::new();
    let mut rows = Vec::new();
    for suite in suites {
        let cx = context(suite)?;
        match suite.kind.set_up(&cx) {
            Ok(SetUp::Ready) => ready.push((suite, cx)),
            Ok(SetUp::Missing(why)) => rows.push(Row::new(suite, &cx, Ok(Outcome::Skipped(why)))),
            Err(error) => rows.push(Row::new(suite, &cx, Err(error))),
        }
    }
    let built = started.elapsed();
    println!("built in {:.0} s", built.as_secs_f64());
    rows.extend(run_all(ready));
    if options.record {
        report::record(&rows, &mut counts, &counts_path)?;
    }
    rows.sort_by_key(|row| SUITES.iter().position(|suite| suite.name == row.name));
    report::print(project, rows, options.record, started.elapsed().saturating_sub(built))
}

/// First those that need the machine for themselves, then the others side by side, then those
/// of a client that failed among them once more.
fn run_all(suites: Vec<(&Suite, Context)>) -> Vec<Row> {
    let (alone, together): (Vec<_>, Vec<_>) =
        suites.into_iter().partition(|(suite, _)| suite.kind.is_alone());
    let mut rows = Vec::new();
    for (suite, cx) in alone {
        println!("\n== {} ==", suite.name);
        rows.push(run_one(suite, &cx));
    }
    let (again, together): (Vec<_>, Vec<_>) = run_together(together)
        .into_iter()
        .partition(|(suite, _, row)| suite.kind.is_of_a_client() && row.failed());
    rows.extend(together.into_iter().map(|(_, _, row)| row));
    if again.len() > SECOND_TRIES {
        rows.extend(again.into_iter().map(|(_, _, row)| row));
        return rows;
    }
    for (suite, cx, first) in again {
        println!("\n== {}, a second time ==", suite.name);
        if let Some(log) = &cx.log {
            let _ = std::fs::rename(log, log.with_extension("first.log"));
        }
        let row = run_one(suite, &cx).after_a_first(first);
        report::print_one(&row, cx.log.as_deref());
        rows.push(row);
    }
    rows
}

fn run_together<'a>(suites: Vec<(&'a Suite, Context<'a>)>) -> Vec<(&'a Suite, Context<'a>, Row)> {
    let waiting = Mutex::new(suites.into_iter());
    let rows = Mutex::new(Vec::new());
    let next = || waiting.lock().ok().and_then(|mut waiting| waiting.next());
    std::thread::scope(|scope| {
        for _ in 0..SUITES_AT_ONCE {
            scope.spawn(|| {
                while let Some((suite, cx)) = next() {
                    let row = run_one(suite, &cx);
                    report::print_one(&row, cx.log.as_deref());
                    if let Ok(mut rows) = rows.lock() {
                        rows.push((suite, cx, row));
                    }
                }
            });
        }
    });
    rows.into_inner().unwrap_or_default()
}

fn run_one(suite: &Suite, cx: &Context) -> Row {
    let started = Instant::now();
    let outcome = suite.kind.run(cx).map(Outcome::Ran);
    Row::new(suite, cx, outcome).after(started.elapsed())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Suite>> {
    if only.is_empty() {
        return Ok(SUITES.iter().collect());
    }
    let names: BTreeSet<_> = SUITES.iter().map(|suite| suite.name).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name.as_str())) {
        let names: Vec<_> = names.into_iter().collect();
        bail!("there is no suite `{unknown}`; there are: {}", names.join(", "));
    }
    Ok(SUITES.iter().filter(|suite| only.iter().any(|name| name == suite.name)).collect())
}

/// The lines at the end of a file.
fn tail(path: &Path, n_lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(n_lines)..].join("\n")
}
