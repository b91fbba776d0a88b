//! From Kafka's values to the broker's.
//!
//! Text and bytes that outlive the request are copied: a slice would keep its frame alive.

use crate::{context::Context, error::ErrorCode};
use std::{collections::HashSet, hash::Hash, sync::Arc, time::Duration};
use tramline_broker::{Error, MemberId, MemberRef, Topic};
use tramline_types::{GroupId, TopicId, TopicName};
use tramline_wire::KafkaStr;

/// A user, as the part of what a quota is for.
pub(crate) const USER: &str = "user";
/// A client id, likewise.
pub(crate) const CLIENT_ID: &str = "client-id";

/// A topic by its name.
pub(crate) fn topic(cx: &Context, name: &str) -> Result<Arc<Topic>, Error> {
    cx.broker().topic(&TopicName::parse(name)?)
}

/// A topic, or a queue as one, by its id from the version on that has ids, by its name before.
pub(crate) fn topic_by(
    cx: &Context,
    by_id: bool,
    name: &str,
    id: [u8; 16],
) -> Result<Arc<Topic>, Error> {
    if by_id { cx.broker().stream_by_id(TopicId(id)) } else { existing(cx, name) }
}

/// A topic, or a queue as one, by its name.
pub(crate) fn stream(cx: &Context, name: &str) -> Result<Arc<Topic>, Error> {
    cx.broker().stream(&TopicName::parse(name)?)
}

/// As [`stream`]; a name that cannot be is a topic that is not there.
fn existing(cx: &Context, name: &str) -> Result<Arc<Topic>, Error> {
    match stream(cx, name) {
        Err(Error::InvalidTopicName(_)) => Err(Error::UnknownTopic(name.to_owned())),
        found => found,
    }
}

/// A partition's number, if the topic has it.
pub(crate) fn partition(topic: &Topic, index: i32) -> Result<u32, Error> {
    let valid = u32::try_from(index).ok().filter(|index| *index < topic.partition_count());
    valid.ok_or_else(|| Error::UnknownPartition {
        topic: topic.name().to_string(),
        partition: i64::from(index),
    })
}

/// A partition's number, if the topic has it and the node that was asked leads it.
pub(crate) fn led_partition(cx: &Context, topic: &Topic, index: i32) -> Result<u32, ErrorCode> {
    let index = partition(topic, index)?;
    if cx.nodes().leader(topic.id(), index) != cx.node_id() {
        return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    Ok(index)
}

/// A group's id, if the node that was asked coordinates it.
pub(crate) fn group(cx: &Context, id: &str) -> Result<GroupId, ErrorCode> {
    let group = GroupId::parse(id).map_err(|_| ErrorCode::INVALID_GROUP_ID)?;
    if cx.nodes().coordinator(id) != cx.node_id() {
        return Err(ErrorCode::NOT_COORDINATOR);
    }
    Ok(group)
}

/// What is asked for, each once: a short request must not lead to the longest of answers many
/// times over.
pub(crate) fn distinct<T, K: Eq + Hash>(mut asked: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = HashSet::with_capacity(asked.len());
    asked.retain(|one| seen.insert(key(one)));
    asked
}

/// A span; negative ones are none.
pub(crate) fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// A number of bytes; negative ones are none.
pub(crate) fn bytes(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

/// Text that outlives the request.
pub(crate) fn owned(text: &KafkaStr) -> Arc<str> {
    text.as_str().into()
}

/// A member as a request names it.
pub(crate) fn member(member_id: &str, instance_id: Option<&KafkaStr>) -> MemberRef {
    MemberRef { member_id: MemberId::new(member_id), instance_id: instance_id.map(owned) }
}
