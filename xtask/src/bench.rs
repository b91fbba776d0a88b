//! `cargo xtask bench`: builds the release binaries, gets the peers by package name, and runs
//! the comparison. Needs a JDK and Maven (`sqs`: Python, too); the machine should do nothing else meanwhile.

use crate::{process, project::Project};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which page: `streams` (beside Apache Kafka), `queues` (beside RabbitMQ and NATS), `sqs`
    /// (beside ElasticMQ and moto), `realtime` (beside Redis and NATS) or `queue-memory` (what
    /// queues take in memory, alone)
    #[arg(
        value_parser = ["streams", "queues", "sqs", "realtime", "queue-memory"],
        default_value = "streams"
    )]
    page: String,
    /// How often each load runs on each broker
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long a run takes, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Messages of the backlog: 5,000,000 (`queues`), 1,000,000 (`sqs`), 10,000,000
    /// (`queue-memory`, where 1,000,000 take about a minute)
    #[arg(long)]
    backlog: Option<u64>,
    /// Long polls that wait for nothing: 10,000 (`sqs`)
    #[arg(long)]
    polls: Option<u64>,
    /// Bytes of a message's body: 1,024 (`queue-memory`)
    #[arg(long)]
    body_bytes: Option<u64>,
    /// Only the loads whose name contains this
    #[arg(long)]
    only: Option<String>,
}

/// Builds, fetches, measures.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let build = ["build", "--release", "-p", "tramline-server", "-p", "tramline-bench"];
    process::run(&mut project.cargo(&build), Duration::from_secs(1800))?;
    let mut bench = Command::new(project.target().join("release").join("tramline-bench"));
    bench.current_dir(project.root()).arg(&options.page);
    bench.arg("--tramline").arg(project.target().join("release").join("tramline"));
    match options.page.as_str() {
        "queues" => {
            ensure!(
                Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").is_file(),
                "RabbitMQ and NATS are missing: \
                 `apt-get install --no-install-recommends rabbitmq-server nats-server`"
            );
            bench.arg("--perf-test").arg(jars(project, "perf-test", "perf-test-2.22.1")?);
        }
        "realtime" => {
            let programs = ["/usr/bin/redis-server", "/usr/sbin/nats-server"];
            ensure!(
                programs.iter().all(|program| Path::new(program).is_file()),
                "Redis or NATS is missing: \
                 `apt-get install --no-install-recommends redis-server nats-server`"
            );
        }
        "sqs" => {
            bench.arg("--elasticmq").arg(jars(
                project,
                "elasticmq",
                "elasticmq-server_2.13-1.7.1",
            )?);
            bench.arg("--moto").arg(moto(project)?);
        }
        "queue-memory" => {}
        _ => {
            bench.arg("--jars").arg(jars(project, "kafka", "kafka-clients-4.3.0")?);
        }
    }
    let counts = [
        ("--backlog", options.backlog),
        ("--polls", options.polls),
        ("--body-bytes", options.body_bytes),
    ];
    for (name, value) in counts {
        if let Some(value) = value {
            bench.arg(name).arg(value.to_string());
        }
    }
    if options.page != "queue-memory" {
        bench.arg("--rounds").arg(options.rounds.to_string());
    }
    bench.arg("--seconds").arg(options.seconds.to_string());
    if let Some(only) = &options.only {
        bench.arg("--only").arg(only);
    }
    process::run(&mut bench, Duration::from_secs(3 * 3600))
}

/// The jars of `bench/peer/<name>/pom.xml`, from Maven; there when this one is.
fn jars(project: &Project, name: &str, one: &str) -> Result<PathBuf> {
    let jars = project.target().join("bench").join(name);
    if !jars.join(one).with_added_extension("jar").is_file() {
        fs::create_dir_all(&jars).with_context(|| format!("making `{}`", jars.display()))?;
        let mut maven = Command::new("mvn");
        maven
            .args(["-q", "-B", "-f"])
            .arg(project.root().join("bench/peer").join(name).join("pom.xml"))
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", jars.display()));
        process::run(&mut maven, Duration::from_secs(600))?;
    }
    Ok(jars)
}

/// moto's server in an environment of its own, from PyPI.
fn moto(project: &Project) -> Result<PathBuf> {
    let environment = project.target().join("bench").join("moto");
    let server = environment.join("bin").join("moto_server");
    if !server.is_file() {
        let limit = Duration::from_secs(600);
        process::run(Command::new("python3").args(["-m", "venv"]).arg(&environment), limit)?;
        let mut install = Command::new(environment.join("bin").join("python"));
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        install.args(["--only-binary=:all:", "--requirement"]);
        install.arg(project.root().join("bench/peer/moto/requirements.txt"));
        process::run(&mut install, limit)?;
    }
    Ok(server)
}
