//! What is done from time to time: retention, and checkpoints of the producers' state.

use crate::{Broker, Error, lag};
use std::{sync::Arc, time::Duration};
use tramline_log::Partition;
use tramline_store::Purpose;

/// How often checkpoints are looked for; retention has its own interval.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until the broker closes.
pub(crate) async fn run(broker: Broker) {
    let mut retention_due =
        broker.clock().monotonic().plus(broker.options().retention_check_interval);
    let mut lag_turn = None;
    loop {
        let interval = CHECKPOINT_INTERVAL.min(broker.options().retention_check_interval);
        let wake = broker.clock().monotonic().plus(interval);
        tokio::select! {
            () = broker.clock().sleep_until(Some(wake)) => {}
            () = broker.closed() => return,
        }
        broker.checkpoint_producers().await;
        lag::refresh(&broker, &mut lag_turn).await;
        let now = broker.clock().monotonic();
        if now >= retention_due {
            broker.apply_retention().await;
            retention_due = now.plus(broker.options().retention_check_interval);
        }
    }
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
        let Some(first_kept) = partition.expired(self.clock().steady()).await? else {
            return Ok(());
        };
        let reservation = self.store().reserve(Purpose::Upkeep, 0, 1).wait().await?;
        partition.trim(first_kept, reservation, Box::new(|| ()));
        Ok(())
    }

    async fn checkpoint_producers(&self) {
        let expiration = self.options().producer_id_expiration.as_millis();
        let expiration = i64::try_from(expiration).unwrap_or(i64::MAX);
        for topic in self.topics() {
            for partition in topic.partitions().iter() {
                let Some(bytes) = partition.checkpoint_due() else { continue };
                // More producers may come between the look and the lock.
                let room = bytes + bytes / 2 + 4096;
                match self.store().reserve(Purpose::Upkeep, room, 1).wait().await {
                    Ok(reservation) => {
                        partition.checkpoint(
                            self.clock().steady().minus_millis(expiration),
                            reservation,
                        );
                    }
                    Err(error) => tracing::warn!(
                        topic = %topic.name(), %error, "producers' state not checkpointed"
                    ),
                }
            }
        }
    }
}
