//! What is done from time to time: retention, and checkpoints of the producers' state.

use crate::{Broker, Error, lag};
use std::{sync::Arc, time::Duration};
use tramline_log::Partition;
use tramline_store::Purpose;
use tramline_types::Monotonic;

/// How often checkpoints are looked for; retention has its own interval.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);
/// How often idle producers are looked for at most, as in Kafka.
const PRODUCER_CHECK_INTERVAL_MAX: Duration = Duration::from_secs(600);
const PRODUCER_CHECK_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Runs until the broker closes.
pub(crate) async fn run(broker: Broker) {
    let start = broker.clock().monotonic();
    let (mut retention_at, mut producers_at) = (start, start);
    let mut lag_turn = None;
    loop {
        let interval = CHECKPOINT_INTERVAL.min(broker.options().retention_check_interval);
        let wake = broker.clock().monotonic().plus(interval);
        tokio::select! {
            () = broker.clock().sleep_until(Some(wake)) => {}
            () = broker.settings_changed() => {}
            () = broker.closed() => return,
        }
        let options = broker.options();
        let expiration = options.producer_id_expiration;
        let check =
            (expiration / 8).clamp(PRODUCER_CHECK_INTERVAL_MIN, PRODUCER_CHECK_INTERVAL_MAX);
        let idle = if is_due(&broker, &mut producers_at, check) { Idle::Drop } else { Idle::Keep };
        broker.checkpoint_producers(idle).await;
        lag::refresh(&broker, &mut lag_turn).await;
        broker.bus().expire();
        broker.forget_results().await;
        if is_due(&broker, &mut retention_at, options.retention_check_interval) {
            broker.apply_retention().await;
        }
    }
}

/// Whether so long has passed since the last time; if so, this is the last time.
fn is_due(broker: &Broker, last: &mut Monotonic, interval: Duration) -> bool {
    let now = broker.clock().monotonic();
    let is_due = now >= last.plus(interval);
    if is_due {
        *last = now;
    }
    is_due
}

/// What becomes of producers that have been idle for too long.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// They go with the next checkpoint that is due.
    Keep,
    /// They are a reason for one.
    Drop,
}

impl Broker {
    /// Drops what every topic's retention allows to drop.
    pub async fn apply_retention(&self) {
        for topic in self.topics() {
            for (index, partition) in topic.partitions().iter().enumerate() {
                match self.apply_retention_to(partition).await {
                    Ok(()) => {}
                    Err(error) => tracing::warn!(
                        topic = %topic.name(), partition = index, %error, "retention not applied"
                    ),
                }
            }
        }
    }

    async fn apply_retention_to(&self, partition: &Arc<Partition>) -> Result<(), Error> {
        let Some(expired) = partition.expired(self.times().earliest).await? else {
            return Ok(());
        };
        let reservation = self.store().reserve(Purpose::Upkeep, 0, 1).wait().await?;
        partition.trim(expired.first_kept, reservation, Box::new(|| ()));
        self.metrics().expired(expired.bytes);
        Ok(())
    }

    async fn checkpoint_producers(&self, idle: Idle) {
        let expiration = self.options().producer_id_expiration.as_millis();
        let expiration = i64::try_from(expiration).unwrap_or(i64::MAX);
        let expired_before = self.times().earliest.minus_millis(expiration);
        for topic in self.topics() {
            for partition in topic.partitions().iter() {
                let reason = (idle == Idle::Drop).then_some(expired_before);
                let Some(bytes) = partition.checkpoint_due(reason) else { continue };
                // More producers may come between the look and the lock.
                let room = bytes + bytes / 2 + 4096;
                match self.store().reserve(Purpose::Upkeep, room, 1).wait().await {
                    Ok(reservation) => partition.checkpoint(expired_before, reservation),
                    Err(error) => tracing::warn!(
                        topic = %topic.name(), %error, "producers' state not checkpointed"
                    ),
                }
            }
        }
    }
}
