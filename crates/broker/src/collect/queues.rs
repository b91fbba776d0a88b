//! Queues: how many messages are in which state, how old the oldest is, and what went in and out.

use super::Name;
use crate::{
    Broker, ProcessingTimes, Queue,
    queue::{PROCESSING_BOUNDS_MS, Traffic},
};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::{fmt, sync::Arc};
use tramline_queue::Counts;
use tramline_types::limits::METRIC_SERIES_MAX;

/// A queue's figures at one moment.
struct Figures {
    labels: [(&'static str, String); 1],
    counts: Counts,
    traffic: Traffic,
    age_seconds: Option<f64>,
    times: Option<ProcessingTimes>,
}

/// Of a histogram every bound is a series.
const HISTOGRAMS_MAX: usize = METRIC_SERIES_MAX / (PROCESSING_BOUNDS_MS.len() + 3);

type Count = fn(&Figures) -> u64;

const GAUGES: [(Name, Count); 9] = [
    (("queue_ready_messages", "Messages that could be delivered"), |of| of.counts.ready),
    (("queue_locked_messages", "Messages delivered and not settled"), |of| of.counts.locked),
    (("queue_blocked_messages", "Messages behind others of their group"), |of| of.counts.blocked),
    (("queue_delayed_messages", "Messages that wait for their time"), |of| of.counts.delayed),
    (("queue_deferred_messages", "Messages set aside"), |of| of.counts.deferred),
    (("queue_transferring_messages", "Dead messages on their way to their target"), |of| {
        of.counts.transferring
    }),
    (("queue_unreadable_messages", "Messages kept that cannot be read"), |of| of.counts.unreadable),
    (("queue_ready_bytes", "Bodies of ready messages"), |of| of.counts.bytes_ready),
    (("queue_consumers", "Attached consumers"), |of| of.counts.consumers),
];

const COUNTERS: [(Name, Count); 6] = [
    (("queue_enqueued_messages", "Messages that came in"), |of| of.traffic.enqueued),
    (("queue_delivered_messages", "Deliveries"), |of| of.traffic.delivered),
    (("queue_redelivered_messages", "Deliveries of messages that were delivered before"), |of| {
        of.traffic.redelivered
    }),
    (("queue_settled_messages", "Deliveries that were settled"), |of| of.traffic.settled),
    (("queue_dead_lettered_messages", "Messages moved to the dead-letter target"), |of| {
        of.traffic.dead_lettered
    }),
    (("queue_dropped_messages", "Dead messages without a target"), |of| of.counts.dropped),
];

/// Series that are left out of each metric, in all.
pub(super) fn left_out(broker: &Broker) -> usize {
    let beyond = broker.queues().len().saturating_sub(METRIC_SERIES_MAX);
    beyond * (GAUGES.len() + COUNTERS.len() + 1)
}

pub(super) fn encode(encoder: &mut DescriptorEncoder, broker: &Broker) -> Result<(), fmt::Error> {
    let queues = broker.queues();
    super::gauge(encoder, ("queues", "Queues"), queues.len() as u64)?;
    let now = broker.clock().now().as_millis();
    let figures = |queue: &Arc<Queue>| {
        let counts = queue.counts();
        let age = counts.oldest.map(|oldest| now.saturating_sub(oldest.as_millis()).max(0));
        Figures {
            labels: [("queue", queue.name().to_string())],
            counts,
            traffic: queue.traffic(),
            times: queue.processing_times(),
            #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
            age_seconds: age.map(|millis| millis as f64 / 1000.0),
        }
    };
    let all: Vec<Figures> = queues.iter().take(METRIC_SERIES_MAX).map(figures).collect();
    for ((name, help), count) in GAUGES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for of in &all {
            let value = i64::try_from(count(of)).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&of.labels)?)?;
        }
    }
    let (name, help) = ("queue_oldest_age_seconds", "Age of the oldest message that is not done");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for of in &all {
        if let Some(age) = of.age_seconds {
            ConstGauge::new(age).encode(family.encode_family(&of.labels)?)?;
        }
    }
    encode_times(encoder, &all)?;
    for ((name, help), count) in COUNTERS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for of in &all {
            ConstCounter::new(count(of)).encode(family.encode_family(&of.labels)?)?;
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seconds for people")]
fn encode_times(encoder: &mut DescriptorEncoder, all: &[Figures]) -> Result<(), fmt::Error> {
    let name = "queue_processing_seconds";
    let help = "From delivery to settlement, of a sample of the deliveries";
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    let timed = all.iter().filter_map(|of| Some((&of.labels, of.times?)));
    for (labels, times) in timed.take(HISTOGRAMS_MAX) {
        let bounds = PROCESSING_BOUNDS_MS.iter().map(|bound| *bound as f64 / 1000.0);
        let bounds = bounds.chain(std::iter::once(f64::INFINITY));
        let buckets: Vec<(f64, u64)> = bounds.zip(times.counts).collect();
        let mut metric = family.encode_family(labels)?;
        let (sum, count) = (times.sum_ms as f64 / 1000.0, times.counts.iter().sum());
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
    }
    Ok(())
}
