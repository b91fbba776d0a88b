//! What one listener counts, by API where that makes sense.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tramline_broker::{Broker, Door};
use tramline_wire::kafka::ApiKey;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfApi {
    api: &'static str,
}

/// The counters. Those by API are looked up once, at the start.
pub(crate) struct Metrics {
    pub(crate) bytes_received: Counter,
    pub(crate) bytes_sent: Counter,
    requests: Vec<Counter>,
    errors: Vec<Counter>,
}

impl Metrics {
    /// Registers them with the broker.
    pub(crate) fn new(broker: &Broker, door: &Door) -> Self {
        let (requests, errors) = (Family::default(), Family::default());
        let metrics = Self {
            bytes_received: Counter::default(),
            bytes_sent: Counter::default(),
            requests: by_api(&requests),
            errors: by_api(&errors),
        };
        broker.metrics().register(|registry| {
            let registry = registry.sub_registry_with_prefix("kafka");
            door.register(registry);
            registry.register("received_bytes", "Bytes received", metrics.bytes_received.clone());
            registry.register("sent_bytes", "Bytes sent", metrics.bytes_sent.clone());
            registry.register("requests", "Requests by API", requests);
            registry.register("errors", "Errors answered by API", errors);
        });
        metrics
    }

    /// A request came.
    pub(crate) fn requested(&self, api: ApiKey) {
        self.requests[index(api)].inc();
    }

    /// An error is answered.
    pub(crate) fn refused(&self, api: ApiKey) {
        self.errors[index(api)].inc();
    }
}

fn by_api(family: &Family<OfApi, Counter>) -> Vec<Counter> {
    let counter = |api: &ApiKey| family.get_or_create(&OfApi { api: api.name() }).clone();
    ApiKey::ALL.iter().map(counter).collect()
}

fn index(api: ApiKey) -> usize {
    ApiKey::ALL.binary_search(&api).expect("`ALL` has every key, in order")
}
