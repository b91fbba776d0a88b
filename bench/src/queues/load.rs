//! The load on queues: publishers and consumers, each a thread with a blocking socket.

use super::{amqp, amqp::Client, confirms::Confirms};
use crate::{load::instant, server::sleep};
use anyhow::{bail, ensure};
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// What is published, and how.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Queue names; each publisher and consumer takes its own, in turn.
    pub(crate) queues: Vec<String>,
    /// Where to publish: an exchange with a key, or the default one with the queue's name.
    pub(crate) exchange: Option<(String, String)>,
    pub(crate) publishers: usize,
    pub(crate) consumers: usize,
    pub(crate) body_bytes: usize,
    /// Durable queues and persistent messages.
    pub(crate) persistent: bool,
    /// Publishes without a confirm at any time; `None` publishes without confirms.
    pub(crate) window: Option<u64>,
    /// Deliveries without an acknowledgement at any time; `None` consumes without them.
    pub(crate) prefetch: Option<u16>,
    pub(crate) ids: Ids,
    pub(crate) time: Duration,
}

/// Whether messages have ids of their own. Those that do are persistent, and go to the queue by
/// its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    None,
    Plain,
    /// And the queue makes jobs of them.
    Tracked,
}

impl Load {
    /// Persistent messages of 1 KiB with confirms and acknowledgements, one publisher and one
    /// consumer.
    pub(crate) fn main(time: Duration) -> Self {
        Self {
            queues: vec!["bench-0".to_owned()],
            exchange: None,
            publishers: 1,
            consumers: 1,
            body_bytes: 1024,
            persistent: true,
            window: Some(1000),
            prefetch: Some(1000),
            ids: Ids::None,
            time,
        }
    }
}

/// What a run came to, per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) published: f64,
    pub(crate) consumed: f64,
}

/// Shared by the threads of one run.
#[derive(Default)]
struct Run {
    stop_publishing: AtomicBool,
    stop: AtomicBool,
    published: AtomicU64,
    consumed: AtomicU64,
}

/// What runs before the figures are taken.
const WARM_UP: Duration = Duration::from_millis(700);

/// Declares the queues, runs the load, and takes the queues away.
pub(crate) fn run(address: &str, load: &Load) -> anyhow::Result<Rates> {
    let mut admin = Client::connect(address)?;
    for queue in &load.queues {
        match load.ids {
            Ids::Tracked => admin.declare_tracked(queue)?,
            Ids::None | Ids::Plain => admin.declare(queue, load.persistent)?,
        }
    }
    let rates = drive(address, load);
    for queue in &load.queues {
        admin.delete(queue)?;
    }
    rates
}

/// Runs the load on queues that are there.
pub(crate) fn drive(address: &str, load: &Load) -> anyhow::Result<Rates> {
    let run = Arc::new(Run::default());
    let ready = Arc::new(Barrier::new(load.publishers + load.consumers + 1));
    let mut threads = Vec::new();
    for index in 0..load.publishers + load.consumers {
        let (run, ready, load) = (Arc::clone(&run), Arc::clone(&ready), load.clone());
        let address = address.to_owned();
        threads.push(thread::spawn(move || {
            let client = Client::connect(&address);
            let done = if index < load.publishers {
                publish(client, &load, &load.queues[index % load.queues.len()], (&run, &ready))
            } else {
                let index = index - load.publishers;
                consume(client, &load, &load.queues[index % load.queues.len()], (&run, &ready))
            };
            if done.is_err() {
                run.stop_publishing.store(true, Relaxed);
                run.stop.store(true, Relaxed);
            }
            done
        }));
    }
    ready.wait();
    sleep(WARM_UP);
    let counts = || (run.published.load(Relaxed), run.consumed.load(Relaxed));
    let (before, started) = (counts(), instant());
    sleep(load.time);
    let (after, seconds) = (counts(), started.elapsed().as_secs_f64());
    run.stop_publishing.store(true, Relaxed);
    run.stop.store(true, Relaxed);
    for thread in threads {
        thread.join().map_err(|_| anyhow::anyhow!("a load thread failed"))??;
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
    Ok(Rates { published: rate(before.0, after.0), consumed: rate(before.1, after.1) })
}

type Shared<'a> = (&'a Run, &'a Barrier);

fn publish(
    client: anyhow::Result<Client>,
    load: &Load,
    queue: &str,
    (run, ready): Shared<'_>,
) -> anyhow::Result<()> {
    let prepared = client.and_then(|mut client| {
        if load.window.is_some() {
            client.select_confirms()?;
        }
        Ok(client)
    });
    ready.wait();
    let mut client = prepared?;
    client.set_read_timeout(Duration::from_secs(20))?;
    let (exchange, key) = load.exchange.as_ref().map_or(("", queue), |(e, k)| (e, k));
    let body = vec![b'x'; load.body_bytes];
    let (one, id_at) = match load.ids {
        Ids::None => (amqp::publish(exchange, key, load.persistent, &body), None),
        Ids::Plain | Ids::Tracked => {
            let (one, at) = amqp::publish_identified(queue, &body);
            (one, Some(at))
        }
    };
    let at_once = (64 * 1024 / one.len()).clamp(1, 512);
    let mut many = one.repeat(at_once);
    let (mut sent, mut confirms) = (0_u64, Confirms::default());
    while !run.stop_publishing.load(Relaxed) {
        let Some(window) = load.window else {
            client.send(&many)?;
            run.published.fetch_add(u64::try_from(at_once)?, Relaxed);
            continue;
        };
        let before = confirms.count();
        let room = usize::try_from(window - (sent - before))?.min(at_once);
        if let Some(at) = id_at {
            for publish in many[..room * one.len()].chunks_mut(one.len()) {
                identify(publish, at);
            }
        }
        client.send(&many[..room * one.len()])?;
        sent += u64::try_from(room)?;
        // A full window waits; otherwise what is there is taken along.
        if sent - before >= window {
            ensure!(client.read()? > 0, "no confirm in 20 s");
        } else {
            client.try_read()?;
        }
        confirms.take(&mut client)?;
        run.published.fetch_add(confirms.count() - before, Relaxed);
    }
    while load.window.is_some() && confirms.count() < sent {
        ensure!(client.read()? > 0, "{} confirms are missing", sent - confirms.count());
        confirms.take(&mut client)?;
    }
    Ok(())
}

fn consume(
    client: anyhow::Result<Client>,
    load: &Load,
    queue: &str,
    (run, ready): Shared<'_>,
) -> anyhow::Result<()> {
    let prepared = client.and_then(|mut client| {
        client.consume(queue, load.prefetch)?;
        Ok(client)
    });
    ready.wait();
    let mut client = prepared?;
    client.set_read_timeout(Duration::from_millis(100))?;
    let mut acks = Vec::with_capacity(64 * 1024);
    let mut tag = 0_u64;
    while !run.stop.load(Relaxed) {
        client.read()?;
        acks.clear();
        let before = tag;
        while let Some(frame) = client.next() {
            match frame.method {
                Some(amqp::DELIVER) => {
                    tag += 1;
                    if load.prefetch.is_some() {
                        acknowledge(&mut acks, tag);
                    }
                }
                Some((20, 40) | (10, 50)) => bail!("{}", String::from_utf8_lossy(frame.payload)),
                _ => {}
            }
        }
        run.consumed.fetch_add(tag - before, Relaxed);
        if !acks.is_empty() {
            client.send(&acks)?;
        }
    }
    Ok(())
}

/// One `basic.ack` for one delivery, as most clients send it.
fn acknowledge(out: &mut Vec<u8>, tag: u64) {
    out.extend([1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80]);
    out.extend(tag.to_be_bytes());
    out.extend([0, 0xCE]);
}

/// Gives a publish another id than any before; the id.
fn identify(publish: &mut [u8], at: usize) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = format!("{:0width$x}", NEXT.fetch_add(1, Relaxed), width = amqp::ID_BYTES);
    publish[at..at + amqp::ID_BYTES].copy_from_slice(id.as_bytes());
    id
}

/// Publishes so many small messages with ids, and waits until they are confirmed; the ids.
pub(crate) fn fill_identified(
    client: &mut Client,
    queue: &str,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    client.select_confirms()?;
    let (mut one, at) = amqp::publish_identified(queue, &[b'x'; 128]);
    let (mut ids, mut confirms) = (Vec::new(), Confirms::default());
    for _ in 0..count {
        ids.push(identify(&mut one, at));
        client.send(&one)?;
    }
    while confirms.count() < u64::try_from(count)? {
        ensure!(client.read()? > 0, "no confirm in 30 s");
        confirms.take(client)?;
    }
    Ok(ids)
}

/// Publishes this many persistent messages, as fast as confirms come, with no consumer.
pub(crate) fn fill(
    address: &str,
    queue: &str,
    body_bytes: usize,
    count: u64,
) -> anyhow::Result<()> {
    let mut client = Client::connect(address)?;
    client.select_confirms()?;
    let one = amqp::publish("", queue, true, &vec![b'x'; body_bytes]);
    let at_once = (64 * 1024 / one.len()).clamp(1, 512);
    let many = one.repeat(at_once);
    let window = 2000;
    let (mut sent, mut confirms) = (0_u64, Confirms::default());
    while confirms.count() < count {
        let before = confirms.count();
        let room = (window - (sent - before)).min(count - sent);
        let room = usize::try_from(room)?.min(at_once);
        client.send(&many[..room * one.len()])?;
        sent += u64::try_from(room)?;
        if sent - before >= window || sent == count {
            ensure!(client.read()? > 0, "no confirm in 30 s");
        } else {
            client.try_read()?;
        }
        confirms.take(&mut client)?;
    }
    Ok(())
}

/// Consumes this many messages with an acknowledgement each; gives the rate.
pub(crate) fn drain(address: &str, queue: &str, count: u64) -> anyhow::Result<f64> {
    let mut client = Client::connect(address)?;
    let started = instant();
    client.consume(queue, Some(1000))?;
    let mut acks = Vec::new();
    let mut tag = 0;
    while tag < count {
        acks.clear();
        while let Some(frame) = client.next() {
            if frame.method == Some(amqp::DELIVER) {
                tag += 1;
                acknowledge(&mut acks, tag);
            }
        }
        client.send(&acks)?;
        if tag < count {
            ensure!(client.read()? > 0, "no delivery in 30 s; {tag} came");
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = count as f64 / started.elapsed().as_secs_f64();
    Ok(rate)
}

/// Times of one run, in microseconds, sorted.
#[derive(Default)]
pub(crate) struct Latencies {
    pub(crate) confirm: Vec<u64>,
    pub(crate) end_to_end: Vec<u64>,
}

/// Publishes persistent messages of 1 KiB at a rate, one write each, to a consumer that waits.
pub(crate) fn latency(
    address: &str,
    queue: &str,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Latencies> {
    let started = instant();
    let stop = Arc::new(AtomicBool::new(false));
    let mut consumer = Client::connect(address)?;
    consumer.consume(queue, Some(1000))?;
    consumer.set_read_timeout(Duration::from_millis(100))?;
    let stopped = Arc::clone(&stop);
    let receiver = thread::spawn(move || -> anyhow::Result<Vec<u64>> {
        let (mut micros, mut tag, mut acks) = (Vec::new(), 0, Vec::new());
        while !stopped.load(Relaxed) {
            consumer.read()?;
            acks.clear();
            while let Some(frame) = consumer.next() {
                if frame.is_body {
                    let sent = frame.payload.first_chunk::<8>().copied().unwrap_or_default();
                    micros.push(since(started).saturating_sub(u64::from_be_bytes(sent)));
                    tag += 1;
                    acknowledge(&mut acks, tag);
                }
            }
            consumer.send(&acks)?;
        }
        Ok(micros)
    });
    let mut publisher = Client::connect(address)?;
    publisher.select_confirms()?;
    publisher.set_read_timeout(Duration::from_millis(100))?;
    let mut writer = publisher.writer()?;
    let total = u64::from(rate) * time.as_secs();
    let times: Arc<Vec<AtomicU64>> = Arc::new((0..total).map(|_| AtomicU64::new(0)).collect());
    let sent_at = Arc::clone(&times);
    let confirms = thread::spawn(move || -> anyhow::Result<Vec<u64>> {
        let (mut micros, mut confirms, mut idle) = (Vec::new(), Confirms::default(), 0);
        while confirms.whole() < total && idle < 100 {
            idle = if publisher.read()? == 0 { idle + 1 } else { 0 };
            let before = confirms.whole();
            confirms.take(&mut publisher)?;
            let now = since(started);
            for tag in before..confirms.whole() {
                micros.push(now.saturating_sub(sent_at[usize::try_from(tag)?].load(Relaxed)));
            }
        }
        Ok(micros)
    });
    let mut one = amqp::publish("", queue, true, &[0; 1024]);
    let body_at = one.len() - 1 - 1024;
    let begun = instant();
    for (n, time) in times.iter().enumerate() {
        let due = begun + Duration::from_secs(1) * u32::try_from(n)? / rate;
        while instant() < due {
            sleep(due.saturating_duration_since(instant()).min(Duration::from_micros(200)));
        }
        let now = since(started);
        one[body_at..body_at + 8].copy_from_slice(&now.to_be_bytes());
        time.store(now, Relaxed);
        std::io::Write::write_all(&mut writer, &one)?;
    }
    let mut confirm = confirms.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
    sleep(Duration::from_millis(300));
    stop.store(true, Relaxed);
    let mut end_to_end = receiver.join().map_err(|_| anyhow::anyhow!("a thread failed"))??;
    confirm.sort_unstable();
    end_to_end.sort_unstable();
    Ok(Latencies { confirm, end_to_end })
}

fn since(started: tokio::time::Instant) -> u64 {
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A quantile in milliseconds, `per_mille` of 1,000.
pub(crate) fn millis(sorted: &[u64], per_mille: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let micros = sorted.get((sorted.len() * per_mille / 1000).min(last));
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    micros.map_or(f64::NAN, |micros| *micros as f64 / 1000.0)
}
