//! Load by bare clients: producers with several batches in flight, idempotent ones that repeat
//! what has no known outcome, consumers that commit, and an administrator.

use crate::live::{connection::Connection, world::World};
use crate::{Committed, Step, payload};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    io,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};
use tramline_record::{BatchBuilder, Compression};
use tramline_store::fs::sim::Random;
use tramline_types::{Message, ProducerId, Timestamp};
use tramline_wire::{
    KafkaStr,
    kafka::{
        CreateTopicsRequest, DeleteTopicsRequest, InitProducerIdRequest, OffsetCommitRequest,
        ProduceRequest, create_topics, offset_commit, produce,
    },
};

/// The version of Produce that every client here speaks.
pub const PRODUCE_VERSION: i16 = 7;
const IN_FLIGHT_MAX: usize = 5;
const DUPLICATE_SEQUENCE_NUMBER: i16 = 46;
/// Errors after which nobody knows whether the request was carried out.
const AMBIGUOUS: [i16; 3] = [-1, 7, 13];

/// What to send.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Records of one batch, at most.
    pub records_max: u64,
    /// Bytes of one record, at most; now and then a batch is large all the same.
    pub bytes_max: usize,
    /// One batch in so many is large enough for a segment of its own; 0 for none.
    pub large_one_in: u64,
}

impl Shape {
    /// Small batches, and now and then a large one.
    pub const MIXED: Self = Self { records_max: 20, bytes_max: 600, large_one_in: 60 };
}

/// One client of the history.
pub struct Client {
    /// As the history knows it.
    pub name: String,
    /// What the client acts in.
    pub world: Arc<World>,
    /// Decides what it does.
    pub random: Random,
}

/// A batch and the operations that its records are in the history.
struct Sending {
    topic: String,
    partition: u32,
    request: ProduceRequest,
    ops: Vec<u64>,
}

/// Starts this many producers, half of them idempotent; they end when the world stops.
pub fn produce(
    world: &Arc<World>,
    random: &mut Random,
    count: usize,
    shape: Shape,
) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|i| {
            let seed = random.next_u64();
            let name = format!("producer-{i}-{seed:x}");
            let client = Client { name, world: Arc::clone(world), random: Random::new(seed) };
            std::thread::spawn(move || Producer::new(client, i % 2 == 0, shape).run())
        })
        .collect()
}

struct Producer {
    client: Client,
    idempotent: bool,
    shape: Shape,
    identity: Option<(ProducerId, i16)>,
    sequences: HashMap<(String, u32), i32>,
    /// Sent without a known outcome, in order.
    unsettled: VecDeque<Sending>,
}

impl Producer {
    fn new(client: Client, idempotent: bool, shape: Shape) -> Self {
        let step = Step::Client { ordered: idempotent, may_duplicate: false };
        client.world.note(&client.name, step);
        Self {
            client,
            idempotent,
            shape,
            identity: None,
            sequences: HashMap::new(),
            unsettled: VecDeque::new(),
        }
    }

    fn run(mut self) {
        while let Some(mut connection) = self.client.world.connect() {
            while !self.client.world.is_stopped() {
                if let Err(error) = self.step(&mut connection) {
                    self.lost(&error);
                    break;
                }
                let pause = Duration::from_micros(self.client.random.below(3000));
                std::thread::sleep(pause);
            }
        }
        // What is still unsettled has no completion, which is an unknown outcome.
    }

    fn step(&mut self, connection: &mut Connection) -> io::Result<()> {
        if !self.unsettled.is_empty() {
            return self.retry(connection);
        }
        if self.idempotent && self.identity.is_none() {
            let request =
                InitProducerIdRequest { transaction_timeout_ms: 1000, ..Default::default() };
            let answer = connection.call(&request, 1)?;
            if answer.error_code == 0 {
                self.identity = Some((ProducerId(answer.producer_id), answer.producer_epoch));
                self.sequences.clear();
            }
            return Ok(());
        }
        let count = 1 + self.client.random.index(IN_FLIGHT_MAX);
        for _ in 0..count {
            let Some(sending) = self.prepare() else { break };
            self.unsettled.push_back(sending);
        }
        for sending in &self.unsettled {
            connection.send(&sending.request, PRODUCE_VERSION)?;
        }
        let mut refused = false;
        while !self.unsettled.is_empty() {
            let answer = connection.receive::<ProduceRequest>(PRODUCE_VERSION)?;
            refused |= !self.settle(&answer, false);
        }
        if refused {
            // The sequence has a hole.
            self.identity = None;
        }
        Ok(())
    }

    /// Repeats what has no known outcome, one after the other.
    fn retry(&mut self, connection: &mut Connection) -> io::Result<()> {
        while let Some(sending) = self.unsettled.front() {
            let answer = connection.call(&sending.request, PRODUCE_VERSION)?;
            if !self.settle(&answer, true) {
                self.identity = None;
            }
        }
        Ok(())
    }

    /// Takes an answer to the oldest batch. False when it was refused.
    fn settle(&mut self, answer: &produce::ProduceResponse, again: bool) -> bool {
        let sending = self.unsettled.pop_front().expect("an answer belongs to a batch");
        let answer = &answer.responses[0].partition_responses[0];
        let (client, world) = (&self.client.name, &self.client.world);
        let partition = sending.partition;
        let reason = format!("error {} for {}", answer.error_code, sending.topic);
        for (op, i) in sending.ops.iter().zip(0..) {
            let step = match answer.error_code {
                0 => Step::SendOk { partition, offset: u64::try_from(answer.base_offset + i).ok() },
                DUPLICATE_SEQUENCE_NUMBER => Step::SendOk { partition, offset: None },
                code if again || AMBIGUOUS.contains(&code) => {
                    Step::Unknown { reason: reason.clone() }
                }
                _ => Step::Fail { reason: reason.clone() },
            };
            world.complete(client, *op, step);
        }
        matches!(answer.error_code, 0 | DUPLICATE_SEQUENCE_NUMBER)
    }

    /// The connection is gone, and with it the answers.
    fn lost(&mut self, error: &io::Error) {
        if self.idempotent {
            return;
        }
        for sending in self.unsettled.drain(..) {
            for op in sending.ops {
                self.client.world.unknown(&self.client.name, op, error);
            }
        }
    }

    fn prepare(&mut self) -> Option<Sending> {
        let Client { name, world, random } = &mut self.client;
        let large = self.shape.large_one_in > 0 && random.one_in(self.shape.large_one_in);
        let records = if large { 5 } else { 1 + random.below(self.shape.records_max) };
        if !world.may_send(records) {
            return None;
        }
        let (topic, partition) = world.pick(random)?;
        let compression = if random.one_in(5) { Compression::Lz4 } else { Compression::None };
        let mut builder = BatchBuilder::new(compression);
        if let Some((id, epoch)) = self.identity {
            let sequence = self.sequences.entry((topic.clone(), partition)).or_default();
            builder = builder.with_producer(id, epoch, *sequence);
            *sequence += i32::try_from(records).expect("a handful");
        }
        let mut ops = Vec::new();
        for _ in 0..records {
            let value = format!("{name}-{:x}", random.next_u64());
            let bytes = if large { 70_000 } else { random.index(self.shape.bytes_max) };
            let body = payload::encode(&value, bytes);
            builder.push(&Message { value: Some(body), ..Message::default() }, wall_clock());
            let topic = topic.clone();
            ops.push(world.invoke(name, Step::Send { topic, partition: Some(partition), value }));
        }
        let batch = builder.build().expect("the batch has records and is small");
        let request = produce_request((&topic, partition), batch.bytes().clone());
        Some(Sending { topic, partition, request, ops })
    }
}

/// A request with one batch for one partition.
pub fn produce_request((topic, partition): (&str, u32), records: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![produce::TopicProduceData {
            name: KafkaStr::from(topic.to_owned()),
            partition_data: vec![produce::PartitionProduceData {
                index: i32::try_from(partition).expect("a partition's index"),
                records: Some(records),
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// The time of day.
pub fn wall_clock() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = now.expect("it is after 1970").as_millis();
    Timestamp::from_millis(i64::try_from(millis).expect("it is before the year 292 million"))
}

impl Client {
    /// Creates a topic; the broker must be up, the outcome is recorded.
    pub fn create_topic(
        &self,
        connection: &mut Connection,
        topic: &str,
        partitions: u32,
        retention_bytes: Option<u64>,
    ) {
        let bytes = retention_bytes.map(|bytes| bytes.to_string());
        let setting = bytes.as_ref().map(|bytes| ("retention.bytes", bytes.as_str()));
        self.create_topic_with(connection, topic, partitions, setting.as_slice());
    }

    /// The same, with any settings.
    pub fn create_topic_with(
        &self,
        connection: &mut Connection,
        topic: &str,
        partitions: u32,
        settings: &[(&str, &str)],
    ) {
        let configs = settings.iter().map(|(name, value)| create_topics::CreatableTopicConfig {
            name: KafkaStr::from((*name).to_owned()),
            value: Some(KafkaStr::from((*value).to_owned())),
        });
        let request = CreateTopicsRequest {
            topics: vec![create_topics::CreatableTopic {
                name: KafkaStr::from(topic.to_owned()),
                num_partitions: i32::try_from(partitions).expect("a handful"),
                replication_factor: 1,
                assignments: Vec::new(),
                configs: configs.collect(),
            }],
            timeout_ms: 10_000,
            validate_only: false,
        };
        let step = Step::CreateTopic {
            topic: topic.to_owned(),
            partitions,
            retention: settings.iter().any(|(name, _)| name.starts_with("retention.")),
        };
        let op = self.world.invoke(&self.name, step);
        let answer = connection.call(&request, 4).map(|answer| answer.topics[0].error_code);
        if self.completed(op, answer) {
            self.world.add_topic(topic, partitions);
        }
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, connection: &mut Connection, topic: &str) -> bool {
        self.world.remove_topic(topic);
        let op = self.world.invoke(&self.name, Step::DeleteTopic { topic: topic.to_owned() });
        let request = DeleteTopicsRequest {
            topic_names: vec![KafkaStr::from(topic.to_owned())],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let answer = connection.call(&request, 3).map(|answer| answer.responses[0].error_code);
        self.completed(op, answer)
    }

    /// Commits a group's offset. The error is the connection's.
    pub fn commit(
        &self,
        connection: &mut Connection,
        group: &str,
        place: (&str, u32),
        offset: u64,
    ) -> io::Result<()> {
        let (topic, partition) = place;
        let offsets = vec![Committed { topic: topic.to_owned(), partition, offset }];
        let op = self.world.invoke(&self.name, Step::Commit { group: group.to_owned(), offsets });
        let request = OffsetCommitRequest {
            group_id: KafkaStr::from(group.to_owned()),
            generation_id_or_member_epoch: -1,
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: KafkaStr::from(topic.to_owned()),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    partition_index: i32::try_from(partition).expect("a partition's index"),
                    committed_offset: i64::try_from(offset).expect("an offset"),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = connection.call(&request, 7);
        let lost = answer.as_ref().err().map(|error| io::Error::from(error.kind()));
        self.completed(op, answer.map(|answer| answer.topics[0].partitions[0].error_code));
        lost.map_or(Ok(()), Err)
    }

    /// Records how an operation without a result ended; true when it succeeded.
    pub(crate) fn completed(&self, op: u64, answer: io::Result<i16>) -> bool {
        let step = match answer {
            Ok(0) => Step::Ok,
            Ok(code) if AMBIGUOUS.contains(&code) => {
                Step::Unknown { reason: format!("error {code}") }
            }
            Ok(code) => Step::Fail { reason: format!("error {code}") },
            Err(error) => Step::Unknown { reason: error.to_string() },
        };
        let succeeded = step == Step::Ok;
        self.world.complete(&self.name, op, step);
        succeeded
    }
}
