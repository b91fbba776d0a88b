//! `queue-memory`: what Tramline's queues take in memory, alone, in every state that has a
//! target, and how long a start on a backlog takes.

mod client;

use super::{
    amqp,
    load::{self, Load, Rates},
    server::{self, System},
};
use crate::{
    figures::median,
    load::instant,
    report::{self, Fact, progress},
    server::{Address, Server, sleep},
    turns,
};
use anyhow::{Context, ensure};
use client::Http;
use std::{fmt::Write as _, fs, path::PathBuf, thread, time::Duration};

/// What the command line sets.
pub(crate) struct Settings {
    pub(crate) tramline: PathBuf,
    /// Of the backlog; the other loads are parts of it.
    pub(crate) backlog: u64,
    pub(crate) body_bytes: usize,
    pub(crate) time: Duration,
    pub(crate) only: Option<String>,
    pub(crate) dir: PathBuf,
}

/// One load on a broker of its own.
type Measure = fn(&Settings) -> anyhow::Result<Vec<Fact>>;

/// What was freed goes back to the system, and old files are retired, within this time.
const CALM: Duration = Duration::from_secs(4);
/// Messages of one request.
const BATCH: u64 = 2_000;
/// Locks and delays that outlast every run.
const LONG_MS: u64 = 12 * 3600 * 1000;
/// Runs of the load with and without the backlog.
const THROUGH_RUNS: usize = 5;
const QUEUE: &str = "bench";

/// Measures and writes the page.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let probe = report::probe(&settings.dir)?;
    let loads: [(&str, Measure); 5] = [
        ("backlog", backlog),
        ("groups", groups),
        ("queues", queues),
        ("scheduled", scheduled),
        ("ids", ids),
    ];
    let mut facts = Vec::new();
    for (name, measure) in loads {
        if turns::wanted(settings.only.as_deref(), name) {
            progress(name, 0, "Tramline");
            facts.extend(measure(settings)?);
        }
    }
    let mut page = String::new();
    writeln!(page, "# Queues: memory and recovery\n")?;
    writeln!(
        page,
        "`cargo xtask bench queue-memory`: Tramline alone on its defaults; resident memory above \
         that of the idle broker. {} messages of {} B in the backlog; a tenth of that are locked, \
         scheduled, groups or ids, a hundredth are queues. The targets are those for 10,000,000 \
         messages of 1 KiB.\n\nMachine: {probe}.",
        grouped(settings.backlog),
        settings.body_bytes
    )?;
    page += &report::alone(&facts)?;
    report::write_page("queues-memory", &page, settings.only.as_deref())
}

fn grouped(count: u64) -> String {
    report::number(f64::from(u32::try_from(count).unwrap_or(u32::MAX)))
}

/// A broker on a directory of its own, and what it took before it had anything.
struct Broker {
    server: Server,
    dir: PathBuf,
    idle_mib: f64,
}

impl Broker {
    fn start(settings: &Settings) -> anyhow::Result<Self> {
        let dir = settings.dir.join("memory");
        let server = server::start(System::Tramline, &settings.tramline, &dir)?;
        sleep(CALM);
        let idle_mib = server.resident_mib()?;
        Ok(Self { server, dir, idle_mib })
    }

    /// Kills it, and starts it again on what it has; gives how long that took.
    fn restart(self, settings: &Settings) -> anyhow::Result<(Self, f64)> {
        let Self { mut server, dir, idle_mib } = self;
        server.kill()?;
        drop(server);
        let server = server::start(System::Tramline, &settings.tramline, &dir)?;
        let ready = server.ready.as_secs_f64();
        Ok((Self { server, dir, idle_mib }, ready))
    }

    fn http(&self) -> anyhow::Result<Http> {
        let address = Address::ReadyFile(self.dir.join("ready.json"), "http").read();
        Http::connect(&address.context("no HTTP API")?)
    }

    /// What it takes above idle once it is calm.
    fn resident(&self, name: &str, target: Target) -> anyhow::Result<Fact> {
        sleep(CALM);
        let value = self.server.resident_mib()? - self.idle_mib;
        Ok(fact(name, value, "MiB", target))
    }

    fn end(self) -> anyhow::Result<()> {
        let Self { server, dir, .. } = self;
        drop(server);
        Ok(fs::remove_dir_all(dir)?)
    }
}

#[derive(Clone, Copy)]
enum Target {
    None,
    Below(f64),
    AtLeast(f64),
}

fn fact(name: &str, value: f64, unit: &'static str, target: Target) -> Fact {
    let (text, is_met) = match target {
        Target::None => ("–".to_owned(), true),
        Target::Below(bound) => (format!("< {}", report::number(bound)), value < bound),
        Target::AtLeast(bound) => (format!("≥ {}", report::number(bound)), value >= bound),
    };
    tell(name, value, unit);
    Fact { name: name.to_owned(), value, unit, target: text.into(), is_met }
}

#[expect(clippy::print_stderr, reason = "a benchmark tells its figures")]
fn tell(name: &str, value: f64, unit: &str) {
    eprintln!("  {name}: {} {unit}", report::number(value));
}

/// Ready messages, a start on them, many of them locked, and every second one settled.
fn backlog(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    let broker = Broker::start(settings)?;
    let mut facts = Vec::new();
    let address = broker.server.address.clone();
    amqp::Client::connect(&address)?.declare(QUEUE, true)?;
    amqp::Client::connect(&address)?.declare("empty", true)?;
    let empty = through(settings, &address, "empty")?;
    let begun = instant();
    load::fill(&address, QUEUE, settings.body_bytes, settings.backlog)?;
    let (seconds, count) = (begun.elapsed().as_secs_f64(), settings.backlog);
    let rate = f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / seconds;
    facts.push(fact("publish alone, while it fills", rate, "messages/s", Target::None));
    facts.push(broker.resident("ready", Target::Below(100.0))?);
    let with_backlog = through(settings, &address, QUEUE)?;
    facts.push(fact("publish and consume, no backlog", empty, "messages/s", Target::None));
    facts.push(fact("the same with the backlog", with_backlog, "messages/s", Target::None));
    facts.push(fact("of that", with_backlog / empty, "×", Target::AtLeast(0.8)));
    let (broker, seconds) = broker.restart(settings)?;
    facts.push(fact("ready again after a kill", seconds, "s", Target::Below(10.0)));
    facts.push(broker.resident("ready, after that start", Target::Below(100.0))?);
    let mut http = broker.http()?;
    let mut held = http.receive(QUEUE, settings.backlog / 10, LONG_MS)?;
    facts.push(broker.resident("a tenth of them locked", Target::Below(300.0))?);
    let (broker, seconds) = broker.restart(settings)?;
    facts.push(fact("ready again after a kill, with the locks", seconds, "s", Target::Below(10.0)));
    facts.push(broker.resident("the same after that start", Target::Below(300.0))?);
    let mut http = broker.http()?;
    http.settle(QUEUE, &held, "release")?;
    held.clear();
    settle_every_second(&mut http, settings.backlog)?;
    facts.push(broker.resident("every second one settled", Target::Below(300.0))?);
    let (broker, seconds) = broker.restart(settings)?;
    let name = "ready again after a kill, with every second one settled";
    facts.push(fact(name, seconds, "s", Target::Below(10.0)));
    facts.push(broker.resident("the same after that start", Target::Below(300.0))?);
    broker.end()?;
    Ok(facts)
}

/// Messages per second into a queue and out of it at once, the mean of both: with a backlog more
/// come out than go in. The median of some runs.
fn through(settings: &Settings, address: &str, queue: &str) -> anyhow::Result<f64> {
    let load = Load {
        queues: vec![queue.to_owned()],
        body_bytes: settings.body_bytes,
        ..Load::main(settings.time)
    };
    let mut rates = Vec::new();
    for _ in 0..THROUGH_RUNS {
        let Rates { published, consumed } = load::drive(address, &load)?;
        tell(&format!("{queue}, published"), published, "messages/s");
        tell(&format!("{queue}, consumed"), consumed, "messages/s");
        rates.push(f64::midpoint(published, consumed));
    }
    Ok(median(rates))
}

/// Receives all, settles every second one, and gives the others back.
fn settle_every_second(http: &mut Http, messages: u64) -> anyhow::Result<()> {
    let (mut odd, mut even, mut left) = (Vec::new(), Vec::new(), messages);
    while left > 0 {
        let got = http.receive(QUEUE, left.min(BATCH), LONG_MS)?;
        if got.is_empty() {
            break;
        }
        left = left.saturating_sub(u64::try_from(got.len())?);
        even.clear();
        for (place, token) in got.into_iter().enumerate() {
            if place % 2 == 0 { even.push(token) } else { odd.push(token) }
        }
        http.settle(QUEUE, &even, "accept")?;
    }
    http.settle(QUEUE, &odd, "release")
}

/// Ordered groups, one of which is blocked while others are worked on.
fn groups(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    let broker = Broker::start(settings)?;
    let mut http = broker.http()?;
    http.declare(QUEUE, r#"{"ordered_groups":true}"#)?;
    let groups = (settings.backlog / 10).max(1);
    let body = "x".repeat(settings.body_bytes);
    http.publish(QUEUE, settings.backlog, |n| {
        format!(r#"{{"value":"{body}","group":"g{}"}}"#, n % groups)
    })?;
    let mut facts = vec![broker.resident("groups, none worked on", Target::Below(300.0))?];
    let blocked = http.receive(QUEUE, 1, LONG_MS)?;
    ensure!(blocked.len() == 1, "nothing to block a group with");
    // Twice round all of them: the blocked one's second message is passed over.
    let mut left = 2 * groups;
    while left > 0 {
        let got = http.receive(QUEUE, left.min(BATCH), LONG_MS)?;
        ensure!(!got.is_empty(), "{left} are left and none is to be had");
        left = left.saturating_sub(u64::try_from(got.len())?);
        http.settle(QUEUE, &got, "accept")?;
    }
    facts.push(broker.resident("groups, one of them blocked", Target::Below(300.0))?);
    let out = http.receive(QUEUE, groups - 1, LONG_MS)?;
    ensure!(out.len() > 1, "only {} groups have a message out", out.len());
    facts.push(broker.resident("groups, each with a message out", Target::Below(300.0))?);
    let (broker, seconds) = broker.restart(settings)?;
    facts.push(fact("groups, ready again after a kill", seconds, "s", Target::Below(10.0)));
    facts.push(broker.resident("groups, after that start", Target::Below(300.0))?);
    broker.end()?;
    Ok(facts)
}

/// Queues without messages.
fn queues(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    const CONNECTIONS: u64 = 16;
    let broker = Broker::start(settings)?;
    let each = (settings.backlog / 100 / CONNECTIONS).max(1);
    let begun = instant();
    let declare = |connection: u64| {
        let address = broker.server.address.clone();
        thread::spawn(move || -> anyhow::Result<()> {
            let mut client = amqp::Client::connect(&address)?;
            (0..each).try_for_each(|n| client.declare(&format!("queue-{connection}-{n}"), true))
        })
    };
    let threads: Vec<_> = (0..CONNECTIONS).map(declare).collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a load thread failed"))??;
    }
    let count = f64::from(u32::try_from(each * CONNECTIONS)?);
    let rate = count / begun.elapsed().as_secs_f64();
    let mut facts = vec![
        fact("queues declared, 16 connections", rate, "queues/s", Target::AtLeast(5000.0)),
        broker.resident("queues, empty", Target::Below(400.0))?,
    ];
    let (broker, seconds) = broker.restart(settings)?;
    facts.push(fact("queues, ready again after a kill", seconds, "s", Target::None));
    facts.push(broker.resident("queues, after that start", Target::Below(400.0))?);
    broker.end()?;
    Ok(facts)
}

/// Messages to come, each at a time of its own within a month.
fn scheduled(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;
    let broker = Broker::start(settings)?;
    let mut http = broker.http()?;
    http.declare(QUEUE, "{}")?;
    let body = "x".repeat(settings.body_bytes);
    http.publish(QUEUE, settings.backlog / 10, |n| {
        // Scattered: Knuth's multiplicative step visits the month in no order.
        let delay = LONG_MS + n.wrapping_mul(2_654_435_761) % MONTH_MS;
        format!(r#"{{"value":"{body}","delay_ms":{delay}}}"#)
    })?;
    let mut facts = vec![broker.resident("scheduled", Target::Below(150.0))?];
    let (broker, seconds) = broker.restart(settings)?;
    facts.push(fact("scheduled, ready again after a kill", seconds, "s", Target::Below(10.0)));
    facts.push(broker.resident("scheduled, after that start", Target::Below(150.0))?);
    broker.end()?;
    Ok(facts)
}

/// Ids of deduplication.
fn ids(settings: &Settings) -> anyhow::Result<Vec<Fact>> {
    let broker = Broker::start(settings)?;
    let mut http = broker.http()?;
    http.declare(QUEUE, &format!(r#"{{"deduplication_ms":{LONG_MS}}}"#))?;
    let body = "x".repeat(settings.body_bytes);
    http.publish(QUEUE, settings.backlog / 10, |n| {
        format!(r#"{{"value":"{body}","deduplication_id":"id-{n}"}}"#)
    })?;
    let mut facts = vec![broker.resident("ids of deduplication", Target::None)?];
    let (broker, seconds) = broker.restart(settings)?;
    facts.push(fact("ids, ready again after a kill", seconds, "s", Target::Below(10.0)));
    facts.push(broker.resident("ids, after that start", Target::None)?);
    broker.end()?;
    Ok(facts)
}
