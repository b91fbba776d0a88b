//! The bus in the metrics: what was published, delivered and dropped, by prefix.

use super::rules::ChannelFigures;
use crate::Broker;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;

type Count = fn(&ChannelFigures) -> u64;

const COUNTERS: [(&str, &str, Count); 5] = [
    ("channel_published_messages", "Publications on channels", |of| of.published),
    ("channel_delivered_messages", "Publications handed to receivers", |of| of.delivered),
    ("channel_dropped_messages", "Publications that slow receivers lost", |of| of.dropped),
    (
        "channel_conflated_messages",
        "Publications replaced by later ones before a slow receiver \
      took them",
        |of| of.conflated,
    ),
    ("channel_cut_off_receivers", "Receivers cut off for being slow", |of| of.cut_off),
];

pub(crate) fn encode(encoder: &mut DescriptorEncoder, broker: &Broker) -> Result<(), fmt::Error> {
    let totals = broker.bus().totals();
    for (name, help, value) in [
        ("channel_receivers", "Receivers of publications", totals.receivers),
        ("channel_subscriptions", "Subscriptions of all receivers", totals.subscriptions),
        ("channel_waiting_bytes", "Bytes that wait for receivers", totals.bytes_waiting),
        ("channel_retained_values", "Channels with a retained value", totals.retained),
        ("channel_retained_bytes", "Retained values", totals.retained_bytes),
        ("channel_histories", "Channels with a history", totals.histories),
        ("channel_history_bytes", "Histories of channels", totals.history_bytes),
    ] {
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)?;
    }
    let figures = broker.channel_figures();
    for (name, help, count) in COUNTERS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (prefix, of) in &figures {
            let labels = [("prefix", prefix.as_str())];
            ConstCounter::new(count(of)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
