//! DeleteTopics (key 20, v1-6): topics go, with everything in them.
//!
//! v4 is flexible, v5 adds error messages, v6 names topics by name or by id.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire, to_wire,
};
use tramline_broker::Error;
use tramline_types::TopicId;
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        delete_topics::{
            DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(1, 6);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let by_name = |name| DeleteTopicState { name: Some(name), topic_id: TopicId::ZERO.0 };
    let named = request.topic_names.into_iter().map(by_name);
    let mut responses = Vec::new();
    for wanted in request.topics.into_iter().chain(named) {
        responses.push(delete(cx, call, wanted).await);
    }
    DeleteTopicsResponse { throttle_time_ms: 0, responses }
}

async fn delete(cx: &Context, call: &Call, wanted: DeleteTopicState) -> DeletableTopicResult {
    let has_id = wanted.topic_id != TopicId::ZERO.0;
    if has_id == wanted.name.is_some() {
        return DeletableTopicResult {
            name: wanted.name,
            topic_id: wanted.topic_id,
            error_code: cx.refuse(call.api, ErrorCode::INVALID_REQUEST),
            error_message: Some(KafkaStr::from_static("give either the name or the id")),
        };
    }
    let found = match &wanted.name {
        Some(name) => from_wire::topic_by(cx, false, name, [0; 16]),
        None => cx.broker().topic_by_id(TopicId(wanted.topic_id)),
    };
    let deleted: Result<_, Error> = match found {
        Ok(topic) => cx.broker().delete_topic(topic.name()).await.map(|()| topic),
        Err(error) => Err(error),
    };
    match deleted {
        Ok(topic) => DeletableTopicResult {
            name: Some(to_wire::text(topic.name().as_str())),
            topic_id: topic.id().0,
            error_code: ErrorCode::NONE,
            error_message: None,
        },
        Err(error) => DeletableTopicResult {
            name: wanted.name,
            topic_id: wanted.topic_id,
            error_code: cx.refuse(call.api, &error),
            error_message: to_wire::message(&error),
        },
    }
}
