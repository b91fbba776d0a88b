//! The vocabulary of the broker: ids, parsed names, offsets, messages, error kinds, the clock
//! and the limits. No async, no I/O, no state.

mod channel;
mod clock;
mod error_kind;
mod id;
pub mod limits;
mod message;
mod name;
mod offset;

pub use channel::{ChannelName, check_channel};
pub use clock::{Clock, Monotonic, Steady, Times, Timestamp};
pub use error_kind::ErrorKind;
pub use id::{ConnectionId, LogId, ProducerId, TopicId};
pub use message::{Header, Message};
pub use name::{ExchangeName, GroupId, NameError, QueueName, TopicName};
pub use offset::Offset;
