//! OffsetFetch (key 9, v1-10): the positions kept for groups.
//!
//! v2 asks for all topics with null, v5 adds leader epochs, v6 is flexible, v8 asks for several
//! groups at once, v10 names topics by id.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{self, distinct},
    to_wire,
};
use std::collections::{BTreeMap, HashMap};
use tramline_broker::{CommittedOffset, Error};
use tramline_types::{GroupId, TopicId, TopicName};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        offset_fetch::{
            OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
            OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
            OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(1, 10);

/// The first version that asks for several groups.
const SEVERAL_SINCE: i16 = 8;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 10;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: OffsetFetchRequest,
) -> OffsetFetchResponse {
    if call.version >= SEVERAL_SINCE {
        let groups = groups_once(request.groups);
        let groups = groups.into_iter().map(|wanted| group(cx, call, wanted)).collect();
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    // One group in the older form: the same work, spelled differently.
    let topics = request.topics.map(|topics| {
        let newer = |topic: tramline_wire::kafka::offset_fetch::OffsetFetchRequestTopic| {
            OffsetFetchRequestTopics {
                name: topic.name,
                topic_id: TopicId::ZERO.0,
                partition_indexes: topic.partition_indexes,
            }
        };
        topics.into_iter().map(newer).collect()
    });
    let wanted = OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..OffsetFetchRequestGroup::default()
    };
    let found = group(cx, call, wanted);
    OffsetFetchResponse {
        topics: found.topics.into_iter().map(older).collect(),
        error_code: found.error_code,
        ..OffsetFetchResponse::default()
    }
}

/// Each group once for all that it has, and once for everything that is named of it.
fn groups_once(asked: Vec<OffsetFetchRequestGroup>) -> Vec<OffsetFetchRequestGroup> {
    let mut places = HashMap::with_capacity(asked.len());
    let mut once: Vec<OffsetFetchRequestGroup> = Vec::with_capacity(asked.len());
    for group in asked {
        let at = places.entry((group.group_id.clone(), group.topics.is_some()));
        let at = *at.or_insert(once.len());
        match once.get_mut(at) {
            None => once.push(group),
            Some(known) => {
                if let (Some(topics), Some(more)) = (&mut known.topics, group.topics) {
                    topics.extend(more);
                }
            }
        }
    }
    once
}

/// Each topic once, with each of its partitions once.
fn topics_once(asked: Vec<OffsetFetchRequestTopics>) -> Vec<OffsetFetchRequestTopics> {
    let mut places = HashMap::with_capacity(asked.len());
    let mut once: Vec<OffsetFetchRequestTopics> = Vec::with_capacity(asked.len());
    for topic in asked {
        let at = *places.entry((topic.name.clone(), topic.topic_id)).or_insert(once.len());
        match once.get_mut(at) {
            None => once.push(topic),
            Some(known) => known.partition_indexes.extend(topic.partition_indexes),
        }
    }
    for topic in &mut once {
        topic.partition_indexes = distinct(std::mem::take(&mut topic.partition_indexes), |n| *n);
    }
    once
}

fn older(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |found: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: found.partition_index,
        committed_offset: found.committed_offset,
        committed_leader_epoch: found.committed_leader_epoch,
        metadata: found.metadata,
        error_code: found.error_code,
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
    }
}

fn group(cx: &Context, call: &Call, wanted: OffsetFetchRequestGroup) -> OffsetFetchResponseGroup {
    let topics = wanted.topics.map(topics_once);
    let result = from_wire::group(cx, &wanted.group_id).and_then(|id| match &topics {
        None => all(cx, &id),
        Some(topics) => topics.iter().map(|topic| of_topic(cx, call, &id, topic)).collect(),
    });
    let (topics, error_code) = match result {
        Ok(topics) => (topics, ErrorCode::NONE),
        Err(code) => (Vec::new(), cx.refuse(call.api, code)),
    };
    OffsetFetchResponseGroup { group_id: wanted.group_id, topics, error_code }
}

fn all(cx: &Context, group: &GroupId) -> Result<Vec<OffsetFetchResponseTopics>, ErrorCode> {
    let kept = cx.broker().groups().fetch_offsets(group, None).map_err(coordinator)?;
    let mut by_topic: BTreeMap<TopicName, Vec<_>> = BTreeMap::new();
    for entry in kept {
        by_topic.entry(entry.topic.clone()).or_default().push(respond(&entry));
    }
    let topic = |(name, partitions): (TopicName, Vec<_>)| OffsetFetchResponseTopics {
        topic_id: cx.broker().stream(&name).map_or(TopicId::ZERO.0, |topic| topic.id().0),
        name: to_wire::text(name.as_str()),
        partitions,
    };
    Ok(by_topic.into_iter().map(topic).collect())
}

fn of_topic(
    cx: &Context,
    call: &Call,
    group: &GroupId,
    wanted: &OffsetFetchRequestTopics,
) -> Result<OffsetFetchResponseTopics, ErrorCode> {
    let by_id = call.version >= TOPIC_ID_SINCE;
    let name = if by_id {
        cx.broker().stream_by_id(TopicId(wanted.topic_id)).map(|topic| topic.name().clone())
    } else {
        TopicName::parse(&wanted.name).map_err(Error::from)
    };
    let partitions = match name {
        Ok(name) => {
            let number = |index: &i32| u32::try_from(*index).ok();
            let numbers = wanted.partition_indexes.iter().filter_map(number);
            let places = numbers.map(|partition| (name.clone(), partition)).collect();
            let kept = cx.broker().groups().fetch_offsets(group, Some(places));
            kept.map_err(coordinator)?.iter().map(respond).collect()
        }
        Err(error) => {
            let code = if by_id { cx.refuse(call.api, &error) } else { ErrorCode::NONE };
            wanted.partition_indexes.iter().map(|index| nothing(*index, code)).collect()
        }
    };
    Ok(OffsetFetchResponseTopics {
        name: wanted.name.clone(),
        topic_id: wanted.topic_id,
        partitions,
    })
}

fn respond(entry: &CommittedOffset) -> OffsetFetchResponsePartitions {
    let partition_index = to_wire::count(entry.partition);
    match &entry.committed {
        None => nothing(partition_index, ErrorCode::NONE),
        Some(committed) => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: committed.offset.as_i64(),
            committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
            metadata: Some(to_wire::text(&committed.metadata)),
            error_code: ErrorCode::NONE,
        },
    }
}

fn nothing(partition_index: i32, error_code: i16) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(KafkaStr::EMPTY),
        error_code,
    }
}

fn coordinator(error: Error) -> ErrorCode {
    ErrorCode::of_coordinator(&error)
}
