//! Clients of one broker, and what tests do with them, each within a limit.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::timeout;

/// What a wait may take.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Makes clients of one broker.
pub struct Clients(pub String);

impl Clients {
    fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.0)
            .set("client.id", "conformance")
            .set("broker.address.family", "v4")
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "200");
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
    }

    pub fn producer(&self, settings: &[(&str, &str)]) -> FutureProducer {
        let base = [("linger.ms", "5"), ("message.timeout.ms", "15000")];
        self.config(&[&base, settings].concat()).create().expect("a producer")
    }

    pub fn consumer(&self, group: &str, settings: &[(&str, &str)]) -> StreamConsumer {
        let base = [
            ("group.id", group),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "300"),
            ("fetch.wait.max.ms", "200"),
            ("fetch.error.backoff.ms", "50"),
        ];
        self.config(&[&base, settings].concat()).create().expect("a consumer")
    }

    /// Reads one partition from an offset, without a group.
    pub fn reader(&self, topic: &str, offset: Offset, settings: &[(&str, &str)]) -> StreamConsumer {
        let consumer = self.consumer("nobody", settings);
        let mut places = TopicPartitionList::new();
        places.add_partition_offset(topic, 0, offset).expect("an offset");
        consumer.assign(&places).expect("an assignment");
        consumer
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config(&[]).create().expect("an administrator")
    }

    pub async fn create_topic(&self, partitions: i32, settings: &[(&str, &str)]) -> String {
        let name = unique();
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let created = self.admin().create_topics([&topic], &AdminOptions::new()).await;
        created.expect("an answer").remove(0).expect("the topic is created");
        name
    }
}

/// A name that no other test uses, for a topic or a group.
pub fn unique() -> String {
    format!("t-{}", &uuid::Uuid::new_v4().to_string()[..13])
}

/// The texts of the numbers from..to.
pub fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

/// Sends values to partition 0 and gives their offsets.
pub async fn send(
    producer: &FutureProducer,
    topic: &str,
    values: &[String],
) -> Result<Vec<i64>, KafkaError> {
    let sent = values.iter().map(|value| {
        producer.send(FutureRecord::<str, _>::to(topic).partition(0).payload(value), LIMIT)
    });
    let sent = timeout(LIMIT, join_all(sent)).await.expect("every message is answered");
    sent.into_iter().map(|one| one.map(|one| one.offset).map_err(|(error, _)| error)).collect()
}

/// The next `count` messages; fewer within the limit panic.
pub async fn read(consumer: &StreamConsumer, count: usize) -> Vec<OwnedMessage> {
    let mut messages = Vec::new();
    let all = async {
        while messages.len() < count {
            messages.push(consumer.recv().await.expect("a message").detach());
        }
    };
    let is_late = timeout(LIMIT, all).await.is_err();
    assert!(!is_late, "{} of {count} messages came", messages.len());
    messages
}

/// Panics when a message comes.
pub async fn read_nothing(consumer: &StreamConsumer) {
    if let Ok(message) = timeout(Duration::from_millis(500), consumer.recv()).await {
        panic!("unexpected: {:?}", message.map(|one| one.offset()));
    }
}

/// The values as texts.
pub fn texts(messages: &[OwnedMessage]) -> Vec<String> {
    let text =
        |one: &OwnedMessage| String::from_utf8_lossy(one.payload().unwrap_or_default()).into();
    messages.iter().map(text).collect()
}

/// Waits for a condition.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + LIMIT;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come to be");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
