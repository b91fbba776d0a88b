//! `/v1/jobs`: what became of messages, for those who wait for them; what workers say of them.

pub(crate) mod page;
pub(crate) mod watch;

use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Names, Params},
    to_wire::job::{Job, JobList},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tramline_broker::{JobError, JobFilter, JobState, Progress, Report};

const LIMIT: usize = 50;
const LIMIT_MAX: usize = 1000;
/// How long a token lasts where nobody says, and at most.
const TOKEN: Duration = Duration::from_secs(3600);
const TOKEN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// The query of GET `/v1/jobs`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    queue: Option<String>,
    state: Option<String>,
    parent: Option<String>,
    limit: Option<usize>,
    /// The `next` of the page before.
    before: Option<u64>,
}

impl ListQuery {
    fn filter(&self) -> Result<JobFilter, Error> {
        let state = self.state.as_deref().filter(|state| !state.is_empty());
        let parsed = state.map(|text| {
            JobState::parse(text).ok_or_else(|| {
                Error::malformed(
                    format!("`{text}` is no state of a job"),
                    "use scheduled, queued, processing, failed, done, dead-lettered, expired or \
                     cancelled",
                )
            })
        });
        Ok(JobFilter {
            queue: self.queue.clone().filter(|queue| !queue.is_empty()),
            state: parsed.transpose()?,
            parent: self.parent.clone(),
        })
    }
}

/// The query of one job.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    token: Option<String>,
}

impl Query {
    /// A token that is given must be good.
    fn check(&self, cx: &Context, id: &str) -> Result<(), Error> {
        match &self.token {
            Some(token) if !cx.broker.admits_job_token(id, token) => Err(Error::TokenRefused),
            _ => Ok(()),
        }
    }
}

/// Whether events are asked for.
fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

/// GET `/v1/jobs`: the newest first; with `Accept: text/event-stream` every change from here on.
pub(crate) async fn list(
    State(cx): State<Context>,
    Params(query): Params<ListQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let filter = query.filter()?;
    if wants_events(&headers) {
        return Ok(watch::all(cx, filter));
    }
    let limit = query.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let page = cx.broker.list_jobs(&filter, query.before, limit).await;
    let jobs = page.jobs.iter().map(|job| Job::of(&cx.broker, job)).collect();
    Ok(Json(JobList { jobs, next: page.next }).into_response())
}

/// GET `/v1/jobs/{job}`: what it is; with `Accept: text/event-stream` that, and every change,
/// until it is over.
pub(crate) async fn get(
    State(cx): State<Context>,
    Names(id): Names<String>,
    Params(query): Params<Query>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    query.check(&cx, &id)?;
    if wants_events(&headers) {
        return watch::one(cx, &id, &headers).await;
    }
    let job = cx.broker.job(&id).await.ok_or(Error::Job(JobError::Unknown(id)))?;
    Ok(Json(Job::of(&cx.broker, &job)).into_response())
}

/// POST `/v1/jobs/{job}/progress`. The answer says whether the work is still wanted.
pub(crate) async fn progress(
    State(cx): State<Context>,
    Names(id): Names<String>,
    Body(progress): Body<Progress>,
) -> Result<Json<Job>, Error> {
    let job = cx.broker.report_job(&id, Report::Progress(progress)).await?;
    Ok(Json(Job::of(&cx.broker, &job)))
}

/// The body of POST `/v1/jobs/{job}/result`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobResult {
    result: serde_json::Value,
    /// The delivery is settled as well.
    #[serde(default)]
    accept: bool,
}

/// POST `/v1/jobs/{job}/result`.
pub(crate) async fn result(
    State(cx): State<Context>,
    Names(id): Names<String>,
    Body(said): Body<JobResult>,
) -> Result<Json<Job>, Error> {
    let result = Bytes::from(said.result.to_string());
    let report = Report::Result { result, accept: said.accept };
    let job = cx.broker.report_job(&id, report).await?;
    Ok(Json(Job::of(&cx.broker, &job)))
}

/// The body of POST `/v1/jobs/{job}/fail`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobFailure {
    error: String,
    /// Whether another attempt may succeed; else the message is dead.
    #[serde(default)]
    retry: bool,
    delay_ms: Option<u64>,
}

/// POST `/v1/jobs/{job}/fail`: ends the delivery.
pub(crate) async fn fail(
    State(cx): State<Context>,
    Names(id): Names<String>,
    Body(said): Body<JobFailure>,
) -> Result<Json<Job>, Error> {
    let JobFailure { error, retry, delay_ms } = said;
    let job = cx.broker.report_job(&id, Report::Failure { error, retry, delay_ms }).await?;
    Ok(Json(Job::of(&cx.broker, &job)))
}

/// POST `/v1/jobs/{job}/cancel`.
pub(crate) async fn cancel(
    State(cx): State<Context>,
    Names(id): Names<String>,
) -> Result<Json<Job>, Error> {
    let job = cx.broker.cancel_job(&id).await?;
    Ok(Json(Job::of(&cx.broker, &job)))
}

/// The body of POST `/v1/jobs/{job}/token`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    lasts_ms: Option<u64>,
}

/// A token by which a browser may watch one job.
#[derive(Serialize)]
pub(crate) struct Token {
    token: String,
    /// Milliseconds since the Unix epoch.
    expires_at: i64,
    /// The page that shows the job by it.
    page: String,
}

/// POST `/v1/jobs/{job}/token`.
pub(crate) async fn token(
    State(cx): State<Context>,
    Names(id): Names<String>,
    Body(request): Body<TokenRequest>,
) -> Result<Json<Token>, Error> {
    if cx.broker.job(&id).await.is_none() {
        return Err(Error::Job(JobError::Unknown(id)));
    }
    let lasts = request.lasts_ms.map_or(TOKEN, Duration::from_millis).min(TOKEN_MAX);
    let (token, expires) = cx.broker.job_token(&id, lasts);
    let page = format!("/jobs/{}?token={token}", page::escape(&id));
    Ok(Json(Token { token, expires_at: expires.as_millis(), page }))
}

/// The body of POST `/v1/queues/{queue}/track`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Track {
    track: bool,
    result_ttl_ms: Option<u64>,
    /// The queues that get a message when one of this queue is done.
    on_done: Option<Vec<String>>,
}

/// POST `/v1/queues/{queue}/track`: from here on every message that comes is a job, or is not.
pub(crate) async fn track(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Body(request): Body<Track>,
) -> Result<Json<Tracked>, Error> {
    let queue = super::queue::find(&cx.broker, &name)?;
    let change = |settings: &mut tramline_broker::QueueSettings| {
        settings.track = request.track;
        settings.result_ttl_ms = request.result_ttl_ms.or(settings.result_ttl_ms);
        if let Some(on_done) = request.on_done {
            settings.on_done = on_done;
        }
    };
    cx.broker.alter_queue(&queue, change).await?;
    Ok(Json(Tracked { queue: name, track: request.track }))
}

/// The answer to it.
#[derive(Serialize)]
pub(crate) struct Tracked {
    queue: String,
    track: bool,
}
