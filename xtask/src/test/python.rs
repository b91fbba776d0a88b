//! The suites written in Python: most clients of Kafka, RabbitMQ and SQS, kcat and the network.
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

/// aiokafka.
pub(super) const AIO: Run = Run::new("newest", "aio", "aiokafka");
/// kafka-python, by tests of ours.
pub(super) const KAFKA_PYTHON: Run = Run::new("newest", "kafka-python", "kafka-python");
/// kafka-python, by the integration tests in its source package.
pub(super) const KAFKA_PYTHON_OWN: Run = Run {
    source: Some(Source { package: "kafka-python", plugin: "own_tests" }),
    ..Run::new("newest", "test/integration", "kafka-python-own")
};

/// pika, a client of RabbitMQ's.
pub(super) const PIKA: Run = Run::new("newest", "amqp091/pika-tests", "pika");
/// aio-pika.
pub(super) const AIO_PIKA: Run = Run::new("newest", "amqp091/aio-pika-tests", "aio-pika");
/// A Celery worker, and with it kombu and py-amqp.
pub(super) const CELERY: Run = Run::new("newest", "amqp091/celery-tests", "celery");

/// boto3, the newest version: AWS JSON.
pub(super) const BOTO3: Run = Run::new("sqs", "sqs", "boto3");
/// boto3 of the last botocore that speaks the Query protocol.
pub(super) const BOTO3_QUERY: Run = Run::new("sqs-query", "sqs", "boto3-query");

/// websockets, httpx and sseclient: realtime channels.
pub(super) const REALTIME: Run = Run::new("realtime", "realtime", "realtime-python");

/// A Celery worker over SQS, and with it kombu.
pub(super) const CELERY_SQS: Run = Run::new("sqs", "celery-sqs", "celery-sqs");
/// kombu, by the tests of SQS in its source package.
pub(super) const KOMBU_OWN: Run = Run {
    source: Some(Source { package: "kombu", plugin: "own_kombu" }),
    ..Run::new("sqs", "t/integration/test_sqs.py", "kombu-own")
};
/// moto, by the tests of SQS in its source package.
pub(super) const MOTO_OWN: Run = Run {
    source: Some(Source { package: "moto", plugin: "own_moto" }),
    ..Run::new("sqs", "tests/test_sqs", "moto-own")
};

/// The HTTP API with httpx, requests and curl: configuration push, queues, metrics.
pub(super) const HTTP: Run =
    Run { needs: Some(("curl", "--version", "curl")), ..Run::new("http", "http", "http") };

/// The alert rules, by Prometheus's own checker.
pub(super) const PROMTOOL: Run =
    Run { unpacks: Some(("promtool", "prometheus")), ..Run::new("http", "promtool", "promtool") };

/// A Python with the newest confluent-kafka, or why there is none.
pub(super) fn newest_environment(cx: &Context) -> Result<Result<PathBuf, String>> {
    environment(cx.project.root(), "newest")
}

/// A Python with boto3 and Celery for SQS, or why there is none.
pub(super) fn sqs_environment(cx: &Context) -> Result<Result<PathBuf, String>> {
    environment(cx.project.root(), "sqs")
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
    /// A program and Debian's package that it is taken out of: installed, that would be a server.
    unpacks: Option<(&'static str, &'static str)>,
    /// What has the tests, where they are not in `conformance/python`.
    source: Option<Source>,
}

/// Tests that come with a package's source.
struct Source {
    package: &'static str,
    /// The plugin of pytest that gives them a broker.
    plugin: &'static str,
}

impl Run {
    const fn new(requirements: &'static str, tests: &'static str, report: &'static str) -> Self {
        Self { requirements, tests, report, needs: None, unpacks: None, source: None }
    }
}

/// Makes the environment.
pub(super) fn set_up(cx: &Context, run: &Run) -> Result<SetUp> {
    if let Some((program, flag, package)) = run.needs
        && let Some(reason) = system::need(program, flag, package)
    {
        return Ok(SetUp::Missing(reason));
    }
    if let Some((program, package)) = run.unpacks
        && let Err(reason) = system::unpacked(cx.project.root(), program, package)?
    {
        return Ok(SetUp::Missing(reason));
    }
    let python = match environment(cx.project.root(), run.requirements)? {
        Ok(python) => python,
        Err(reason) => return Ok(SetUp::Missing(reason)),
    };
    match &run.source {
        Some(source) => unpack_source(cx.project.root(), &python, source.package),
        None => Ok(SetUp::Ready),
    }
}

/// Runs pytest on the suite's directory.
pub(super) fn run(cx: &Context, run: &Run) -> Result<Tally> {
    let root = cx.project.root();
    let report = cx.reports()?.join(format!("{}.xml", run.report));
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new(python_of(root, run.requirements));
    command.current_dir(root.join("conformance/python"));
    command.args(["-m", "pytest", "-q", "-rs", "--color=no", "-p", "no:cacheprovider"]);
    command.arg(format!("--junitxml={}", report.display()));
    let tests = match &run.source {
        Some(Source { package, plugin }) => {
            let source = source_of(root, package);
            command.args(["-p", plugin, "-c", "pytest.ini", "--rootdir"]).arg(&source);
            command.env("OWN_TESTS", &source);
            source
        }
        None => root.join("conformance/python"),
    };
    command.arg(tests.join(run.tests));
    for excluded in cx.expected.excluded.keys() {
        // A file that is left out may need what is not there even to be read.
        match excluded.ends_with(".py") {
            true => command.arg(format!("--ignore={}", tests.join(excluded).display())),
            false => command.arg(format!("--deselect={excluded}")),
        };
    }
    if let Some((program, package)) = run.unpacks {
        let path = system::unpacked(root, program, package)?.map_err(anyhow::Error::msg)?;
        command.env(format!("TRAMLINE_{}", program.to_uppercase()), path);
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

fn source_of(root: &Path, package: &str) -> PathBuf {
    root.join(format!(".test-env/{package}-source"))
}

/// Unpacks a package's source, in the version that the environment has.
fn unpack_source(root: &Path, python: &Path, package: &str) -> Result<SetUp> {
    let directory = source_of(root, package);
    let listed = process::output(Command::new(python).args(["-m", "pip", "freeze"]))?;
    let prefix = format!("{package}==");
    let wanted = listed.lines().find(|line| line.starts_with(&prefix));
    let wanted = wanted.with_context(|| format!("the environment has no `{package}`"))?;
    let stamp = directory.join("unpacked.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|unpacked| unpacked == wanted) {
        return Ok(SetUp::Ready);
    }
    println!("unpacking the source of {wanted}");
    let _ = std::fs::remove_dir_all(&directory);
    let download = directory.join("download");
    std::fs::create_dir_all(&download)?;
    let mut get = Command::new(python);
    get.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    get.args(["--no-binary=:all:", "--dest"]).arg(&download).arg(wanted);
    if let Err(error) = process::run(&mut get, SET_UP_LIMIT) {
        return Ok(SetUp::Missing(format!("its source cannot be had here: {error:#}")));
    }
    let archive = std::fs::read_dir(&download)?.next().context("pip downloaded nothing")??;
    let mut unpack = Command::new("tar");
    unpack.args(["--strip-components=1", "-xzf"]).arg(archive.path()).arg("-C").arg(&directory);
    process::run(&mut unpack, SET_UP_LIMIT)?;
    std::fs::write(&stamp, wanted)?;
    Ok(SetUp::Ready)
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
