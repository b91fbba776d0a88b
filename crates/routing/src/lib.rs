//! Where a published message goes: exchanges, bindings, and how routing keys and headers match
//! them (AMQP 0-9-1 section 3.1, with RabbitMQ's extensions). Pure: no I/O, no clock, no locks.
//!
//! [`Router`] holds the exchanges of one namespace; a message enters at one of them and comes
//! out as the names of queues. [`ChannelTrie`] finds who listens to a realtime channel.

mod binding;
mod channel;
mod destinations;
mod headers;
mod router;
mod table;
mod topic;
mod value;

pub use binding::{Binding, Destination};
pub use channel::{ChannelPattern, ChannelTrie};
pub use router::{Error, Exchange, ExchangeKind, ExchangeSettings, Message, Router};
pub use value::{Arguments, Value};
