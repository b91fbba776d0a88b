//! POST `/v1/groups/{group}/offsets`: moves the committed offsets of a group without members.

use crate::{
    Context,
    api::group::existing,
    error::Error,
    extract::{Json as Body, Names},
    from_wire::Start,
};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tramline_broker::{self as broker, CommitOffsets, MemberRef, OffsetCommit};
use tramline_types::{GroupId, Offset, TopicName};

/// The body: where to (`to`, `time` or `offset`), and which partitions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// `earliest` or `latest`.
    to: Option<String>,
    time: Option<String>,
    offset: Option<i64>,
    /// The topic; every topic that the group has offsets for when it is left out.
    topic: Option<String>,
    /// The topic's partitions; all of them when left out.
    partitions: Option<Vec<u32>>,
    #[serde(default)]
    dry_run: bool,
}

/// What was moved, or would be.
#[derive(Serialize)]
pub(crate) struct Answer {
    dry_run: bool,
    offsets: Vec<Moved>,
}

#[derive(Serialize)]
struct Moved {
    topic: String,
    partition: u32,
    before: Option<i64>,
    after: i64,
}

type Kept = BTreeMap<(TopicName, u32), i64>;

/// A group that has no offsets yet is made by this, so that it can be prepared for its first
/// consumer.
pub(crate) async fn reset(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Body(request): Body<Request>,
) -> Result<Json<Answer>, Error> {
    let group = GroupId::parse(&name)?;
    let start = Start::parse(&cx, request.to.clone(), request.offset, request.time.clone())?
        .ok_or_else(|| {
            Error::malformed(
                "the body does not say where to",
                "give one of `to` (`earliest` or `latest`), `time` and `offset`",
            )
        })?;
    let kept = kept(&cx, &group, request.topic.is_some())?;
    let mut moved = Vec::new();
    for (topic, partition) in places(&cx, &request, &kept)? {
        let after = target(&cx, start, &topic, partition).await?;
        moved.push((kept.get(&(topic.clone(), partition)).copied(), topic, partition, after));
    }
    if !request.dry_run {
        commit(&cx, group, &moved).await?;
    }
    let offsets = moved.into_iter().map(|(before, topic, partition, after)| Moved {
        topic: topic.to_string(),
        partition,
        before,
        after: after.as_i64(),
    });
    Ok(Json(Answer { dry_run: request.dry_run, offsets: offsets.collect() }))
}

/// The offsets that the group has, which must not have members.
fn kept(cx: &Context, group: &GroupId, may_be_made: bool) -> Result<Kept, Error> {
    match existing(cx, group) {
        Ok(description) if !description.members.is_empty() => {
            return Err(Error::GroupActive(group.to_string()));
        }
        Ok(_) => {}
        Err(Error::Broker(broker::Error::UnknownGroup(_))) if may_be_made => return Ok(Kept::new()),
        Err(error) => return Err(error),
    }
    let offsets = cx.broker.groups().fetch_offsets(group, None)?.into_iter();
    let offset = |kept: broker::CommittedOffset| {
        Some(((kept.topic, kept.partition), kept.committed?.offset.as_i64()))
    };
    Ok(offsets.filter_map(offset).collect())
}

/// The partitions to move, by topic.
fn places(
    cx: &Context,
    request: &Request,
    kept: &Kept,
) -> Result<BTreeSet<(TopicName, u32)>, Error> {
    match (&request.topic, &request.partitions) {
        (Some(topic), partitions) => {
            let topic = cx.broker.topic(&TopicName::parse(topic)?)?;
            let all = || (0..topic.partition_count()).collect();
            let partitions = partitions.clone().unwrap_or_else(all).into_iter();
            Ok(partitions.map(|partition| (topic.name().clone(), partition)).collect())
        }
        (None, None) if request.offset.is_none() => Ok(kept.keys().cloned().collect()),
        (None, _) => Err(Error::malformed(
            "`partitions` and `offset` need a `topic`",
            "name the topic whose offsets are to be moved",
        )),
    }
}

async fn target(
    cx: &Context,
    start: Start,
    topic: &TopicName,
    partition: u32,
) -> Result<Offset, Error> {
    let topic = cx.broker.topic(topic)?;
    let owner = topic.partition(partition)?;
    let offset = start.offset(cx, &topic, partition).await?;
    let (first, end) = (owner.log_start(), owner.high_watermark());
    match Offset::from_i64(offset) {
        Some(offset) if (first..=end).contains(&offset) => Ok(offset),
        _ => Err(Error::malformed(
            format!(
                "offset {offset} is outside {first} to {end} of `{}`/{partition}",
                topic.name()
            ),
            "choose an offset within, or `earliest` or `latest`",
        )),
    }
}

async fn commit(
    cx: &Context,
    group: GroupId,
    moved: &[(Option<i64>, TopicName, u32, Offset)],
) -> Result<(), Error> {
    let offset =
        |(_, topic, partition, offset): &(Option<i64>, TopicName, u32, Offset)| OffsetCommit {
            topic: topic.clone(),
            partition: *partition,
            offset: Some(*offset),
            leader_epoch: None,
            metadata: "".into(),
        };
    let commit = CommitOffsets {
        group,
        member: MemberRef::dynamic(""),
        generation: -1,
        offsets: moved.iter().map(offset).collect(),
        retention: None,
    };
    for result in cx.broker.groups().commit_offsets(commit).await? {
        result?;
    }
    Ok(())
}
