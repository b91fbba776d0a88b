//! Settling and publishing as one unit.

use crate::{Enqueue, Queue};
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
