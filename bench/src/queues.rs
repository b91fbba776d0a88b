//! `queues`: Tramline beside RabbitMQ and NATS JetStream, same machine, same run, alternating,
//! medians.

pub(crate) mod amqp;
mod confirms;
pub(crate) mod load;
pub(crate) mod memory;
mod nats;
mod perf_test;
mod server;
mod sink;
mod wire;

use crate::{
    report::{Row, number, probe, progress, table, write_page},
    server::sleep,
    turns,
};
use load::{Load, Rates, millis};
use server::{SYSTEMS, Server, System};
use std::{fs, path::PathBuf, time::Duration};

/// Slow syncs are rare: a 99th percentile needs some of them.
const LATENCY_TIME: Duration = Duration::from_secs(8);
const PERF_TEST: &str = "PerfTest: persistent 1 KiB, confirms, acks, 1 × 1";

/// What the command line sets.
pub(crate) struct Settings {
    pub(crate) tramline: PathBuf,
    /// The directory of PerfTest's jars.
    pub(crate) perf_test: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    /// Messages of the backlog row.
    pub(crate) backlog: u64,
    pub(crate) only: Option<String>,
    pub(crate) dir: PathBuf,
}

/// One kind of load, and which of its rates the row shows.
struct Work {
    name: &'static str,
    load: Load,
    shows: Shows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Consumed,
    Published,
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("bench-{index}")).collect()
}

fn works(time: Duration) -> Vec<Work> {
    let one = Load::main(time);
    let work = |name, shows, load| Work { name, load, shows };
    let transient =
        Load { body_bytes: 16, persistent: false, window: None, prefetch: None, ..one.clone() };
    vec![
        work("persistent 1 KiB, confirms, acks, 1 × 1", Shows::Consumed, one.clone()),
        work(
            "publish alone, persistent 1 KiB, confirms",
            Shows::Published,
            Load { consumers: 0, ..one.clone() },
        ),
        work(
            "the same, 10 × 10 on 10 queues",
            Shows::Consumed,
            Load { queues: names(10), publishers: 10, consumers: 10, ..one.clone() },
        ),
        work(
            "100 queues × 1 producer, publish",
            Shows::Published,
            Load { queues: names(100), publishers: 100, consumers: 0, ..one.clone() },
        ),
        work("1 confirm in flight", Shows::Published, Load { window: Some(1), ..one }),
        work("16 B transient, no confirms, no acks", Shows::Consumed, transient),
    ]
}

/// Measures and writes the page.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let probe = probe(&settings.dir)?;
    let mut rows = Vec::new();
    for work in works(settings.time) {
        if wanted(settings, work.name) {
            rows.extend(throughput(settings, &work)?);
        }
    }
    for (name, bindings) in
        [("fan-out to 10 queues", 10), ("topic exchange, 10,000 bindings", 10_000)]
    {
        if wanted(settings, name) {
            rows.push(routed(settings, name, bindings)?);
        }
    }
    if wanted(settings, PERF_TEST) {
        rows.push(by_perf_test(settings)?);
    }
    if wanted(settings, "latency at 1,000/s") {
        rows.extend(latency(settings)?);
    }
    if wanted(settings, "backlog") {
        rows.extend(backlog(settings)?);
    }
    if wanted(settings, "idle") {
        rows.extend(idle(settings)?);
    }
    let page = page(&probe.to_string(), &rows, settings.rounds);
    write_page("queues", &page, settings.only.as_deref())
}

fn wanted(settings: &Settings, name: &str) -> bool {
    turns::wanted(settings.only.as_deref(), name)
}

/// A value of each system, the median of all rounds; systems take turns.
fn rounds(
    settings: &Settings,
    name: &str,
    mut measure: impl FnMut(System, &Server) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<[f64; 3]>> {
    let systems = SYSTEMS.map(|system| (system, system.name()));
    turns::medians(systems, settings.rounds, name, |system, round| {
        let dir = settings.dir.join(format!("{}-{round}", system.name().replace(' ', "-")));
        let server = server::start(system, &settings.tramline, &dir)?;
        let values = measure(system, &server)?;
        drop(server);
        fs::remove_dir_all(&dir)?;
        Ok(values)
    })
}

fn throughput(settings: &Settings, work: &Work) -> anyhow::Result<Vec<Row>> {
    let main = work.name.starts_with("persistent");
    let values = rounds(settings, work.name, |system, server| {
        if system == System::Nats {
            let window = work.load.window.unwrap_or(0);
            if !main {
                return Ok(vec![f64::NAN]);
            }
            let cpu = server.cpu_seconds()?;
            let rates = nats::run(&server.address, work.load.body_bytes, window, settings.time)?;
            return Ok(figures(rates, work.shows, server.cpu_seconds()? - cpu, settings.time));
        }
        let cpu = server.cpu_seconds()?;
        let rates = load::run(&server.address, &work.load)?;
        Ok(figures(rates, work.shows, server.cpu_seconds()? - cpu, settings.time))
    })?;
    let sink = sink::serve(work.load.body_bytes)?;
    let ceiling = load::run(&sink, &work.load).map(|rates| shown(rates, work.shows)).ok();
    let mut rows = vec![Row {
        higher_is_better: true,
        ceiling,
        ..Row::new(work.name, "messages/s", values[0])
    }];
    if main {
        rows.push(Row::new("broker CPU per message of that", "µs", values[1]));
    }
    Ok(rows)
}

fn shown(rates: Rates, shows: Shows) -> f64 {
    if shows == Shows::Consumed { rates.consumed } else { rates.published }
}

/// The rate, and the processor time per message, warm-up and clean-up included on both sides.
fn figures(rates: Rates, shows: Shows, cpu: f64, time: Duration) -> Vec<f64> {
    let messages = rates.published.max(rates.consumed) * (time.as_secs_f64() + 0.7);
    vec![shown(rates, shows), cpu / messages * 1e6]
}

/// Messages through an exchange to ten queues: what arrives in all.
fn routed(settings: &Settings, name: &str, bindings: usize) -> anyhow::Result<Row> {
    let queues = names(10);
    let (kind, key) = if bindings == 10 { ("fanout", "") } else { ("topic", "a.7.c") };
    let load = Load {
        queues: queues.clone(),
        exchange: Some(("bench".to_owned(), key.to_owned())),
        consumers: 10,
        ..Load::main(settings.time)
    };
    let values = rounds(settings, name, |system, server| {
        if system == System::Nats {
            return Ok(vec![f64::NAN]);
        }
        let mut admin = amqp::Client::connect(&server.address)?;
        admin.declare_exchange("bench", kind)?;
        for queue in &queues {
            admin.declare(queue, true)?;
        }
        for index in 0..bindings {
            // Of the patterns of a topic exchange, one in a thousand matches: ten of 10,000.
            let pattern = format!("a.{}.*", index / 10);
            let key = if kind == "topic" { pattern.as_str() } else { "" };
            admin.bind(&queues[index % 10], "bench", key)?;
        }
        let rates = load::drive(&server.address, &load)?;
        for queue in &queues {
            admin.delete(queue)?;
        }
        admin.delete_exchange("bench")?;
        Ok(vec![rates.consumed])
    })?;
    Ok(Row { higher_is_better: true, ..Row::new(name, "deliveries/s", values[0]) })
}

/// The first row again, by a client of RabbitMQ's makers.
fn by_perf_test(settings: &Settings) -> anyhow::Result<Row> {
    let values = rounds(settings, PERF_TEST, |system, server| {
        if system == System::Nats {
            return Ok(vec![f64::NAN]);
        }
        let (jars, dir) = (&settings.perf_test, &settings.dir);
        Ok(vec![perf_test::run(jars, &server.address, dir, settings.time)?])
    })?;
    Ok(Row { higher_is_better: true, ..Row::new(PERF_TEST, "messages/s", values[0]) })
}

fn latency(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let values = rounds(settings, "latency at 1,000/s", |system, server| {
        if system == System::Nats {
            return Ok(vec![f64::NAN; 4]);
        }
        let mut admin = amqp::Client::connect(&server.address)?;
        admin.declare("bench", true)?;
        let time = settings.time.max(LATENCY_TIME);
        let times = load::latency(&server.address, "bench", 1000, time)?;
        admin.delete("bench")?;
        let of = |times: &[u64]| [millis(times, 500), millis(times, 990)];
        Ok([of(&times.confirm), of(&times.end_to_end)].concat())
    })?;
    let name = ["confirm p50", "confirm p99", "end to end p50", "end to end p99"];
    let row = |(name, values): (&str, &[f64; 3])| {
        Row::new(&format!("{name} at 1,000/s, persistent 1 KiB"), "ms", *values)
    };
    Ok(name.into_iter().zip(&values).map(row).collect())
}

/// Fills a queue, looks at the memory, starts again on it, and drains it.
fn backlog(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let mut columns: [[f64; 3]; 4] = [[f64::NAN; 3]; 4];
    for (place, system) in SYSTEMS.into_iter().enumerate().take(2) {
        progress("backlog", 0, system.name());
        let dir = settings.dir.join("backlog");
        let server = server::start(system, &settings.tramline, &dir)?;
        amqp::Client::connect(&server.address)?.declare("bench", true)?;
        load::fill(&server.address, "bench", 1024, settings.backlog)?;
        columns[1][place] = server.resident_mib()?;
        drop(server);
        let server = server::start(system, &settings.tramline, &dir)?;
        columns[2][place] = server.ready.as_secs_f64() * 1000.0;
        columns[3][place] = server.resident_mib()?;
        columns[0][place] = load::drain(&server.address, "bench", settings.backlog)?;
        drop(server);
        fs::remove_dir_all(&dir)?;
    }
    let count = number(f64::from(u32::try_from(settings.backlog).unwrap_or(u32::MAX)));
    let [drained, filled, ready, after] = columns;
    Ok(vec![
        Row {
            higher_is_better: true,
            ..Row::new(&format!("drain of {count} with acks"), "messages/s", drained)
        },
        Row::new("resident with that backlog", "MiB", filled),
        Row::new("ready again on that backlog", "ms", ready),
        Row::new("resident after that start", "MiB", after),
    ])
}

fn idle(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let values = rounds(settings, "idle", |_, server| {
        sleep(Duration::from_secs(1));
        Ok(vec![server.ready.as_secs_f64() * 1000.0, server.resident_mib()?])
    })?;
    let names = [("ready, empty directory", "ms"), ("idle resident memory", "MiB")];
    Ok(names.into_iter().zip(&values).map(|((name, unit), v)| Row::new(name, unit, *v)).collect())
}

fn page(probe: &str, rows: &[Row], rounds: usize) -> String {
    format!(
        "# Queues: Tramline beside RabbitMQ and NATS JetStream\n\n\
         `cargo xtask bench queues`: the brokers on one machine in one run, taking turns, medians \
         of {rounds}. Tramline on its defaults: synced before each confirm. RabbitMQ 3.10 from \
         Debian on its defaults: classic queues, which sync in batches before the confirm. NATS \
         2.9 from Debian, JetStream work queue with the file store, which syncs every two \
         minutes. The load generator is native (raw frames made beforehand, the same for \
         Tramline and RabbitMQ) and shares the machine's cores with the broker; one row is by RabbitMQ's own, \
         PerfTest 2.22, for at least 10 s a run; those of latency take at least 8 s. A row within \
         20 % of what the generator reaches against a broker that does nothing is marked \
         *client-bound*.\n\nMachine: {probe}.\n\n{}",
        table(["RabbitMQ", "NATS"], rows)
    )
}
