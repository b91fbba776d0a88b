//! Direct reply-to: replies that go from a publisher's connection straight to the one that asked,
//! through no queue.
//!
//! A client consumes from the pseudo-queue `amq.rabbitmq.reply-to`; what it then publishes with
//! that reply-to carries an address of its own instead, and messages to that address are put
//! into its connection's mailbox. A mailbox is bounded: a reply that does not fit is dropped, as
//! one whose reader is gone.

use crate::wakes::Wakes;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tramline_types::limits::AMQP_MAILBOX_BYTES_MAX;

/// What clients consume from, and name as their reply-to.
pub(crate) const PSEUDO_QUEUE: &str = "amq.rabbitmq.reply-to";

/// What one consumer's address starts with.
pub(crate) const PREFIX: &str = "amq.rabbitmq.reply-to.";

/// One reply.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) channel: u16,
    pub(crate) routing_key: Bytes,
    pub(crate) properties: Bytes,
    pub(crate) body: Bytes,
}

/// The replies for one connection.
pub(crate) struct Mailbox {
    replies: Mutex<(VecDeque<Reply>, usize)>,
    any: AtomicBool,
    wakes: Arc<Wakes>,
}

impl Mailbox {
    pub(crate) fn new(wakes: &Arc<Wakes>) -> Arc<Self> {
        let replies = Mutex::new((VecDeque::new(), 0));
        Arc::new(Self { replies, any: AtomicBool::new(false), wakes: Arc::clone(wakes) })
    }

    /// Puts a reply in; says whether it fitted.
    fn put(&self, reply: Reply) -> bool {
        let size = reply.body.len() + reply.properties.len() + size_of::<Reply>();
        {
            let (replies, bytes) = &mut *self.replies.lock();
            if *bytes + size > AMQP_MAILBOX_BYTES_MAX && !replies.is_empty() {
                return false;
            }
            *bytes += size;
            replies.push_back(reply);
        }
        if !self.any.swap(true, Ordering::AcqRel) {
            self.wakes.wake_task();
        }
        true
    }

    /// The next reply.
    pub(crate) fn take(&self) -> Option<Reply> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let (replies, bytes) = &mut *self.replies.lock();
        let reply = replies.pop_front();
        match &reply {
            Some(reply) => {
                *bytes -= reply.body.len() + reply.properties.len() + size_of::<Reply>();
            }
            None => self.any.store(false, Ordering::Release),
        }
        reply
    }
}

/// Who can be replied to.
#[derive(Default)]
pub(crate) struct ReplyTo {
    addresses: RwLock<HashMap<String, (Arc<Mailbox>, u16)>>,
}

impl ReplyTo {
    /// Makes an address for a channel.
    pub(crate) fn register(&self, mailbox: &Arc<Mailbox>, channel: u16) -> String {
        let address = format!("{PREFIX}{}", uuid::Uuid::new_v4().simple());
        self.addresses.write().insert(address.clone(), (Arc::clone(mailbox), channel));
        address
    }

    /// Takes an address back.
    pub(crate) fn remove(&self, address: &str) {
        self.addresses.write().remove(address);
    }

    /// Whether somebody has this address.
    pub(crate) fn exists(&self, address: &str) -> bool {
        self.addresses.read().contains_key(address)
    }

    /// Hands a reply over; says whether somebody gets it.
    pub(crate) fn send(&self, routing_key: &Bytes, properties: &Bytes, body: &Bytes) -> bool {
        let found = {
            let addresses = self.addresses.read();
            let address = str::from_utf8(routing_key).ok();
            address.and_then(|address| addresses.get(address).cloned())
        };
        let Some((mailbox, channel)) = found else { return false };
        // Copied: a mailbox holds no more than it counts, and not the reads that replies came in.
        let [routing_key, properties, body] =
            [routing_key, properties, body].map(|bytes| Bytes::copy_from_slice(bytes));
        mailbox.put(Reply { channel, routing_key, properties, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_reaches_the_channel_that_asked_and_nobody_after_it_is_gone() {
        let registry = ReplyTo::default();
        let mailbox = Mailbox::new(&Arc::new(Wakes::default()));
        let address = registry.register(&mailbox, 7);
        assert!(address.starts_with(PREFIX) && registry.exists(&address));
        let key = Bytes::from(address.clone());
        assert!(registry.send(&key, &Bytes::new(), &Bytes::from_static(b"answer")));
        let reply = mailbox.take().unwrap();
        assert_eq!((reply.channel, &*reply.body), (7, &b"answer"[..]));
        assert!(mailbox.take().is_none());
        registry.remove(&address);
        assert!(!registry.send(&key, &Bytes::new(), &Bytes::new()));
    }

    #[test]
    fn a_full_mailbox_drops_what_does_not_fit() {
        let registry = ReplyTo::default();
        let mailbox = Mailbox::new(&Arc::new(Wakes::default()));
        let key = Bytes::from(registry.register(&mailbox, 1));
        let body = Bytes::from(vec![0; AMQP_MAILBOX_BYTES_MAX]);
        assert!(registry.send(&key, &Bytes::new(), &body), "one always fits");
        assert!(!registry.send(&key, &Bytes::new(), &body));
        mailbox.take().unwrap();
        assert!(registry.send(&key, &Bytes::new(), &body));
    }
}
