//! `/v1/groups`: lists, describes and deletes consumer groups.

pub(crate) mod lag;

use crate::{Context, error::Error, extract::Names, to_wire::assignment};
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use std::time::Duration;
use tramline_broker::{
    self as broker, GroupDescription, GroupPhase, LagState, MemberDescription, PartitionLag,
};
use tramline_types::{GroupId, Offset};

/// The answer of GET `/v1/groups`.
#[derive(Serialize)]
pub(crate) struct GroupList {
    groups: Vec<GroupSummary>,
}

#[derive(Serialize)]
struct GroupSummary {
    group: String,
    state: &'static str,
    protocol_type: Option<String>,
}

/// The answer of GET `/v1/groups/{group}`.
#[derive(Serialize)]
pub(crate) struct GroupAnswer {
    group: String,
    state: &'static str,
    protocol_type: Option<String>,
    protocol: Option<String>,
    members: Vec<Member>,
    offsets: Vec<GroupOffset>,
    /// The sum over all partitions where it is known.
    lag: u64,
    /// The longest of all partitions.
    lag_seconds: Option<f64>,
    /// The gravest of all partitions.
    lag_state: Option<&'static str>,
}

#[derive(Serialize)]
struct Member {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    client_host: String,
    /// `null` where the members do not speak the consumer protocol.
    assignment: Option<Vec<Assigned>>,
}

#[derive(Serialize)]
struct Assigned {
    topic: String,
    partitions: Vec<u32>,
}

#[derive(Serialize)]
struct GroupOffset {
    topic: String,
    partition: u32,
    committed: i64,
    metadata: String,
    /// Milliseconds since the Unix epoch.
    committed_at: i64,
    /// `null` when the topic is gone.
    log_start: Option<i64>,
    high_watermark: Option<i64>,
    lag: Option<u64>,
    /// From the first record that is not committed to the newest.
    lag_seconds: Option<f64>,
    /// What the movement of the commits says.
    lag_state: Option<&'static str>,
}

/// GET `/v1/groups`.
pub(crate) async fn list(State(cx): State<Context>) -> Json<GroupList> {
    let mut groups: Vec<GroupSummary> = cx
        .broker
        .groups()
        .list()
        .into_iter()
        .map(|listing| GroupSummary {
            group: listing.group.to_string(),
            state: state(listing.phase),
            protocol_type: listing.protocol_type.map(|text| text.to_string()),
        })
        .collect();
    groups.sort_by(|a, b| a.group.cmp(&b.group));
    Json(GroupList { groups })
}

const fn state(phase: GroupPhase) -> &'static str {
    match phase {
        GroupPhase::Empty => "empty",
        GroupPhase::PreparingRebalance => "preparing-rebalance",
        GroupPhase::CompletingRebalance => "completing-rebalance",
        GroupPhase::Stable => "stable",
        GroupPhase::Dead => "dead",
    }
}

/// GET `/v1/groups/{group}`.
pub(crate) async fn describe(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<GroupAnswer>, Error> {
    let description = existing(&cx, &GroupId::parse(&name)?)?;
    let lag = cx.broker.group_lag(&description.group).await?;
    Ok(Json(GroupAnswer {
        group: description.group.to_string(),
        state: state(description.phase),
        protocol_type: description.protocol_type.map(|text| text.to_string()),
        protocol: description.protocol.map(|text| text.to_string()),
        members: description.members.into_iter().map(member).collect(),
        lag: lag.total(),
        lag_seconds: seconds(lag.behind()),
        lag_state: lag.state().map(LagState::as_str),
        offsets: lag.partitions.into_iter().map(offset).collect(),
    }))
}

/// The group, if there is one.
pub(crate) fn existing(cx: &Context, group: &GroupId) -> Result<GroupDescription, Error> {
    let description = cx.broker.groups().describe(group);
    if description.phase == GroupPhase::Dead {
        return Err(broker::Error::UnknownGroup(group.to_string()).into());
    }
    Ok(description)
}

fn member(member: MemberDescription) -> Member {
    let assigned = |(topic, partitions)| Assigned { topic, partitions };
    let assignment = if member.assignment.is_empty() {
        Some(Vec::new())
    } else {
        assignment::decode(&member.assignment).map(|list| list.into_iter().map(assigned).collect())
    };
    Member {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|text| text.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        assignment,
    }
}

fn offset(of: PartitionLag) -> GroupOffset {
    GroupOffset {
        topic: of.topic.to_string(),
        partition: of.partition,
        committed: of.committed.offset.as_i64(),
        metadata: of.committed.metadata.to_string(),
        committed_at: of.committed.at.as_millis(),
        log_start: of.log_start.map(Offset::as_i64),
        high_watermark: of.high_watermark.map(Offset::as_i64),
        lag: of.lag,
        lag_seconds: seconds(of.behind),
        lag_state: of.state.map(LagState::as_str),
    }
}

/// A span in seconds, to the millisecond.
fn seconds(span: Option<Duration>) -> Option<f64> {
    span.map(|span| span.as_secs_f64())
}

/// DELETE `/v1/groups/{group}`, with its committed offsets.
pub(crate) async fn delete(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<StatusCode, Error> {
    cx.broker.groups().delete(&GroupId::parse(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
