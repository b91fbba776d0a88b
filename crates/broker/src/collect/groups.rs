//! The lag of groups, and what kafka_exporter tells of topics and groups, under its names and
//! with its labels, so that dashboards and alerts made for it go on working.
//!
//! A metric with a series per partition, or per group and partition, has at most
//! [`METRIC_SERIES_MAX`] of them; how many were left out is a metric itself.

use super::gauge;
use crate::{Broker, Topic, lag::Standing};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use tramline_types::{GroupId, Offset, TopicName, limits::METRIC_SERIES_MAX};

/// Reads the figures of one broker, which it does not keep alive.
pub(crate) struct GroupFigures {
    read: Box<dyn Fn() -> Option<Broker> + Send + Sync>,
}

impl GroupFigures {
    pub(crate) fn new(read: impl Fn() -> Option<Broker> + Send + Sync + 'static) -> Self {
        Self { read: Box::new(read) }
    }
}

impl fmt::Debug for GroupFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupFigures")
    }
}

impl Collector for GroupFigures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let Some(broker) = (self.read)() else { return Ok(()) };
        let mut out = Out { encoder: &mut encoder, left_out: 0 };
        let groups = groups(&broker);
        encode_lag(&mut out, &groups)?;
        encode_kafka_topics(&mut out, &broker.topics())?;
        encode_kafka_groups(&mut out, &groups)?;
        let left_out = (out.left_out + super::queues::left_out(&broker)) as u64;
        gauge(&mut encoder, ("kafka_brokers", "Brokers of the cluster"), 1)?;
        let name = ("tramline_metric_series_left_out", "Series beyond the limit of one metric");
        gauge(&mut encoder, name, left_out)
    }
}

struct Group {
    id: GroupId,
    members: usize,
    standings: Vec<Standing>,
}

fn groups(broker: &Broker) -> Vec<Group> {
    let group = |id: GroupId| Group {
        members: broker.groups().describe(&id).members.len(),
        standings: broker.standings(&id).unwrap_or_default(),
        id,
    };
    broker.groups().list().into_iter().map(|listing| group(listing.group)).collect()
}

/// Writes families, each within its limit.
struct Out<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
    left_out: usize,
}

impl Out<'_, '_> {
    fn family<const N: usize, V: EncodeGaugeValue + 'static>(
        &mut self,
        (name, help): (&str, &str),
        labels: [&'static str; N],
        rows: impl Iterator<Item = ([String; N], V)>,
    ) -> Result<(), fmt::Error> {
        let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (number, (values, value)) in rows.enumerate() {
            if number >= METRIC_SERIES_MAX {
                self.left_out += 1;
                continue;
            }
            let mut values = values.into_iter();
            let labels = labels.map(|label| (label, values.next().unwrap_or_default()));
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// One row per group and partition of which `value` is known.
fn rows<'a, V>(
    groups: &'a [Group],
    value: impl Fn(&'a Standing) -> Option<V> + 'a,
) -> impl Iterator<Item = ([String; 3], V)> + 'a {
    let all = groups.iter().flat_map(|group| group.standings.iter().map(move |of| (group, of)));
    all.filter_map(move |(group, standing)| {
        let place =
            [group.id.to_string(), standing.topic.to_string(), standing.partition.to_string()];
        Some((place, value(standing)?))
    })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn encode_lag(out: &mut Out<'_, '_>, groups: &[Group]) -> Result<(), fmt::Error> {
    let labels = ["group", "topic", "partition"];
    out.family(
        ("tramline_group_lag_records", "Records behind a group's committed offset"),
        labels,
        rows(groups, |of| of.lag().map(signed)),
    )?;
    out.family(
        ("tramline_group_lag_seconds", "From the first uncommitted record to the newest"),
        labels,
        rows(groups, |of| of.age?.behind.map(|behind| behind.as_secs_f64())),
    )?;
    out.family(
        ("tramline_group_lag_state", "0 OK, 1 WARN, 2 STALL, 3 STOP, 4 REWIND"),
        labels,
        rows(groups, |of| Some(i64::from(of.state? as u8))),
    )?;
    out.family(
        ("tramline_group_members", "Members of a group"),
        ["group"],
        groups.iter().map(|group| ([group.id.to_string()], signed(group.members as u64))),
    )
}

fn encode_kafka_topics(out: &mut Out<'_, '_>, topics: &[Arc<Topic>]) -> Result<(), fmt::Error> {
    let counts =
        topics.iter().map(|topic| ([topic.name().to_string()], i64::from(topic.partition_count())));
    out.family(("kafka_topic_partitions", "Partitions of a topic"), ["topic"], counts)?;
    let ends = |end: fn(&tramline_log::Partition) -> Offset| {
        topics.iter().flat_map(move |topic| {
            let partitions = topic.partitions();
            let ends: Vec<i64> = partitions.iter().map(|owner| end(owner).as_i64()).collect();
            ends.into_iter()
                .enumerate()
                .map(|(index, end)| ([topic.name().to_string(), index.to_string()], end))
        })
    };
    let labels = ["topic", "partition"];
    for (name, help, end) in [
        (
            "kafka_topic_partition_current_offset",
            "Next offset of a partition",
            tramline_log::Partition::high_watermark as fn(&_) -> _,
        ),
        (
            "kafka_topic_partition_oldest_offset",
            "First offset of a partition",
            tramline_log::Partition::log_start as fn(&_) -> _,
        ),
    ] {
        out.family((name, help), labels, ends(end))?;
    }
    // What holds for every partition of one node, whose copies are one.
    for (name, help, value) in [
        ("kafka_topic_partition_leader", "Node that leads a partition", 0),
        ("kafka_topic_partition_replicas", "Copies of a partition", 1),
        ("kafka_topic_partition_in_sync_replica", "Copies of a partition in sync", 1),
        ("kafka_topic_partition_leader_is_preferred", "1: the preferred node leads", 1),
        ("kafka_topic_partition_under_replicated_partition", "1: copies are missing", 0),
    ] {
        let same = ends(|_| Offset::ZERO).map(|(place, _)| (place, value));
        out.family((name, help), labels, same)?;
    }
    Ok(())
}

fn encode_kafka_groups(out: &mut Out<'_, '_>, groups: &[Group]) -> Result<(), fmt::Error> {
    let labels = ["consumergroup", "topic", "partition"];
    let committed = |of: &Standing| of.committed.offset.as_i64();
    out.family(
        ("kafka_consumergroup_current_offset", "Committed offset of a group"),
        labels,
        rows(groups, move |of| Some(committed(of))),
    )?;
    out.family(
        ("kafka_consumergroup_lag", "Records behind a group's committed offset"),
        labels,
        rows(groups, |of| of.lag().map(signed)),
    )?;
    let mut sums: BTreeMap<(&GroupId, &TopicName), (i64, i64)> = BTreeMap::new();
    for group in groups {
        for standing in &group.standings {
            let (offsets, lag) = sums.entry((&group.id, &standing.topic)).or_default();
            *offsets = offsets.saturating_add(committed(standing));
            *lag = lag.saturating_add(standing.lag().map_or(0, signed));
        }
    }
    let labels = ["consumergroup", "topic"];
    let place = |(group, topic): (&GroupId, &TopicName)| [group.to_string(), topic.to_string()];
    out.family(
        ("kafka_consumergroup_current_offset_sum", "Committed offsets of a group in a topic"),
        labels,
        sums.iter().map(|(key, (offsets, _))| (place(*key), *offsets)),
    )?;
    out.family(
        ("kafka_consumergroup_lag_sum", "Records behind a group's committed offsets in a topic"),
        labels,
        sums.iter().map(|(key, (_, lag))| (place(*key), *lag)),
    )?;
    out.family(
        ("kafka_consumergroup_members", "Members of a group"),
        ["consumergroup"],
        groups.iter().map(|group| ([group.id.to_string()], signed(group.members as u64))),
    )
}
