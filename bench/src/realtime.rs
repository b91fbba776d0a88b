//! `realtime`: Tramline's channels beside Redis pub/sub and NATS, same machine, same run, taking
//! turns, medians.

mod arrivals;
mod client;
mod jobs;
mod server;

use crate::{
    figures::median,
    load::instant,
    report::{Fact, Row, facts, number, probe, progress, table, write_page},
    server::{Server, sleep},
    sqs::allow_many_files,
    turns,
};
use arrivals::{Receivers, open, subscribers};
use client::Speaks;
use server::{SYSTEMS, System, start};
use std::{
    fs,
    io::Read,
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

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
const FAN_OUTS: usize = 200;
/// Changes of one round at least.
const CONFIG_CHANGES: usize = 125;
/// Who watches a configuration, or jobs.
const WATCHERS: usize = 1_000;
/// Who reads a byte a second.
const SLOW: usize = 100;
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
    let mut report = Report::default();
    for (name, ours) in KINDS {
        latency(settings, &format!("1→1, {name}"), (ours, 0), &mut report)?;
    }
    let beside = format!("1→1, WebSocket, beside {SLOW} that read 1 B/s");
    latency(settings, &beside, (Speaks::WebSocket, SLOW), &mut report)?;
    for receivers in [1_000, 5_000] {
        for (name, ours) in KINDS {
            let name = format!("1→{receivers}, {name}");
            fan_out(settings, &name, (ours, receivers), &mut report).await?;
        }
    }
    config_change(settings, &mut report).await?;
    for (name, ours) in KINDS {
        idle(settings, &format!("idle {name} connection"), ours, &mut report)?;
    }
    jobs::transitions(settings, &mut report).await?;
    jobs::cost(settings, &mut report)?;
    write_page("realtime", &page(&probe, &report, settings)?, settings.only.as_deref())
}

fn wanted(settings: &Settings, name: &str) -> bool {
    turns::wanted(settings.only.as_deref(), name)
}

/// What each system gives in each round; the systems take turns. Per column the medians.
fn rounds(
    settings: &Settings,
    name: &str,
    mut measure: impl FnMut(System, &Server) -> anyhow::Result<Vec<f64>>,
) -> anyhow::Result<Vec<[f64; 3]>> {
    let systems = SYSTEMS.map(|system| (system, system.name()));
    turns::medians(systems, settings.rounds, name, |system, _| {
        let dir = settings.dir.join(system.name());
        let server = start(system, &settings.tramline, &dir)?;
        let values = measure(system, &server)?;
        drop(server);
        fs::remove_dir_all(&dir)?;
        Ok(values)
    })
}

/// One publication after the other, each when the one before has come.
fn latency(
    settings: &Settings,
    name: &str,
    (ours, slow): (Speaks, usize),
    report: &mut Report,
) -> anyhow::Result<()> {
    if !wanted(settings, name) {
        return Ok(());
    }
    let columns = rounds(settings, name, |system, server| {
        let speaks = speaks(system, ours);
        let _slow = Slow::new(subscribers(&server.address, speaks, slow)?);
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
        Ok([50, 99].map(|per_cent| quantile(&mut micros, per_cent)).to_vec())
    })?;
    for (column, (what, times)) in columns.into_iter().zip([("p50", 1.5), ("p99", 1.0)]) {
        let name = format!("{name}, {what}");
        match slow {
            0 => report.beside_redis(&name, "µs", column, times),
            _ => report.rows.push(Row::new(&name, "µs", column)),
        }
    }
    Ok(())
}

/// Subscribers that read a byte a second, until this goes.
struct Slow {
    stop: Arc<AtomicBool>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Slow {
    fn new(mut streams: Vec<TcpStream>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, has_some) = (Arc::clone(&stop), !streams.is_empty());
        let read = move || {
            let mut ticks = 0_u32;
            while !stopped.load(Ordering::Relaxed) {
                if ticks.is_multiple_of(20) {
                    for stream in &mut streams {
                        let _there_is_one_or_not = stream.set_nonblocking(true);
                        let _there_is_one_or_not = stream.read(&mut [0]);
                    }
                }
                ticks += 1;
                sleep(Duration::from_millis(50));
            }
        };
        Self { stop, reader: has_some.then(|| thread::spawn(read)) }
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ended = self.reader.take().map(thread::JoinHandle::join);
    }
}

/// How long it takes until the last of many has a publication.
async fn fan_out(
    settings: &Settings,
    name: &str,
    (ours, receivers): (Speaks, usize),
    report: &mut Report,
) -> anyhow::Result<()> {
    if !wanted(settings, name) {
        return Ok(());
    }
    let mut all: [Vec<f64>; 3] = Default::default();
    for round in 0..settings.rounds {
        for (place, system) in SYSTEMS.into_iter().enumerate() {
            progress(name, round, system.name());
            let dir = settings.dir.join(system.name());
            let server = start(system, &settings.tramline, &dir)?;
            let speaks = speaks(system, ours);
            let streams = subscribers(&server.address, speaks, receivers)?;
            let mut receivers = Receivers::new(streams)?;
            let (mut publisher, request) = client::publisher(&server.address, speaks, BODY_BYTES)?;
            let mut millis = Vec::new();
            for _ in 0..FAN_OUTS {
                millis.push(receivers.time(&mut publisher, &request).await?);
                client::take_answer(&mut publisher, speaks)?;
            }
            // The first ones warm up.
            all[place].push(median(millis.split_off(FAN_OUTS / 5)));
            // The server closes first: no client's port is kept back from those who come next.
            drop(server);
            drop(receivers);
            fs::remove_dir_all(&dir)?;
        }
    }
    let values = all.map(median);
    let name = format!("{name}, time to the last delivery, p50");
    report.beside_redis(&name, "ms", values, 1.0);
    Ok(())
}

/// How long it takes until the last of many watchers has a change of the configuration.
async fn config_change(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let name = format!("config change → {WATCHERS} watchers, last one");
    if !wanted(settings, &name) {
        return Ok(());
    }
    let mut millis = Vec::new();
    for round in 0..settings.rounds {
        progress(&name, round, System::Tramline.name());
        let dir = settings.dir.join("config");
        let server = start(System::Tramline, &settings.tramline, &dir)?;
        let address = &server.address;
        let watch = |_| client::events(address, "/v1/config-watch?scope=bench/", "event: synced");
        let mut watchers = Receivers::new(open(WATCHERS, watch)?)?;
        let (mut changer, request) = client::changer(address, "bench/k", BODY_BYTES)?;
        let begun = instant();
        let mut turn = 0;
        while turn < CONFIG_CHANGES || begun.elapsed() < settings.time {
            let time = watchers.time(&mut changer, &request).await?;
            client::take_revision(&mut changer)?;
            turn += 1;
            if turn > CONFIG_CHANGES / 5 {
                millis.push(time);
            }
        }
        drop(server);
        drop(watchers);
        fs::remove_dir_all(&dir)?;
    }
    let [p50, p99] = [50, 99].map(|per_cent| quantile(&mut millis, per_cent));
    report.alone(&format!("{name}, p50"), "ms", p50, None);
    report.alone(&format!("{name}, p99"), "ms", p99, Some(("< 50", p99 < 50.0)));
    Ok(())
}

fn quantile(values: &mut [f64], per_cent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * per_cent / 100).copied().unwrap_or(f64::NAN)
}

/// What a connection that does nothing takes in the server's memory.
fn idle(settings: &Settings, name: &str, ours: Speaks, report: &mut Report) -> anyhow::Result<()> {
    if !wanted(settings, name) {
        return Ok(());
    }
    let columns = rounds(settings, name, |system, server| {
        let speaks = speaks(system, ours);
        let _warm = subscribers(&server.address, speaks, 100)?;
        let before = server.resident_mib()?;
        let _idle = subscribers(&server.address, speaks, settings.idle)?;
        sleep(Duration::from_secs(3));
        let grown = (server.resident_mib()? - before) * 1024.0 * 1.024;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        Ok(vec![grown / settings.idle as f64])
    })?;
    let [ours, ..] = columns[0];
    let name = format!("{name}, resident");
    report.rows.push(Row::new(&name, "kB", columns[0]));
    report.alone(&name, "kB", ours, Some(("≤ 12", ours <= 12.0)));
    Ok(())
}

/// What was measured, and how it stands to what is wanted.
#[derive(Default)]
struct Report {
    rows: Vec<Row>,
    facts: Vec<Fact>,
}

impl Report {
    /// A row that is to be at most so many times Redis's.
    fn beside_redis(&mut self, name: &str, unit: &'static str, values: [f64; 3], times: f64) {
        self.rows.push(Row::new(name, unit, values));
        let [value, redis, _] = values;
        let factor = if times > 1.0 { format!("{times} × ") } else { String::new() };
        let target = format!("≤ {factor}Redis, {}", number(redis * times)).into();
        let is_met = value <= redis * times;
        self.facts.push(Fact { name: name.to_owned(), value, unit, target, is_met });
    }

    /// A figure of Tramline alone, and its target.
    fn alone(
        &mut self,
        name: &str,
        unit: &'static str,
        value: f64,
        target: Option<(&'static str, bool)>,
    ) {
        let (target, is_met) = target.unwrap_or(("–", true));
        let target = target.into();
        self.facts.push(Fact { name: name.to_owned(), value, unit, target, is_met });
    }
}

fn page(probe: &str, report: &Report, settings: &Settings) -> anyhow::Result<String> {
    let page = format!(
        "# Realtime: Tramline beside Redis pub/sub and NATS\n\n\
         `cargo xtask bench realtime`: the servers on one machine in one run, taking turns, \
         medians of {}. Redis and NATS as Debian has them, with nothing stored. Publications of \
         {BODY_BYTES} bytes; the clients are raw sockets, the same for all, and share the \
         machine's cores with the server. Publishers to Tramline use a WebSocket, also where the \
         receivers use SSE. 1→1 is one publication at a time; a fan-out ends when the last \
         receiver has it. A configuration change is a PUT of {BODY_BYTES} bytes, durable before \
         anybody sees it; its quantiles are those of all rounds. Idle: {} connections, each with \
         one subscription. Transitions of jobs: {WATCHERS} messages that a worker takes and gives \
         back, two transitions each time, and a watcher of each by SSE. The cost of tracking is \
         what the main load of [queues](queues.md) loses when its messages are jobs: in both \
         cases each of them has a message id.\n\nMachine: {probe}.\n\n{}",
        settings.rounds,
        settings.idle,
        table(["Redis", "NATS"], &report.rows)
    );
    Ok(page + &facts("Targets", &report.facts)?)
}
