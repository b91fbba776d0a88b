//! One binding: what leads from an exchange to a queue or to another exchange.

use crate::Arguments;
use bytes::Bytes;
use tramline_types::{ExchangeName, QueueName};

/// Where a binding leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A queue.
    Queue(QueueName),
    /// Another exchange, which routes on by the same key and headers.
    Exchange(ExchangeName),
}

/// One binding. Two that are equal in everything are the same one.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: ExchangeName,
    /// Where they go.
    pub destination: Destination,
    /// What the exchange's kind compares with the message's routing key.
    pub key: Bytes,
    /// What a headers exchange compares with the message's headers.
    pub arguments: Arguments,
}

impl Binding {
    /// Whether it is the same binding: arguments may be in another order.
    pub fn is_same(&self, other: &Self) -> bool {
        self.source == other.source
            && self.destination == other.destination
            && self.key == other.key
            && self.arguments.is_equivalent(&other.arguments)
    }
}
