//! Jobs: how fast they change their states while a page watches each of them, and what making
//! jobs of messages costs.

use super::{
    Report, Settings, WATCHERS,
    arrivals::open,
    client,
    server::{System, start},
    wanted,
};
use crate::{
    figures::median,
    load::instant,
    queues::{
        amqp::{self, Client},
        load::{self, Ids, Load, Rates},
    },
    report::progress,
    server::{Address, Server, sleep},
};
use anyhow::Context;
use std::{
    fs,
    net::TcpStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{io::AsyncReadExt, task::JoinSet};

const QUEUE: &str = "bench";
/// What runs before the figures are taken.
const WARM_UP: Duration = Duration::from_millis(700);

/// The address of another listener of the Tramline that lives in a directory.
fn listener(dir: &Path, name: &'static str) -> anyhow::Result<String> {
    Address::ReadyFile(dir.join("ready.json"), name).read().context("no such listener")
}

/// Transitions per second of watched jobs. A worker takes each message and gives it back: from
/// queued to processing and back again.
pub(super) async fn transitions(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let name = format!("job status: transitions with {WATCHERS} watchers");
    if !wanted(settings, &name) {
        return Ok(());
    }
    let (mut made, mut seen) = (Vec::new(), Vec::new());
    for round in 0..settings.rounds {
        progress(&name, round, System::Tramline.name());
        let dir = settings.dir.join("jobs");
        let server = start(System::Tramline, &settings.tramline, &dir)?;
        let (rate, events) = watched(&server, &listener(&dir, "amqp")?, settings.time).await?;
        made.push(rate);
        seen.push(events);
        drop(server);
        fs::remove_dir_all(&dir)?;
    }
    let made = median(made);
    report.alone(&name, "per second", made, Some(("≥ 20,000", made >= 20_000.0)));
    report.alone(&format!("{name}, events to them"), "per second", median(seen), None);
    Ok(())
}

async fn watched(server: &Server, amqp: &str, time: Duration) -> anyhow::Result<(f64, f64)> {
    let mut worker = Client::connect(amqp)?;
    worker.declare_tracked(QUEUE)?;
    let ids = load::fill_identified(&mut worker, QUEUE, WATCHERS)?;
    let watch = |place: usize| {
        let path = format!("/v1/jobs/{}", ids[place]);
        client::events(&server.address, &path, "\n\n")
    };
    let events = Arc::new(AtomicU64::new(0));
    let mut watchers = JoinSet::new();
    for stream in open(WATCHERS, watch)? {
        stream.set_nonblocking(true)?;
        watchers.spawn(count_events(stream, Arc::clone(&events)));
    }
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&taken));
    let working = thread::spawn(move || work(worker, &stopped, &counter));
    let counts = || (taken.load(Relaxed), events.load(Relaxed));
    crate::load::pause(WARM_UP).await;
    let (before, begun) = (counts(), instant());
    crate::load::pause(time).await;
    let (after, seconds) = (counts(), begun.elapsed().as_secs_f64());
    stop.store(true, Relaxed);
    working.join().map_err(|_| anyhow::anyhow!("the worker failed"))??;
    watchers.shutdown().await;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
    // Each taking has a giving back.
    Ok((2.0 * rate(before.0, after.0), rate(before.1, after.1)))
}

/// Takes every message and gives it back.
fn work(mut client: Client, stop: &AtomicBool, taken: &AtomicU64) -> anyhow::Result<()> {
    client.consume(QUEUE, Some(u16::try_from(WATCHERS)?))?;
    client.set_read_timeout(Duration::from_millis(100))?;
    let (mut tag, mut returned) = (0_u64, Vec::with_capacity(64 * 1024));
    while !stop.load(Relaxed) {
        returned.clear();
        let before = tag;
        while let Some(frame) = client.next() {
            if frame.method == Some(amqp::DELIVER) {
                tag += 1;
                amqp::requeue(&mut returned, tag);
            }
        }
        taken.fetch_add(tag - before, Relaxed);
        if !returned.is_empty() {
            client.send(&returned)?;
        }
        client.read()?;
    }
    Ok(())
}

async fn count_events(stream: TcpStream, events: Arc<AtomicU64>) {
    let Ok(mut stream) = tokio::net::TcpStream::from_std(stream) else { return };
    let (mut buffer, mut last) = ([0; 4096], 0);
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        let mut ends = 0;
        for byte in &buffer[..bytes] {
            // An event ends with an empty line; those of HTTP's own are not empty.
            ends += u64::from(*byte == b'\n' && last == b'\n');
            last = *byte;
        }
        events.fetch_add(ends, Relaxed);
    }
}

/// What the main load of queues loses when its messages are jobs.
pub(super) fn cost(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let name = "cost of tracking on the queue benchmark";
    if !wanted(settings, name) {
        return Ok(());
    }
    let (mut rates, mut micros) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..settings.rounds {
        for (place, ids) in [Ids::Plain, Ids::Tracked].into_iter().enumerate() {
            progress(name, round, if ids == Ids::Tracked { "tracked" } else { "not tracked" });
            let dir = settings.dir.join("jobs");
            let server = start(System::Tramline, &settings.tramline, &dir)?;
            let load = Load { ids, ..Load::main(settings.time) };
            let cpu = server.cpu_seconds()?;
            let Rates { consumed, .. } = load::run(&listener(&dir, "amqp")?, &load)?;
            let messages = consumed * (settings.time + WARM_UP).as_secs_f64();
            rates[place].push(consumed);
            micros[place].push((server.cpu_seconds()? - cpu) / messages * 1e6);
            drop(server);
            fs::remove_dir_all(&dir)?;
            sleep(Duration::from_millis(100));
        }
    }
    let [without, with] = rates.map(median);
    let cost = 100.0 * (without - with) / without;
    report.alone(name, "%", cost, Some(("≤ 10", cost <= 10.0)));
    report.alone("the rate without tracking", "messages/s", without, None);
    report.alone("the rate with tracking", "messages/s", with, None);
    let [without, with] = micros.map(median);
    report.alone("broker CPU per message without tracking", "µs", without, None);
    report.alone("broker CPU per message with tracking", "µs", with, None);
    Ok(())
}
