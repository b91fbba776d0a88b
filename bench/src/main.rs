//! The load generator and the comparison with other brokers: `cargo xtask bench`.

mod connection;
mod figures;
mod load;
mod peer;
mod queues;
mod realtime;
mod report;
mod server;
mod sink;
mod sqs;
mod streams;
mod turns;

use clap::{Parser, Subcommand};
use std::{path::PathBuf, time::Duration};

#[derive(Parser)]
#[command(about = "Load for brokers that speak Kafka, and the comparison with Apache Kafka")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tramline beside Apache Kafka; writes docs/benchmarks/streams.md
    Streams {
        /// The `tramline` binary
        #[arg(long)]
        tramline: PathBuf,
        /// The directory of Apache Kafka's jars
        #[arg(long)]
        jars: PathBuf,
        /// How often each load runs on each broker
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long a run takes, in seconds
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Only the loads whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// Tramline beside RabbitMQ and NATS; writes docs/benchmarks/queues.md
    Queues {
        /// The `tramline` binary
        #[arg(long)]
        tramline: PathBuf,
        /// The directory of the jars of RabbitMQ's PerfTest
        #[arg(long)]
        perf_test: PathBuf,
        /// How often each load runs on each broker
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long a run takes, in seconds
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Messages of the backlog
        #[arg(long, default_value_t = 5_000_000)]
        backlog: u64,
        /// Only the loads whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// Tramline beside ElasticMQ and moto's server; writes docs/benchmarks/sqs.md
    Sqs {
        /// The `tramline` binary
        #[arg(long)]
        tramline: PathBuf,
        /// The directory of ElasticMQ's jars
        #[arg(long)]
        elasticmq: PathBuf,
        /// The `moto_server` program
        #[arg(long)]
        moto: PathBuf,
        /// How often each load runs on each broker
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long a run takes, in seconds
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Messages of the backlog
        #[arg(long, default_value_t = 1_000_000)]
        backlog: u64,
        /// Long polls that wait for nothing
        #[arg(long, default_value_t = 10_000)]
        polls: usize,
        /// Only the rows whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// What Tramline's queues take in memory; writes docs/benchmarks/queues-memory.md
    QueueMemory {
        /// The `tramline` binary
        #[arg(long)]
        tramline: PathBuf,
        /// Messages of the backlog
        #[arg(long, default_value_t = 10_000_000)]
        backlog: u64,
        /// Bytes of a message's body
        #[arg(long, default_value_t = 1024)]
        body_bytes: usize,
        /// How long a run of rates takes, in seconds
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Only the loads whose name contains this: backlog, groups, queues, scheduled, ids
        #[arg(long)]
        only: Option<String>,
    },
    /// Tramline's channels beside Redis and NATS; writes docs/benchmarks/realtime.md
    Realtime {
        /// The `tramline` binary
        #[arg(long)]
        tramline: PathBuf,
        /// How often each load runs on each server
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long a run of 1→1 takes, in seconds
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Connections of the idle rows
        #[arg(long, default_value_t = 10_000)]
        idle: usize,
        /// Only the rows whose name contains this
        #[arg(long)]
        only: Option<String>,
    },
    /// One load on a running broker
    Produce {
        /// The broker
        #[arg(long, default_value = "127.0.0.1:9092")]
        address: String,
        /// Partitions of the topic, which is made for this
        #[arg(long, default_value_t = 1)]
        partitions: i32,
        /// Bytes of a record's body
        #[arg(long, default_value_t = 1024)]
        record_bytes: usize,
        /// Records of one batch
        #[arg(long, default_value_t = 128)]
        batch_records: usize,
        /// Connections
        #[arg(long, default_value_t = 2)]
        connections: usize,
        /// Requests in flight per connection
        #[arg(long, default_value_t = 5)]
        in_flight: usize,
        /// For how long, in seconds
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Reads a topic from its beginning to its end
    Consume {
        /// The broker
        #[arg(long, default_value = "127.0.0.1:9092")]
        address: String,
        /// The topic
        #[arg(long)]
        topic: String,
        /// Its partitions
        #[arg(long, default_value_t = 1)]
        partitions: i32,
    },
    /// One record at a time at a rate, to a consumer that waits
    Latency {
        /// The broker
        #[arg(long, default_value = "127.0.0.1:9092")]
        address: String,
        /// Records per second
        #[arg(long, default_value_t = 1000)]
        rate: u32,
        /// For how long, in seconds
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// A broker that does nothing
    NullSink {
        /// Where
        #[arg(long)]
        listen: String,
    },
}

/// Beside the binary: on the disk that the project is on, not in memory.
fn directory() -> anyhow::Result<tempfile::TempDir> {
    let binary = std::env::current_exe()?;
    let beside = binary.parent().unwrap_or(std::path::Path::new("."));
    Ok(tempfile::tempdir_in(beside)?)
}

async fn realtime_page(
    (tramline, only): (PathBuf, Option<String>),
    rounds: usize,
    seconds: u64,
    idle: usize,
) -> anyhow::Result<()> {
    let dir = directory()?;
    let (time, dir) = (Duration::from_secs(seconds), dir.path().to_owned());
    realtime::run(&realtime::Settings { tramline, rounds, time, idle, only, dir }).await
}

async fn produce(address: &str, load: load::Produce) -> anyhow::Result<()> {
    let topic = format!("bench-{}", load::unique());
    load::create_topic(address, &topic, load.partitions, &[]).await?;
    report::one(&topic, &load::produce(address, &topic, load).await?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Streams { tramline, jars, rounds, seconds, only } => {
            let dir = directory()?;
            let (time, dir) = (Duration::from_secs(seconds), dir.path().to_owned());
            streams::run(streams::Settings { tramline, jars, rounds, time, only, dir }).await
        }
        Command::Queues { tramline, perf_test, rounds, seconds, backlog, only } => {
            let dir = directory()?;
            let (time, dir) = (Duration::from_secs(seconds), dir.path().to_owned());
            let settings =
                queues::Settings { tramline, perf_test, rounds, time, backlog, only, dir };
            queues::run(&settings)
        }
        Command::Sqs { tramline, elasticmq, moto, rounds, seconds, backlog, polls, only } => {
            let dir = directory()?;
            let (time, dir) = (Duration::from_secs(seconds), dir.path().to_owned());
            let programs = sqs::Programs { tramline, elasticmq, moto };
            let settings = sqs::Settings { programs, rounds, time, backlog, polls, only, dir };
            sqs::run(&settings).await
        }
        Command::QueueMemory { tramline, backlog, body_bytes, seconds, only } => {
            let dir = directory()?;
            let (time, dir) = (Duration::from_secs(seconds), dir.path().to_owned());
            let settings =
                queues::memory::Settings { tramline, backlog, body_bytes, time, only, dir };
            queues::memory::run(&settings)
        }
        Command::Realtime { tramline, rounds, seconds, idle, only } => {
            realtime_page((tramline, only), rounds, seconds, idle).await
        }
        Command::Produce {
            address,
            partitions,
            record_bytes,
            batch_records,
            connections,
            in_flight,
            seconds,
        } => {
            let load = load::Produce {
                partitions,
                partitions_per_request: partitions,
                record_bytes,
                batch_records,
                connections,
                in_flight,
                time: Duration::from_secs(seconds),
                bytes_max: u64::MAX,
            };
            produce(&address, load).await
        }
        Command::Consume { address, topic, partitions } => {
            let time = Duration::from_secs(600);
            report::one(&topic, &load::consume(&address, &topic, partitions, time).await?);
            Ok(())
        }
        Command::Latency { address, rate, seconds } => {
            let topic = format!("bench-{}", load::unique());
            load::create_topic(&address, &topic, 1, &[]).await?;
            let time = Duration::from_secs(seconds);
            report::one(&topic, &load::latency(&address, &topic, rate, time).await?);
            Ok(())
        }
        Command::NullSink { listen } => {
            sink::serve(tokio::net::TcpListener::bind(listen).await?).await
        }
    }
}
