//! Consumers: pulled from their queues by credit and by the room of the outbox, in turn.

use super::{Client, publish::send_content};
use crate::{
    channel::Out,
    to_wire::{self, Shown},
};
use std::{collections::VecDeque, time::Duration};
use tramline_broker::{Consumer, Delivery, Queue, QueueDurability, QueueKind};
use tramline_types::limits::ANSWERS_UNSENT_BYTES_MAX;
use tramline_wire_amqp091::{
    hot::{Deliver, Origin},
    method::basic,
};

/// Deliveries of one consumer at a time, so that others have their turn.
const TURN_MAX: usize = 256;

/// One consumer.
pub(crate) struct Subscriber {
    pub(crate) channel: u16,
    pub(crate) tag: String,
    pub(crate) source: Consumer,
    pub(crate) no_ack: bool,
    /// Deliveries that may be out; 0: any number.
    pub(crate) prefetch: usize,
    /// The place of its queue in the channel.
    pub(crate) queue: u32,
    /// How long a delivery may be out.
    pub(crate) timeout: Option<Duration>,
    unacked: usize,
    /// Its queue may have something.
    has_more: bool,
    /// It waits for its turn.
    is_queued: bool,
}

impl Subscriber {
    pub(crate) const fn new(channel: u16, tag: String, source: Consumer, no_ack: bool) -> Self {
        Self {
            channel,
            tag,
            source,
            no_ack,
            prefetch: 0,
            queue: 0,
            timeout: None,
            unacked: 0,
            has_more: true,
            is_queued: false,
        }
    }

    const fn credit(&self) -> usize {
        match self.prefetch {
            0 => usize::MAX,
            prefetch => prefetch.saturating_sub(self.unacked),
        }
    }
}

/// Names a consumer: its slot, and which of the slot's consumers it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerKey {
    slot: usize,
    generation: u32,
}

/// Every consumer of a connection.
#[derive(Default)]
pub(crate) struct Subscribers {
    slots: Vec<(u32, Option<Subscriber>)>,
    free: Vec<usize>,
    /// Who may have something and may get it, in turn.
    ready: VecDeque<usize>,
    woken: Vec<usize>,
}

impl Subscribers {
    /// A number for a new consumer; [`Subscribers::insert`] puts it there.
    pub(crate) fn reserve(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() - 1
        })
    }

    /// Gives a number back that no consumer came to.
    pub(crate) fn give_back(&mut self, index: usize) {
        self.free.push(index);
    }

    pub(crate) fn insert(&mut self, index: usize, subscriber: Subscriber) {
        self.slots[index].1 = Some(subscriber);
        self.schedule(index);
    }

    /// Ends a consumer.
    pub(crate) fn remove(&mut self, index: usize) -> Option<Subscriber> {
        let (generation, slot) = self.slots.get_mut(index)?;
        let removed = slot.take();
        if removed.is_some() {
            *generation = generation.wrapping_add(1);
            self.ready.retain(|of| *of != index);
            self.free.push(index);
        }
        removed
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Subscriber> {
        self.slots.get_mut(index)?.1.as_mut()
    }

    /// Lets a consumer have its turn, if there may be something for it.
    fn schedule(&mut self, index: usize) {
        let Some(subscriber) = self.get(index) else { return };
        if subscriber.has_more && !subscriber.is_queued {
            subscriber.is_queued = true;
            self.ready.push_back(index);
        }
    }

    /// These have credit again.
    pub(crate) fn schedule_all<'a>(&mut self, consumers: impl Iterator<Item = &'a usize>) {
        consumers.for_each(|index| self.schedule(*index));
    }

    /// A delivery is not out any more: its consumer has that much credit again.
    pub(crate) fn handle_settled(&mut self, out: &Out) {
        let Some(ConsumerKey { slot, generation }) = out.consumer else { return };
        match self.slots.get_mut(slot) {
            Some((current, Some(subscriber))) if *current == generation => {
                subscriber.unacked -= 1;
                self.schedule(slot);
            }
            // It was cancelled while this was out.
            _ => {}
        }
    }
}

impl Client {
    /// A channel has credit again.
    pub(crate) fn schedule_channel(&mut self, number: u16) {
        let channel = self.channels.get(usize::from(number)).and_then(Option::as_deref);
        if let Some(channel) = channel {
            self.subscribers.schedule_all(channel.consumers.values());
        }
    }

    /// Delivers what there is, as far as credit and room go.
    pub(crate) fn poll_deliveries(&mut self) -> bool {
        let mut woken = std::mem::take(&mut self.subscribers.woken);
        self.wakes.take(&mut woken);
        for index in woken.drain(..) {
            if let Some(subscriber) = self.subscribers.get(index) {
                subscriber.has_more = true;
                self.subscribers.schedule(index);
            }
        }
        self.subscribers.woken = woken;
        let mut moved = self.poll_replies();
        while self.outbox.len() < ANSWERS_UNSENT_BYTES_MAX {
            let Some(index) = self.subscribers.ready.pop_front() else { break };
            moved |= self.deliver_turn(index);
        }
        moved
    }

    /// One consumer's turn.
    fn deliver_turn(&mut self, index: usize) -> bool {
        let Some(subscriber) = self.subscribers.get(index) else { return false };
        subscriber.is_queued = false;
        let number = subscriber.channel;
        let Some(channel) = self.channels.get(usize::from(number)).and_then(Option::as_deref)
        else {
            return false;
        };
        let credit = match subscriber.no_ack {
            true if channel.is_flowing() => usize::MAX,
            true => 0,
            false => subscriber.credit().min(channel.credit()),
        };
        let n_max = credit.min(TURN_MAX);
        let bytes_max = ANSWERS_UNSENT_BYTES_MAX.saturating_sub(self.outbox.len()).max(1);
        let received = subscriber.source.receive(n_max, bytes_max);
        let Ok(deliveries) = received else {
            self.cancel_by_broker(index);
            return true;
        };
        let bytes: usize = deliveries.iter().map(body_len).sum();
        // Without credit there may be something still: it is asked for when there is credit.
        subscriber.has_more = n_max == 0 || deliveries.len() == n_max || bytes >= bytes_max;
        if n_max == 0 {
            return false;
        }
        if subscriber.has_more {
            self.subscribers.schedule(index);
        }
        let moved = !deliveries.is_empty();
        for delivery in &deliveries {
            self.deliver(index, number, delivery);
        }
        self.cx.metrics.delivered.inc_by(u64::try_from(deliveries.len()).unwrap_or(u64::MAX));
        moved
    }

    fn deliver(&mut self, index: usize, number: u16, delivery: &Delivery) {
        let Some((generation, Some(subscriber))) = self.subscribers.slots.get_mut(index) else {
            return;
        };
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_deref_mut);
        let Some(channel) = channel else { return };
        let delivery_tag = channel.next_delivery_tag();
        if !subscriber.no_ack {
            subscriber.unacked += 1;
            let out = Out {
                queue: subscriber.queue,
                consumer: Some(ConsumerKey { slot: index, generation: *generation }),
                token: delivery.token,
                due: subscriber.timeout.map(|timeout| self.now.plus(timeout)),
            };
            channel.unacked.push(delivery_tag, out);
            channel.prefetched += 1;
        }
        let shown = shown(subscriber.source.queue(), delivery);
        let outgoing = to_wire::outgoing(&delivery.message, shown);
        let deliver = Deliver {
            consumer_tag: &subscriber.tag,
            delivery_tag,
            redelivered: delivery.redelivered,
            origin: outgoing.origin(),
        };
        deliver.encode_into(self.outbox.writer(), number);
        let body = delivery.message.value.clone().unwrap_or_default();
        let frame_max = self.session.frame_max();
        send_content(&mut self.outbox, number, frame_max, &outgoing.properties, body);
    }

    /// The queue of a consumer is gone.
    fn cancel_by_broker(&mut self, index: usize) {
        let Some(gone) = self.subscribers.remove(index) else { return };
        if let Ok(channel) = self.channel(gone.channel) {
            channel.consumers.remove(&gone.tag);
            if self.capabilities.cancel_notify {
                let consumer_tag = gone.tag;
                self.send(gone.channel, basic::Cancel { consumer_tag, nowait: true });
            }
        }
    }

    /// Hands over what came by direct reply-to.
    fn poll_replies(&mut self) -> bool {
        let mut moved = false;
        while self.outbox.len() < ANSWERS_UNSENT_BYTES_MAX {
            let Some(reply) = self.mailbox.take() else { break };
            moved = true;
            let frame_max = self.session.frame_max();
            let Ok(channel) = self.channel(reply.channel) else { continue };
            let consumer = channel.reply_consumer.as_ref();
            // An earlier consumer's replies are nobody's.
            let consumer = consumer.filter(|(_, address)| address.as_bytes() == reply.routing_key);
            let Some(consumer_tag) = consumer.map(|(tag, _)| tag.clone()) else { continue };
            let delivery_tag = channel.next_delivery_tag();
            let origin = Origin { exchange: b"", routing_key: &reply.routing_key };
            let deliver =
                Deliver { consumer_tag: &consumer_tag, delivery_tag, redelivered: false, origin };
            deliver.encode_into(self.outbox.writer(), reply.channel);
            let body = reply.body;
            send_content(&mut self.outbox, reply.channel, frame_max, &reply.properties, body);
        }
        moved
    }
}

fn body_len(delivery: &Delivery) -> usize {
    delivery.message.value.as_ref().map_or(0, bytes::Bytes::len)
}

/// Quorum queues show the count from the first redelivery on. A queue that is not in memory alone
/// can be written to by Kafka clients.
pub(crate) fn shown(queue: &Queue, delivery: &Delivery) -> Shown {
    let is_counted = queue.kind() == QueueKind::Quorum && delivery.deliveries > 0;
    Shown {
        deliveries: is_counted.then_some(delivery.deliveries),
        is_foreign: queue.durability() != QueueDurability::Transient,
    }
}
