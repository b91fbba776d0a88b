//! Figures read when the metrics are asked for: the store, the topics and the queues.

mod config_push;
pub(crate) mod groups;
mod jobs;
mod queues;

use crate::{Broker, Topic};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::{fmt, sync::Arc};
use tramline_store::Stats;
use tramline_types::limits::METRIC_SERIES_MAX;

/// Reads the figures of one broker. Holds no handle that would keep the broker alive: the
/// registry that it is in belongs to the broker.
pub(crate) struct Figures {
    read: Box<dyn Fn() -> Option<Broker> + Send + Sync>,
}

impl Figures {
    pub(crate) fn new(read: impl Fn() -> Option<Broker> + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read) }
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(broker) = (self.read)() else { return Ok(()) };
        let stats = broker.store().stats();
        encode_store(&mut encoder, &stats)?;
        gauge(
            &mut encoder,
            ("store_damaged_ranges", "Stored ranges that cannot be read"),
            broker.store().damage().len() as u64,
        )?;
        let budgets = broker.budgets();
        for (name, help, budget) in [
            ("memory_received_bytes", "Received requests in memory", &budgets.received),
            ("memory_answers_bytes", "Answers in memory that no client took", &budgets.answers),
            ("memory_groups_bytes", "Members of groups in memory", &budgets.groups),
            ("memory_offsets_bytes", "Committed offsets in memory", &budgets.offsets),
        ] {
            gauge(&mut encoder, (name, help), budget.used() as u64)?;
        }
        config_push::encode(&mut encoder, &broker)?;
        encode_topics(&mut encoder, &broker)?;
        jobs::encode(&mut encoder, &broker)?;
        queues::encode(&mut encoder, &broker)?;
        crate::bus::metrics::encode(&mut encoder, &broker)
    }
}

type Name = (&'static str, &'static str);

fn counter(encoder: &mut DescriptorEncoder, name: Name, value: u64) -> Result<(), fmt::Error> {
    let metric = encoder.encode_descriptor(name.0, name.1, None, MetricType::Counter)?;
    ConstCounter::new(value).encode(metric)
}

fn gauge(encoder: &mut DescriptorEncoder, name: Name, value: u64) -> Result<(), fmt::Error> {
    let metric = encoder.encode_descriptor(name.0, name.1, None, MetricType::Gauge)?;
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people, out of microseconds")]
fn encode_store(encoder: &mut DescriptorEncoder, stats: &Stats) -> Result<(), fmt::Error> {
    counter(encoder, ("store_commits", "Commits made durable"), stats.commits)?;
    counter(encoder, ("store_commit_groups", "Commit groups: one sync each"), stats.groups)?;
    counter(
        encoder,
        ("store_committed_bytes", "Bytes of batches and state made durable"),
        stats.bytes_committed,
    )?;
    gauge(encoder, ("store_wal_bytes", "Unretired write-ahead log"), stats.wal_bytes)?;
    gauge(encoder, ("store_segment_bytes", "Segments and checkpoints"), stats.segment_bytes)?;
    gauge(encoder, ("store_cache_bytes", "Memory of the tail cache"), stats.cache_bytes)?;
    if let Some(free) = stats.disk_free_bytes {
        gauge(encoder, ("store_disk_free_bytes", "Free space of the file system"), free)?;
    }
    if let Some(total) = stats.disk_total_bytes {
        gauge(encoder, ("store_disk_total_bytes", "Size of the file system"), total)?;
    }
    gauge(
        encoder,
        ("store_full", "1 while publishers are refused for lack of space"),
        u64::from(stats.full),
    )?;
    let name = ("store_sync_seconds", "How long the sync of a commit group took");
    let mut metric = encoder.encode_descriptor(name.0, name.1, None, MetricType::Histogram)?;
    let count = stats.sync_micros.iter().map(|(_, count)| count).sum();
    let buckets: Vec<(f64, u64)> = stats
        .sync_micros
        .iter()
        .map(|(bound, count)| {
            (if *bound == u64::MAX { f64::INFINITY } else { *bound as f64 / 1e6 }, *count)
        })
        .collect();
    let sum = stats.sync_micros_sum as f64 / 1e6;
    metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
}

fn encode_topics(encoder: &mut DescriptorEncoder, broker: &Broker) -> Result<(), fmt::Error> {
    let topics = broker.topics();
    gauge(encoder, ("topics", "Topics"), topics.len() as u64)?;
    let mut starts = Vec::new();
    for topic in &topics {
        for (index, partition) in topic.partitions().iter().enumerate() {
            if starts.len() == METRIC_SERIES_MAX {
                break;
            }
            let labels = [("topic", topic.name().to_string()), ("partition", index.to_string())];
            starts.push((labels, partition.log_start().get(), partition.high_watermark().get()));
        }
    }
    for (name, help, end) in [
        ("partition_log_start_offset", "First offset of a partition", false),
        ("partition_high_watermark", "Next offset of a partition, as far as durable", true),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, start, next) in &starts {
            let value = i64::try_from(if end { *next } else { *start }).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(labels)?)?;
        }
    }
    encode_compaction(encoder, &topics)
}

/// How far every compacted partition is.
fn encode_compaction(
    encoder: &mut DescriptorEncoder,
    topics: &[Arc<Topic>],
) -> Result<(), fmt::Error> {
    let mut statuses = Vec::new();
    for topic in topics.iter().filter(|topic| topic.settings().compaction.is_some()) {
        for (index, partition) in topic.partitions().iter().enumerate() {
            if statuses.len() == METRIC_SERIES_MAX {
                break;
            }
            let labels = [("topic", topic.name().to_string()), ("partition", index.to_string())];
            let status = partition.compaction_status();
            let behind = partition.high_watermark().get().saturating_sub(status.dirty_from.get());
            statuses.push((labels, behind, status.batches_unreadable));
        }
    }
    for (name, help, unreadable) in [
        ("partition_uncompacted_offsets", "Offsets since the last pass of compaction", false),
        ("partition_unreadable_batches", "Batches that compaction could not open", true),
    ] {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, behind, batches) in &statuses {
            let value = if unreadable { *batches } else { *behind };
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(labels)?)?;
        }
    }
    Ok(())
}
