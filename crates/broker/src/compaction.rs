//! Compaction: looks for partitions that are due, and drives one pass at a time.
//!
//! A pass reads and replaces about a mebibyte per step and waits for each replacement to be
//! durable, so that it holds little memory and never gets in the way of publishers; where the
//! write-ahead log is at its bound it waits behind them, and on a full disk it rests.

use crate::{Broker, Error, Topic};
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;
use tramline_log::{Partition, Pass, Replacement, Step};
use tramline_store::Purpose;

/// More than the keys of any partition need, each pass taking what its budget holds.
const PASSES_IN_A_ROW_MAX: usize = 1000;

/// Runs until the broker closes.
pub(crate) async fn run(broker: Broker) {
    loop {
        let wake = broker.clock().monotonic().plus(broker.options().compaction.interval);
        tokio::select! {
            () = broker.clock().sleep_until(Some(wake)) => broker.apply_compaction().await,
            () = broker.settings_changed() => {}
            () = broker.closed() => return,
        }
    }
}

impl Broker {
    /// Compacts every partition that is due.
    pub async fn apply_compaction(&self) {
        for topic in self.topics() {
            for (index, partition) in topic.partitions().iter().enumerate() {
                if !self.options().compaction.enabled || self.is_closing() {
                    return;
                }
                let result = tokio::select! {
                    result = self.compact(&topic, partition) => result,
                    () = self.closed() => return,
                };
                match result {
                    Ok(()) | Err(Error::Closed | Error::UnknownTopic(_)) => {}
                    Err(error) => tracing::warn!(
                        topic = %topic.name(), partition = index, %error, "not compacted"
                    ),
                }
            }
        }
    }

    async fn compact(&self, topic: &Topic, partition: &Arc<Partition>) -> Result<(), Error> {
        for _ in 0..PASSES_IN_A_ROW_MAX {
            let now = self.times().earliest;
            let map_bytes_max = self.options().compaction.map_bytes_max;
            let before = partition.compaction_status().dirty_from;
            let due = partition.compaction_due(now, map_bytes_max).await?;
            let Some(pass) = due else { return Ok(()) };
            self.run_pass(topic, partition, pass).await?;
            if partition.compaction_status().dirty_from == before {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn run_pass(
        &self,
        topic: &Topic,
        partition: &Arc<Partition>,
        mut pass: Pass,
    ) -> Result<(), Error> {
        loop {
            let bytes = match pass.step().await? {
                Step::Done => break,
                Step::Read(bytes) => {
                    self.metrics().compaction.read(bytes);
                    bytes
                }
                Step::Replace(replacement) => {
                    let bytes = replacement.bytes();
                    match self.replace(replacement).await {
                        Ok(()) => self.metrics().compaction.written(bytes),
                        Err(Error::MessageTooLarge { .. }) if pass.shrink() => {}
                        Err(error) => return Err(error),
                    }
                    bytes
                }
            };
            self.pace(bytes).await;
        }
        self.metrics().compaction.passed(pass.records_removed());
        if pass.batches_unreadable() > 0 {
            tracing::warn!(
                topic = %topic.name(), log = %partition.log(),
                batches = pass.batches_unreadable(),
                "compaction kept batches that cannot be opened, and all tombstones behind them"
            );
        }
        tracing::debug!(
            topic = %topic.name(), log = %partition.log(), keys = pass.keys(),
            removed = pass.records_removed(), "compacted"
        );
        Ok(())
    }

    async fn replace(&self, replacement: Replacement) -> Result<(), Error> {
        let (bytes, ops) = (replacement.bytes(), replacement.ops());
        let reservation = self.store().reserve(Purpose::Publish, bytes, ops).wait().await?;
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move || {
            // The receiver is gone when the broker closes: the commit stands all the same.
            let _closing = done.send(());
        });
        replacement.submit(reservation, on_durable);
        durable.await.map_err(|_| Error::Closed)
    }

    /// Lets others run, and keeps `log.cleaner.io.max.bytes.per.second`.
    async fn pace(&self, bytes: usize) {
        tokio::task::yield_now().await;
        let per_second = self.options().compaction.bytes_per_second_max;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let span = Duration::try_from_secs_f64(f64::from(bytes) / per_second);
        let span = span.unwrap_or(Duration::ZERO).min(PAUSE_MAX);
        if span > PAUSE_MIN {
            let wake = self.clock().monotonic().plus(span);
            self.clock().sleep_until(Some(wake)).await;
        }
    }
}

/// Shorter pauses cost more than they slow down.
const PAUSE_MIN: Duration = Duration::from_micros(100);
/// A limit that was raised takes effect after so long.
const PAUSE_MAX: Duration = Duration::from_secs(60);
