//! The Kafka front-end: what Kafka's clients speak, over the broker's boundary.
//!
//! One task per connection. Requests are applied in the order in which they come and answered in
//! that order; a Produce is applied when its batches have their offsets and answered when they
//! are durable, and meanwhile the next request is read.

mod api;
mod connection;
mod context;
mod error;
mod from_wire;
mod fuzz;
mod listener;
mod metrics;
mod nodes;
mod outbox;
mod quota;
mod room;
mod session;
mod subscription;
mod to_wire;

pub use fuzz::fuzz_frames;
pub use listener::{serve, serve_nodes};

use tramline_types::limits;

/// How the Kafka front-end behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address that clients are told to connect to, where it is not the one that they came
    /// by: behind a forwarded port, for one (`kafka.advertised`).
    pub advertised: Option<(String, u16)>,
    /// This node's id among the brokers; the first of several ([`serve_nodes`]).
    pub node_id: i32,
    /// Open connections.
    pub connections_max: usize,
    /// The largest request.
    pub request_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            advertised: None,
            node_id: 0,
            connections_max: limits::CONNECTIONS_MAX,
            request_bytes_max: limits::REQUEST_BYTES_MAX,
        }
    }
}
