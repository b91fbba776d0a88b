//! Load on queues by bare AMQP 0-9-1 clients: publishers with confirms, consumers that settle in
//! transactions or without an answer, one that moves messages in transactions, and the audit that
//! empties every queue.

use crate::live::{
    amqp::{AmqpConnection, Delivery, Incoming},
    http,
    load::{Client, wall_clock},
    world::World,
};
use crate::{Delivered, Settlement, Step, payload};
use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};
use tramline_store::fs::sim::Random;
use tramline_wire_amqp091::Value;

/// Counts deliveries, and has a dead-letter queue.
pub const JOBS: &str = "jobs";
const DEAD: &str = "dead-jobs";
const AUDIT: &str = "audit";
/// Every queue.
pub const ALL: [&str; 3] = [JOBS, DEAD, AUDIT];
/// Leads to `jobs` and `audit`.
const BOTH: &str = "both";
const PREFETCH: u16 = 60;
/// Deliveries that one consumer forgets before it begins anew.
const FORGOTTEN_MAX: usize = 20;
const SETTLED_AT_ONCE: usize = 40;
const MOVED_AT_ONCE: u16 = 8;
const UNCONFIRMED_MAX: usize = 200;
const BODY_BYTES_MAX: usize = 900;
const PATIENCE: Duration = Duration::from_millis(50);
const EMPTY_MAX: Duration = Duration::from_secs(60);

/// Makes the queues.
pub fn declare(client: &Client) {
    let declare = || {
        let mut connection = AmqpConnection::open(&client.world.address())?;
        connection.declare(DEAD, Vec::new())?;
        connection.declare(AUDIT, Vec::new())?;
        let to_dead = vec![
            ("x-queue-type", Value::text("quorum")),
            ("x-delivery-limit", Value::I32(-1)),
            ("x-dead-letter-exchange", Value::text("")),
            ("x-dead-letter-routing-key", Value::text(DEAD)),
        ];
        connection.declare(JOBS, to_dead)?;
        connection.declare_fanout(BOTH, &[JOBS, AUDIT])
    };
    for queue in ALL {
        let dead_letter = (queue == JOBS).then(|| DEAD.to_owned());
        let queue = queue.to_owned();
        let step = Step::DeclareQueue { queue, dead_letter, ordered_groups: false };
        client.world.invoke(&client.name, step);
    }
    declare().expect("a broker that is ready makes queues");
}

fn connect(world: &World) -> Option<AmqpConnection> {
    while !world.is_stopped() {
        match AmqpConnection::open(&world.address()) {
            Ok(connection) => return Some(connection),
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
    None
}

/// Starts publishers and consumers; they end when the world stops.
pub fn start(world: &Arc<World>, random: &mut Random) -> Vec<JoinHandle<()>> {
    let mut client = |name: String| {
        let random = Random::new(random.next_u64());
        Client { name, world: Arc::clone(world), random }
    };
    let mut threads = Vec::new();
    for i in 0..2 {
        let publisher = client(format!("publisher-{i}"));
        threads.push(std::thread::spawn(move || publish(publisher)));
    }
    for (i, queue) in [JOBS, JOBS, AUDIT, DEAD].into_iter().enumerate() {
        let consumer = client(format!("worker-{i}"));
        // Some wait for what becomes of their settlements.
        threads.push(std::thread::spawn(move || consume(consumer, queue, i != 1)));
    }
    let mover = client("mover".to_owned());
    threads.push(std::thread::spawn(move || {
        let world = Arc::clone(&mover.world);
        let mut mover = mover;
        while let Some(mut connection) = connect(&world) {
            // An error is a lost connection: the next one goes on.
            drop(move_some(&mut mover, &mut connection));
        }
    }));
    threads
}

/// Moves messages from one queue to another: each publish is one transaction with the acceptance
/// of what it is made of.
fn move_some(client: &mut Client, connection: &mut AmqpConnection) -> io::Result<()> {
    connection.set_patience(PATIENCE)?;
    connection.select_transactions()?;
    client.world.note(&client.name, Step::Attach { queue: JOBS.to_owned() });
    connection.consume(JOBS, MOVED_AT_ONCE)?;
    let session = session();
    while !client.world.is_stopped() {
        let Some(Incoming::Delivered(delivery)) = connection.receive()? else { continue };
        let tag = delivery.tag;
        record(client, (JOBS, session), 0, &[delivery]);
        let value = format!("{}-{:x}", client.name, client.random.next_u64());
        let body = payload::encode(&value, client.random.index(BODY_BYTES_MAX));
        let step = Step::Enqueue {
            queues: vec![AUDIT.to_owned()],
            value,
            group: None,
            not_before_ms: None,
            unit: Some((JOBS.to_owned(), format!("{session}-{tag}"))),
        };
        let published = client.world.invoke(&client.name, step);
        connection.publish("", AUDIT, &body)?;
        let of = (JOBS, session);
        let settled = settle(client, connection, of, (tag, Settlement::Accept))?;
        connection.commit()?;
        client.world.confirmed(&client.name, published);
        client.world.complete(&client.name, settled, Step::Ok);
    }
    Ok(())
}

fn publish(mut client: Client) {
    let world = Arc::clone(&client.world);
    while let Some(mut connection) = connect(&world) {
        let mut publisher = Publisher::default();
        let ended = publisher.run(&mut client, &mut connection);
        let reason = ended.err().map_or_else(|| "stopped".to_owned(), |error| error.to_string());
        for (_, op) in publisher.pending {
            world.unknown(&client.name, op, &reason);
        }
    }
}

/// Publishes on one connection.
#[derive(Default)]
pub struct Publisher {
    tag_last: u64,
    /// Those without an answer, by their tag.
    pending: VecDeque<(u64, u64)>,
    /// Whether the broker has said that publishing waits.
    pub blocked: bool,
    /// Publishes that were refused.
    pub refused: u64,
}

impl Publisher {
    fn run(&mut self, client: &mut Client, connection: &mut AmqpConnection) -> io::Result<()> {
        connection.set_patience(PATIENCE)?;
        connection.select_confirms()?;
        while !client.world.is_stopped() {
            if !client.world.may_send(1) {
                sleep(PATIENCE);
                continue;
            }
            let bytes = client.random.index(BODY_BYTES_MAX);
            let queues = if client.random.one_in(4) { &[JOBS, AUDIT][..] } else { &[JOBS][..] };
            self.send(client, connection, (queues, bytes))?;
            let window = client.random.index(UNCONFIRMED_MAX);
            while self.pending.len() > window {
                self.take_answer(client, connection)?;
            }
        }
        while !self.pending.is_empty() {
            self.take_answer(client, connection)?;
        }
        Ok(())
    }

    /// Publishes one message of this size into these queues.
    pub fn send(
        &mut self,
        client: &mut Client,
        connection: &mut AmqpConnection,
        (queues, bytes): (&[&str], usize),
    ) -> io::Result<()> {
        let value = format!("{}-{:x}", client.name, client.random.next_u64());
        let body = payload::encode(&value, bytes);
        let step = Step::Enqueue {
            queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
            value,
            group: None,
            not_before_ms: None,
            unit: None,
        };
        let op = client.world.invoke(&client.name, step);
        self.tag_last += 1;
        self.pending.push_back((self.tag_last, op));
        match queues {
            [queue] => connection.publish("", queue, &body),
            _ => connection.publish(BOTH, "", &body),
        }
    }

    /// Takes what the broker says next, if it says something.
    pub fn take_answer(
        &mut self,
        client: &Client,
        connection: &mut AmqpConnection,
    ) -> io::Result<()> {
        match connection.receive()? {
            None => {}
            Some(Incoming::Blocked(blocked)) => self.blocked = blocked,
            Some(Incoming::Delivered(delivery)) => panic!("nothing is consumed: {delivery:?}"),
            Some(Incoming::Confirmed { tag, multiple, refused }) => {
                let is_of = |(of, _): &(u64, u64)| *of == tag || multiple && *of < tag;
                let (answered, pending) = self.pending.drain(..).partition(is_of);
                self.pending = pending;
                for (_, op) in answered {
                    if refused {
                        self.refused += 1;
                        let reason = "basic.nack".to_owned();
                        client.world.complete(&client.name, op, Step::Fail { reason });
                    } else {
                        client.world.confirmed(&client.name, op);
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether every publish was answered.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }
}

/// Consumes from a queue until the world stops.
pub(super) fn consume(mut client: Client, queue: &str, waits: bool) {
    let world = Arc::clone(&client.world);
    while let Some(mut connection) = connect(&world) {
        // An error is a lost connection: the next one goes on.
        drop(consume_some(&mut client, &mut connection, queue, waits));
    }
}

fn consume_some(
    client: &mut Client,
    connection: &mut AmqpConnection,
    queue: &str,
    waits: bool,
) -> io::Result<()> {
    connection.set_patience(PATIENCE)?;
    if waits {
        connection.select_transactions()?;
    }
    client.world.note(&client.name, Step::Attach { queue: queue.to_owned() });
    connection.consume(queue, PREFETCH)?;
    let session = session();
    let mut forgotten = 0;
    while !client.world.is_stopped() && forgotten < FORGOTTEN_MAX {
        let mut deliveries = Vec::new();
        while deliveries.is_empty() || connection.has_more() && deliveries.len() < SETTLED_AT_ONCE {
            match connection.receive()? {
                Some(Incoming::Delivered(delivery)) => deliveries.push(delivery),
                Some(Incoming::Blocked(_)) => {}
                Some(other) => panic!("nothing is published: {other:?}"),
                None => break,
            }
        }
        record(client, (queue, session), 0, &deliveries);
        let mut ops = Vec::new();
        for delivery in &deliveries {
            let settlement = match client.random.below(20) {
                0 => {
                    forgotten += 1;
                    continue;
                }
                1 => Settlement::Release,
                2 => Settlement::Reject,
                _ => Settlement::Accept,
            };
            ops.push(settle(client, connection, (queue, session), (delivery.tag, settlement))?);
        }
        if waits && !ops.is_empty() {
            connection.commit()?;
            ops.iter().for_each(|op| client.world.complete(&client.name, *op, Step::Ok));
        }
    }
    Ok(())
}

/// Tells the tags of one channel from those of others.
fn session() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

fn record(client: &Client, (queue, session): (&str, u64), op: u64, deliveries: &[Delivery]) {
    if deliveries.is_empty() {
        return;
    }
    let shown = |delivery: &Delivery| Delivered {
        value: payload::decode(Some(&delivery.body)),
        token: format!("{session}-{}", delivery.tag),
        count: delivery.count,
        until_ms: None,
    };
    let (queue, at_ms) = (queue.to_owned(), wall_clock().as_millis());
    let deliveries = deliveries.iter().map(shown).collect();
    client.world.complete(&client.name, op, Step::ReceiveOk { queue, at_ms, deliveries });
}

fn settle(
    client: &Client,
    connection: &mut AmqpConnection,
    (queue, session): (&str, u64),
    (tag, outcome): (u64, Settlement),
) -> io::Result<u64> {
    let (queue, token) = (queue.to_owned(), format!("{session}-{tag}"));
    let op = client.world.invoke(&client.name, Step::Settle { queue, token, outcome });
    match outcome {
        Settlement::Accept | Settlement::Extend { .. } => connection.ack(tag)?,
        Settlement::Release => connection.reject(tag, true)?,
        Settlement::Reject => connection.reject(tag, false)?,
    }
    Ok(op)
}

/// Takes messages out of a queue, until so many were taken or there is none; gives how many. Each
/// settlement is waited for.
pub fn take(client: &Client, queue: &str, max: usize) -> io::Result<usize> {
    let mut connection = AmqpConnection::open(&client.world.address())?;
    connection.select_transactions()?;
    let session = session();
    let mut taken = 0;
    let mut ops = Vec::new();
    while taken < max {
        let receive = Step::Receive { queue: queue.to_owned() };
        let op = client.world.invoke(&client.name, receive);
        let Some(delivery) = connection.get(queue)? else {
            let (queue, at_ms) = (queue.to_owned(), wall_clock().as_millis());
            let nothing = Step::ReceiveOk { queue, at_ms, deliveries: Vec::new() };
            client.world.complete(&client.name, op, nothing);
            break;
        };
        let tag = delivery.tag;
        record(client, (queue, session), op, &[delivery]);
        ops.push(settle(client, &mut connection, (queue, session), (tag, Settlement::Accept))?);
        taken += 1;
        if ops.len() == SETTLED_AT_ONCE {
            commit(client, &mut connection, &mut ops)?;
        }
    }
    commit(client, &mut connection, &mut ops)?;
    Ok(taken)
}

fn commit(client: &Client, connection: &mut AmqpConnection, ops: &mut Vec<u64>) -> io::Result<()> {
    connection.commit()?;
    ops.drain(..).for_each(|op| client.world.complete(&client.name, op, Step::Ok));
    Ok(())
}

/// Takes everything out of every queue, and notes that they are empty.
pub fn empty(client: &Client, http_address: &str) {
    empty_all(client, http_address, &ALL);
}

/// The same of these, which are all that there are.
pub(super) fn empty_all(client: &Client, http_address: &str, queues: &[&str]) {
    let started = Instant::now();
    loop {
        let taken: usize = queues
            .iter()
            .map(|queue| take(client, queue, usize::MAX).expect("a broker that is up answers"))
            .sum();
        let held = held(http_address, queues.len());
        if taken == 0 && held.is_empty() {
            break;
        }
        assert!(started.elapsed() < EMPTY_MAX, "the queues do not become empty: {held:?}");
    }
    for queue in queues {
        client.world.note(&client.name, Step::Emptied { queue: (*queue).to_owned() });
    }
}

/// What the metrics say of messages that are there in any state.
fn held(http_address: &str, n_queues: usize) -> Vec<String> {
    let (status, body) = http::get(http_address, "/metrics").expect("an answer");
    assert_eq!(status, 200);
    let text = String::from_utf8_lossy(&body);
    let states = ["ready", "locked", "delayed", "transferring"];
    let names = states.map(|state| format!("tramline_queue_{state}_messages{{"));
    let is_shown = |line: &&str| names.iter().any(|name| line.starts_with(name));
    let shown: Vec<&str> = text.lines().filter(is_shown).collect();
    assert!(shown.len() >= states.len() * n_queues, "queues are missing in the metrics: {text}");
    shown.into_iter().filter(|line| !line.ends_with("} 0")).map(str::to_owned).collect()
}
