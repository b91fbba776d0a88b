//! `streams`: Tramline beside Apache Kafka, same machine, same run, alternating, medians.

mod alone;

use crate::{
    figures::{Figures, median},
    load::{self, Produce},
    peer::Peer,
    report::{self, Row},
    sink, turns,
};
use anyhow::Context;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What the command line sets.
pub(crate) struct Settings {
    pub(crate) tramline: PathBuf,
    pub(crate) jars: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    pub(crate) only: Option<String>,
    pub(crate) dir: PathBuf,
}

/// A broker with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Tramline,
    KafkaDefault,
    KafkaFlush,
}

pub(crate) const SYSTEMS: [System; 3] =
    [System::Tramline, System::KafkaDefault, System::KafkaFlush];

/// One kind of load.
#[derive(Clone, Copy, Debug)]
enum Work {
    Produce(Produce),
    ConsumeTail,
    ConsumeCold,
    Latency,
}

impl Work {
    const fn only_reads(self) -> bool {
        matches!(self, Self::ConsumeTail | Self::ConsumeCold)
    }
}

const GIB: u64 = 1 << 30;

/// How long each load of the warm-up takes.
const WARM_UP: Duration = Duration::from_secs(5);

const fn produce_1_kib(time: Duration) -> Produce {
    Produce {
        partitions: 1,
        partitions_per_request: 1,
        record_bytes: 1024,
        batch_records: 128,
        connections: 2,
        in_flight: 5,
        time,
        bytes_max: 4 * GIB,
    }
}

fn works(time: Duration) -> Vec<(&'static str, Work)> {
    let produce = produce_1_kib(time);
    vec![
        ("produce 1 KiB, acks=all, 1 partition", Work::Produce(produce)),
        (
            "produce 1 KiB, acks=all, 16 partitions",
            Work::Produce(Produce {
                partitions: 16,
                partitions_per_request: 16,
                batch_records: 64,
                ..produce
            }),
        ),
        (
            "produce 100 B, acks=all, 1 partition",
            Work::Produce(Produce { record_bytes: 100, batch_records: 1024, ..produce }),
        ),
        (
            "produce 100 B, linger 0, 64 connections",
            Work::Produce(Produce {
                record_bytes: 100,
                batch_records: 1,
                connections: 64,
                in_flight: 1,
                ..produce
            }),
        ),
        (
            "produce 100 B, batches of 1 to all of 1,000 partitions",
            Work::Produce(Produce {
                partitions: 1000,
                partitions_per_request: 1000,
                record_bytes: 100,
                batch_records: 1,
                in_flight: 2,
                ..produce
            }),
        ),
        ("consume the tail", Work::ConsumeTail),
        ("consume a cold backlog of 1 GiB", Work::ConsumeCold),
        ("end-to-end latency at 1,000/s", Work::Latency),
    ]
}

/// Runs everything and writes the report.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let probe = report::probe(&settings.dir)?;
    let works: Vec<_> = works(settings.time)
        .into_iter()
        .filter(|(name, _)| turns::wanted(settings.only.as_deref(), name))
        .collect();
    let facts = alone::run(&settings, probe.disk_mb_per_s()).await?;
    if works.is_empty() {
        return report::write(
            &probe,
            &[],
            (&[], &facts),
            (settings.rounds, settings.only.as_deref()),
        );
    }
    let ceilings = ceilings(&works, settings.time).await?;
    let idle = idle_figures(&settings).await?;
    let tramline = Peer::tramline(&settings.tramline, &settings.dir).await?;
    let kafka = Peer::kafka(&settings.jars, &settings.dir).await?;
    warm_up(&[&tramline, &kafka]).await?;
    let mut rows: Vec<Row> = Vec::new();
    for ((name, work), ceiling) in works.iter().zip(ceilings) {
        let mut runs: [Vec<(Figures, f64)>; 3] = Default::default();
        for round in 0..settings.rounds {
            for turn in 0..SYSTEMS.len() {
                let index = (round + turn) % SYSTEMS.len();
                if SYSTEMS[index] == System::KafkaFlush && work.only_reads() {
                    continue; // How it was written makes no difference.
                }
                let peer = match SYSTEMS[index] {
                    System::Tramline => &tramline,
                    System::KafkaDefault | System::KafkaFlush => &kafka,
                };
                report::progress(name, round, peer.name);
                let run = one(peer, SYSTEMS[index], *work, settings.time).await;
                runs[index].push(run.with_context(|| format!("{name} on {}", peer.name))?);
            }
        }
        rows.extend(summarise(name, *work, &runs, ceiling));
    }
    report::write(&probe, &idle, (&rows, &facts), (settings.rounds, settings.only.as_deref()))
}

/// Whoever compiles while he runs has done so before he is measured.
async fn warm_up(peers: &[&Peer]) -> anyhow::Result<()> {
    for peer in peers {
        report::progress("warm-up", 0, peer.name);
        let produce = produce_1_kib(WARM_UP);
        for batch_records in [produce.batch_records, 1] {
            let topic = format!("bench-{}", load::unique());
            load::create_topic(&peer.address, &topic, 1, &[]).await?;
            load::produce(&peer.address, &topic, Produce { batch_records, ..produce }).await?;
            load::consume(&peer.address, &topic, 1, WARM_UP).await?;
            load::delete_topic(&peer.address, &topic).await?;
        }
    }
    Ok(())
}

/// One run of one load on one broker, and the processor seconds that the broker took.
async fn one(
    peer: &Peer,
    system: System,
    work: Work,
    time: Duration,
) -> anyhow::Result<(Figures, f64)> {
    let topic = format!("bench-{}", load::unique());
    let configs: &[_] = if system == System::KafkaFlush { &[("flush.messages", "1")] } else { &[] };
    let partitions = match work {
        Work::Produce(load) => load.partitions,
        Work::ConsumeTail | Work::ConsumeCold | Work::Latency => 1,
    };
    load::create_topic(&peer.address, &topic, partitions, configs).await?;
    let backlog = |bytes_max| Produce {
        partitions: 1,
        partitions_per_request: 1,
        record_bytes: 1024,
        batch_records: 128,
        connections: 1,
        in_flight: 5,
        time: Duration::from_secs(60),
        bytes_max,
    };
    let prepared = match work {
        Work::ConsumeTail => Some(backlog(32 << 20)),
        Work::ConsumeCold => Some(backlog(GIB)),
        Work::Produce(_) | Work::Latency => None,
    };
    if let Some(backlog) = prepared {
        load::produce(&peer.address, &topic, backlog).await?;
    }
    if matches!(work, Work::ConsumeCold) {
        report::drop_page_cache()?;
    }
    let before = peer.cpu_seconds()?;
    let figures = match work {
        Work::Produce(produce) => load::produce(&peer.address, &topic, produce).await?,
        Work::ConsumeTail => load::consume_over_and_over(&peer.address, &topic, time).await?,
        Work::ConsumeCold => {
            load::consume(&peer.address, &topic, 1, Duration::from_secs(60)).await?
        }
        Work::Latency => load::latency(&peer.address, &topic, 1000, time).await?,
    };
    let cpu = peer.cpu_seconds()? - before;
    load::delete_topic(&peer.address, &topic).await?;
    // Whatever the load left behind (write-back, deletion) is not the next run's burden.
    load::pause(Duration::from_millis(700)).await;
    Ok((figures, cpu))
}

fn summarise(
    name: &str,
    work: Work,
    runs: &[Vec<(Figures, f64)>; 3],
    ceiling: Option<f64>,
) -> Vec<Row> {
    let medians = |value: &dyn Fn(&(Figures, f64)) -> f64| {
        let mut medians = runs.iter().map(|runs| median(runs.iter().map(value).collect()));
        [(); 3].map(|()| medians.next().unwrap_or(f64::NAN))
    };
    let row = |name: String, unit, values, higher_is_better, ceiling| Row {
        name,
        unit,
        values,
        higher_is_better,
        ceiling,
    };
    let rate = |run: &(Figures, f64)| run.0.records_per_second();
    let volume = |run: &(Figures, f64)| run.0.megabytes_per_second();
    let p = |per_mille| move |run: &(Figures, f64)| run.0.millis(per_mille);
    match work {
        Work::Latency => vec![
            row(format!("{name}, p50"), "ms", medians(&p(500)), false, None),
            row(format!("{name}, p99"), "ms", medians(&p(990)), false, None),
        ],
        Work::Produce(_) => vec![
            row(name.to_owned(), "records/s", medians(&rate), true, ceiling),
            row(format!("{name}: volume"), "MB/s", medians(&volume), true, None),
            row(format!("{name}: p99"), "ms", medians(&p(990)), false, None),
            row(
                format!("{name}: broker CPU"),
                "s/GB",
                medians(&|run: &(Figures, f64)| run.1 * 1000.0 / (volume(run) * run.0.seconds)),
                false,
                None,
            ),
        ],
        Work::ConsumeTail | Work::ConsumeCold => vec![
            row(name.to_owned(), "records/s", medians(&rate), true, ceiling),
            row(format!("{name}: volume"), "MB/s", medians(&volume), true, None),
        ],
    }
}

/// What the generator reaches against a sink, per load; `None` where the rate is fixed.
async fn ceilings(
    works: &[(&'static str, Work)],
    time: Duration,
) -> anyhow::Result<Vec<Option<f64>>> {
    let sink = Sink::start().await?;
    let mut ceilings = Vec::new();
    for (name, work) in works {
        report::progress(name, 0, "null sink");
        ceilings.push(match work {
            Work::Produce(produce) => {
                let load = Produce { bytes_max: u64::MAX, time, ..*produce };
                let figures = load::produce(&sink.address, "sink", load).await?;
                Some(figures.records_per_second())
            }
            Work::ConsumeTail | Work::ConsumeCold => {
                Some(sink::fetch_ceiling(&sink.address, time).await?.records_per_second())
            }
            Work::Latency => None,
        });
    }
    Ok(ceilings)
}

/// A null sink in a process of its own.
struct Sink {
    address: String,
    child: Child,
}

impl Sink {
    async fn start() -> anyhow::Result<Self> {
        let address = format!("127.0.0.1:{}", crate::peer::free_port()?);
        let child = Command::new(std::env::current_exe()?)
            .args(["null-sink", "--listen", &address])
            .stdin(Stdio::null())
            .spawn()?;
        let sink = Self { address, child };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(&sink.address).await.is_ok() {
                return Ok(sink);
            }
            load::pause(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the null sink does not start")
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// Ready time of an empty directory and of a second start, and idle memory: Tramline, Kafka.
async fn idle_figures(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let mut values: [[Vec<f64>; 3]; 2] = Default::default();
    for _ in 0..settings.rounds {
        for (index, of_peer) in values.iter_mut().enumerate() {
            let dir = tempfile::tempdir_in(&settings.dir)?;
            let dir: &Path = dir.path();
            let first = if index == 0 {
                Peer::tramline(&settings.tramline, dir).await?
            } else {
                Peer::kafka(&settings.jars, dir).await?
            };
            of_peer[0].push(first.ready.as_secs_f64() * 1000.0);
            let second = first.restart().await?;
            of_peer[1].push(second.ready.as_secs_f64() * 1000.0);
            load::pause(Duration::from_secs(1)).await;
            of_peer[2].push(second.resident_mib()?);
        }
    }
    let [tramline, kafka] = values.map(|of_peer| of_peer.map(median));
    let names =
        [("ready, empty directory", "ms"), ("ready, second start", "ms"), ("idle memory", "MiB")];
    let row = |(place, (name, unit)): (usize, (&str, &'static str))| Row {
        name: name.to_owned(),
        unit,
        values: [tramline[place], kafka[place], f64::NAN],
        higher_is_better: false,
        ceiling: None,
    };
    Ok(names.into_iter().enumerate().map(row).collect())
}
