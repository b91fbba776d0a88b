//! POST `/v1/queues/{queue}/replay`: puts messages in again that are done and kept, or counts them.
//! The answer comes when all are in.

use super::{Messages, find, peek::Meant};
use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Names},
    from_wire::queue_name,
};
use axum::{Json, extract::State};
use serde::Deserialize;
use tramline_broker as broker;

/// The body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Replay {
    /// Left out: the queue itself.
    to: Option<String>,
    #[serde(default)]
    only: Meant,
    #[serde(default)]
    dry_run: bool,
}

/// POST `/v1/queues/{queue}/replay`.
pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Body(request): Body<Replay>,
) -> Result<Json<Messages>, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    let to = request.to.as_deref().map(queue_name).transpose()?;
    let (filter, dry_run) = (request.only.filter(), request.dry_run);
    let messages = cx.broker.replay(&queue, &broker::Replay { to, filter, dry_run }).await?;
    Ok(Json(Messages { messages }))
}
