//! A broker that does nothing: answers Produce with success and Fetch with the same bytes for
//! ever. What the load generator reaches against it is the generator's own ceiling.

use crate::{connection::Connection, load};
use bytes::{Buf, Bytes, BytesMut};
use std::{io, thread};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tramline_wire::{
    KafkaStr,
    kafka::{
        ApiKey, ApiVersionsResponse, FetchRequest, FetchResponse, ProduceRequest, ProduceResponse,
        Records, decode_request, encode_response, fetch, peek_request_header, produce,
    },
};

/// Serves each connection by a thread, on a free port, until the process ends; gives the address.
pub(crate) fn serve_each(
    connection: impl Fn(std::net::TcpStream) -> io::Result<()> + Copy + Send + 'static,
) -> anyhow::Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is the normal end.
            thread::spawn(move || connection(stream));
        }
    });
    Ok(address)
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let records = load::batch(4096, 1024)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let records = records.clone();
        tokio::spawn(async move {
            // A client that goes away is the normal end.
            let _gone = connection(stream, records).await;
        });
    }
}

async fn connection(mut stream: TcpStream, records: Bytes) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::with_capacity(4 << 20);
    let mut topic_partitions = None;
    loop {
        while let Some((size, _)) = received.split_first_chunk::<4>() {
            let size = usize::try_from(i32::from_be_bytes(*size))?;
            if received.len() < 4 + size {
                received.reserve(4 + size - received.len());
                break;
            }
            received.advance(4);
            let frame = received.split_to(size).freeze();
            for chunk in answer(frame, &records, &mut topic_partitions)? {
                stream.write_all(&chunk).await?;
            }
        }
        received.reserve(64 << 10);
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
}

type Shape = Option<(KafkaStr, Vec<i32>)>;

fn answer(frame: Bytes, records: &Bytes, shape: &mut Shape) -> anyhow::Result<Vec<Bytes>> {
    let peek = peek_request_header(&frame)?;
    let (key, version) = (ApiKey::from_code(peek.api_key)?, peek.api_version);
    let id = peek.correlation_id;
    match key {
        ApiKey::Produce => {
            if shape.is_none() {
                let (_, request) = decode_request::<ProduceRequest>(frame)?;
                let topic = request.topic_data.first().map(|topic| {
                    let indexes = topic.partition_data.iter().map(|data| data.index).collect();
                    (topic.name.clone(), indexes)
                });
                *shape = topic;
            }
            Ok(encode_response(&produced(shape), key, version, id)?)
        }
        ApiKey::Fetch => {
            let (_, request) = decode_request::<FetchRequest>(frame)?;
            Ok(encode_response(&fetched(&request, records), key, version, id)?)
        }
        ApiKey::ApiVersions => {
            Ok(encode_response(&ApiVersionsResponse::default(), key, version, id)?)
        }
        other => anyhow::bail!("the sink knows Produce and Fetch, not {other:?}"),
    }
}

fn produced(shape: &Shape) -> ProduceResponse {
    let responses = shape.iter().map(|(name, indexes)| produce::TopicProduceResponse {
        name: name.clone(),
        partition_responses: indexes
            .iter()
            .map(|index| produce::PartitionProduceResponse {
                index: *index,
                ..produce::PartitionProduceResponse::default()
            })
            .collect(),
        ..produce::TopicProduceResponse::default()
    });
    ProduceResponse { responses: responses.collect(), ..ProduceResponse::default() }
}

fn fetched(request: &FetchRequest, records: &Bytes) -> FetchResponse {
    let responses = request.topics.iter().map(|topic| fetch::FetchableTopicResponse {
        topic: topic.topic.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| fetch::PartitionData {
                partition_index: partition.partition,
                high_watermark: i64::MAX,
                records: Some(Records::from(records.clone())),
                ..fetch::PartitionData::default()
            })
            .collect(),
        ..fetch::FetchableTopicResponse::default()
    });
    FetchResponse { responses: responses.collect(), ..FetchResponse::default() }
}

/// How fast the generator fetches from a sink: records and bytes per second.
pub(crate) async fn fetch_ceiling(
    address: &str,
    time: std::time::Duration,
) -> anyhow::Result<crate::figures::Figures> {
    let mut connection = Connection::connect(address).await?;
    let request = load::fetch_request("sink", &[(0, i64::MAX)], 500);
    let frame = Connection::frame(&request, load::FETCH_VERSION)?;
    let started = load::instant();
    let (mut records, mut bytes) = (0, 0);
    while started.elapsed() < time {
        connection.send(&frame).await?;
        let (count, length) = load::count_fetched(connection.receive().await?)?;
        records += count;
        bytes += length;
    }
    Ok(crate::figures::Figures::new(records, bytes, started.elapsed(), Vec::new()))
}
