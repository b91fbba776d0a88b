//! What one listener counts.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tramline_broker::Broker;

/// The counters.
#[derive(Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) connections_accepted: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) channels: Gauge,
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    pub(crate) published: Counter,
    pub(crate) returned: Counter,
    pub(crate) refused: Counter,
    pub(crate) delivered: Counter,
    pub(crate) settled: Counter,
    pub(crate) errors: Counter,
}

impl Metrics {
    /// Registers them with the broker.
    pub(crate) fn new(broker: &Broker) -> Self {
        let metrics = Self::default();
        broker.metrics().register(|registry| {
            let registry = registry.sub_registry_with_prefix("amqp091");
            let gauges = [
                ("connections", "Open connections", &metrics.connections),
                ("channels", "Open channels", &metrics.channels),
            ];
            for (name, help, gauge) in gauges {
                registry.register(name, help, gauge.clone());
            }
            let counters = [
                ("connections_accepted", "Connections accepted", &metrics.connections_accepted),
                (
                    "connections_refused",
                    "Connections refused at the limit",
                    &metrics.connections_refused,
                ),
                ("received_bytes", "Bytes received", &metrics.bytes_received),
                ("sent_bytes", "Bytes sent", &metrics.bytes_sent),
                ("published", "Messages published", &metrics.published),
                ("returned", "Messages returned to their publisher", &metrics.returned),
                ("refused", "Messages that no queue took", &metrics.refused),
                ("delivered", "Messages delivered", &metrics.delivered),
                ("settled", "Deliveries settled", &metrics.settled),
                ("errors", "Channels and connections closed on an error", &metrics.errors),
            ];
            for (name, help, counter) in counters {
                registry.register(name, help, counter.clone());
            }
        });
        metrics
    }
}
