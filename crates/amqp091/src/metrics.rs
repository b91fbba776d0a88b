//! What one listener counts.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tramline_broker::{Broker, Door};

/// The counters.
#[derive(Default)]
pub(crate) struct Metrics {
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
    pub(crate) fn new(broker: &Broker, door: &Door) -> Self {
        let metrics = Self::default();
        broker.metrics().register(|registry| {
            let registry = registry.sub_registry_with_prefix("amqp091");
            door.register(registry);
            registry.register("channels", "Open channels", metrics.channels.clone());
            let counters = [
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
