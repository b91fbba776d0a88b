//! `/v1/queues`: declares, lists, describes, purges and deletes queues.

pub(crate) mod message;
pub(crate) mod peek;
pub(crate) mod raw;
pub(crate) mod redrive;
pub(crate) mod replay;
pub(crate) mod single;

use crate::{
    Context,
    api::{
        binding::{self, Binding},
        exchange::created_status,
    },
    error::Error,
    extract::{Json as Body, Names, Params},
    from_wire::queue_name,
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tramline_broker::{self as broker, Broker, Counts, DeleteOnly, Destination, QueueSettings};

/// The answer of GET `/v1/queues`.
#[derive(Serialize)]
pub(crate) struct QueueList {
    queues: Vec<Queue>,
    /// What to ask to go on after, where there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The query of GET `/v1/queues`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// How the names begin.
    #[serde(default)]
    prefix: String,
    /// The last name of the page before.
    #[serde(default)]
    after: String,
    limit: Option<usize>,
}

/// A queue in short.
#[derive(Serialize)]
pub(crate) struct Queue {
    name: String,
    /// The topic that it is a subscription of.
    topic: Option<String>,
    /// Milliseconds since the Unix epoch.
    created: i64,
    durable: bool,
    exclusive: bool,
    ready: u64,
    /// Behind others of their ordered group.
    blocked: u64,
    locked: u64,
    delayed: u64,
    deferred: u64,
    /// Kept, because their log is damaged there.
    unreadable: u64,
    bytes_ready: u64,
    consumers: u64,
    /// The time of the oldest message that is not done, where it is known.
    oldest: Option<i64>,
}

/// The answer of GET `/v1/queues/{queue}`.
#[derive(Serialize)]
pub(crate) struct QueueDescription {
    #[serde(flatten)]
    queue: Queue,
    settings: QueueSettings,
    bindings: Vec<Binding>,
}

/// The body of POST `/v1/queues`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclareQueue {
    name: String,
    #[serde(default)]
    settings: QueueSettings,
}

fn to_wire(queue: &broker::Queue) -> Queue {
    let counts: Counts = queue.counts();
    let settings = queue.settings();
    Queue {
        name: queue.name().to_string(),
        topic: settings.topic.as_ref().map(ToString::to_string),
        created: queue.created().as_millis(),
        durable: settings.durability == broker::QueueDurability::Durable,
        exclusive: settings.owner.is_some(),
        ready: counts.ready,
        blocked: counts.blocked,
        locked: counts.locked,
        delayed: counts.delayed,
        deferred: counts.deferred,
        unreadable: counts.unreadable,
        bytes_ready: counts.bytes_ready,
        consumers: counts.consumers,
        oldest: counts.oldest.map(tramline_types::Timestamp::as_millis),
    }
}

/// The queue of this name.
pub(crate) fn find(broker: &Broker, name: &str) -> Result<Arc<broker::Queue>, Error> {
    Ok(broker.queue(&queue_name(name)?)?)
}

/// POST `/v1/queues`: 201 when it is new, 200 when it was there, the same.
pub(crate) async fn declare(
    State(cx): State<Context>,
    Body(request): Body<DeclareQueue>,
) -> Result<(StatusCode, Json<Queue>), Error> {
    let name = queue_name(&request.name)?;
    let (queue, created) = cx.broker.declare_queue(&name, request.settings).await?;
    Ok((created_status(created), Json(to_wire(&queue))))
}

/// GET `/v1/queues`.
pub(crate) async fn list(
    State(cx): State<Context>,
    Params(query): Params<ListQuery>,
) -> Json<QueueList> {
    let ListQuery { prefix, after, limit } = query;
    let mut queues = cx.broker.queues();
    queues.retain(|queue| {
        let name = queue.name().as_str();
        name.starts_with(&prefix) && *name > *after
    });
    let page = &queues[..queues.len().min(limit.unwrap_or(usize::MAX).max(1))];
    let next = page.last().filter(|_| page.len() < queues.len());
    let next = next.map(|queue| queue.name().to_string());
    Json(QueueList { queues: page.iter().map(|queue| to_wire(queue)).collect(), next })
}

/// GET `/v1/queues/{queue}`.
pub(crate) async fn describe(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<QueueDescription>, Error> {
    let queue = find(&cx.broker, &name)?;
    let bindings = cx.broker.bindings_to(&Destination::Queue(queue.name().clone()));
    Ok(Json(QueueDescription {
        queue: to_wire(&queue),
        settings: (*queue.settings()).clone(),
        bindings: binding::sorted(bindings),
    }))
}

/// The query of DELETE `/v1/queues/{queue}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    #[serde(default)]
    if_unused: bool,
    #[serde(default)]
    if_empty: bool,
}

/// How many messages an action was about.
#[derive(Serialize)]
pub(crate) struct Messages {
    pub(crate) messages: u64,
}

/// DELETE `/v1/queues/{queue}`, with everything in it.
pub(crate) async fn delete(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<DeleteQuery>,
) -> Result<Json<Messages>, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    let only = DeleteOnly { if_unused: query.if_unused, if_empty: query.if_empty };
    Ok(Json(Messages { messages: cx.broker.delete_queue(&queue, only).await? }))
}

/// POST `/v1/queues/{queue}/purge`: drops what is ready.
pub(crate) async fn purge(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<Messages>, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    Ok(Json(Messages { messages: queue.purge().await? }))
}
