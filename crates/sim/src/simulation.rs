//! A whole broker with its clients in one thread, decided by a seed.
//!
//! Clients are plain asynchronous programs that call the broker and write a history. Time is a
//! [`FakeClock`]; a driver moves it, steps the store's committer and retirer, and now and then
//! cuts the power or kills the process in the middle of whatever is going on. A call that was
//! under way then has an unknown outcome. At the end everything is read and the history checked.

mod admin;
mod client;
mod compacted;
mod consumer;
mod early;
mod machine;
mod ordered;
mod producer;
mod pushed;
mod queues;
mod subscriptions;
mod topics;
mod tracked;

use crate::{Event, Options, Recorder, Report, check};
use client::{Client, World};
use machine::Machine;
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tramline_broker::JobState;
use tramline_store::fs::sim::{Random, SyncKind};
use tramline_testkit::FakeClock;

/// Where the broker under simulation keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// The memory store, which keeps what it committed over a crash.
    Memory,
    /// The disk store on a simulated file system.
    Disk,
}

/// What to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Decides everything.
    pub seed: u64,
    /// Steps of the driver before the end.
    pub steps: u32,
    /// Where the data is kept.
    pub backing: Backing,
    /// A kind of sync that does nothing, to show that the simulation notices.
    pub disabled_sync: Option<SyncKind>,
}

impl Settings {
    /// The usual run of a seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, steps: 400, backing: Backing::Disk, disabled_sync: None }
    }
}

/// How a simulation ended.
#[derive(Debug)]
pub struct Finished {
    /// The seed.
    pub seed: u64,
    /// What the clients did and saw.
    pub events: Vec<Event>,
    /// What the checker says.
    pub report: Report,
    /// What should not have happened and is no matter of the history: refusals without a
    /// reason, data reported as damaged that nobody damaged, starts that failed.
    pub problems: Vec<String>,
    /// How often the power was cut or the process killed.
    pub crashes: u32,
    /// Records that were read in the total order of their topic.
    pub ordered: usize,
    /// Superseded records of the compacted topic that were gone at the end.
    pub compacted: usize,
    /// Records of the topic with `durability=memory` that were read before they were durable,
    /// and those that crashes took.
    pub early: (usize, usize),
    /// Jobs whose end was seen, by how they ended.
    pub jobs: BTreeMap<JobState, usize>,
    /// Revisions of configuration that were answered.
    pub revisions: usize,
}

impl Finished {
    /// Whether everything went as promised.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.report.is_good()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "seed {}: {} crashes; {}", self.seed, self.crashes, self.report)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "- {problem}"))
    }
}

/// Topics with clients of their own.
const OWN_TOPICS: [&str; 3] = [compacted::NAME, early::NAME, subscriptions::TOPIC];
const PRODUCERS: usize = 4;
const CONSUMERS: usize = 3;
/// Of topics in total order.
const READERS: usize = 2;
/// Of the compacted topic.
const KEY_WRITERS: u64 = 2;
/// Publishers into queues, and as many workers; the same of subscriptions.
const QUEUE_CLIENTS: usize = 2;
const CONFIGURATION_WRITERS: u64 = 2;

/// Runs one simulation.
///
/// # Panics
/// Where the broker does.
pub fn run(settings: Settings) -> Finished {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers needs nothing from the system");
    runtime.block_on(Driver::new(settings).run())
}

struct Driver {
    settings: Settings,
    random: Random,
    clock: FakeClock,
    machine: Machine,
    world: Arc<World>,
    clients: JoinSet<()>,
}

impl Driver {
    fn new(settings: Settings) -> Self {
        let mut random = Random::new(settings.seed);
        let clock = FakeClock::new();
        let world = Arc::new(World::new(Recorder::default()));
        let machine = Machine::new(settings, random.next_u64(), clock.clone(), Arc::clone(&world));
        Self { settings, random, clock, machine, world, clients: JoinSet::new() }
    }

    async fn run(mut self) -> Finished {
        self.machine.start().await;
        self.spawn_clients();
        for _ in 0..self.settings.steps {
            self.step().await;
            self.join_finished();
        }
        self.world.stop();
        self.machine.free_space();
        self.finish_clients().await;
        self.machine.crash("the last one").await;
        let audit = self.client("audit");
        self.spawn(audit.audit());
        let keys = self.client("key-audit");
        self.spawn(async move { keys.check_keys().await });
        let queues = self.client("queue-audit");
        self.spawn(queues.empty_queues());
        let subscriptions = self.client("subscription-audit");
        self.spawn(subscriptions.empty_shared());
        let early = self.client("early-audit");
        self.spawn(async move { early.check_early().await });
        let jobs = self.client("job-audit");
        self.spawn(jobs.check_jobs());
        let configuration = self.client("configuration-audit");
        self.spawn(configuration.check_configuration());
        self.finish_clients().await;
        self.machine.stop().await;

        let events = self.world.recorder.take();
        let mut problems = self.world.take_problems();
        let orders = std::mem::take(&mut *self.world.orders.lock());
        problems.extend(orders.check_times(&events));
        let checked = check(&events, Options::default());
        let report = checked.unwrap_or_else(|error| {
            problems.push(format!("the history makes no sense: {error}"));
            Report::default()
        });
        Finished {
            seed: self.settings.seed,
            events,
            report,
            problems,
            crashes: self.machine.crashes(),
            ordered: orders.len(),
            compacted: self.world.compacted.lock().removed(),
            early: self.world.early.lock().counts(),
            jobs: self.world.tracked.lock().ends(),
            revisions: self.world.pushed.lock().len(),
        }
    }

    fn spawn_clients(&mut self) {
        let admin = self.client("admin");
        self.spawn(admin.administer());
        for i in 0..PRODUCERS {
            let producer = self.client(&format!("producer-{i}"));
            // Half of them are idempotent and repeat what they do not know the outcome of.
            self.spawn(producer.produce(i % 2 == 0));
        }
        for i in 0..CONSUMERS {
            let consumer = self.client(&format!("consumer-{i}"));
            self.spawn(consumer.consume());
        }
        for i in 0..READERS {
            let reader = self.client(&format!("reader-{i}"));
            self.spawn(reader.follow_orders());
        }
        for i in 0..KEY_WRITERS {
            let writer = self.client(&format!("key-writer-{i}"));
            self.spawn(writer.write_keys((i, KEY_WRITERS)));
        }
        let reader = self.client("key-reader");
        self.spawn(reader.read_keys());
        for i in 0..QUEUE_CLIENTS {
            let publisher = self.client(&format!("publisher-{i}"));
            self.spawn(publisher.enqueue_all());
            let worker = self.client(&format!("worker-{i}"));
            self.spawn(worker.work_off());
            let publisher = self.client(&format!("topic-publisher-{i}"));
            self.spawn(publisher.publish_shared());
            let worker = self.client(&format!("subscriber-{i}"));
            self.spawn(worker.work_off_shared());
        }
        let early = self.client("early");
        self.spawn(early.use_early());
        let boss = self.client("boss");
        self.spawn(boss.make_jobs());
        for i in 0..QUEUE_CLIENTS {
            let worker = self.client(&format!("job-worker-{i}"));
            self.spawn(worker.work_on_jobs());
        }
        for i in 0..CONFIGURATION_WRITERS {
            let writer = self.client(&format!("configuration-writer-{i}"));
            self.spawn(writer.push_configuration((i, CONFIGURATION_WRITERS)));
        }
        let follower = self.client("follower");
        self.spawn(follower.follow_configuration());
    }

    fn client(&mut self, name: &str) -> Client {
        let random = Random::new(self.random.next_u64());
        Client::new(name, random, self.clock.clone(), Arc::clone(&self.world))
    }

    fn spawn(&mut self, program: impl Future<Output = ()> + Send + 'static) {
        let program: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(program);
        self.clients.spawn(program);
    }

    /// One decision: what moves on next.
    async fn step(&mut self) {
        pump().await;
        self.machine.check_planned().await;
        match self.random.below(1000) {
            0..6 => self.machine.crash("at rest").await,
            6..10 => self.machine.plan_crash(),
            10..14 => self.machine.change_free_space(),
            14..560 => {
                self.machine.commit().await;
            }
            560..640 => self.machine.retire().await,
            _ => self.advance(),
        }
    }

    /// Moves the clock to where the next sleeper wakes, or a bit further.
    fn advance(&mut self) {
        use tramline_types::Clock;
        let now = self.clock.monotonic();
        let next = self.clock.deadline_next().map_or(Duration::ZERO, |next| next.since(now));
        let more = Duration::from_micros(self.random.below(2000));
        self.clock.advance(next + more);
    }

    /// Lets every client come to its end.
    async fn finish_clients(&mut self) {
        const STEPS_MAX: u32 = 5000;
        for _ in 0..STEPS_MAX {
            pump().await;
            self.join_finished();
            if self.clients.is_empty() {
                return;
            }
            if !self.machine.commit().await {
                self.machine.retire().await;
                self.advance();
            }
        }
        self.world.problem("clients are stuck".to_owned());
        self.clients.abort_all();
    }

    /// Passes a client's panic, or a broker's within its call, on.
    fn join_finished(&mut self) {
        while let Some(joined) = self.clients.try_join_next() {
            if let Err(error) = joined
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// Lets every task run that can.
async fn pump() {
    const ROUNDS: usize = 6;
    for _ in 0..ROUNDS {
        tokio::task::yield_now().await;
    }
}
