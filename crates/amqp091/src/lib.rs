//! The AMQP 0-9-1 front-end: what RabbitMQ's clients speak, over the broker's boundary.
//!
//! One task per connection. Frames are handled in the order in which they come; the publishes of
//! one read go into their queues together and are confirmed when they are durable, and meanwhile
//! the next frames are read. Deliveries are pulled from the queues by credit and by what the peer
//! takes: a peer that does not read holds up its own deliveries and nobody else's.

mod api;
mod channel;
mod client;
mod connection;
mod context;
mod error;
mod from_wire;
mod inbox;
mod listener;
mod metrics;
mod outbox;
mod reply_to;
mod room;
mod routes;
mod session;
mod to_wire;
mod wakes;

pub use listener::serve;

use std::time::Duration;
use tramline_types::limits;

/// How the AMQP 0-9-1 front-end behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Open connections.
    pub connections_max: usize,
    /// The largest frame offered to clients.
    pub frame_bytes_max: u32,
    /// Channels of one connection.
    pub channels_max: u16,
    /// How often each side says that it lives, as offered; zero: never.
    pub heartbeat: Duration,
    /// A delivery that is not settled for so long costs its channel; zero: never.
    pub consumer_timeout: Duration,
    /// The largest body.
    pub message_bytes_max: usize,
    /// Whether `guest` may log in from other machines.
    pub remote_guest: bool,
    /// What clients are told that this is: some look for RabbitMQ and its version.
    pub product: String,
    /// The version that goes with it.
    pub product_version: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_MAX,
            frame_bytes_max: limits::AMQP_FRAME_BYTES_MAX,
            channels_max: limits::AMQP_CHANNELS_MAX,
            heartbeat: Duration::from_secs(60),
            consumer_timeout: Duration::from_secs(30 * 60),
            message_bytes_max: limits::AMQP_MESSAGE_BYTES_MAX,
            remote_guest: false,
            product: "RabbitMQ".to_owned(),
            product_version: "3.13.7".to_owned(),
        }
    }
}
