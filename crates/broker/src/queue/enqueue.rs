//! Putting messages into queues.
//!
//! All messages of a call become one commit, up to a size.

use super::{Queue, future::Outstanding, plan::Plan};
use crate::{Broker, Enqueuing, Error};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use tramline_queue::Place;
use tramline_store::Purpose;
use tramline_types::{Message, Timestamp};

/// The queues that get a message.
pub type Targets = SmallVec<[Arc<Queue>; 1]>;

/// One commit takes so much; a single larger message is one of its own.
const COMMIT_BYTES: usize = 4 * 1024 * 1024;

/// What a record takes beside its body, about.
const RECORD_BYTES: usize = 128;

/// A message and where it goes.
pub struct Enqueue {
    /// The queues, none twice.
    pub targets: Targets,
    /// The message. Its time becomes that of the enqueuing.
    pub message: Message,
    /// How it is to be treated.
    pub options: EnqueueOptions,
}

/// How a message is to be treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnqueueOptions {
    /// Confirmed when it is durable; else at once.
    pub persistent: bool,
    /// From 0, the lowest; above a queue's highest counts as that.
    pub priority: u8,
    /// Dead after so long in a queue, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// Not delivered before this time.
    pub deliver_at: Option<Timestamp>,
    /// Messages of a group stay in order; where there is none, the key is the group.
    pub group: Option<Bytes>,
    /// What repeats are told by.
    pub deduplication_id: Option<Bytes>,
    /// Its place is wanted: see [`Enqueuing::placed`].
    pub tell_place: bool,
}

/// Where a message lies that was put into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Which one of the call.
    pub item: usize,
    /// Its place; with several targets there is one entry for each.
    pub place: Place,
    /// The message that it repeats, which is delivered in its stead.
    pub first: Option<Place>,
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// A queue is at its bound and refuses.
    #[error("a queue is at its bound")]
    Overflow,
    /// A subscription has the messages of its topic, and no others.
    #[error("`{0}` is a subscription: publish to its topic")]
    Subscription(String),
    /// A queue was deleted meanwhile.
    #[error("a queue was deleted")]
    Deleted,
    /// Larger than a message may be.
    #[error("a message of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// No space; retry later.
    #[error("the disk is full")]
    StorageFull,
    /// The store is at fault, or closed.
    #[error("storage: {0}")]
    Storage(String),
}

impl From<Error> for EnqueueError {
    fn from(error: Error) -> Self {
        match error {
            Error::StorageFull => Self::StorageFull,
            Error::MessageTooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            error => Self::Storage(error.to_string()),
        }
    }
}

impl Broker {
    /// Puts messages into queues. They are in when this returns, in their order: the await is
    /// back-pressure only. What it returns resolves when they are durable.
    pub async fn enqueue(&self, items: Vec<Enqueue>) -> Enqueuing {
        let context = &self.queues_map().context;
        let outstanding = Outstanding::new(1);
        let mut plan = Plan::new(context, items.len());
        let size =
            |item: &Enqueue| RECORD_BYTES + item.message.value.as_ref().map_or(0, Bytes::len);
        plan.expect(items.iter().map(size).sum::<usize>().min(COMMIT_BYTES));
        let mut items = items.into_iter().enumerate().peekable();
        while let Some((index, item)) = items.next() {
            plan.add(index, item);
            if plan.bytes() >= COMMIT_BYTES || items.peek().is_none() {
                self.ensure_job_log().await;
                let reserving = self.store().reserve(Purpose::Publish, plan.bytes(), plan.n_ops());
                match reserving.wait().await {
                    Ok(reservation) => plan.commit(reservation.behind(), &outstanding),
                    Err(error) => plan.refuse(&EnqueueError::from(Error::from(error))),
                }
            }
        }
        outstanding.done();
        self.dead_letter_refused(plan.take_refused());
        let (results, placed) = plan.into_results();
        Enqueuing::new(outstanding, results, placed).behind(self.store())
    }
}
