//! `/v1/topics`: creates, lists, describes, alters and deletes topics.

use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Names},
    from_wire::{AlterTopic, CreateTopic},
    to_wire::{self, TopicDescription, TopicList},
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use tramline_broker::Mode;
use tramline_types::TopicName;

/// POST `/v1/topics`. Durable when it answers 201; a dry run answers 200.
pub(crate) async fn create(
    State(cx): State<Context>,
    Body(request): Body<CreateTopic>,
) -> Result<impl IntoResponse, Error> {
    let new = request.into_domain()?;
    let status = match new.mode {
        Mode::Apply => StatusCode::CREATED,
        Mode::ValidateOnly => StatusCode::OK,
    };
    let topic = cx.broker.create_topic(new).await?;
    let location = format!("/v1/topics/{}", topic.name());
    let answer = to_wire::topic_summary(&topic);
    Ok((status, [(header::LOCATION, location)], Json(answer)))
}

/// GET `/v1/topics`.
pub(crate) async fn list(State(cx): State<Context>) -> Json<TopicList> {
    let topics = cx.broker.topics();
    Json(TopicList { topics: topics.iter().map(|topic| to_wire::topic_summary(topic)).collect() })
}

/// GET `/v1/topics/{topic}`.
pub(crate) async fn describe(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<TopicDescription>, Error> {
    let topic = cx.broker.topic(&TopicName::parse(&name)?)?;
    to_wire::topic_description(&cx.broker, &topic).map(Json)
}

/// PATCH `/v1/topics/{topic}`. Settings and partitions are both checked before either changes.
pub(crate) async fn alter(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Body(request): Body<AlterTopic>,
) -> Result<Json<TopicDescription>, Error> {
    let name = TopicName::parse(&name)?;
    let dry_run = request.dry_run;
    let partitions = request.partitions;
    let changes = request.into_changes();
    if partitions.is_none() && changes.is_empty() {
        return Err(Error::malformed(
            "the body changes nothing",
            "give `partitions` or `settings`, such as {\"settings\": {\"retention.ms\": \"60000\"}}",
        ));
    }
    let modes = [Mode::ValidateOnly, Mode::Apply];
    for mode in modes.into_iter().take(if dry_run { 1 } else { 2 }) {
        if !changes.is_empty() {
            cx.broker.alter_topic(&name, changes.clone(), mode).await?;
        }
        if let Some(total) = partitions {
            cx.broker.create_partitions(&name, total, mode).await?;
        }
    }
    let topic = cx.broker.topic(&name)?;
    to_wire::topic_description(&cx.broker, &topic).map(Json)
}

/// DELETE `/v1/topics/{topic}`, with everything in it.
pub(crate) async fn delete(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<StatusCode, Error> {
    cx.broker.delete_topic(&TopicName::parse(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
