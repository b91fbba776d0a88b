//! What every request handler has at hand.

use crate::{Options, error::ErrorCode, metrics::Metrics};
use std::{net::SocketAddr, sync::Arc};
use tramline_broker::Broker;
use tramline_wire::{
    KafkaStr,
    kafka::{ApiKey, RequestHeader},
};

/// What one listener's connections share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
}

/// One connection's surroundings.
pub(crate) struct Context {
    shared: Arc<Shared>,
    /// What this client is told to connect to.
    pub(crate) host: KafkaStr,
    pub(crate) port: i32,
    /// Where the client comes from, in Kafka's form.
    pub(crate) client_host: Arc<str>,
}

impl Context {
    /// `local` is the address that the client connected to.
    pub(crate) fn new(shared: Arc<Shared>, local: SocketAddr, peer: SocketAddr) -> Self {
        let (host, port) = match &shared.options.advertised {
            Some((host, port)) => (host.clone(), *port),
            None => (local.ip().to_canonical().to_string(), local.port()),
        };
        Self {
            shared,
            host: host.into(),
            port: i32::from(port),
            client_host: format!("/{}", peer.ip().to_canonical()).into(),
        }
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.shared.broker
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    pub(crate) fn node_id(&self) -> i32 {
        self.shared.options.node_id
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
}

impl Call {
    pub(crate) fn new(api: ApiKey, header: RequestHeader) -> Self {
        Self {
            api,
            version: header.request_api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id,
        }
    }
}
