//! The load: produce, consume, and end-to-end latency, the same for every broker.

use crate::{connection::Connection, figures::Figures};
use anyhow::{bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use std::time::Duration;
use tokio::time::Instant;
use tramline_record::{BatchBuilder, BatchHeader, Compression};
use tramline_types::{Message, Timestamp};
use tramline_wire::{
    KafkaStr,
    kafka::{
        CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, ListOffsetsRequest, ProduceRequest,
        ProduceResponse, create_topics, decode_response, fetch, list_offsets, produce,
    },
};

const PRODUCE_VERSION: i16 = 9;
pub(crate) const FETCH_VERSION: i16 = 11;

/// What is produced, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Produce {
    pub(crate) partitions: i32,
    /// How many of them one request has a batch for; each connection goes round through all.
    pub(crate) partitions_per_request: i32,
    pub(crate) record_bytes: usize,
    /// Records in one partition's batch of one request.
    pub(crate) batch_records: usize,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    /// Ends after this time or these bytes, whichever comes first.
    pub(crate) time: Duration,
    pub(crate) bytes_max: u64,
}

/// Creates a topic and waits until it has leaders.
pub(crate) async fn create_topic(
    address: &str,
    topic: &str,
    partitions: i32,
    configs: &[(&'static str, &'static str)],
) -> anyhow::Result<()> {
    let mut connection = Connection::connect(address).await?;
    let request = CreateTopicsRequest {
        topics: vec![create_topics::CreatableTopic {
            name: KafkaStr::from(topic.to_owned()),
            num_partitions: partitions,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: configs
                .iter()
                .map(|(name, value)| create_topics::CreatableTopicConfig {
                    name: KafkaStr::from_static(name),
                    value: Some(KafkaStr::from_static(value)),
                })
                .collect(),
        }],
        timeout_ms: 30_000,
        validate_only: false,
    };
    let response = connection.call(&request, 4).await?;
    for result in response.topics {
        ensure!(result.error_code == 0, "create topic: error {}", result.error_code);
    }
    let mut without_leader = 0..partitions;
    for _ in 0..partitions.saturating_add(1000) {
        let Some(partition) = without_leader.clone().next() else { return Ok(()) };
        match end_offset(&mut connection, topic, partition).await {
            Ok(_) => without_leader.start += 1,
            Err(_) => pause(Duration::from_millis(20)).await,
        }
    }
    bail!("topic {topic} has a partition without a leader")
}

/// A number that no other run uses for its topic.
pub(crate) fn unique() -> i64 {
    static NEXT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
    let turn = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    wall_clock().as_millis() * 1000 + turn
}

/// Deletes a topic.
pub(crate) async fn delete_topic(address: &str, topic: &str) -> anyhow::Result<()> {
    let mut connection = Connection::connect(address).await?;
    let request = DeleteTopicsRequest {
        topic_names: vec![KafkaStr::from(topic.to_owned())],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    connection.call(&request, 3).await?;
    Ok(())
}

/// The next offset of a partition.
pub(crate) async fn end_offset(
    connection: &mut Connection,
    topic: &str,
    partition: i32,
) -> anyhow::Result<i64> {
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![list_offsets::ListOffsetsTopic {
            name: KafkaStr::from(topic.to_owned()),
            partitions: vec![list_offsets::ListOffsetsPartition {
                partition_index: partition,
                timestamp: -1,
                ..list_offsets::ListOffsetsPartition::default()
            }],
        }],
        ..ListOffsetsRequest::default()
    };
    let response = connection.call(&request, 2).await?;
    let found = response.topics.first().and_then(|topic| topic.partitions.first());
    match found {
        Some(found) if found.error_code == 0 => Ok(found.offset),
        other => bail!("list offsets: {other:?}"),
    }
}

#[expect(clippy::disallowed_methods, reason = "the load generator runs in real time")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

#[expect(clippy::disallowed_methods, reason = "records carry real time, or brokers refuse them")]
fn wall_clock() -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(0))
}

/// Real time.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// One batch of records whose bodies do not compress.
pub(crate) fn batch(records: usize, record_bytes: usize) -> anyhow::Result<Bytes> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..records {
        let body: Vec<u8> = (0..record_bytes)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        let message = Message { value: Some(Bytes::from(body)), ..Message::default() };
        builder.push(&message, wall_clock());
    }
    Ok(builder.build()?.bytes().clone())
}

fn produce_frame(
    topic: &str,
    indexes: std::ops::Range<i32>,
    records: &Bytes,
) -> anyhow::Result<Vec<Bytes>> {
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![produce::TopicProduceData {
            name: KafkaStr::from(topic.to_owned()),
            partition_data: indexes
                .map(|index| produce::PartitionProduceData {
                    index,
                    records: Some(records.clone()),
                })
                .collect(),
            ..produce::TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    };
    Connection::frame(&request, PRODUCE_VERSION)
}

fn check_produced(frame: Bytes) -> anyhow::Result<()> {
    let (_, response): (_, ProduceResponse) =
        decode_response::<ProduceRequest>(frame, PRODUCE_VERSION)?;
    for partition in response.responses.iter().flat_map(|topic| &topic.partition_responses) {
        ensure!(partition.error_code == 0, "produce: error {}", partition.error_code);
    }
    Ok(())
}

/// Produces from several connections.
pub(crate) async fn produce(address: &str, topic: &str, load: Produce) -> anyhow::Result<Figures> {
    let records = batch(load.batch_records, load.record_bytes)?;
    let step = load.partitions_per_request;
    let firsts = (0..load.partitions).step_by(usize::try_from(step)?);
    let frames = firsts
        .map(|first| produce_frame(topic, first..(first + step).min(load.partitions), &records));
    let frames = frames.collect::<anyhow::Result<Vec<_>>>()?;
    let per_request = load.batch_records * usize::try_from(step)?;
    let payload = u64::try_from(per_request * load.record_bytes)?;
    let quota = load.bytes_max / payload / u64::try_from(load.connections)?;
    let started = instant();
    let runs = try_join_all((0..load.connections).map(|_| async {
        let mut connection = Connection::connect(address).await?;
        let mut sent = std::collections::VecDeque::new();
        let mut micros = Vec::new();
        let mut requests = 0_u64;
        loop {
            let more = started.elapsed() < load.time && requests < quota;
            if more && connection.outstanding() < load.in_flight {
                sent.push_back(instant());
                let turn = usize::try_from(requests)? % frames.len();
                connection.send(&frames[turn]).await?;
                requests += 1;
            } else if connection.outstanding() > 0 {
                check_produced(connection.receive().await?)?;
                if let Some(at) = sent.pop_front() {
                    micros.push(at.elapsed().as_micros());
                }
            } else {
                return anyhow::Ok(micros);
            }
        }
    }))
    .await?;
    let elapsed = started.elapsed();
    let micros: Vec<u128> = runs.into_iter().flatten().collect();
    let requests = u64::try_from(micros.len())?;
    Ok(Figures::new(requests * u64::try_from(per_request)?, requests * payload, elapsed, micros))
}

/// Reads a topic of one partition again and again.
pub(crate) async fn consume_over_and_over(
    address: &str,
    topic: &str,
    time: Duration,
) -> anyhow::Result<Figures> {
    let started = instant();
    let (mut records, mut bytes) = (0, 0);
    while started.elapsed() < time {
        let once = consume(address, topic, 1, time).await?;
        records += once.records;
        bytes += once.bytes;
    }
    Ok(Figures::new(records, bytes, started.elapsed(), Vec::new()))
}

/// Reads a topic's partitions from the beginning to what is there, one connection.
pub(crate) async fn consume(
    address: &str,
    topic: &str,
    partitions: i32,
    time: Duration,
) -> anyhow::Result<Figures> {
    let mut connection = Connection::connect(address).await?;
    let mut positions = Vec::new();
    for partition in 0..partitions {
        positions.push((0_i64, end_offset(&mut connection, topic, partition).await?));
    }
    let started = instant();
    let (mut records, mut bytes) = (0_u64, 0_u64);
    while positions.iter().any(|(at, end)| at < end) && started.elapsed() < time {
        let request = fetch_request(topic, &positions, 500);
        connection.send(&Connection::frame(&request, FETCH_VERSION)?).await?;
        let frame = connection.receive().await?;
        let (_, response) = decode_response::<FetchRequest>(frame, FETCH_VERSION)?;
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            ensure!(data.error_code == 0, "fetch: error {}", data.error_code);
            let pieces = data.records.as_ref().map_or(&[][..], |records| records.pieces());
            for piece in pieces {
                let (count, next) = count_records(piece)?;
                records += count;
                bytes += u64::try_from(piece.len())?;
                if let Some(next) = next {
                    positions[usize::try_from(data.partition_index)?].0 = next;
                }
            }
        }
    }
    Ok(Figures::new(records, bytes, started.elapsed(), Vec::new()))
}

pub(crate) fn fetch_request(topic: &str, positions: &[(i64, i64)], wait_ms: i32) -> FetchRequest {
    let wanted = positions.iter().zip(0..).filter(|((at, end), _)| at < end);
    FetchRequest {
        replica_id: -1,
        max_wait_ms: wait_ms,
        min_bytes: 1,
        max_bytes: 50 << 20,
        topics: vec![fetch::FetchTopic {
            topic: KafkaStr::from(topic.to_owned()),
            partitions: wanted
                .map(|((at, _), partition)| fetch::FetchPartition {
                    partition,
                    fetch_offset: *at,
                    partition_max_bytes: 4 << 20,
                    ..fetch::FetchPartition::default()
                })
                .collect(),
            ..fetch::FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

/// The records and bytes in an answer to a fetch.
pub(crate) fn count_fetched(frame: Bytes) -> anyhow::Result<(u64, u64)> {
    let (_, response) = decode_response::<FetchRequest>(frame, FETCH_VERSION)?;
    let (mut records, mut bytes) = (0, 0);
    for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
        for piece in data.records.as_ref().map_or(&[][..], |records| records.pieces()) {
            records += count_records(piece)?.0;
            bytes += u64::try_from(piece.len())?;
        }
    }
    Ok((records, bytes))
}

/// The records of the whole batches in a run of bytes, and the offset after them.
fn count_records(mut bytes: &[u8]) -> anyhow::Result<(u64, Option<i64>)> {
    let (mut count, mut next) = (0, None);
    while bytes.len() >= tramline_record::HEADER_BYTES {
        let header = BatchHeader::decode(bytes)?;
        let Some(rest) = bytes.get(header.total_bytes()..) else { break };
        count += u64::try_from(header.record_count)?;
        next = Some(header.base_offset + i64::from(header.last_offset_delta) + 1);
        bytes = rest;
    }
    Ok((count, next))
}

/// One record at a time at a fixed rate, and how long until a long-polling consumer has it.
pub(crate) async fn latency(
    address: &str,
    topic: &str,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Figures> {
    let frame = produce_frame(topic, 0..1, &batch(1, 100)?)?;
    let total = usize::try_from(u64::from(rate) * time.as_secs())?;
    let (sent_tx, mut sent_rx) = tokio::sync::mpsc::channel(total + 1);
    let consumer = consume_in_order(address.to_owned(), topic.to_owned(), total);
    let consumer = tokio::spawn(consumer);
    pause(Duration::from_millis(300)).await;
    let mut connection = Connection::connect(address).await?;
    let started = instant();
    let mut ticks = ticks(started, rate, u32::try_from(total)?);
    loop {
        tokio::select! {
            biased;
            due = ticks.recv() => {
                let Some(due) = due else { break };
                // Counted from when it was due: a stalled generator must not hide a stall.
                sent_tx.send(due).await?;
                connection.send(&frame).await?;
            }
            answer = connection.receive(), if connection.outstanding() > 0 => {
                check_produced(answer?)?;
            }
        }
    }
    while connection.outstanding() > 0 {
        check_produced(connection.receive().await?)?;
    }
    let arrivals = consumer.await??;
    drop(sent_tx);
    let mut micros = Vec::with_capacity(total);
    for arrived in arrivals {
        let Some(sent) = sent_rx.recv().await else { break };
        micros.push(arrived.saturating_duration_since(sent).as_micros());
    }
    Ok(Figures::new(u64::try_from(micros.len())?, 0, started.elapsed(), micros))
}

/// Tells when each record is due. From a thread of its own: the runtime's timers are a
/// millisecond coarse, more than what is measured.
#[expect(clippy::disallowed_methods, reason = "the load generator runs in real time")]
fn ticks(started: Instant, rate: u32, total: u32) -> tokio::sync::mpsc::Receiver<Instant> {
    let (tx, rx) = tokio::sync::mpsc::channel(1024);
    std::thread::spawn(move || {
        for n in 0..total {
            let due = started + Duration::from_secs(1) * n / rate;
            std::thread::sleep(due.saturating_duration_since(instant()));
            if tx.blocking_send(due).is_err() {
                return;
            }
        }
    });
    rx
}

/// When each of the first `total` records arrived, by offset.
async fn consume_in_order(
    address: String,
    topic: String,
    total: usize,
) -> anyhow::Result<Vec<Instant>> {
    let mut connection = Connection::connect(&address).await?;
    let mut at = 0;
    let mut arrivals = Vec::with_capacity(total);
    while arrivals.len() < total {
        let request = fetch_request(&topic, &[(at, i64::MAX)], 500);
        connection.send(&Connection::frame(&request, FETCH_VERSION)?).await?;
        let frame = connection.receive().await?;
        let now = instant();
        let (_, response) = decode_response::<FetchRequest>(frame, FETCH_VERSION)?;
        for data in response.responses.iter().flat_map(|topic| &topic.partitions) {
            ensure!(data.error_code == 0, "fetch: error {}", data.error_code);
            for piece in data.records.as_ref().map_or(&[][..], |records| records.pieces()) {
                let (count, next) = count_records(piece)?;
                arrivals.extend((0..count).map(|_| now));
                at = next.unwrap_or(at);
            }
        }
    }
    Ok(arrivals)
}
