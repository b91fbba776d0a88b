//! One channel: what is out, what may still go out, and what its publishes are waiting for.

mod unacked;

pub(crate) use unacked::{Out, Unacked};

use crate::{error::Refusal, from_wire::Content};
use std::{collections::BTreeMap, sync::Arc};
use tramline_broker::{Enqueue, Queue};

/// The first [`Channel::queues_max`].
pub(crate) const QUEUES_MAX_MIN: usize = 64;

/// Whether methods are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// They are.
    Open,
    /// channel.close is sent: everything but its answer is dropped.
    Closing,
}

/// What becomes of publishes.
pub(crate) enum Mode {
    /// Nothing more.
    Plain,
    /// Each is confirmed; the next one has this number.
    Confirm(u64),
    /// They wait for a commit, and settles with them.
    Transaction(Box<Transaction>),
}

/// What waits for tx.commit.
#[derive(Default)]
pub(crate) struct Transaction {
    pub(crate) publishes: Vec<Enqueue>,
    /// By delivery tag.
    pub(crate) settles: Vec<Settled>,
    pub(crate) bytes: usize,
}

/// A delivery's number, the delivery, and how it ends.
pub(crate) type Settled = (u64, Out, Ending);

/// How a client ends a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// basic.ack
    Done,
    /// Back into the queue.
    Requeue,
    /// Not wanted.
    Drop,
}

/// One channel.
pub(crate) struct Channel {
    /// Which opening of this number it is: what is left of an earlier one is not for this one.
    pub(crate) opening: u64,
    pub(crate) phase: Phase,
    /// The publish whose content comes in.
    pub(crate) content: Option<Content>,
    pub(crate) unacked: Unacked,
    /// The queues that deliveries of this channel came from.
    pub(crate) queues: Vec<Arc<Queue>>,
    /// How many of them make it worth looking for those that nothing is out of.
    pub(crate) queues_max: usize,
    /// The last delivery's number.
    pub(crate) delivery_tag: u64,
    /// Deliveries that may be out over all consumers; 0: any number.
    pub(crate) prefetch: usize,
    /// How many of those that are out a consumer got, a settling that is not committed aside.
    pub(crate) prefetched: usize,
    /// Deliveries that may be out for each consumer that is started from here on.
    pub(crate) prefetch_consumer: usize,
    /// Whether the client wants deliveries.
    pub(crate) flows: bool,
    pub(crate) mode: Mode,
    /// The queue that an empty name means.
    pub(crate) last_queue: String,
    /// The consumers by tag.
    pub(crate) consumers: BTreeMap<String, usize>,
    /// Direct reply-to: the consumer's tag and the address.
    pub(crate) reply_consumer: Option<(String, String)>,
}

impl Channel {
    pub(crate) fn new(opening: u64) -> Self {
        Self {
            opening,
            phase: Phase::Open,
            content: None,
            unacked: Unacked::default(),
            queues: Vec::new(),
            queues_max: QUEUES_MAX_MIN,
            delivery_tag: 0,
            prefetch: 0,
            prefetched: 0,
            prefetch_consumer: 0,
            flows: true,
            mode: Mode::Plain,
            last_queue: String::new(),
            consumers: BTreeMap::new(),
            reply_consumer: None,
        }
    }

    /// The next delivery's number.
    pub(crate) const fn next_delivery_tag(&mut self) -> u64 {
        self.delivery_tag += 1;
        self.delivery_tag
    }

    /// Whether the client wants deliveries, and may have them.
    pub(crate) fn is_flowing(&self) -> bool {
        self.flows && self.phase == Phase::Open
    }

    /// How many more deliveries that are to be settled may go out over the channel.
    pub(crate) fn credit(&self) -> usize {
        if !self.is_flowing() {
            return 0;
        }
        let uncommitted = match &self.mode {
            Mode::Transaction(transaction) => transaction.settles.len(),
            Mode::Plain | Mode::Confirm(_) => 0,
        };
        let room = unacked::UNACKED_MAX.saturating_sub(self.unacked.len() + uncommitted);
        match self.prefetch {
            0 => room,
            prefetch => room.min(prefetch.saturating_sub(self.prefetched)),
        }
    }

    /// The queue of this name; the last one declared where there is none.
    pub(crate) fn queue_name<'a>(&'a self, name: &'a str) -> Result<&'a str, Refusal> {
        if !name.is_empty() {
            return Ok(name);
        }
        if self.last_queue.is_empty() {
            let code = tramline_wire_amqp091::ReplyCode::NotFound;
            return Err(Refusal::new(code, "no previously declared queue"));
        }
        Ok(&self.last_queue)
    }
}
