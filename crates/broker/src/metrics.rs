//! What is counted, in Prometheus' terms.

use parking_lot::Mutex;
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::counter::Counter,
    registry::Registry,
};

/// The broker's counters and everyone's registry.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// What has its whole name from elsewhere, without our prefix.
    foreign: Mutex<Registry>,
    batches_published: Counter,
    bytes_published: Counter,
    bytes_fetched: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("tramline");
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, Counter::clone(&counter));
            counter
        };
        let batches_published =
            counter(&mut registry, "published_batches", "Record batches accepted");
        let bytes_published =
            counter(&mut registry, "published_bytes", "Bytes of batches accepted");
        let bytes_fetched = counter(&mut registry, "fetched_bytes", "Bytes of batches read");
        Self {
            registry: Mutex::new(registry),
            foreign: Mutex::new(Registry::default()),
            batches_published,
            bytes_published,
            bytes_fetched,
        }
    }

    /// Registers a front-end's metrics.
    pub fn register(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.registry.lock());
    }

    /// Registers metrics under names of their own: no prefix is put before them.
    pub(crate) fn register_foreign(&self, register: impl FnOnce(&mut Registry)) {
        register(&mut self.foreign.lock());
    }

    /// Everything in the OpenMetrics text form, ending with `# EOF`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry.lock())
            .and_then(|()| encode_registry(&mut text, &self.foreign.lock()))
            .and_then(|()| encode_eof(&mut text))
            .expect("a String takes everything");
        text
    }

    pub(crate) fn published(&self, bytes: usize) {
        self.batches_published.inc();
        self.bytes_published.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn fetched(&self, bytes: usize) {
        self.bytes_fetched.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}
