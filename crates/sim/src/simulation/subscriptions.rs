//! Subscriptions over one topic: publishers into the topic, whose partitions become more, and
//! workers of two subscriptions. In the history both are queues, and a publish goes to both; the
//! audit empties them, and finds in the topic what it should still have.

use super::client::{Client, Session};
use crate::{Step, payload};
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tramline_broker::{
    Error, FetchItem, FetchRequest, Mode, Queue, QueueSettings, SubscriptionStart, Topic,
};
use tramline_record::Batch;
use tramline_types::{ExchangeName, Message, TopicName};

pub(super) const TOPIC: &str = "shared";
/// One with a limit of deliveries, one that keeps the order of keys.
const SUBSCRIPTIONS: [&str; 2] = ["billing", "ledger"];
/// Where the first one's dead messages go.
const DEAD: &str = "billing-dead";
const PARTITIONS_MAX: u32 = 3;
const DELIVERIES_MAX: u32 = 4;
const KEYS: u64 = 4;
const PAUSE_MAX: Duration = Duration::from_millis(60);
const OPENED_BYTES_MAX: usize = 1024 * 1024;

/// The topic, its subscriptions, and the queue of dead messages.
struct Shared {
    topic: Arc<Topic>,
    queues: [Arc<Queue>; 3],
}

fn settings(subscription: &str) -> QueueSettings {
    let is_ordered = subscription == SUBSCRIPTIONS[1];
    QueueSettings {
        topic: TopicName::parse(TOPIC).ok(),
        start: if is_ordered { SubscriptionStart::Earliest } else { SubscriptionStart::Latest },
        ordered_groups: is_ordered,
        deliveries_max: (!is_ordered).then_some(DELIVERIES_MAX),
        dead_letter_exchange: ExchangeName::parse("").ok().filter(|_| !is_ordered),
        dead_letter_routing_key: (!is_ordered).then(|| DEAD.to_owned()),
        ..QueueSettings::default()
    }
}

impl Client {
    /// Publishes until the world stops.
    pub(super) async fn publish_shared(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let Some(shared) = self.open_shared(&session).await else { continue };
            if self.random.one_in(30) {
                self.add_partition(&session, &shared.topic).await;
            }
            let (mut ops, mut messages) = (Vec::new(), Vec::new());
            for _ in 0..1 + self.random.below(6) {
                let (op, message) = self.prepare_shared();
                ops.push((op, payload::decode(message.value.as_deref())));
                messages.push((None, message));
            }
            let publish = session.broker.publish_messages(&shared.topic, messages);
            match session.call(publish).await {
                None => ops.iter().for_each(|(op, _)| self.unknown(*op)),
                Some(results) => {
                    for ((op, value), result) in ops.into_iter().zip(results) {
                        self.published((op, value), result.map(drop));
                    }
                }
            }
        }
    }

    fn prepare_shared(&mut self) -> (u64, Message) {
        let value = format!("{}-{:x}", self.name, self.random.next_u64());
        let bytes = if self.random.one_in(20) { 9000 } else { 10 + self.random.index(300) };
        let key = format!("{}-key-{}", self.name, self.random.below(KEYS));
        let op = self.invoke(Step::Enqueue {
            queues: SUBSCRIPTIONS.map(str::to_owned).to_vec(),
            value: value.clone(),
            // A key moves when there are more partitions, and its order ends there.
            group: None,
            not_before_ms: None,
            unit: None,
        });
        let value = Some(payload::encode(&value, bytes));
        (op, Message { key: Some(Bytes::from(key)), value, ..Message::default() })
    }

    fn published(&self, (op, value): (u64, String), result: Result<(), Error>) {
        match result {
            Ok(()) => {
                self.complete(op, Step::Ok);
                self.world.shared.lock().insert(value);
            }
            Err(error) => {
                if !matches!(error, Error::StorageFull) {
                    self.world.problem(format!("a publish into `{TOPIC}` was refused: {error}"));
                }
                self.fail(op, &error);
            }
        }
    }

    async fn add_partition(&self, session: &Session, topic: &Topic) {
        let total = topic.partition_count() + 1;
        if total > PARTITIONS_MAX {
            return;
        }
        let adding = session.broker.create_partitions(topic.name(), total, Mode::Apply);
        match session.call(adding).await {
            None | Some(Ok(()) | Err(Error::StorageFull | Error::InvalidPartitions(_))) => {}
            Some(Err(error)) => self.world.problem(format!("no more partitions: {error}")),
        }
    }

    /// Consumes until the world stops.
    pub(super) async fn work_off_shared(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let Some(shared) = self.open_shared(&session).await else { continue };
            let queue = &shared.queues[self.random.index(shared.queues.len())];
            self.work_on(&session, queue).await;
        }
    }

    /// Takes everything out of the subscriptions; the topic still has all that was acknowledged.
    pub(super) async fn empty_shared(mut self) {
        let session = self.session().await;
        let Some(shared) = self.open_shared(&session).await else { return };
        self.empty_all(&session, &shared.queues).await;
        let mut there = BTreeSet::new();
        for partition in 0..shared.topic.partition_count() {
            there.extend(self.read_shared(&session, &shared.topic, partition).await);
        }
        let shared = std::mem::take(&mut *self.world.shared.lock());
        if let Some(lost) = shared.difference(&there).next() {
            self.world.problem(format!("`{TOPIC}` has lost `{lost}`"));
        }
    }

    async fn read_shared(
        &self,
        session: &Session,
        topic: &Arc<Topic>,
        partition: u32,
    ) -> Vec<String> {
        let (mut values, mut offset, bytes_max) = (Vec::new(), 0, OPENED_BYTES_MAX);
        loop {
            let item = FetchItem { topic: Arc::clone(topic), partition, offset, bytes_max };
            let (items, wait_max) = (vec![item], Duration::ZERO);
            let request = FetchRequest { items, bytes_min: 0, bytes_max, wait_max };
            let fetched = session.call(session.broker.fetch(request)).await;
            let before = offset;
            for mut piece in fetched.into_iter().flatten().flatten().flat_map(|it| it.pieces) {
                while let Ok(Some(batch)) = Batch::decode_first(&mut piece) {
                    let header = batch.header();
                    offset = header.base_offset + i64::from(header.last_offset_delta) + 1;
                    let records = batch.records(OPENED_BYTES_MAX).unwrap_or_default();
                    values.extend(records.iter().map(|it| payload::decode(it.value.as_deref())));
                }
            }
            if offset == before {
                return values;
            }
        }
    }

    async fn open_shared(&self, session: &Session) -> Option<Shared> {
        let topic = self.own_topic(session, TOPIC, &[]).await?;
        let dead = self.open_queue(session, DEAD, QueueSettings::default()).await?;
        let mut queues = Vec::new();
        for subscription in SUBSCRIPTIONS {
            queues.push(self.open_queue(session, subscription, settings(subscription)).await?);
        }
        queues.push(dead);
        Some(Shared { topic, queues: queues.try_into().ok()? })
    }
}
