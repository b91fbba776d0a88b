//! Reading: consumers under load, and the audit that reads everything.

use crate::live::{connection::Connection, load::Client, world::World};
use crate::{End, Read, Step, TopicSeen, payload};
use std::{io, sync::Arc, thread::JoinHandle, time::Duration};
use tramline_record::Batch;
use tramline_store::fs::sim::Random;
use tramline_wire::{
    KafkaStr,
    kafka::{
        FetchRequest, ListOffsetsRequest, MetadataRequest, OffsetFetchRequest, fetch, list_offsets,
        offset_fetch,
    },
};

const FETCH_VERSION: i16 = 11;
const OPENED_BYTES_MAX: usize = 16 * 1024 * 1024;
const OFFSET_OUT_OF_RANGE: i16 = 1;
const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
/// The groups that consumers commit for.
pub const GROUPS: [&str; 2] = ["group-a", "group-b"];

/// What one poll showed.
#[derive(Debug, PartialEq, Eq)]
pub enum Polled {
    /// Records, or nothing yet.
    Moved,
    /// Nothing above the position, which is the high watermark.
    End,
    /// The position lies outside of the log.
    OutOfRange,
    /// There is no such topic.
    Gone,
    /// The broker says that it cannot read this: an error code.
    Refused(i16),
}

/// A partition that a client reads.
pub struct Assigned {
    topic: String,
    partition: u32,
    /// The next offset.
    pub position: u64,
}

impl Assigned {
    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

/// Starts this many consumers; they end when the world stops.
pub fn consume(world: &Arc<World>, random: &mut Random, count: usize) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|i| {
            let seed = random.next_u64();
            let name = format!("consumer-{i}-{seed:x}");
            let mut client = Client { name, world: Arc::clone(world), random: Random::new(seed) };
            std::thread::spawn(move || {
                while let Some(mut connection) = client.world.connect() {
                    // An error is a lost connection: the next one goes on.
                    while !client.world.is_stopped() && client.consume(&mut connection).is_ok() {}
                }
            })
        })
        .collect()
}

impl Client {
    /// Reads one partition for a while, commits, and looks at what was committed.
    fn consume(&mut self, connection: &mut Connection) -> io::Result<()> {
        let Some((topic, partition)) = self.world.pick(&mut self.random) else {
            std::thread::sleep(Duration::from_millis(5));
            return Ok(());
        };
        let Some(end) = self.ends(connection, &topic, partition)? else { return Ok(()) };
        let from = end.start + self.random.below(end.next - end.start + 1);
        let mut assigned = self.assign(&topic, partition, from);
        for _ in 0..self.random.below(5) {
            if self.poll(connection, &mut assigned)? != Polled::Moved {
                break;
            }
        }
        let group = GROUPS[self.random.index(GROUPS.len())];
        self.commit(connection, group, (&topic, partition), assigned.position)?;
        self.fetch_committed(connection, group, &topic, partition).map(|_| ())
    }

    /// Looks at both ends; none when the topic is gone.
    pub fn ends(
        &self,
        connection: &mut Connection,
        topic: &str,
        partition: u32,
    ) -> io::Result<Option<End>> {
        let op = self.world.invoke(&self.name, Step::Ends { topic: topic.to_owned(), partition });
        let mut look_up = |timestamp| {
            let request = ListOffsetsRequest {
                replica_id: -1,
                topics: vec![list_offsets::ListOffsetsTopic {
                    name: KafkaStr::from(topic.to_owned()),
                    partitions: vec![list_offsets::ListOffsetsPartition {
                        partition_index: i32::try_from(partition).expect("a partition's index"),
                        timestamp,
                        ..Default::default()
                    }],
                }],
                ..Default::default()
            };
            let answer = connection.call(&request, 5)?;
            let answer = &answer.topics[0].partitions[0];
            io::Result::Ok(u64::try_from(answer.offset).ok().filter(|_| answer.error_code == 0))
        };
        let looked_up = look_up(-2).and_then(|start| Ok((start, look_up(-1)?)));
        match looked_up {
            Ok((Some(start), Some(next))) => {
                let end = End { start, next };
                self.world.complete(&self.name, op, Step::EndsOk(end));
                Ok(Some(end))
            }
            Ok(_) => {
                self.world.unknown(&self.name, op, &"an error code");
                Ok(None)
            }
            Err(error) => {
                self.world.unknown(&self.name, op, &error);
                Err(error)
            }
        }
    }

    /// Begins to read a partition.
    pub fn assign(&self, topic: &str, partition: u32, position: u64) -> Assigned {
        let topic = topic.to_owned();
        let step = Step::Assign { topic: topic.clone(), partition, offset: Some(position) };
        self.world.note(&self.name, step);
        Assigned { topic, partition, position }
    }

    /// Fetches once.
    pub fn poll(&self, connection: &mut Connection, assigned: &mut Assigned) -> io::Result<Polled> {
        let op = self.world.invoke(&self.name, Step::Poll);
        let fetched =
            fetch_once(connection, (&assigned.topic, assigned.partition), assigned.position);
        let answer = match fetched {
            Ok(answer) => answer,
            Err(error) => {
                self.world.unknown(&self.name, op, &error);
                return Err(error);
            }
        };
        let code = answer.error_code;
        if code != 0 {
            self.world.complete(&self.name, op, Step::Fail { reason: format!("error {code}") });
            return Ok(match code {
                OFFSET_OUT_OF_RANGE => Polled::OutOfRange,
                UNKNOWN_TOPIC_OR_PARTITION => Polled::Gone,
                code => Polled::Refused(code),
            });
        }
        let records = open(&answer, assigned);
        let high_watermark = u64::try_from(answer.high_watermark).unwrap_or(0);
        let at_end = records.is_empty() && high_watermark == assigned.position;
        if let Some(last) = records.last() {
            assigned.position = last.offset + 1;
        }
        self.world.complete(&self.name, op, Step::PollOk { records });
        Ok(if at_end { Polled::End } else { Polled::Moved })
    }

    /// Looks at a group's committed offset; nothing where the broker answers with an error.
    pub fn fetch_committed(
        &self,
        connection: &mut Connection,
        group: &str,
        topic: &str,
        partition: u32,
    ) -> io::Result<Option<Option<u64>>> {
        let step =
            Step::FetchCommitted { group: group.to_owned(), topic: topic.to_owned(), partition };
        let op = self.world.invoke(&self.name, step);
        let request = OffsetFetchRequest {
            group_id: KafkaStr::from(group.to_owned()),
            topics: Some(vec![offset_fetch::OffsetFetchRequestTopic {
                name: KafkaStr::from(topic.to_owned()),
                partition_indexes: vec![i32::try_from(partition).expect("a partition's index")],
            }]),
            ..Default::default()
        };
        match connection.call(&request, 5) {
            Ok(answer) => {
                // An error of the group comes without topics.
                let place = answer.topics.first().and_then(|topic| topic.partitions.first());
                let code = place.map_or(answer.error_code, |place| place.error_code);
                let committed = place
                    .filter(|_| code == 0)
                    .map(|place| u64::try_from(place.committed_offset).ok());
                let step = match committed {
                    Some(offset) => Step::FetchCommittedOk { offset },
                    None => Step::Fail { reason: format!("error {code}") },
                };
                self.world.complete(&self.name, op, step);
                Ok(committed)
            }
            Err(error) => {
                self.world.unknown(&self.name, op, &error);
                Err(error)
            }
        }
    }

    /// Looks at all topics.
    pub fn list(&self, connection: &mut Connection) -> io::Result<()> {
        let op = self.world.invoke(&self.name, Step::ListTopics);
        let request = MetadataRequest {
            topics: None,
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let answer = connection.call(&request, 8)?;
        let topics = answer.topics.iter().map(|topic| TopicSeen {
            topic: topic.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            partitions: u32::try_from(topic.partitions.len()).expect("a handful"),
            settings: Default::default(),
        });
        // A read-only view comes and goes with its topic.
        let ours =
            |seen: &TopicSeen| self.world.has(&seen.topic) && !seen.topic.ends_with(".ordered");
        let step = Step::ListTopicsOk { topics: topics.filter(ours).collect() };
        self.world.complete(&self.name, op, step);
        Ok(())
    }

    /// Reads one partition to its end; gives back whether it could.
    pub fn drain(
        &self,
        connection: &mut Connection,
        topic: &str,
        partition: u32,
    ) -> io::Result<Result<(), Polled>> {
        loop {
            let Some(end) = self.ends(connection, topic, partition)? else {
                return Ok(Err(Polled::Gone));
            };
            let mut assigned = self.assign(topic, partition, end.start);
            loop {
                match self.poll(connection, &mut assigned)? {
                    Polled::Moved => {}
                    Polled::OutOfRange => break,
                    Polled::End => {
                        let (topic, next) = (topic.to_owned(), assigned.position);
                        let step = Step::Drained { topic, partition, next };
                        self.world.note(&self.name, step);
                        return Ok(Ok(()));
                    }
                    other => return Ok(Err(other)),
                }
            }
        }
    }

    /// Reads everything: topics, committed offsets, every partition to its end. Must succeed.
    pub fn audit(&self, only: impl Fn(&str) -> bool) {
        let mut connection = self.world.must_connect();
        let audited = self.try_audit(&mut connection, only);
        audited.unwrap_or_else(|error| panic!("the audit was cut off: {error}"));
    }

    fn try_audit(
        &self,
        connection: &mut Connection,
        only: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        self.list(connection)?;
        for (topic, partitions) in self.world.topics() {
            for partition in 0..partitions {
                for group in GROUPS {
                    self.fetch_committed(connection, group, &topic, partition)?;
                }
                if only(&topic) {
                    let drained = self.drain(connection, &topic, partition)?;
                    assert_eq!(drained, Ok(()), "`{topic}`/{partition} cannot be read");
                }
            }
        }
        Ok(())
    }
}

/// Asks for what lies at this offset.
pub fn fetch_once(
    connection: &mut Connection,
    (topic, partition): (&str, u32),
    offset: u64,
) -> io::Result<fetch::PartitionData> {
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: 50,
        min_bytes: 1,
        max_bytes: 4 * 1024 * 1024,
        session_epoch: -1,
        topics: vec![fetch::FetchTopic {
            topic: KafkaStr::from(topic.to_owned()),
            partitions: vec![fetch::FetchPartition {
                partition: i32::try_from(partition).expect("a partition's index"),
                fetch_offset: i64::try_from(offset).expect("an offset"),
                partition_max_bytes: 2 * 1024 * 1024,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut answer = connection.call(&request, FETCH_VERSION)?;
    Ok(answer.responses.swap_remove(0).partitions.swap_remove(0))
}

/// All that a partition holds, unrecorded: each batch's base offset and its records.
pub fn read_all(
    connection: &mut Connection,
    place: (&str, u32),
) -> io::Result<Vec<(u64, tramline_record::Record)>> {
    let mut all: Vec<(u64, tramline_record::Record)> = Vec::new();
    let mut offset = 0;
    loop {
        let answer = fetch_once(connection, place, offset)?;
        match answer.error_code {
            0 => {}
            OFFSET_OUT_OF_RANGE
                if u64::try_from(answer.log_start_offset).is_ok_and(|start| start > offset) =>
            {
                offset = u64::try_from(answer.log_start_offset).expect("it was just looked at");
                continue;
            }
            code => {
                return Err(io::Error::other(format!("`{}`/{}: error {code}", place.0, place.1)));
            }
        }
        if u64::try_from(answer.high_watermark).is_ok_and(|end| end <= offset) {
            return Ok(all);
        }
        let mut rest =
            answer.records.as_ref().map(|records| records.to_bytes()).unwrap_or_default();
        while let Some(batch) = Batch::decode_first(&mut rest).map_err(io::Error::other)? {
            let header = batch.header();
            let at = |delta: i32| u64::try_from(header.base_offset + i64::from(delta)).unwrap_or(0);
            let next = at(header.last_offset_delta) + 1;
            let records = batch.records(OPENED_BYTES_MAX).map_err(io::Error::other)?;
            let records = records.into_iter().map(|record| (at(record.offset_delta), record));
            all.extend(records.filter(|(at, _)| *at >= offset));
            offset = offset.max(next);
        }
    }
}

/// Every record at or above the position. Batches are checked whole, with their CRC.
fn open(answer: &fetch::PartitionData, assigned: &Assigned) -> Vec<Read> {
    let mut rest = answer.records.as_ref().map(|records| records.to_bytes()).unwrap_or_default();
    let mut reads = Vec::new();
    loop {
        let batch = match Batch::decode_first(&mut rest) {
            Ok(Some(batch)) => batch,
            Ok(None) => return reads,
            Err(error) => panic!("a wrong batch was read: {error}"),
        };
        let base = batch.header().base_offset;
        let records = batch.records(OPENED_BYTES_MAX).expect("the batch passed its CRC");
        for record in records {
            let offset = u64::try_from(base + i64::from(record.offset_delta)).expect("an offset");
            assert!(
                answer.high_watermark > base + i64::from(record.offset_delta),
                "offset {offset} is read above the high watermark {}",
                answer.high_watermark
            );
            if offset >= assigned.position {
                reads.push(Read {
                    topic: assigned.topic.clone(),
                    partition: assigned.partition,
                    offset,
                    value: payload::decode(record.value.as_deref()),
                });
            }
        }
    }
}
