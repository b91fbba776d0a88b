//! Queues over the memory back-end.

mod alter;
mod bounds;
mod checkpoint;
mod dead_letter;
mod delivery;
mod faults;
mod redrive;
mod replay;
mod restart;
mod results;
mod subscription;
mod worker;

use crate::support::{Node, message};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tramline_broker::{
    Broker, Consumer, ConsumerOptions, Delivery, Enqueue, EnqueueError, EnqueueOptions, Lock,
    LockToken, Options, Outcome, Queue, QueueDurability, QueueSettings, Receive, Wake,
};
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;
use tramline_types::{ConnectionId, QueueName};

pub(crate) const HERE: ConnectionId = ConnectionId(1);

pub(crate) fn name(name: &str) -> QueueName {
    QueueName::parse(name).unwrap()
}

pub(crate) fn transient() -> QueueSettings {
    QueueSettings { durability: QueueDurability::Transient, ..QueueSettings::default() }
}

pub(crate) fn persistent() -> EnqueueOptions {
    EnqueueOptions { persistent: true, ..EnqueueOptions::default() }
}

/// A broker over a store that commits when it is told to.
pub(crate) async fn stepped() -> (Arc<MemoryStore>, Broker) {
    let store = Arc::new(MemoryStore::stepped());
    let clock = Arc::new(FakeClock::new());
    let starting = Broker::start(store.clone(), clock, Options::default());
    let broker = stepping(&store, starting).await.unwrap();
    (store, broker)
}

/// What something comes to while its store commits all it gets.
pub(crate) async fn stepping<T>(store: &MemoryStore, what: impl Future<Output = T>) -> T {
    let mut what = std::pin::pin!(what);
    loop {
        tokio::select! {
            biased;
            done = &mut what => return done,
            () = tokio::task::yield_now() => store.step_all(),
        }
    }
}

pub(crate) async fn queue(node: &Node, settings: QueueSettings) -> Arc<Queue> {
    node.broker.declare_queue(&name("jobs"), settings).await.unwrap().0
}

pub(crate) fn item(queue: &Arc<Queue>, value: &str, options: EnqueueOptions) -> Enqueue {
    Enqueue { targets: [queue.clone()].into_iter().collect(), message: message(value), options }
}

pub(crate) async fn put(node: &Node, queue: &Arc<Queue>, values: &[&str]) {
    put_with(node, queue, values, persistent()).await;
}

pub(crate) async fn put_with(
    node: &Node,
    queue: &Arc<Queue>,
    values: &[&str],
    options: EnqueueOptions,
) {
    let items = values.iter().map(|value| item(queue, value, options.clone())).collect();
    for result in node.broker.enqueue(items).await.await {
        assert_eq!(result, Ok(()));
    }
}

pub(crate) async fn try_put(
    node: &Node,
    queue: &Arc<Queue>,
    value: &str,
) -> Result<(), EnqueueError> {
    node.broker.enqueue(vec![item(queue, value, persistent())]).await.await.remove(0)
}

/// Counts how often it was woken.
#[derive(Default)]
pub(crate) struct Bell(AtomicU64);

impl Bell {
    pub(crate) fn rings(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) fn attach(queue: &Arc<Queue>, lock: Lock) -> (Consumer, Arc<Bell>) {
    attach_with(queue, |options| options.lock = lock)
}

pub(crate) fn attach_with(
    queue: &Arc<Queue>,
    change: impl FnOnce(&mut ConsumerOptions),
) -> (Consumer, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let mut options = ConsumerOptions {
        tag: "c".to_owned(),
        priority: 0,
        exclusive: false,
        lock: Lock::Connection(HERE),
        connection: HERE,
    };
    change(&mut options);
    (queue.attach(options, bell.clone()).unwrap(), bell)
}

pub(crate) async fn get(queue: &Arc<Queue>, n_max: usize, lock: Lock) -> Vec<Delivery> {
    let wait = Duration::ZERO;
    let request = Receive { n_max, bytes_max: 1 << 20, lock, wait, connection: Some(HERE) };
    queue.receive(request).await.unwrap()
}

pub(crate) const HELD: Lock = Lock::Connection(HERE);

pub(crate) fn texts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(text).collect()
}

pub(crate) fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message.value.clone().unwrap().to_vec()).unwrap()
}

pub(crate) fn all(deliveries: &[Delivery], outcome: &Outcome) -> Vec<(LockToken, Outcome)> {
    deliveries.iter().map(|delivery| (delivery.token, outcome.clone())).collect()
}

pub(crate) const RELEASED: Outcome = Outcome::Released { count: true, delay_ms: None };

/// Waits for what another thread does.
pub(crate) async fn eventually(what: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !what() {
        assert!(tokio::time::Instant::now() < deadline, "it never came");
        tokio::task::yield_now().await;
    }
}
