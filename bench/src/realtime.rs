//! `realtime`: Tramline's channels beside Redis pub/sub and NATS, same machine, same run, taking
//! turns, medians.

mod client;
mod server;

use crate::{
    figures::median,
    load::instant,
    report::{Row, probe, progress, table, write_page},
    server::{Server, sleep},
    sqs::allow_many_files,
};
use anyhow::Context;
use client::{MARK, Speaks};
use server::{SYSTEMS, System, start};
use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncReadExt, sync::Notify};

/// What the command line sets.
pub(crate) struct Settings {
    pub(crate) tramline: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    /// Connections of the idle rows.
    pub(crate) idle: usize,
    pub(crate) only: Option<String>,
    pub(crate) dir: PathBuf,
}

const BODY_BYTES: usize = 128;
const WARM_UP: usize = 500;
/// Publications of one round of a fan-out.
const FAN_OUTS: usize = 30;
/// How Tramline is spoken to.
const KINDS: [(&str, Speaks); 2] = [("WebSocket", Speaks::WebSocket), ("SSE", Speaks::Events)];

const fn speaks(system: System, ours: Speaks) -> Speaks {
    match system {
        System::Tramline => ours,
        System::Redis => Speaks::Redis,
        System::Nats => Speaks::Nats,
    }
}

/// Measures and writes the page.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    allow_many_files()?;
    let probe = probe(&settings.dir)?.to_string();
    let mut rows = Vec::new();
    for (name, ours) in KINDS {
        rows.extend(latency(settings, &format!("1→1, {name}"), ours, 0)?);
    }
    let beside = "1→1, WebSocket, beside 100 that read nothing";
    rows.extend(latency(settings, beside, Speaks::WebSocket, 100)?);
    for receivers in [1_000, 5_000] {
        for (name, ours) in KINDS {
            let name = format!("1→{receivers}, {name}");
            rows.extend(fan_out(settings, &name, ours, receivers).await?);
        }
    }
    for (name, ours) in KINDS {
        rows.extend(idle(settings, &format!("idle {name} connection"), ours)?);
    }
    write_page("realtime", &page(&probe, &rows, settings), settings.only.as_deref())
}

fn wanted(settings: &Settings, name: &str) -> bool {
    settings.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
}

/// What each system gives in each round; the systems take turns. Per column the medians.
fn rounds(
    settings: &Settings,
    name: &str,
    mut measure: impl FnMut(System, &Server) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<[f64; 3]>> {
    let mut all: [Vec<Vec<f64>>; 3] = Default::default();
    for round in 0..settings.rounds {
        for (place, system) in SYSTEMS.into_iter().enumerate() {
            progress(name, round, system.name());
            let dir = settings.dir.join(system.name());
            let server = start(system, &settings.tramline, &dir)?;
            let values = measure(system, &server);
            all[place].push(values.with_context(|| format!("{name}, {}", system.name()))?);
            drop(server);
            fs::remove_dir_all(&dir)?;
        }
    }
    let width = all.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let value = |place: usize, column: usize| {
        median(all[place].iter().filter_map(|values| values.get(column).copied()).collect())
    };
    Ok((0..width).map(|column| std::array::from_fn(|place| value(place, column))).collect())
}

/// One publication after the other, each when the one before has come.
fn latency(
    settings: &Settings,
    name: &str,
    ours: Speaks,
    stalled: usize,
) -> anyhow::Result<Vec<Row>> {
    if !wanted(settings, name) {
        return Ok(Vec::new());
    }
    let columns = rounds(settings, name, |system, server| {
        let speaks = speaks(system, ours);
        let stalled: Result<Vec<TcpStream>, _> =
            (0..stalled).map(|_| client::subscriber(&server.address, speaks)).collect();
        let _stalled = stalled?;
        let mut subscriber = client::subscriber(&server.address, speaks)?;
        let (mut publisher, request) = client::publisher(&server.address, speaks, BODY_BYTES)?;
        let mut micros = Vec::new();
        let begun = instant();
        while micros.len() < WARM_UP * 2 || begun.elapsed() < settings.time {
            let at = instant();
            std::io::Write::write_all(&mut publisher, &request)?;
            client::receive(&mut subscriber)?;
            micros.push(at.elapsed().as_secs_f64() * 1e6);
            client::take_answer(&mut publisher, speaks)?;
        }
        let mut micros = micros.split_off(WARM_UP);
        micros.sort_by(f64::total_cmp);
        let quantile = |per_cent: usize| micros[(micros.len() - 1) * per_cent / 100];
        Ok(vec![quantile(50), quantile(99)])
    })?;
    Ok(vec![
        Row::new(&format!("{name}, p50"), "µs", columns[0]),
        Row::new(&format!("{name}, p99"), "µs", columns[1]),
    ])
}

/// Counts publications over all subscribers.
struct Arrivals {
    count: AtomicUsize,
    wanted: AtomicUsize,
    complete: Notify,
}

/// How long it takes until the last of many has a publication.
async fn fan_out(
    settings: &Settings,
    name: &str,
    ours: Speaks,
    receivers: usize,
) -> anyhow::Result<Vec<Row>> {
    if !wanted(settings, name) {
        return Ok(Vec::new());
    }
    let mut all: [Vec<f64>; 3] = Default::default();
    for round in 0..settings.rounds {
        for (place, system) in SYSTEMS.into_iter().enumerate() {
            progress(name, round, system.name());
            let dir = settings.dir.join(system.name());
            let server = start(system, &settings.tramline, &dir)?;
            let speaks = speaks(system, ours);
            all[place].push(last_arrival(&server.address, speaks, receivers).await?);
            drop(server);
            fs::remove_dir_all(&dir)?;
        }
    }
    let values = all.map(median);
    Ok(vec![Row::new(&format!("{name}, time to the last delivery, p50"), "ms", values)])
}

async fn last_arrival(address: &str, speaks: Speaks, receivers: usize) -> anyhow::Result<f64> {
    let arrivals = Arc::new(Arrivals {
        count: AtomicUsize::new(0),
        wanted: AtomicUsize::new(usize::MAX),
        complete: Notify::new(),
    });
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..receivers {
        let stream = client::subscriber(address, speaks)?;
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        readers.spawn(count(stream, Arc::clone(&arrivals)));
    }
    let (mut publisher, request) = client::publisher(address, speaks, BODY_BYTES)?;
    let mut millis = Vec::new();
    for turn in 1..=FAN_OUTS {
        arrivals.wanted.store(turn * receivers, Ordering::SeqCst);
        let at = instant();
        std::io::Write::write_all(&mut publisher, &request)?;
        let complete = tokio::time::timeout(Duration::from_secs(60), arrivals.complete.notified());
        complete.await.context("not everyone got a publication")?;
        millis.push(at.elapsed().as_secs_f64() * 1e3);
        client::take_answer(&mut publisher, speaks)?;
    }
    readers.shutdown().await;
    // The first ones warm up.
    Ok(median(millis.split_off(FAN_OUTS / 5)))
}

async fn count(mut stream: tokio::net::TcpStream, arrivals: Arc<Arrivals>) {
    let mut buffer = [0; 2048];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        let marks = buffer[..bytes].iter().filter(|byte| **byte == MARK).count();
        let before = arrivals.count.fetch_add(marks, Ordering::SeqCst);
        if marks > 0 && before + marks == arrivals.wanted.load(Ordering::SeqCst) {
            arrivals.complete.notify_one();
        }
    }
}

/// What a connection that does nothing takes in the server's memory.
fn idle(settings: &Settings, name: &str, ours: Speaks) -> anyhow::Result<Vec<Row>> {
    if !wanted(settings, name) {
        return Ok(Vec::new());
    }
    let columns = rounds(settings, name, |system, server| {
        let speaks = speaks(system, ours);
        let warm: Result<Vec<TcpStream>, _> =
            (0..100).map(|_| client::subscriber(&server.address, speaks)).collect();
        let _warm = warm?;
        let before = server.resident_mib()?;
        let idle: Result<Vec<TcpStream>, _> =
            (0..settings.idle).map(|_| client::subscriber(&server.address, speaks)).collect();
        let _idle = idle?;
        sleep(Duration::from_secs(3));
        let grown = (server.resident_mib()? - before) * 1024.0;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        Ok(vec![grown / settings.idle as f64])
    })?;
    Ok(vec![Row::new(&format!("{name}, resident"), "KiB", columns[0])])
}

fn page(probe: &str, rows: &[Row], settings: &Settings) -> String {
    format!(
        "# Realtime: Tramline beside Redis pub/sub and NATS\n\n\
         `cargo xtask bench realtime`: the servers on one machine in one run, taking turns, \
         medians of {}. Redis and NATS as Debian has them, with nothing stored. Publications of \
         {BODY_BYTES} bytes; the clients are raw sockets on one thread, the same for all, and \
         share the machine's cores with the server. Publishers to Tramline use a WebSocket, also \
         where the receivers use SSE. 1→1 is one publication at a time; a fan-out ends when the \
         last receiver has it. Idle: {} connections, each with one subscription.\n\n\
         Machine: {probe}.\n\n{}",
        settings.rounds,
        settings.idle,
        table(["Redis", "NATS"], rows)
    )
}
