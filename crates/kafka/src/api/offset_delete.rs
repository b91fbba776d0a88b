//! OffsetDelete (key 47, v0): a group forgets positions, of topics that none of its members reads.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire,
    subscription::Subscribed,
};
use tramline_broker::Error;
use tramline_types::GroupId;
use tramline_wire::kafka::{
    VersionRange,
    offset_delete::{
        OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
        OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 0);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: OffsetDeleteRequest,
) -> OffsetDeleteResponse {
    match delete(cx, call, &request).await {
        Ok(topics) => OffsetDeleteResponse { topics, ..OffsetDeleteResponse::default() },
        Err(code) => OffsetDeleteResponse {
            error_code: cx.refuse(call.api, code),
            ..OffsetDeleteResponse::default()
        },
    }
}

async fn delete(
    cx: &Context,
    call: &Call,
    request: &OffsetDeleteRequest,
) -> Result<Vec<OffsetDeleteResponseTopic>, ErrorCode> {
    let group: GroupId = from_wire::group(cx, &request.group_id)?;
    let groups = cx.broker().groups();
    let described = groups.describe(&group);
    let subscribed = Subscribed::of(&described);
    if matches!(subscribed, Subscribed::NoConsumers) {
        return Err(Error::NonEmptyGroup.into());
    }
    let mut places = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in &request.topics {
        topics.push(check(cx, call, (wanted, &subscribed), &mut places));
    }
    let deleted = if described.members.is_empty() {
        groups.delete_offsets(&group, places).await
    } else {
        groups.delete_unread_offsets(&group, places).await
    };
    deleted.map_err(|error| ErrorCode::of_coordinator(&error))?;
    Ok(topics)
}

/// The answer for one topic, with what is to be deleted added to `places`.
fn check(
    cx: &Context,
    call: &Call,
    (wanted, subscribed): (&OffsetDeleteRequestTopic, &Subscribed),
    places: &mut Vec<(tramline_types::TopicName, u32)>,
) -> OffsetDeleteResponseTopic {
    let topic = from_wire::topic_by(cx, false, &wanted.name, [0; 16]);
    let mut partitions = Vec::with_capacity(wanted.partitions.len());
    for partition in &wanted.partitions {
        let found = topic.as_ref().map_err(ErrorCode::from).and_then(|topic| {
            let index = from_wire::partition(topic, partition.partition_index)?;
            if subscribed.may_have(&wanted.name) {
                return Err(ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC);
            }
            Ok((topic.name().clone(), index))
        });
        let error_code = match found {
            Ok(place) => {
                places.push(place);
                ErrorCode::NONE
            }
            Err(code) => cx.refuse(call.api, code),
        };
        let partition_index = partition.partition_index;
        partitions.push(OffsetDeleteResponsePartition { partition_index, error_code });
    }
    OffsetDeleteResponseTopic { name: wanted.name.clone(), partitions }
}
