//! `sqs`: Tramline beside ElasticMQ and moto's server, same machine, same run, taking turns,
//! medians.

mod http;
mod load;
mod server;
mod sink;

pub(crate) use server::Programs;

use crate::{
    figures::median,
    load::pause,
    report::{Fact, Row, alone, number, probe, progress, table, write_page},
    server::Server,
    turns,
};
use load::{Load, WORKS, Work};
use server::{SYSTEMS, System, start};
use std::{fs, path::PathBuf, time::Duration};

/// What the command line sets.
pub(crate) struct Settings {
    pub(crate) programs: Programs,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    /// Messages of the backlog rows.
    pub(crate) backlog: u64,
    /// Long polls of the idle rows.
    pub(crate) polls: usize,
    pub(crate) only: Option<String>,
    pub(crate) dir: PathBuf,
}

/// Loads before the figures are taken: a Java program has to get going.
const WARM_UP: Duration = Duration::from_secs(3);
const CONNECTIONS: [usize; 3] = [1, 8, 64];
const SIZES: [(usize, &str); 2] = [(200, "200 B"), (64 * 1024, "64 KiB")];

/// Measures and writes the page.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    allow_many_files()?;
    let probe = probe(&settings.dir)?.to_string();
    let mut rows = Vec::new();
    for (body_bytes, size) in SIZES {
        for connections in CONNECTIONS {
            rows.extend(throughput(settings, (body_bytes, size), connections).await?);
        }
    }
    if wanted(settings, "latency") {
        rows.extend(latency(settings).await?);
    }
    if wanted(settings, "idle long polls") {
        rows.extend(long_polls(settings).await?);
    }
    if wanted(settings, "backlog") {
        rows.extend(backlog(settings).await?);
    }
    if wanted(settings, "start") {
        rows.extend(at_rest(settings).await?);
    }
    let page = page(&probe, &rows, settings.rounds) + &alone(&targets(&rows))?;
    write_page("sqs", &page, settings.only.as_deref())
}

fn is_at_many_connections(row: &Row, size: &str) -> bool {
    row.higher_is_better
        && row.name.contains(size)
        && row.name.ends_with("connections")
        && !row.name.starts_with("backlog")
}

/// What is aimed at, as far as it was measured.
fn targets(rows: &[Row]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for (peer, name, factor) in [(1, "ElasticMQ", 10.0), (2, "moto", 100.0)] {
        for (_, size) in SIZES {
            let many = rows.iter().filter(|row| is_at_many_connections(row, size));
            let ratios = many.map(|row| row.values[0] / row.values[peer]);
            let least = ratios.filter(|ratio| !ratio.is_nan()).reduce(f64::min);
            facts.extend(least.map(|value| Fact {
                name: format!(
                    "the least of the rows of {size} at 8 and 64 connections, beside {name}"
                ),
                value,
                unit: "×",
                target: format!("≥ {factor}").into(),
                is_met: value >= factor,
            }));
        }
    }
    let row = |part: &str| rows.iter().find(|row| row.name.contains(part));
    if let Some(row) = row("p50") {
        let value = row.values[0] - row.ceiling.unwrap_or(0.0);
        let name = "wake-up of a long poll, p50, beside the generator's own time".to_owned();
        facts.push(Fact { name, value, unit: "ms", target: "< 1".into(), is_met: value < 1.0 });
    }
    for (part, unit, bound) in
        [("long polls, processor", "% of a core", 1.0), ("long polls, resident", "MiB", 200.0)]
    {
        facts.extend(row(part).map(|row| Fact {
            name: row.name.clone(),
            value: row.values[0],
            unit,
            target: format!("< {bound}").into(),
            is_met: row.values[0] < bound,
        }));
    }
    facts
}

/// As many files as the system lets a process have: every connection is one, on both sides.
pub(crate) fn allow_many_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

fn wanted(settings: &Settings, name: &str) -> bool {
    turns::wanted(settings.only.as_deref(), name)
}

fn title(work: Work, size: &str, connections: usize) -> String {
    let plural = if connections == 1 { "" } else { "s" };
    format!("{}, {size}, {connections} connection{plural}", work.name())
}

/// A broker on an empty directory, and the directory.
fn fresh(settings: &Settings, system: System) -> anyhow::Result<(Server, PathBuf)> {
    let dir = settings.dir.join(system.name());
    Ok((start(system, &settings.programs, &dir)?, dir))
}

/// All kinds of work with one size and number of connections, each on what the one before left.
async fn throughput(
    settings: &Settings,
    (body_bytes, size): (usize, &str),
    connections: usize,
) -> anyhow::Result<Vec<Row>> {
    let wanted = |work: &Work| wanted(settings, &title(*work, size, connections));
    let Some(last) = WORKS.iter().rposition(wanted) else { return Ok(Vec::new()) };
    let works = &WORKS[..=last];
    let load = |work| Load { work, connections, body_bytes, time: settings.time };
    let mut all: [Vec<Vec<f64>>; 3] = Default::default();
    for round in 0..settings.rounds {
        for (place, system) in SYSTEMS.into_iter().enumerate() {
            progress(&format!("{size}, {connections} connections"), round, system.name());
            let (server, dir) = fresh(settings, system)?;
            warm_up(&server.address).await?;
            let url = load::create_queue(&server.address, "bench").await?;
            let mut rates = Vec::new();
            for work in works {
                rates.push(load::run(&server.address, &url, &load(*work)).await?);
            }
            all[place].push(rates);
            drop(server);
            fs::remove_dir_all(&dir)?;
        }
    }
    let sink = sink::serve(body_bytes)?;
    let mut rows = Vec::new();
    for (column, work) in works.iter().enumerate().filter(|(_, work)| wanted(work)) {
        let values = std::array::from_fn(|place: usize| {
            median(all[place].iter().map(|rates| rates[column]).collect())
        });
        let ceiling = load::run(&sink, "x", &load(*work)).await?;
        rows.push(Row {
            higher_is_better: true,
            ceiling: Some(ceiling),
            ..Row::new(&title(*work, size, connections), "messages/s", values)
        });
    }
    Ok(rows)
}

async fn warm_up(address: &str) -> anyhow::Result<()> {
    let url = load::create_queue(address, "warm-up").await?;
    for work in WORKS {
        let time = WARM_UP / 4;
        let load = Load { work, connections: 8, body_bytes: 1024, time };
        load::run(address, &url, &load).await?;
    }
    load::delete_queue(address, &url).await
}

async fn latency(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let mut values = [[f64::NAN; 3]; 2];
    for (place, system) in SYSTEMS.into_iter().enumerate() {
        let mut all = Vec::new();
        for round in 0..settings.rounds {
            progress("latency", round, system.name());
            let (server, dir) = fresh(settings, system)?;
            warm_up(&server.address).await?;
            let url = load::create_queue(&server.address, "bench").await?;
            all.extend(load::latency(&server.address, &url, settings.time).await?);
            drop(server);
            fs::remove_dir_all(&dir)?;
        }
        all.sort_unstable();
        for (row, per_mille) in values.iter_mut().zip([500, 990]) {
            let at = (all.len() * per_mille / 1000).min(all.len().saturating_sub(1));
            let micros = all.get(at).and_then(|micros| u32::try_from(*micros).ok());
            row[place] = micros.map_or(f64::NAN, |micros| f64::from(micros) / 1000.0);
        }
    }
    let [p50, p99] = values;
    let name = |quantile| format!("latency, send to the answer of a waiting receive, {quantile}");
    let own = load::round_trip(&sink::serve(0)?).await?;
    let row =
        |quantile, values| Row { ceiling: Some(own), ..Row::new(&name(quantile), "ms", values) };
    Ok(vec![row("p50", p50), row("p99", p99)])
}

/// Waiting receives that get nothing. moto gives each a thread and is left out.
async fn long_polls(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    const WATCHED: Duration = Duration::from_secs(10);
    let mut values = [[f64::NAN; 3]; 2];
    for (place, system) in SYSTEMS.into_iter().enumerate().take(2) {
        progress("idle long polls", 0, system.name());
        let (server, dir) = fresh(settings, system)?;
        let mut urls = Vec::new();
        for at in 0..10 {
            urls.push(load::create_queue(&server.address, &format!("idle-{at}")).await?);
        }
        let waiting = load::long_polls(&server.address, &urls, settings.polls).await?;
        pause(Duration::from_secs(3)).await;
        let before = server.cpu_seconds()?;
        pause(WATCHED).await;
        let taken = server.cpu_seconds()? - before;
        values[0][place] = taken / WATCHED.as_secs_f64() * 100.0;
        values[1][place] = server.resident_mib()?;
        drop(waiting);
        drop(server);
        fs::remove_dir_all(&dir)?;
    }
    let [cpu, resident] = values;
    let name = format!("{} idle long polls", settings.polls);
    Ok(vec![
        Row::new(&format!("{name}, processor"), "% of a core", cpu),
        Row::new(&format!("{name}, resident"), "MiB", resident),
    ])
}

/// A queue with many messages: what it takes, and how it is worked off. moto is left out, and
/// ElasticMQ has nothing after a start.
async fn backlog(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let mut values = [[f64::NAN; 3]; 4];
    for (place, system) in SYSTEMS.into_iter().enumerate().take(2) {
        progress("backlog", 0, system.name());
        let (mut server, dir) = fresh(settings, system)?;
        let url = load::create_queue(&server.address, "bench").await?;
        load::fill(&server.address, &url, settings.backlog).await?;
        values[1][place] = server.resident_mib()?;
        if system == System::Tramline {
            drop(server);
            server = start(system, &settings.programs, &dir)?;
            values[2][place] = server.ready.as_secs_f64() * 1000.0;
            values[3][place] = server.resident_mib()?;
        }
        let work = Work::ReceiveDeleteBatch;
        let load = Load { work, connections: 8, body_bytes: 200, time: settings.time };
        values[0][place] = load::run(&server.address, &url, &load).await?;
        drop(server);
        fs::remove_dir_all(&dir)?;
    }
    let count = number(f64::from(u32::try_from(settings.backlog).unwrap_or(u32::MAX)));
    let [drained, filled, ready, after] = values;
    let name = |text: &str| format!("backlog of {count} × 200 B: {text}");
    let drain = "receive + delete, in tens, 8 connections";
    Ok(vec![
        Row { higher_is_better: true, ..Row::new(&name(drain), "messages/s", drained) },
        Row::new(&name("resident"), "MiB", filled),
        Row::new(&name("ready after a restart"), "ms", ready),
        Row::new(&name("resident after that"), "MiB", after),
    ])
}

async fn at_rest(settings: &Settings) -> anyhow::Result<Vec<Row>> {
    let mut all: [[Vec<f64>; 3]; 2] = Default::default();
    for round in 0..settings.rounds {
        for (place, system) in SYSTEMS.into_iter().enumerate() {
            progress("start", round, system.name());
            let (server, dir) = fresh(settings, system)?;
            pause(Duration::from_secs(1)).await;
            all[0][place].push(server.ready.as_secs_f64() * 1000.0);
            all[1][place].push(server.resident_mib()?);
            drop(server);
            fs::remove_dir_all(&dir)?;
        }
    }
    let [ready, resident] = all.map(|columns| columns.map(median));
    Ok(vec![
        Row::new("start on an empty directory to the first answer", "ms", ready),
        Row::new("resident after a start", "MiB", resident),
    ])
}

fn page(probe: &str, rows: &[Row], rounds: usize) -> String {
    format!(
        "# SQS: Tramline beside ElasticMQ and moto\n\n\
         `cargo xtask bench sqs`: the brokers on one machine in one run, taking turns, medians of \
         {rounds}. Tramline on its defaults: synced before each answer. ElasticMQ 1.7 from Maven \
         and moto's server from PyPI keep messages in memory. The load generator is one thread \
         with raw HTTP (AWS JSON, requests made beforehand, one at a time on each connection), \
         the same for all, and shares the machine's cores with the broker; every broker is warmed \
         up for three seconds. Batches have ten messages, at 64 KiB three. A row within 20 % of \
         what the generator reaches against a broker that does nothing is marked \
         *client-bound*; for a latency, the generator's column is what it takes to that broker and \
         back.\n\nMachine: {probe}.\n\n{}",
        table(["ElasticMQ", "moto"], rows)
    )
}
