//! GET `/v1/groups/{group}/lag`: how far behind a group is, in messages and in seconds, and what
//! the movement of its commits says; who reads each partition.

use super::{existing, seconds, state};
use crate::{Context, error::Error, extract::Names, to_wire::assignment};
use axum::{Json, extract::State};
use serde::Serialize;
use std::collections::BTreeMap;
use tramline_broker::{GroupDescription, LagState, PartitionLag};
use tramline_types::{GroupId, Offset};

/// The answer.
#[derive(Serialize)]
pub(crate) struct LagAnswer {
    group: String,
    state: &'static str,
    members: usize,
    /// The sum over all partitions where it is known.
    lag: u64,
    /// The longest of all partitions.
    lag_seconds: Option<f64>,
    /// The gravest of all partitions.
    lag_state: Option<&'static str>,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Partition {
    topic: String,
    partition: u32,
    /// The client that reads it; `null` when nobody does, or nobody says so.
    client_id: Option<String>,
    /// `null` where nothing was committed.
    committed: Option<i64>,
    /// Milliseconds since the Unix epoch.
    committed_at: Option<i64>,
    log_start: Option<i64>,
    high_watermark: Option<i64>,
    lag: Option<u64>,
    lag_seconds: Option<f64>,
    lag_state: Option<&'static str>,
    /// The commits that the state rests on, at most ten.
    commits: usize,
}

pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<LagAnswer>, Error> {
    let description = existing(&cx, &GroupId::parse(&name)?)?;
    let lag = cx.broker.group_lag(&description.group).await?;
    let mut readers = readers(&description);
    let (total, behind, gravest) = (lag.total(), lag.behind(), lag.state());
    let mut partitions: Vec<Partition> = lag
        .partitions
        .into_iter()
        .map(|of| {
            let reader = readers.remove(&(of.topic.to_string(), of.partition));
            partition(of, reader)
        })
        .collect();
    // What is read, and has no commit yet.
    partitions.extend(readers.into_iter().map(|((topic, number), client_id)| Partition {
        topic,
        partition: number,
        client_id: Some(client_id),
        committed: None,
        committed_at: None,
        log_start: None,
        high_watermark: None,
        lag: None,
        lag_seconds: None,
        lag_state: None,
        commits: 0,
    }));
    partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    Ok(Json(LagAnswer {
        group: description.group.to_string(),
        state: state(description.phase),
        members: description.members.len(),
        lag: total,
        lag_seconds: seconds(behind),
        lag_state: gravest.map(LagState::as_str),
        partitions,
    }))
}

/// Who reads what, where the members speak the consumer protocol.
fn readers(description: &GroupDescription) -> BTreeMap<(String, u32), String> {
    let mut readers = BTreeMap::new();
    for member in &description.members {
        for (topic, partitions) in assignment::decode(&member.assignment).unwrap_or_default() {
            for partition in partitions {
                readers.insert((topic.clone(), partition), member.client_id.to_string());
            }
        }
    }
    readers
}

fn partition(of: PartitionLag, reader: Option<String>) -> Partition {
    Partition {
        topic: of.topic.to_string(),
        partition: of.partition,
        client_id: reader,
        committed: Some(of.committed.offset.as_i64()),
        committed_at: Some(of.committed.at.as_millis()),
        log_start: of.log_start.map(Offset::as_i64),
        high_watermark: of.high_watermark.map(Offset::as_i64),
        lag: of.lag,
        lag_seconds: seconds(of.behind),
        lag_state: of.state.map(LagState::as_str),
        commits: of.steps,
    }
}
