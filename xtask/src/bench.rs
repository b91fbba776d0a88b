//! `cargo xtask bench`: builds the release binaries, gets the peers by package name, and runs
//! the comparison. Needs a JDK and Maven; the machine should do nothing else meanwhile.

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
    /// Which page: `streams` (beside Apache Kafka) or `queues` (beside RabbitMQ and NATS)
    #[arg(value_parser = ["streams", "queues"], default_value = "streams")]
    page: String,
    /// How often each load runs on each broker
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long a run takes, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Messages of the backlog (`queues`)
    #[arg(long, default_value_t = 5_000_000)]
    backlog: u64,
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
            bench.arg("--backlog").arg(options.backlog.to_string());
        }
        _ => {
            bench.arg("--jars").arg(kafka_jars(project)?);
        }
    }
    bench.arg("--rounds").arg(options.rounds.to_string());
    bench.arg("--seconds").arg(options.seconds.to_string());
    if let Some(only) = &options.only {
        bench.arg("--only").arg(only);
    }
    process::run(&mut bench, Duration::from_secs(3 * 3600))
}

/// Apache Kafka's jars, from Maven.
fn kafka_jars(project: &Project) -> Result<PathBuf> {
    let jars = project.target().join("bench").join("kafka");
    if !jars.join("kafka-clients-4.3.0.jar").is_file() {
        fs::create_dir_all(&jars).with_context(|| format!("making `{}`", jars.display()))?;
        let mut maven = Command::new("mvn");
        maven
            .args(["-q", "-B", "-f"])
            .arg(project.root().join("bench/peer/pom.xml"))
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", jars.display()));
        process::run(&mut maven, Duration::from_secs(600))?;
    }
    Ok(jars)
}
