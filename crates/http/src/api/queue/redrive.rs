//! `/v1/queues/{queue}/redrives`: moves dead messages back, and tells how far that is.

use super::{find, peek::Meant};
use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Names},
    from_wire::queue_name,
};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tramline_broker::{self as broker, RedriveState};

/// The body of POST `/v1/queues/{queue}/redrives`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartRedrive {
    to: Option<String>,
    per_second: Option<u32>,
    #[serde(default)]
    only: Meant,
    /// Nothing moves: the answer is what would.
    #[serde(default)]
    dry_run: bool,
}

/// What a redrive would do.
#[derive(Serialize)]
struct Count {
    would_move: u64,
    left_behind: u64,
}

/// One redrive.
#[derive(Serialize)]
pub(crate) struct Redrive {
    id: u64,
    state: &'static str,
    /// Why it could not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// `null`: each message goes to the queue where it died last.
    to: Option<String>,
    per_second: Option<u32>,
    /// Which messages, if not all.
    #[serde(skip_serializing_if = "Meant::is_empty")]
    only: Meant,
    total: u64,
    moved: u64,
    left_behind: u64,
    /// Milliseconds since the Unix epoch.
    started: i64,
}

/// The answer of GET `/v1/queues/{queue}/redrives`.
#[derive(Serialize)]
pub(crate) struct RedriveList {
    redrives: Vec<Redrive>,
}

fn to_wire(status: broker::RedriveStatus) -> Redrive {
    let (state, error) = match status.state {
        RedriveState::Running => ("running", None),
        RedriveState::Completed => ("completed", None),
        RedriveState::Cancelling => ("cancelling", None),
        RedriveState::Cancelled => ("cancelled", None),
        RedriveState::Failed(error) => ("failed", Some(error)),
    };
    Redrive {
        id: status.id,
        state,
        error,
        to: status.to.map(|to| to.to_string()),
        per_second: status.per_second,
        only: Meant::of(status.filter),
        total: status.total,
        moved: status.moved,
        left_behind: status.left_behind,
        started: status.started.as_millis(),
    }
}

/// POST `/v1/queues/{queue}/redrives`: begins, and answers at once; or counts.
pub(crate) async fn start(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Body(request): Body<StartRedrive>,
) -> Result<Response, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    let to = request.to.as_deref().map(queue_name).transpose()?;
    let (per_second, filter) = (request.per_second, request.only.filter());
    let redrive = broker::Redrive { to, per_second, filter };
    if request.dry_run {
        let count = cx.broker.count_redrive(&queue, &redrive).await?;
        let (would_move, left_behind) = (count.moves, count.left_behind);
        return Ok(Json(Count { would_move, left_behind }).into_response());
    }
    let status = cx.broker.start_redrive(&queue, redrive).await?;
    Ok((StatusCode::ACCEPTED, Json(to_wire(status))).into_response())
}

/// GET `/v1/queues/{queue}/redrives`: the last ones, the newest first.
pub(crate) async fn list(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<RedriveList>, Error> {
    let queue = find(&cx.broker, &name)?;
    let redrives = cx.broker.redrives(&queue).into_iter().map(to_wire).collect();
    Ok(Json(RedriveList { redrives }))
}

/// DELETE `/v1/queues/{queue}/redrives`: ends the one that runs, after what it has in hand.
pub(crate) async fn cancel(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<RedriveList>, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    let mut cancelled = Vec::new();
    for redrive in cx.broker.redrives(&queue) {
        cancelled.extend(cx.broker.cancel_redrive(&queue, redrive.id).await?);
    }
    Ok(Json(RedriveList { redrives: cancelled.into_iter().map(to_wire).collect() }))
}
