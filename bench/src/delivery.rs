//! The delivery engine without a protocol: one task enqueues and waits for confirmations, one
//! receives and settles, in this process, on the disk back-end. What a front-end adds comes on
//! top of this.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tramline_broker::{
    Broker, ConsumerOptions, Enqueue, EnqueueOptions, Lock, Outcome, Queue, QueueDurability,
    QueueSettings, SystemClock, Wake,
};
use tramline_store::{DiskOptions, DiskStore};
use tramline_types::{ConnectionId, Message, QueueName};

/// A load.
pub struct Settings {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Durable, with confirmations; else transient without.
    pub durable: bool,
    /// Messages of one call.
    pub batch: usize,
    /// Unconfirmed calls.
    pub window: usize,
    /// Messages before anything is received.
    pub backlog: u64,
    /// For how long.
    pub time: Duration,
}

struct Bell(Notify);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

/// Runs a load in this directory and tells what came out.
#[expect(clippy::print_stdout, reason = "a bench prints")]
pub fn run(settings: &Settings, dir: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let clock = Arc::new(SystemClock::new());
        let files = Arc::new(tramline_store::fs::RealFiles);
        let store = Arc::new(DiskStore::open(files, dir, DiskOptions::default())?);
        let broker = Broker::start(store, clock, tramline_broker::Options::default()).await?;
        let durability =
            if settings.durable { QueueDurability::Durable } else { QueueDurability::Transient };
        let of_queue = QueueSettings { durability, ..QueueSettings::default() };
        let (queue, _) = broker.declare_queue(&QueueName::parse("bench")?, of_queue).await?;
        let before = rss();
        fill(&broker, &queue, settings).await;
        let backlog = queue.counts().ready;
        if backlog > 0 {
            println!("backlog {backlog}, {} MiB more", rss().saturating_sub(before) >> 20);
        }
        let started = Instant::now();
        let consumer = tokio::spawn(consume(Arc::clone(&queue), started + settings.time));
        let sent = produce(&broker, &queue, settings, started + settings.time).await;
        let got = consumer.await??;
        let seconds = started.elapsed().as_secs_f64();
        let per_second = |n: u64| (n as f64 / seconds).round();
        println!("enqueued {}/s, delivered {}/s", per_second(sent), per_second(got));
        broker.close().await;
        Ok(())
    })
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn now() -> Instant {
    Instant::now()
}

fn batch(queue: &Arc<Queue>, settings: &Settings, body: &Bytes) -> Vec<Enqueue> {
    let item = || Enqueue {
        targets: [Arc::clone(queue)].into_iter().collect(),
        message: Message {
            key: Some(Bytes::from_static(b"bench")),
            value: Some(body.clone()),
            headers: Vec::new(),
            timestamp: None,
        },
        options: EnqueueOptions { persistent: settings.durable, ..EnqueueOptions::default() },
    };
    (0..settings.batch).map(|_| item()).collect()
}

async fn fill(broker: &Broker, queue: &Arc<Queue>, settings: &Settings) {
    let body = Bytes::from(vec![b'x'; settings.body_bytes]);
    let mut sent = 0;
    let mut window = VecDeque::new();
    while sent < settings.backlog {
        window.push_back(broker.enqueue(batch(queue, settings, &body)).await);
        sent += settings.batch as u64;
        if window.len() > 16
            && let Some(oldest) = window.pop_front()
        {
            oldest.await;
        }
    }
    for enqueuing in window {
        enqueuing.await;
    }
}

async fn produce(broker: &Broker, queue: &Arc<Queue>, settings: &Settings, until: Instant) -> u64 {
    let body = Bytes::from(vec![b'x'; settings.body_bytes]);
    let mut sent = 0;
    let mut window = VecDeque::new();
    while now() < until {
        window.push_back(broker.enqueue(batch(queue, settings, &body)).await);
        if window.len() >= settings.window
            && let Some(oldest) = window.pop_front()
        {
            sent += oldest.await.iter().filter(|result| result.is_ok()).count() as u64;
        }
        if !settings.durable {
            tokio::task::yield_now().await;
            // What is consumed bounds what is kept in memory.
            while queue.counts().ready > 100_000 {
                tokio::task::yield_now().await;
            }
        }
    }
    for enqueuing in window {
        sent += enqueuing.await.len() as u64;
    }
    sent
}

async fn consume(queue: Arc<Queue>, until: Instant) -> anyhow::Result<u64> {
    let bell = Arc::new(Bell(Notify::new()));
    let connection = ConnectionId(1);
    let options = ConsumerOptions {
        tag: "bench".to_owned(),
        priority: 0,
        exclusive: false,
        lock: Lock::Connection(connection),
        connection,
    };
    let wake: Arc<dyn Wake> = Arc::<Bell>::clone(&bell);
    let consumer = queue.attach(options, wake)?;
    let mut got = 0;
    while now() < until {
        let deliveries = consumer.receive(256, 1 << 20)?;
        if deliveries.is_empty() {
            let wait = tokio::time::timeout(Duration::from_millis(100), bell.0.notified());
            wait.await.ok();
            continue;
        }
        got += deliveries.len() as u64;
        let settles: Vec<_> =
            deliveries.iter().map(|delivery| (delivery.token, Outcome::Accepted)).collect();
        drop(queue.settle(&settles));
    }
    Ok(got)
}

/// Resident memory of this process.
fn rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}
