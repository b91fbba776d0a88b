//! Queues over a store that refuses and fails.

use super::*;
use crate::support::Node;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::sync::atomic::AtomicBool;
use tramline_broker::{Broker, Options, Unit};
use tramline_store::{
    Chunk, Commit, Damage, Ends, Error, LogStore, MemoryStore, Op, Purpose, Reading,
    RecoveredState, Reservation, Reserving, Stats,
};
use tramline_testkit::FakeClock;
use tramline_types::{ExchangeName, LogId, Offset};

/// A memory store with faults.
struct Faulty {
    inner: Arc<MemoryStore>,
    refuses: AtomicBool,
    fails_reads: Mutex<Option<Error>>,
    /// The operations of each commit.
    commits: Mutex<Vec<Vec<&'static str>>>,
}

impl Faulty {
    fn over(inner: MemoryStore) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::new(inner),
            refuses: AtomicBool::new(false),
            fails_reads: Mutex::default(),
            commits: Mutex::default(),
        })
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    async fn start(self: &Arc<Self>) -> (Broker, FakeClock) {
        let clock = FakeClock::new();
        let store: Arc<dyn LogStore> = self.clone();
        let options = Options::default();
        (Broker::start(store, Arc::new(clock.clone()), options).await.unwrap(), clock)
    }

    async fn node(self: &Arc<Self>) -> Node {
        let (broker, clock) = self.start().await;
        Node { broker, store: self.inner.clone(), clock }
    }
}

fn kind(op: &Op) -> &'static str {
    match op {
        Op::Append(_) => "append",
        Op::Delta(..) => "delta",
        Op::Trim(..) => "trim",
        _ => "other",
    }
}

impl LogStore for Faulty {
    fn reserve(&self, purpose: Purpose, bytes: usize, ops: usize) -> Reserving {
        if self.refuses.load(Ordering::SeqCst) && purpose == Purpose::Upkeep {
            return Reserving::Refused(Error::Full { free_bytes: 0 });
        }
        self.inner.reserve(purpose, bytes, ops)
    }

    fn submit(&self, commit: Commit, reservation: Reservation) {
        self.commits.lock().push(commit.ops.iter().map(kind).collect());
        self.inner.submit(commit, reservation);
    }

    fn read(&self, log: LogId, from: Offset, bytes_max: usize) -> Reading {
        match &*self.fails_reads.lock() {
            Some(error) => Reading::Ready(Err(error.clone())),
            None => self.inner.read(log, from, bytes_max),
        }
    }

    fn ends(&self, log: LogId) -> Result<Ends, Error> {
        self.inner.ends(log)
    }

    fn chunks(&self, log: LogId, from: Offset) -> BoxFuture<'static, Result<Vec<Chunk>, Error>> {
        self.inner.chunks(log, from)
    }

    fn usage(&self, log: LogId) -> Result<u64, Error> {
        self.inner.usage(log)
    }

    fn take_state(&self, log: LogId) -> Result<RecoveredState, Error> {
        self.inner.take_state(log)
    }

    fn has_lost(&self, log: LogId) -> Result<bool, Error> {
        self.inner.has_lost(log)
    }

    fn logs(&self) -> Vec<LogId> {
        self.inner.logs()
    }

    fn get(&self, key: &[u8]) -> Option<bytes::Bytes> {
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8]) -> Vec<(bytes::Bytes, bytes::Bytes)> {
        self.inner.scan(prefix)
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }

    fn damage(&self) -> Vec<Damage> {
        self.inner.damage()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.inner.close()
    }
}

fn io() -> Error {
    Error::Io { action: "read", path: "seg/1".to_owned(), detail: "input/output error".to_owned() }
}

fn damaged() -> Error {
    let detail = "the batch does not match its checksum".to_owned();
    Error::Damaged { log: LogId(1), offset: Offset::ZERO, detail }
}

async fn recovered(store: &Arc<Faulty>) -> Arc<Faulty> {
    Faulty::over(store.inner.reopen().start())
}

#[tokio::test]
async fn a_settle_that_finds_no_space_is_done_when_there_is_some() {
    let store = Faulty::over(MemoryStore::new());
    let node = store.node().await;
    let queue = queue(&node, QueueSettings::default()).await;
    put(&node, &queue, &["a", "b"]).await;
    let got = get(&queue, 2, HELD).await;
    store.refuse(true);
    let mut settling = tokio::spawn(queue.settle(&all(&got, &Outcome::Accepted)));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!settling.is_finished(), "nothing of it is stored");
    store.refuse(false);
    while !settling.is_finished() {
        node.clock.advance(Duration::from_millis(50));
        tokio::task::yield_now().await;
    }
    assert!((&mut settling).await.unwrap().is_empty());
    let node = recovered(&store).await.node().await;
    assert_eq!(node.broker.queue(&name("jobs")).unwrap().counts().ready, 0);
}

#[tokio::test]
async fn a_unit_carries_what_found_no_space_before_it() {
    let store = Faulty::over(MemoryStore::new());
    let node = store.node().await;
    let queue = queue(&node, QueueSettings::default()).await;
    let (target, _) =
        node.broker.declare_queue(&name("to"), QueueSettings::default()).await.unwrap();
    put(&node, &queue, &["a", "b", "c"]).await;
    put(&node, &target, &["first"]).await;
    let got = get(&queue, 3, HELD).await;
    store.refuse(true);
    drop(queue.settle(&[(got[0].token, Outcome::Accepted)]));
    let unit = Unit {
        publishes: vec![item(&target, "done", persistent())],
        settles: vec![(queue.clone(), vec![(got[1].token, Outcome::Accepted)])],
        result: None,
    };
    node.broker.commit_unit(unit).await.unwrap().await;
    let last = store.commits.lock().last().cloned().unwrap();
    assert_eq!(last, ["append", "delta", "delta"], "append and settlement are one commit");
    let node = recovered(&store).await.node().await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!(texts(&get(&queue, 9, HELD).await), ["c"]);
    let target = node.broker.queue(&name("to")).unwrap();
    assert_eq!(texts(&get(&target, 9, HELD).await), ["first", "done"]);
}

/// A queue of which nothing is in memory.
async fn cold(values: &[&str], settings: QueueSettings) -> (Arc<Faulty>, Node, Arc<Queue>) {
    let store = Faulty::over(MemoryStore::new());
    let node = store.node().await;
    let queue = queue(&node, settings).await;
    node.broker.declare_queue(&name("dead"), QueueSettings::default()).await.unwrap();
    put(&node, &queue, values).await;
    node.broker.close().await;
    let store = recovered(&store).await;
    let node = store.node().await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    (store, node, queue)
}

#[tokio::test]
async fn a_read_that_fails_loses_nothing() {
    let (store, node, queue) = cold(&["a", "b"], QueueSettings::default()).await;
    *store.fails_reads.lock() = Some(io());
    assert!(get(&queue, 9, HELD).await.is_empty());
    assert_eq!(queue.counts().ready, 2);
    *store.fails_reads.lock() = None;
    let mut got = Vec::new();
    while got.len() < 2 {
        node.clock.advance(Duration::from_millis(100));
        tokio::task::yield_now().await;
        got.extend(texts(&get(&queue, 9, HELD).await));
    }
    assert_eq!(got, ["a", "b"]);
}

#[tokio::test]
async fn what_is_damaged_is_kept_and_never_trimmed() {
    let (store, _node, queue) = cold(&["a"], QueueSettings::default()).await;
    *store.fails_reads.lock() = Some(damaged());
    assert!(get(&queue, 9, HELD).await.is_empty());
    let counts = queue.counts();
    assert_eq!((counts.ready, counts.unreadable), (0, 1));
    *store.fails_reads.lock() = None;
    let node = recovered(&store).await.node().await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!(texts(&get(&queue, 9, HELD).await), ["a"], "somebody has repaired it");
}

#[tokio::test]
async fn a_dead_message_that_cannot_be_read_waits() {
    for error in [io(), damaged()] {
        let settings = QueueSettings {
            dead_letter_exchange: ExchangeName::parse("").ok(),
            dead_letter_routing_key: Some("dead".to_owned()),
            ..QueueSettings::default()
        };
        let (store, node, queue) = cold(&["a"], settings).await;
        let got = get(&queue, 1, HELD).await;
        *store.fails_reads.lock() = Some(error.clone());
        let rejected = Outcome::Rejected { dead_letter: true, reason: None };
        queue.settle(&[(got[0].token, rejected)]).await;
        let is_damage = error == damaged();
        if is_damage {
            eventually(|| queue.counts().unreadable == 1).await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let counts = queue.counts();
        assert_eq!(counts.transferring + counts.unreadable, 1, "{error}");
        *store.fails_reads.lock() = None;
        let node = if is_damage { recovered(&store).await.node().await } else { node };
        let dead = node.broker.queue(&name("dead")).unwrap();
        while dead.counts().ready == 0 {
            node.clock.advance(Duration::from_millis(100));
            tokio::task::yield_now().await;
        }
        assert_eq!(texts(&get(&dead, 9, HELD).await), ["a"]);
        let queue = node.broker.queue(&name("jobs")).unwrap();
        let counts = queue.counts();
        assert_eq!((counts.ready, counts.transferring, counts.unreadable), (0, 0, 0));
    }
}

#[tokio::test]
async fn a_first_message_that_found_no_space_leaves_nothing_behind() {
    let store = Faulty::over(MemoryStore::new());
    let node = store.node().await;
    let queue = queue(&node, QueueSettings::default()).await;
    store.refuse(true);
    let refused = node.broker.enqueue(vec![item(&queue, "a", persistent())]).await.await;
    assert_ne!(refused, [Ok(())], "there is no space");
    store.refuse(false);
    put(&node, &queue, &["b"]).await;
    // The record names logs: all of them must be there.
    let node = recovered(&store).await.node().await;
    let queue = node.broker.queue(&name("jobs")).unwrap();
    assert_eq!(texts(&get(&queue, 9, HELD).await), ["b"]);
}
