//! What the listener counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tramline_broker::{Broker, BytesCounted, Door};

/// The action is one that exists, never what a client made up: names would make endless series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAction {
    action: &'static str,
    status: u16,
}

/// Counters and gauges. A clone is a handle.
#[derive(Clone)]
pub(crate) struct Metrics {
    requests: Family<OfAction, Counter>,
    pub(crate) bytes: BytesCounted,
}

impl Metrics {
    /// Registers them with the broker.
    pub(crate) fn new(broker: &Broker, door: &Door) -> Self {
        let metrics = Self { requests: Family::default(), bytes: BytesCounted::default() };
        broker.metrics().register(|registry| {
            let registry = registry.sub_registry_with_prefix("sqs");
            door.register(registry);
            metrics.bytes.register(registry);
            registry.register(
                "requests",
                "Requests answered, by action and status",
                metrics.requests.clone(),
            );
        });
        metrics
    }

    /// A request was answered.
    pub(crate) fn answered(&self, action: Option<&'static str>, status: u16) {
        let action = action.unwrap_or("none");
        self.requests.get_or_create(&OfAction { action, status }).inc();
    }
}
