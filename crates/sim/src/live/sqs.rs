//! Load on queues by bare SQS clients (AWS JSON): senders that repeat what has no known outcome
//! under the same deduplication id, receivers that delete, release and forget, and the audit.
//!
//! A deletion counts as certain only where its answer came within the lock that the receive took,
//! and on the same connection: SQS answers it alike when nothing is deleted.

use crate::live::{
    load::{Client, wall_clock},
    world::World,
};
use crate::{Delivered, Settlement, Step};
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};
use tramline_store::fs::sim::Random;

/// Keeps the order of groups, and tells repeats.
pub const ORDERS: &str = "orders.fifo";
const JOBS: &str = "jobs";
const ALL: [&str; 2] = [ORDERS, JOBS];
/// Seconds for which a received message is hidden.
const HIDDEN: i64 = 3;
/// Times are kept in whole milliseconds, and a start of the broker rounds its clock to one.
const ROUNDED_MS: i64 = 2;
const ANSWER_MAX: Duration = Duration::from_secs(20);
const EMPTY_MAX: Duration = Duration::from_secs(120);

/// One connection, with one request at a time.
pub struct SqsConnection {
    stream: BufReader<TcpStream>,
}

impl SqsConnection {
    /// Connects.
    ///
    /// # Errors
    /// The socket's.
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Calls an action; the status and the answer.
    ///
    /// # Errors
    /// The socket's, and where the answer is none.
    pub fn call(&mut self, action: &str, body: &Value) -> io::Result<(u16, Value)> {
        let body = body.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.0\r\n\
             X-Amz-Target: AmazonSQS.{action}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if status.is_none() {
                status = Some(line.get(9..12).and_then(|s| s.parse().ok()).ok_or_else(wrong)?);
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| wrong())?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut text = vec![0; length];
        self.stream.read_exact(&mut text)?;
        let answer = if text.is_empty() { Value::Null } else { serde_json::from_slice(&text)? };
        Ok((status.ok_or_else(wrong)?, answer))
    }

    /// Calls an action that must succeed.
    ///
    /// # Errors
    /// The socket's, and a refusal.
    fn done(&mut self, action: &str, body: &Value) -> io::Result<Value> {
        match self.call(action, body)? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(io::Error::other(format!("{action}: {status}: {answer}"))),
        }
    }
}

fn url(queue: &str) -> String {
    format!("http://localhost/000000000000/{queue}")
}

/// Makes the queues.
pub fn declare(client: &Client) {
    let mut connection = SqsConnection::open(&client.world.address()).expect("the broker is up");
    for queue in ALL {
        let ordered_groups = queue == ORDERS;
        let attributes = if ordered_groups { json!({ "FifoQueue": "true" }) } else { json!({}) };
        let create = json!({ "QueueName": queue, "Attributes": attributes });
        let queue = queue.to_owned();
        let step = Step::DeclareQueue { queue, dead_letter: None, ordered_groups };
        client.world.invoke(&client.name, step);
        connection.done("CreateQueue", &create).expect("a broker that is ready makes queues");
    }
}

/// Starts senders and receivers; they end when the world stops.
pub fn start(world: &Arc<World>, random: &mut Random) -> Vec<JoinHandle<()>> {
    let mut client = |name: String| {
        let random = Random::new(random.next_u64());
        Client { name, world: Arc::clone(world), random }
    };
    let mut threads = Vec::new();
    for (i, queue) in [ORDERS, ORDERS, JOBS].into_iter().enumerate() {
        let sender = client(format!("sender-{i}"));
        threads.push(std::thread::spawn(move || send(sender, queue)));
    }
    for (i, queue) in [ORDERS, ORDERS, JOBS, JOBS].into_iter().enumerate() {
        let receiver = client(format!("receiver-{i}"));
        threads.push(std::thread::spawn(move || receive(receiver, queue)));
    }
    threads
}

fn connect(world: &World) -> Option<SqsConnection> {
    while !world.is_stopped() {
        match SqsConnection::open(&world.address()) {
            Ok(connection) => return Some(connection),
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
    None
}

/// A message that was invoked, and has no answer yet.
struct Pending {
    op: u64,
    request: Value,
}

fn send(mut client: Client, queue: &str) {
    let world = Arc::clone(&client.world);
    let mut pending: Option<Pending> = None;
    while let Some(mut connection) = connect(&world) {
        let ended = send_some(&mut client, &mut connection, queue, &mut pending);
        if let Err(error) = ended
            && queue != ORDERS
            && let Some(Pending { op, .. }) = pending.take()
        {
            // Nothing tells repeats here.
            world.unknown(&client.name, op, &error);
        }
    }
    if let Some(Pending { op, .. }) = pending {
        world.unknown(&client.name, op, &"stopped");
    }
}

fn send_some(
    client: &mut Client,
    connection: &mut SqsConnection,
    queue: &str,
    pending: &mut Option<Pending>,
) -> io::Result<()> {
    while !client.world.is_stopped() || pending.is_some() {
        if pending.is_none() && !client.world.may_send(1) {
            sleep(Duration::from_millis(20));
            continue;
        }
        let sending = pending.take().unwrap_or_else(|| invoke(client, queue));
        let answer = connection.done("SendMessage", &sending.request);
        match answer {
            Ok(_) => client.world.confirmed(&client.name, sending.op),
            Err(error) => {
                *pending = Some(sending);
                return Err(error);
            }
        }
    }
    Ok(())
}

fn invoke(client: &mut Client, queue: &str) -> Pending {
    let value = format!("{}-{:x}", client.name, client.random.next_u64());
    // Groups are a sender's own: what one sends is in the order in which it was answered.
    let group = format!("{}-{}", client.name, client.random.below(3));
    let mut request =
        json!({ "QueueUrl": url(queue), "MessageBody": value, "MessageGroupId": group });
    let is_ordered = queue == ORDERS;
    if is_ordered {
        request["MessageDeduplicationId"] = json!(value);
    }
    let (queues, group) = (vec![queue.to_owned()], is_ordered.then_some(group));
    let step = Step::Enqueue { queues, value, group, not_before_ms: None, unit: None };
    Pending { op: client.world.invoke(&client.name, step), request }
}

fn receive(mut client: Client, queue: &str) {
    let world = Arc::clone(&client.world);
    while let Some(mut connection) = connect(&world) {
        while !world.is_stopped() {
            // An error is a lost connection: the next one goes on.
            if receive_once(&mut client, &mut connection, queue, true).is_err() {
                break;
            }
        }
    }
}

/// Receives and ends what came; gives how many.
fn receive_once(
    client: &mut Client,
    connection: &mut SqsConnection,
    queue: &str,
    careless: bool,
) -> io::Result<usize> {
    let begun_ms = wall_clock().as_millis();
    let step = Step::Receive { queue: queue.to_owned() };
    let op = client.world.invoke(&client.name, step);
    let request = json!({
        "QueueUrl": url(queue), "MaxNumberOfMessages": 10, "WaitTimeSeconds": 1,
        "VisibilityTimeout": HIDDEN, "AttributeNames": ["ApproximateReceiveCount"],
    });
    let answer = match connection.done("ReceiveMessage", &request) {
        Ok(answer) => answer,
        Err(error) => {
            client.world.unknown(&client.name, op, &error);
            return Err(error);
        }
    };
    let (at_ms, until_ms) = (wall_clock().as_millis(), begun_ms + HIDDEN * 1000 - ROUNDED_MS);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let delivered = |message: &Value| Delivered {
        value: text(&message["Body"]),
        token: text(&message["ReceiptHandle"]),
        count: text(&message["Attributes"]["ApproximateReceiveCount"]).parse().ok(),
        until_ms: Some(until_ms),
    };
    let messages = answer["Messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let deliveries: Vec<Delivered> = messages.iter().map(delivered).collect();
    let tokens: Vec<String> = deliveries.iter().map(|of| of.token.clone()).collect();
    let (name, queue_name) = (client.name.clone(), queue.to_owned());
    client.world.complete(&name, op, Step::ReceiveOk { queue: queue_name, at_ms, deliveries });
    for token in &tokens {
        let outcome = match client.random.below(20) {
            0 if careless => continue,
            1 if careless => Settlement::Release,
            _ => Settlement::Accept,
        };
        settle(client, connection, (queue, token, until_ms), outcome)?;
    }
    Ok(tokens.len())
}

fn settle(
    client: &Client,
    connection: &mut SqsConnection,
    (queue, token, until_ms): (&str, &str, i64),
    outcome: Settlement,
) -> io::Result<()> {
    let (name, world) = (&client.name, &client.world);
    let step = Step::Settle { queue: queue.to_owned(), token: token.to_owned(), outcome };
    let op = world.invoke(name, step);
    let mut request = json!({ "QueueUrl": url(queue), "ReceiptHandle": token });
    let action = if outcome == Settlement::Release {
        request["VisibilityTimeout"] = json!(0);
        "ChangeMessageVisibility"
    } else {
        "DeleteMessage"
    };
    match connection.call(action, &request) {
        Ok((200, _)) if wall_clock().as_millis() < until_ms => world.complete(name, op, Step::Ok),
        Ok((200, _)) => world.unknown(name, op, &"answered after the lock's end"),
        Ok((status, answer)) => world.unknown(name, op, &format!("{status}: {answer}")),
        Err(error) => {
            world.unknown(name, op, &error);
            return Err(error);
        }
    }
    Ok(())
}

/// Takes everything out of every queue, and notes that they are empty.
///
/// # Panics
/// When the broker does not answer, or the queues do not become empty.
pub fn empty(client: &mut Client) {
    let mut connection = SqsConnection::open(&client.world.address()).expect("the broker is up");
    let started = Instant::now();
    for queue in ALL {
        loop {
            let taken = receive_once(client, &mut connection, queue, false);
            let taken = taken.expect("a broker that is up answers");
            if taken == 0 && held(&mut connection, queue) == 0 {
                break;
            }
            assert!(started.elapsed() < EMPTY_MAX, "`{queue}` does not become empty");
        }
        client.world.note(&client.name, Step::Emptied { queue: queue.to_owned() });
    }
}

/// How many messages a queue has, in any state.
fn held(connection: &mut SqsConnection, queue: &str) -> u64 {
    let request = json!({ "QueueUrl": url(queue), "AttributeNames": ["All"] });
    let answer = connection.done("GetQueueAttributes", &request).expect("an answer");
    let states = ["", "NotVisible", "Delayed"];
    let names = states.map(|state| format!("ApproximateNumberOfMessages{state}"));
    let count = |name: &String| answer["Attributes"][name].as_str()?.parse::<u64>().ok();
    names.iter().map(|name| count(name).expect("a number")).sum()
}
