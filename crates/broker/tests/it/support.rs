//! A broker on a fake clock, and short ways to use it.

use std::{sync::Arc, time::Duration};
use tramline_broker::{
    Broker, Error, FetchItem, FetchRequest, Fetched, Mode, NewTopic, Options, PublishItem,
    Published, Topic,
};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;
use tramline_types::{Clock, Message, ProducerId, Timestamp, TopicName};

pub(crate) struct Node {
    pub(crate) broker: Broker,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) clock: FakeClock,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::over(Arc::new(MemoryStore::new()), Options::default()).await
    }

    pub(crate) async fn over(store: Arc<MemoryStore>, options: Options) -> Self {
        let clock = FakeClock::new();
        let broker = Broker::start(store.clone(), Arc::new(clock.clone()), options).await.unwrap();
        Self { broker, store, clock }
    }

    pub(crate) async fn topic(&self, name: &str, settings: &[(&str, &str)]) -> Arc<Topic> {
        self.try_topic(name, settings).await.unwrap()
    }

    pub(crate) async fn try_topic(
        &self,
        name: &str,
        settings: &[(&str, &str)],
    ) -> Result<Arc<Topic>, Error> {
        self.broker.create_topic(new_topic(name, settings)).await
    }

    pub(crate) async fn publish(
        &self,
        topic: &Arc<Topic>,
        batch: Batch,
    ) -> Result<Published, Error> {
        let item = PublishItem { topic: topic.clone(), partition: 0, batch };
        self.broker.publish(vec![item]).await.await.remove(0)
    }

    pub(crate) async fn fetch(&self, topic: &Arc<Topic>, offset: i64) -> Result<Fetched, Error> {
        self.broker.fetch(request(topic, offset, 0, Duration::ZERO)).await.remove(0)
    }

    pub(crate) async fn values(&self, topic: &Arc<Topic>, offset: i64) -> Vec<(i64, String)> {
        values(&self.fetch(topic, offset).await.unwrap())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

pub(crate) fn new_topic(name: &str, settings: &[(&str, &str)]) -> NewTopic {
    NewTopic {
        name: TopicName::parse(name).unwrap(),
        partitions: Some(1),
        replication_factor: None,
        settings: settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        mode: Mode::Apply,
    }
}

pub(crate) fn request(
    topic: &Arc<Topic>,
    offset: i64,
    bytes_min: usize,
    wait_max: Duration,
) -> FetchRequest {
    let bytes_max = 1 << 20;
    let item = FetchItem { topic: topic.clone(), partition: 0, offset, bytes_max };
    FetchRequest { items: vec![item], bytes_min, bytes_max, wait_max }
}

pub(crate) fn batch_at(at: Timestamp, values: &[&str]) -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        builder.push(&message(value), at);
    }
    builder.build().unwrap()
}

pub(crate) fn idempotent(at: Timestamp, id: i64, sequence: i32, value: &str) -> Batch {
    let mut builder =
        BatchBuilder::new(Compression::None).with_producer(ProducerId(id), 0, sequence);
    builder.push(&message(value), at);
    builder.build().unwrap()
}

pub(crate) fn message(value: &str) -> Message {
    Message { value: Some(bytes::Bytes::from(value.to_owned())), ..Message::default() }
}

pub(crate) fn values(fetched: &Fetched) -> Vec<(i64, String)> {
    let mut values = Vec::new();
    for piece in &fetched.pieces {
        let mut piece = piece.clone();
        while let Some(batch) = Batch::decode_first(&mut piece).unwrap() {
            for record in batch.records(1 << 20).unwrap() {
                let offset = batch.header().base_offset + i64::from(record.offset_delta);
                let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
                values.push((offset, value));
            }
        }
    }
    values
}
