//! The Amazon SQS front-end: every AWS SDK on the broker's queues, over AWS JSON 1.0 and over the
//! older Query protocol with XML answers, on the same port and path.
//!
//! HTTP has no session: every request stands alone, so this front-end has no `session.rs`. What
//! it remembers between requests lies in memory, and nothing of that has to last.

mod api;
mod body;
mod caller;
mod connection;
mod declared;
mod error;
mod from_wire;
mod fuzz;
mod guard;
mod handle;
mod memory;
mod metrics;
mod profile;
mod recent;
mod request;
mod reset;
mod signature;
mod to_wire;

pub use connection::serve;
pub use declared::{DeadLetter, Declared};
pub use fuzz::{fuzz_json, fuzz_query, fuzz_signature};

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_broker::Broker;
use tramline_types::limits;

/// How the SQS front-end behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host names, besides `localhost` and IP addresses, by which a listener on a loopback
    /// address may be called. Others are refused: a web page could have its own name resolve to
    /// the loopback address, and so reach the broker through the browser.
    pub hosts_allowed: Vec<String>,
    /// Open connections.
    pub connections_max: usize,
    /// The account that queues belong to where a client's access key id is none: 12 digits.
    pub account: String,
    /// The region in names of resources, where a client does not sign for one.
    pub region: String,
    /// How queue URLs are written; any form is read.
    pub queue_urls: QueueUrls,
    /// Whether sending to, receiving from or asking for a queue that does not exist creates it.
    pub auto_create: bool,
    /// Queues that are created at the start, by name, where they do not exist.
    pub queues: BTreeMap<String, Declared>,
    /// Whether clients may have all queues of their account deleted, at `/_tramline/reset`.
    pub allow_reset: bool,
    /// Access key ids with their secrets. Where there are any, every request must be signed with
    /// one of them.
    pub keys: BTreeMap<String, String>,
    /// For so long after its deletion a queue's name cannot be taken again.
    pub deleted_window: Duration,
    /// For so long after a purge a queue cannot be purged again.
    pub purged_window: Duration,
    /// Messages of one queue that are received and not deleted.
    pub in_flight_max: u64,
}

/// How queue URLs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueUrls {
    /// Under the host as it was called.
    #[default]
    Path,
    /// Under `sqs.<region>.` and the host as it was called, where that is a name.
    Host,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hosts_allowed: Vec::new(),
            connections_max: limits::CONNECTIONS_MAX,
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            queue_urls: QueueUrls::Path,
            auto_create: false,
            queues: BTreeMap::new(),
            allow_reset: false,
            keys: BTreeMap::new(),
            deleted_window: Duration::from_secs(60),
            purged_window: Duration::from_secs(60),
            in_flight_max: 120_000,
        }
    }
}

/// What every request has at hand.
#[derive(Clone)]
pub(crate) struct Context {
    broker: Broker,
    options: Arc<Options>,
    memory: Arc<memory::Memory>,
    profiles: Arc<profile::Profiles>,
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
}
