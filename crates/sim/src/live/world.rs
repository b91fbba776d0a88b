//! What outlives the broker: the history, the topics, and where the broker listens.

use crate::{Event, Options, Recorder, Report, Step, check, merge, parse};
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tramline_store::fs::sim::Random;

use crate::live::connection::Connection;

/// Time shared by all processes of this machine, as histories carry it.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).expect("the clock started at 0");
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).expect("nanoseconds are positive")
}

/// What outlives the broker.
pub struct World {
    /// What clients asked for and were told.
    pub recorder: Recorder,
    scope: String,
    address: Mutex<String>,
    /// Topics that exist and are in use, with their number of partitions.
    topics: Mutex<BTreeMap<String, u32>>,
    stopped: AtomicBool,
    /// How many records may still be sent in this round.
    budget: AtomicU64,
    /// Records acknowledged so far, in all and by client.
    acknowledged: AtomicU64,
    acknowledged_by: Mutex<BTreeMap<String, u64>>,
    /// Ledgers that other processes write.
    ledgers: Mutex<Vec<PathBuf>>,
}

impl World {
    /// A world whose own ledger lies in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self::of_scope("", &directory.join("ledger.jsonl"))
    }

    /// A world of the topics whose names begin so, with its own ledger in this file.
    pub fn of_scope(scope: &str, path: &Path) -> Self {
        let ledger = fs::File::create(path);
        let ledger = std::io::LineWriter::new(ledger.expect("a test's directory is writable"));
        Self::of(scope, Recorder::with_ledger(Box::new(ledger)))
    }

    fn of(scope: &str, recorder: Recorder) -> Self {
        Self {
            recorder,
            scope: scope.to_owned(),
            address: Mutex::default(),
            topics: Mutex::default(),
            stopped: AtomicBool::new(false),
            budget: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            acknowledged_by: Mutex::default(),
            ledgers: Mutex::default(),
        }
    }

    /// A world whose history nobody looks at.
    pub fn silent() -> Self {
        Self::of("", Recorder::default())
    }

    /// Whether a topic belongs to this world.
    pub fn has(&self, topic: &str) -> bool {
        topic.starts_with(&self.scope)
    }

    /// Tells all clients where the broker listens.
    pub fn set_address(&self, address: &str) {
        address.clone_into(&mut self.address.lock());
    }

    /// Adds a history that another process writes.
    pub fn add_ledger(&self, path: PathBuf) {
        self.ledgers.lock().push(path);
    }

    /// A topic that clients use from here on.
    pub fn add_topic(&self, topic: &str, partitions: u32) {
        self.topics.lock().insert(topic.to_owned(), partitions);
    }

    /// A topic that no client uses any more.
    pub fn remove_topic(&self, topic: &str) {
        self.topics.lock().remove(topic);
    }

    /// All topics in use, with their number of partitions.
    pub fn topics(&self) -> BTreeMap<String, u32> {
        self.topics.lock().clone()
    }

    /// A topic and a partition.
    pub fn pick(&self, random: &mut Random) -> Option<(String, u32)> {
        let topics = self.topics.lock();
        let (topic, partitions) = topics.iter().nth(random.index(topics.len()))?;
        let partition = random.below(u64::from(*partitions));
        Some((topic.clone(), u32::try_from(partition).expect("a partition's index")))
    }

    /// Ends all clients.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Lets clients run, and send this many records.
    pub fn go_on(&self, records: u64) {
        self.budget.store(records, Ordering::Relaxed);
        self.stopped.store(false, Ordering::Relaxed);
    }

    /// Whether clients must end.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Takes so many records off this round's budget, if they are there.
    pub fn may_send(&self, records: u64) -> bool {
        let take = |left: u64| left.checked_sub(records);
        self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// A connection; tries until there is one or the world has stopped.
    pub fn connect(&self) -> Option<Connection> {
        while !self.is_stopped() {
            let address = self.address.lock().clone();
            match Connection::open(&address) {
                Ok(connection) => return Some(connection),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        None
    }

    /// Where the broker listens.
    pub fn address(&self) -> String {
        self.address.lock().clone()
    }

    /// Tries once to connect.
    pub fn open(&self) -> std::io::Result<Connection> {
        let address = self.address.lock().clone();
        Connection::open(&address)
    }

    /// A connection to a broker that is ready.
    pub fn must_connect(&self) -> Connection {
        let address = self.address.lock().clone();
        Connection::open(&address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Records that a client asks for something; the operation's number.
    pub fn invoke(&self, client: &str, step: Step) -> u64 {
        self.recorder.invoke(now(), client, step)
    }

    /// Records what a client was told.
    pub fn complete(&self, client: &str, op: u64, step: Step) {
        if matches!(step, Step::SendOk { .. }) {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            let mut by_client = self.acknowledged_by.lock();
            match by_client.get_mut(client) {
                Some(count) => *count += 1,
                None => drop(by_client.insert(client.to_owned(), 1)),
            }
        }
        self.recorder.complete(now(), client, op, step);
    }

    /// Records that a publish into queues was confirmed.
    pub fn confirmed(&self, client: &str, op: u64) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.recorder.complete(now(), client, op, Step::Ok);
    }

    /// Records that the broker's process has ended without a word.
    pub fn crashed(&self, how: &str) {
        self.say(how);
        self.note("test", Step::Crash);
    }

    /// How many records have been acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How many records of each client have been acknowledged so far.
    pub fn acknowledged_by(&self) -> BTreeMap<String, u64> {
        self.acknowledged_by.lock().clone()
    }

    /// Waits until this many more records are acknowledged; false when they are not in time.
    pub fn wait_for_more(&self, records: u64, max: Duration) -> bool {
        let (from, started) = (self.acknowledged(), Instant::now());
        while started.elapsed() < max {
            if self.acknowledged() >= from + records {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// Records that a client was told nothing.
    pub fn unknown(&self, client: &str, op: u64, reason: &impl ToString) {
        self.complete(client, op, Step::Unknown { reason: reason.to_string() });
    }

    /// Records what is no operation.
    pub fn note(&self, client: &str, step: Step) {
        self.recorder.note(now(), client, step);
    }

    /// Notes in the history what the test did.
    pub fn say(&self, text: &str) {
        self.note("test", Step::Note { text: text.to_owned() });
    }

    /// Checks everything so far, the other processes' ledgers included.
    pub fn check(&self) -> Report {
        let mut histories: Vec<Vec<Event>> = vec![self.recorder.take()];
        for path in &*self.ledgers.lock() {
            let text = fs::read_to_string(path).unwrap_or_default();
            histories.push(parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        }
        let events = merge(histories);
        check(&events, Options::default()).expect("the history makes sense")
    }
}
