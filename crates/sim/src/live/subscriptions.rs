//! Load on subscriptions: Kafka producers into one topic, AMQP 0-9-1 consumers of two subscriptions
//! to it, and the audit that empties both. In the history a record goes to both as to queues.

use crate::live::{
    amqp::AmqpConnection,
    connection::Connection,
    load::{Client, PRODUCE_VERSION, produce_request, wall_clock},
    queues,
    world::World,
};
use crate::{Step, payload};
use bytes::Bytes;
use std::{
    io,
    sync::Arc,
    thread::{JoinHandle, sleep},
    time::Duration,
};
use tramline_record::{BatchBuilder, Compression};
use tramline_store::fs::sim::Random;
use tramline_types::Message;
use tramline_wire_amqp091::Value;

const TOPIC: &str = "orders";
const PARTITIONS: u32 = 3;
/// Every subscription.
const ALL: [&str; 2] = ["billing", "ledger"];
const RECORDS_MAX: u64 = 20;
const BODY_BYTES_MAX: usize = 900;
const PATIENCE: Duration = Duration::from_millis(50);

/// Makes the topic and its subscriptions.
pub fn declare(client: &Client, kafka: &str) {
    let mut connection = Connection::open(kafka).expect("a broker that is ready answers");
    client.create_topic(&mut connection, TOPIC, PARTITIONS, None);
    let mut amqp = AmqpConnection::open(&client.world.address()).expect("and here as well");
    for queue in ALL {
        let step = Step::DeclareQueue {
            queue: queue.to_owned(),
            dead_letter: None,
            ordered_groups: false,
        };
        client.world.invoke(&client.name, step);
        let of_topic = vec![("x-topic", Value::text(TOPIC))];
        amqp.declare(queue, of_topic).expect("a broker that is ready makes subscriptions");
    }
}

/// Starts producers and consumers; they end when the world stops.
pub fn start(world: &Arc<World>, random: &mut Random, kafka: &str) -> Vec<JoinHandle<()>> {
    let mut client = |name: String| {
        let random = Random::new(random.next_u64());
        Client { name, world: Arc::clone(world), random }
    };
    let mut threads = Vec::new();
    for i in 0..2 {
        let (publisher, kafka) = (client(format!("producer-{i}")), kafka.to_owned());
        threads.push(std::thread::spawn(move || publish(publisher, &kafka)));
    }
    for (i, queue) in [ALL[0], ALL[0], ALL[1], ALL[1]].into_iter().enumerate() {
        let consumer = client(format!("worker-{i}"));
        // Some wait for what becomes of their settlements.
        threads.push(std::thread::spawn(move || queues::consume(consumer, queue, i != 1)));
    }
    threads
}

fn publish(mut client: Client, kafka: &str) {
    while !client.world.is_stopped() {
        let Ok(mut connection) = Connection::open(kafka) else {
            sleep(PATIENCE);
            continue;
        };
        while !client.world.is_stopped() && publish_one(&mut client, &mut connection).is_ok() {}
    }
}

/// One batch. What has no answer may be there or not, and is not repeated.
fn publish_one(client: &mut Client, connection: &mut Connection) -> io::Result<()> {
    let records = 1 + client.random.below(RECORDS_MAX);
    if !client.world.may_send(records) {
        sleep(PATIENCE);
        return Ok(());
    }
    let compression = if client.random.one_in(2) { Compression::Lz4 } else { Compression::None };
    let mut builder = BatchBuilder::new(compression);
    let mut ops = Vec::new();
    for _ in 0..records {
        let value = format!("{}-{:x}", client.name, client.random.next_u64());
        let body: Bytes = payload::encode(&value, client.random.index(BODY_BYTES_MAX));
        builder.push(&Message { value: Some(body), ..Message::default() }, wall_clock());
        let queues = ALL.map(str::to_owned).to_vec();
        let step = Step::Enqueue { queues, value, group: None, not_before_ms: None, unit: None };
        ops.push(client.world.invoke(&client.name, step));
    }
    let batch = builder.build().expect("the batch has records and is small");
    let partition = u32::try_from(client.random.below(u64::from(PARTITIONS))).unwrap_or(0);
    let request = produce_request((TOPIC, partition), batch.bytes().clone());
    let answer = connection.call(&request, PRODUCE_VERSION);
    for op in ops {
        match answer.as_ref().map(|it| it.responses[0].partition_responses[0].error_code) {
            Ok(0) => client.world.confirmed(&client.name, op),
            Ok(code) => client.world.unknown(&client.name, op, &format!("error {code}")),
            Err(error) => client.world.unknown(&client.name, op, error),
        }
    }
    answer.map(drop)
}

/// Takes everything out of every subscription, and notes that they are empty.
pub fn empty(client: &Client, http_address: &str) {
    queues::empty_all(client, http_address, &ALL);
}
