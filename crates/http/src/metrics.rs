//! What the listener counts.

use axum::http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tramline_broker::{Broker, BytesCounted, Door};

/// The route is the pattern, never the path itself: names would make endless series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    method: &'static str,
    route: String,
    status: u16,
}

/// Counters and gauges. A clone is a handle.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<OfRoute, Counter>,
    pub(crate) bytes: BytesCounted,
}

impl Metrics {
    /// Registers them with the broker.
    pub(crate) fn new(broker: &Broker, door: &Door) -> Self {
        let metrics = Self { requests: Family::default(), bytes: BytesCounted::default() };
        broker.metrics().register(|registry| {
            let registry = registry.sub_registry_with_prefix("http");
            door.register(registry);
            metrics.bytes.register(registry);
            registry.register(
                "requests",
                "Requests answered, by method, route and status",
                metrics.requests.clone(),
            );
        });
        metrics
    }

    /// A request was answered; a tail counts when it begins.
    pub(crate) fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode) {
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "other",
        };
        let route = route.unwrap_or("none").to_owned();
        self.requests.get_or_create(&OfRoute { method, route, status: status.as_u16() }).inc();
    }
}
