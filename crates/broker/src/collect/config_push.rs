//! Configuration push: how much there is, who follows it, and what was changed and told. No
//! series per key: their number is not bounded by anything that an operator sees.

use super::Name;
use crate::{Broker, ConfigFigures};
use prometheus_client::encoding::DescriptorEncoder;
use std::fmt;

type Count = fn(&ConfigFigures) -> u64;

const GAUGES: [(Name, Count); 8] = [
    (("config_push_keys", "Keys with a value"), |of| of.keys),
    (("config_push_versions", "Versions that are kept, deletions included"), |of| of.versions),
    (("config_push_held_bytes", "Values in memory"), |of| of.held_bytes),
    (("config_push_log_bytes", "Records in the log of revisions"), |of| of.log_bytes.0),
    (("config_push_live_bytes", "Of these, records of versions that are kept"), |of| {
        of.log_bytes.1
    }),
    (("config_push_revision", "The last revision"), |of| of.revision),
    (("config_push_watches", "Subscribers that follow a scope"), |of| of.watches),
    (("config_push_subscribers", "Subscribers whose revision is known"), |of| of.subscribers),
];

const COUNTERS: [(Name, Count); 5] = [
    (("config_push_revisions", "Revisions made"), |of| of.revisions),
    (("config_push_changes", "Keys changed by them"), |of| of.changes),
    (("config_push_refused", "Changes refused"), |of| of.refused),
    (("config_push_told", "Events sent to those who follow"), |of| of.told),
    (("config_push_started_over", "Followers that had to start over"), |of| of.started_over),
];

pub(super) fn encode(encoder: &mut DescriptorEncoder, broker: &Broker) -> Result<(), fmt::Error> {
    let figures = broker.config_push().figures();
    for (name, count) in GAUGES {
        super::gauge(encoder, name, count(&figures))?;
    }
    for (name, count) in COUNTERS {
        super::counter(encoder, name, count(&figures))?;
    }
    Ok(())
}
