//! A broker in memory behind a listener, a client that speaks plain requests, and batches.

use bytes::{Bytes, BytesMut};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tramline_broker::{Broker, GroupOptions, Options, SystemClock};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_store::{LogStore, MemoryStore};
use tramline_types::{Clock, Message, Timestamp};
use tramline_wire::{
    KafkaStr,
    kafka::{
        Request,
        create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest},
        decode_response, encode_request,
        produce::{
            PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
        },
    },
};

/// Far beyond what any test needs on a slow machine: only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener and what stands behind it.
pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    served: JoinHandle<std::io::Result<()>>,
}

/// The broker's options for tests: rebalances start at once.
pub(crate) fn options() -> Options {
    let groups =
        GroupOptions { initial_rebalance_delay: Duration::ZERO, ..GroupOptions::default() };
    Options { groups, ..Options::default() }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(options(), tramline_kafka::Options::default()).await
    }

    pub(crate) async fn start_with(broker: Options, kafka: tramline_kafka::Options) -> Self {
        let store = Arc::new(MemoryStore::new());
        Self::start_on(store, Arc::new(SystemClock::new()), (broker, kafka)).await
    }

    pub(crate) async fn start_on(
        store: Arc<dyn LogStore>,
        clock: Arc<dyn Clock>,
        (broker, kafka): (Options, tramline_kafka::Options),
    ) -> Self {
        let broker = Broker::start(store, clock, broker).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let served = tokio::spawn(tramline_kafka::serve(listener, broker.clone(), kafka, stopping));
        Self { broker, address, stop, served }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Stops the listener and waits until every connection has ended.
    pub(crate) async fn stop(self) -> Broker {
        self.stop.send_replace(true);
        within(self.served).await.unwrap().unwrap();
        self.broker
    }
}

/// Fails where something hangs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("this hangs")
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Its client id.
    pub(crate) name: &'static str,
    correlation_id: i32,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, name: "test", correlation_id: 0 }
    }

    /// Asks and waits for the answer.
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let sent = self.send(version, request).await;
        let (correlation_id, response) = self.receive::<R>(version).await;
        assert_eq!(correlation_id, sent);
        response
    }

    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        let frame = self.frame(version, request);
        within(self.stream.write_all(&frame)).await.unwrap();
        self.correlation_id
    }

    /// A frame with the next correlation id.
    pub(crate) fn frame<R: Request>(&mut self, version: i16, request: &R) -> Vec<u8> {
        self.correlation_id += 1;
        let id = self.correlation_id;
        encode_request(request, version, id, Some(self.name.into())).unwrap().concat()
    }

    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> (i32, R::Response) {
        decode_response::<R>(self.receive_frame().await, version).unwrap()
    }

    /// The next frame without its size.
    pub(crate) async fn receive_frame(&mut self) -> Bytes {
        let size = within(self.stream.read_u32()).await.expect("an answer");
        let mut frame = BytesMut::zeroed(usize::try_from(size).unwrap());
        within(self.stream.read_exact(&mut frame)).await.unwrap();
        frame.freeze()
    }

    /// Waits until the broker has closed the connection without sending anything more.
    pub(crate) async fn expect_closed(&mut self) {
        let mut rest = [0; 64];
        match within(self.stream.read(&mut rest)).await {
            Ok(0) | Err(_) => {}
            Ok(n) => panic!("{n} bytes came instead of the end"),
        }
    }

    /// Creates a topic by a request.
    pub(crate) async fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let response = self.call(7, &new_topic(name, partitions, configs)).await;
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
    }

    /// Produces one batch with acks=all.
    pub(crate) async fn produce(
        &mut self,
        version: i16,
        topic: &str,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let mut response = self.call(version, &produce(topic, 0, Some(batch))).await;
        response.responses.remove(0).partition_responses.remove(0)
    }
}

pub(crate) fn text(text: &str) -> KafkaStr {
    KafkaStr::from(text.to_owned())
}

pub(crate) fn new_topic(
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> CreateTopicsRequest {
    let config = |(name, value): &(&str, &str)| CreatableTopicConfig {
        name: text(name),
        value: Some(text(value)),
    };
    let topic = CreatableTopic {
        name: text(name),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.iter().map(config).collect(),
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() }
}

/// A Produce with acks=all.
pub(crate) fn produce(topic: &str, partition: i32, records: Option<Bytes>) -> ProduceRequest {
    let partition = PartitionProduceData { index: partition, records };
    let topic = TopicProduceData {
        name: text(topic),
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], transactional_id: None }
}

/// A message with a value and nothing else.
pub(crate) fn message(value: &str, at: i64) -> Message {
    Message {
        value: Some(Bytes::from(value.to_owned())),
        timestamp: Some(Timestamp::from_millis(at)),
        ..Message::default()
    }
}

/// A batch of messages as a producer sends it.
pub(crate) fn batch(messages: &[Message]) -> Bytes {
    build(BatchBuilder::new(Compression::None), messages)
}

pub(crate) fn build(mut builder: BatchBuilder, messages: &[Message]) -> Bytes {
    for message in messages {
        builder.push(message, Timestamp::from_millis(0));
    }
    builder.build().unwrap().bytes().clone()
}

/// A batch of so many small messages.
pub(crate) fn batch_of(records: usize) -> Bytes {
    let messages: Vec<_> = (0..records).map(|n| message(&format!("v{n}"), 1000)).collect();
    batch(&messages)
}

/// The values in whole batches as fetched.
pub(crate) fn values(mut records: Bytes) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    while let Some(batch) = Batch::decode_first(&mut records).unwrap() {
        for record in batch.records(1 << 20).unwrap() {
            let offset = batch.header().base_offset + i64::from(record.offset_delta);
            let value = record.value.unwrap_or_default();
            all.push((offset, String::from_utf8(value.to_vec()).unwrap()));
        }
    }
    all
}
