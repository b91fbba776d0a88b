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
    bytes_expired: Counter,
    pub(crate) compaction: CompactionMetrics,
}

/// What compaction does.
#[derive(Default)]
pub(crate) struct CompactionMetrics {
    passes: Counter,
    records_removed: Counter,
    bytes_read: Counter,
    bytes_written: Counter,
}

impl CompactionMetrics {
    fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("compaction_passes", "Passes of compaction that came through", &self.passes),
            ("compaction_removed_records", "Records taken out by them", &self.records_removed),
            ("compaction_read_bytes", "Bytes of batches read by compaction", &self.bytes_read),
            ("compaction_written_bytes", "Bytes written by compaction", &self.bytes_written),
        ] {
            registry.register(name, help, Counter::clone(counter));
        }
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.bytes_read.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn written(&self, bytes: usize) {
        self.bytes_written.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn passed(&self, records_removed: u64) {
        self.passes.inc();
        self.records_removed.inc_by(records_removed);
    }
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
        let bytes_expired =
            counter(&mut registry, "expired_bytes", "Bytes of batches dropped by retention");
        let compaction = CompactionMetrics::default();
        compaction.register(&mut registry);
        Self {
            registry: Mutex::new(registry),
            foreign: Mutex::new(Registry::default()),
            batches_published,
            bytes_published,
            bytes_fetched,
            bytes_expired,
            compaction,
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

    pub(crate) fn expired(&self, bytes: u64) {
        self.bytes_expired.inc_by(bytes);
    }

    pub(crate) fn fetched(&self, bytes: usize) {
        self.bytes_fetched.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}
