//! What every request handler has at hand.

use crate::{Options, error::ErrorCode, metrics::Metrics, nodes::Nodes};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tramline_broker::Broker;
use tramline_wire::{
    KafkaStr,
    kafka::{ApiKey, RequestHeader},
};

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    pub(crate) nodes: Nodes,
}

/// One connection's surroundings.
pub(crate) struct Context {
    shared: Arc<Shared>,
    node_id: i32,
    /// The host that this client is told to connect to.
    pub(crate) host: KafkaStr,
    /// Where the client comes from, in Kafka's form.
    pub(crate) client_host: Arc<str>,
}

impl Context {
    /// `local` is the address of the node, by its id, that the client connected to.
    pub(crate) fn new(
        shared: Arc<Shared>,
        node_id: i32,
        local: SocketAddr,
        peer: SocketAddr,
    ) -> Self {
        let host = match &shared.options.advertised {
            Some((host, _)) => host.clone(),
            None => local.ip().to_canonical().to_string(),
        };
        Self {
            shared,
            node_id,
            host: host.into(),
            client_host: format!("/{}", peer.ip().to_canonical()).into(),
        }
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.shared.broker
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The node that the client connected to.
    pub(crate) const fn node_id(&self) -> i32 {
        self.node_id
    }

    /// Every node.
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.shared.nodes
    }

    /// The node that decides about topics.
    pub(crate) fn controller_id(&self) -> i32 {
        self.shared.nodes.id(0)
    }

    /// The port of a node.
    pub(crate) fn port(&self, node_id: i32) -> i32 {
        let found = self.shared.nodes.all().find(|(id, _)| *id == node_id);
        found.map_or(-1, |(_, port)| i32::from(port))
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The wire code of an error, counted.
    pub(crate) fn refuse(&self, api: ApiKey, error: impl Into<ErrorCode>) -> i16 {
        self.shared.metrics.refused(api);
        error.into().code()
    }
}

/// What the header of a request says.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    pub(crate) client_id: Option<KafkaStr>,
    /// The whole request, which stays in memory until it is answered, or let go of.
    pub(crate) bytes: usize,
    let_go: Option<Arc<AtomicBool>>,
}

impl Call {
    pub(crate) fn new(api: ApiKey, header: RequestHeader, bytes: usize) -> Self {
        Self {
            api,
            version: header.request_api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id,
            bytes,
            let_go: None,
        }
    }

    /// Keeps nothing of the request's bytes, so that they can be let go of before the answer. What
    /// it gives tells when they are.
    pub(crate) fn detach(&mut self) -> Arc<AtomicBool> {
        self.client_id = self.client_id.as_ref().map(|id| KafkaStr::from(id.as_str().to_owned()));
        Arc::clone(self.let_go.insert(Arc::default()))
    }

    /// Nothing of the request's bytes is used any more.
    pub(crate) fn let_go(&self) {
        if let Some(let_go) = &self.let_go {
            let_go.store(true, Ordering::Relaxed);
        }
    }
}
