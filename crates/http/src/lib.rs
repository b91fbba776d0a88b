//! The HTTP front-end: health, metrics and the JSON API under `/v1`, with Server-Sent Events for
//! those who follow a topic. What it offers is written down in `openapi.json`, which a test
//! checks against the router in both directions.
//!
//! HTTP has no session: every request stands alone, so this front-end has no `session.rs`.

mod api;
mod channel;
mod connection;
mod error;
mod extract;
mod from_wire;
mod fuzz;
mod guard;
mod metrics;
mod routes;
mod sse;
mod takeover;
mod time;
mod to_wire;
mod websocket;

pub use connection::serve;
pub use fuzz::{fuzz_pattern, fuzz_websocket};
pub use routes::openapi;

use std::time::Duration;
use tramline_broker::Broker;
use tramline_types::limits;

/// How the HTTP front-end behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host names, besides `localhost` and IP addresses, by which a listener on a loopback
    /// address may be called. Others are refused: a web page could have its own name resolve to
    /// the loopback address, and so reach the broker through the browser.
    pub hosts_allowed: Vec<String>,
    /// How long a tail may be silent before a comment shows that it is alive.
    pub heartbeat: Duration,
    /// The longest that a fetch may wait for messages.
    pub wait_max: Duration,
    /// The largest request body.
    pub body_bytes_max: usize,
    /// Open connections.
    pub connections_max: usize,
    /// The version that the landing page shows.
    pub version: &'static str,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts_allowed: Vec::new(),
            heartbeat: Duration::from_secs(15),
            wait_max: Duration::from_secs(30),
            body_bytes_max: limits::HTTP_BODY_BYTES_MAX,
            connections_max: limits::CONNECTIONS_MAX,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// What every request handler has at hand.
#[derive(Clone)]
pub(crate) struct Context {
    broker: Broker,
    options: std::sync::Arc<Options>,
    metrics: metrics::Metrics,
    shutdown: tokio::sync::watch::Receiver<bool>,
    hosts: tramline_broker::Hosts,
}

impl Context {
    /// Resolves when the server stops: what waits must then answer with what it has.
    async fn stopping(&self) {
        let mut shutdown = self.shutdown.clone();
        // An error means that the sender is gone, and with it the server.
        let _ = shutdown.wait_for(|stop| *stop).await;
    }

    /// Whether the server is stopping.
    fn is_stopping(&self) -> bool {
        *self.shutdown.borrow() || self.shutdown.has_changed().is_err()
    }
}
