//! Publishing: reserve space (the only wait before the step), apply in order, resolve when all
//! is durable.

use crate::{Broker, Error, Topic, partitioner};
use futures_util::task::AtomicWaker;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_store::{LogStore, Purpose};
use tramline_types::{Message, Offset, Timestamp};

/// One batch and where it goes.
pub struct PublishItem {
    /// The topic.
    pub topic: Arc<Topic>,
    /// The partition.
    pub partition: u32,
    /// The batch, validated.
    pub batch: Batch,
}

/// A durable batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The first record's offset.
    pub base_offset: Offset,
    /// The broker's time, where the topic uses it.
    pub log_append_time: Option<Timestamp>,
    /// The partition's first offset.
    pub log_start: Offset,
}

/// Resolves to one result per item, in order, when all that were accepted are durable. Nothing
/// is undone when this is dropped.
pub struct Publishing {
    outstanding: Arc<Outstanding>,
    /// Is told that somebody waits, once somebody does.
    store: Option<Arc<dyn LogStore>>,
    results: Vec<Result<Published, Error>>,
}

/// How many batches are not durable yet. The committer wakes the publisher once, for the last.
struct Outstanding {
    count: AtomicUsize,
    waker: AtomicWaker,
}

impl Outstanding {
    fn done(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }
}

impl Publishing {
    /// Whether nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.outstanding.count.load(Ordering::Acquire) == 0
    }
}

impl Future for Publishing {
    type Output = Vec<Result<Published, Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_ready() {
            self.outstanding.waker.register(cx.waker());
            if !self.is_ready() {
                if let Some(store) = self.store.take() {
                    store.commit_soon();
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(std::mem::take(&mut self.results))
    }
}

impl Broker {
    /// Publishes batches. The await is back-pressure: it waits for space, never for durability.
    /// When it returns, the items are applied in their order.
    pub async fn publish(&self, items: Vec<PublishItem>) -> Publishing {
        let outstanding =
            Arc::new(Outstanding { count: AtomicUsize::new(1), waker: AtomicWaker::new() });
        let mut results = Vec::with_capacity(items.len());
        for item in items {
            results.push(self.publish_one(item, &outstanding).await);
        }
        outstanding.done();
        Publishing { outstanding, store: Some(Arc::clone(self.store())), results }
    }

    async fn publish_one(
        &self,
        item: PublishItem,
        outstanding: &Arc<Outstanding>,
    ) -> Result<Published, Error> {
        item.topic.check_writable()?;
        let partition = item.topic.partition(item.partition)?;
        let admitted = partition.admit(item.batch, self.times())?;
        let bytes = admitted.bytes();
        // The append, the producer's state, and the place in the ordered log.
        let ops = if item.topic.ordered_view().is_some() { 3 } else { 2 };
        let reservation = self.store().reserve(Purpose::Publish, bytes, ops).wait().await?;
        outstanding.count.fetch_add(1, Ordering::Relaxed);
        let done = Arc::clone(outstanding);
        let appended =
            partition.append(admitted, reservation.behind(), Box::new(move || done.done()));
        match appended {
            Ok(appended) => {
                self.metrics().published(bytes);
                Ok(Published {
                    base_offset: appended.base,
                    log_append_time: appended.log_append_time,
                    log_start: partition.log_start(),
                })
            }
            Err(error) => {
                outstanding.done();
                Err(error.into())
            }
        }
    }

    /// Publishes messages of a protocol without batches: those of one partition as one batch.
    /// The partition is the given one, or goes by the key as in Kafka's clients, or round robin.
    /// One result per message, in order: its partition and offset, once durable.
    pub async fn publish_messages(
        &self,
        topic: &Arc<Topic>,
        messages: Vec<(Option<u32>, Message)>,
    ) -> Vec<Result<(u32, Offset), Error>> {
        let count = topic.partition_count();
        let now = self.clock().now();
        let keyless = self.next_round_robin() % count;
        let mut runs: Vec<(u32, BatchBuilder)> = Vec::new();
        let mut places = Vec::with_capacity(messages.len());
        for (partition, message) in messages {
            let partition = partition.unwrap_or_else(|| {
                message.key.as_ref().map_or(keyless, |key| partitioner::by_key(key, count))
            });
            let run = runs.iter().position(|(of, _)| *of == partition).unwrap_or_else(|| {
                runs.push((partition, BatchBuilder::new(Compression::None)));
                runs.len() - 1
            });
            let builder = &mut runs[run].1;
            places.push((run, u64::try_from(builder.len()).unwrap_or(u64::MAX)));
            builder.push(&message, now);
        }
        let outcomes = self.publish_runs(topic, runs).await;
        let place = |(run, record): (usize, u64)| {
            let (partition, outcome) = &outcomes[run];
            outcome.clone().map(|published| (*partition, published.base_offset.plus(record)))
        };
        places.into_iter().map(place).collect()
    }

    async fn publish_runs(
        &self,
        topic: &Arc<Topic>,
        runs: Vec<(u32, BatchBuilder)>,
    ) -> Vec<(u32, Result<Published, Error>)> {
        let (mut outcomes, mut items) = (Vec::with_capacity(runs.len()), Vec::new());
        for (partition, builder) in runs {
            match builder.build() {
                Ok(batch) => {
                    items.push(PublishItem { topic: Arc::clone(topic), partition, batch });
                    outcomes.push((partition, None));
                }
                Err(error) => {
                    let refused = Error::InvalidRecord(error.to_string());
                    outcomes.push((partition, Some(refused)));
                }
            }
        }
        let published = self.publish(items).await;
        let mut published = self.until_durable(published).await.into_iter();
        let outcome = |(partition, refused): (u32, Option<Error>)| match refused {
            Some(refused) => (partition, Err(refused)),
            None => (partition, published.next().unwrap_or(Err(Error::Closed))),
        };
        outcomes.into_iter().map(outcome).collect()
    }
}
