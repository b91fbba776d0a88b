//! How many jobs are in which state, how many changes there were, and what found no room.

use super::counter;
use crate::{Broker, JobState};
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};
use std::fmt;

pub(super) fn encode(encoder: &mut DescriptorEncoder, broker: &Broker) -> Result<(), fmt::Error> {
    let (transitions, refused) = broker.job_traffic();
    counter(encoder, ("job_transitions", "Changes of jobs since the start"), transitions)?;
    counter(encoder, ("jobs_refused", "Messages not tracked for lack of room"), refused)?;
    let counts = broker.job_counts();
    let mut family = encoder.encode_descriptor("jobs", "Jobs by state", None, MetricType::Gauge)?;
    for state in JobState::ALL {
        let labels = [("state", state.as_str())];
        let count = counts.get(&state).copied().unwrap_or(0);
        let value = i64::try_from(count).unwrap_or(i64::MAX);
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
