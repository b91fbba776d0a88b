//! Jobs as Server-Sent Events: first what a job is, then every change, until it is over.
//!
//! The id of an event is the job's state (of one that is over [`OPEN`], as long as its children
//! are not) and a number: a browser that comes back for a job that was over when it left gets 204,
//! which tells it to stay away.

use crate::{Context, error::Error, sse, to_wire::job::Job};
use axum::{
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::stream;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;
use tramline_broker::{JobError, JobEvents, JobFilter, JobState, JobStatus};
use tramline_types::Monotonic;

/// How often the place of a queued job is looked at.
const PLACE_INTERVAL: Duration = Duration::from_secs(2);
/// In an event's id, of a job that is over and whose children are not.
const OPEN: &str = "open";

enum Phase {
    Starting,
    Following,
    Ended,
}

/// One who watches one job.
struct Watch {
    cx: Context,
    id: String,
    events: JobEvents,
    last: JobStatus,
    /// What was sent last.
    sent: Option<Job>,
    silent_since: Monotonic,
    phase: Phase,
}

/// GET `/v1/jobs/{job}` as events.
pub(super) async fn one(cx: Context, id: &str, headers: &HeaderMap) -> Result<Response, Error> {
    let watched = cx.broker.watch_job(id).await;
    let (last, events) = watched.ok_or_else(|| Error::Job(JobError::Unknown(id.to_owned())))?;
    let seen = headers.get(sse::LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let seen = seen.and_then(|id| JobState::parse(id.rsplit_once(' ')?.0));
    if last.state.is_final() && seen.is_some_and(|seen| seen == last.state) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let silent_since = cx.broker.clock().monotonic();
    let phase = Phase::Starting;
    let watch = Watch { cx, id: id.to_owned(), events, last, sent: None, silent_since, phase };
    let events = stream::unfold(watch, |mut watch| async move {
        let events = watch.next().await?;
        Some((events, watch))
    });
    Ok(sse::answer(events))
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::Following;
                self.show()
            }
            Phase::Following => self.follow().await,
            Phase::Ended => None,
        }
    }

    /// What is not shown yet.
    fn show(&mut self) -> Option<Bytes> {
        let job = Job::of(&self.cx.broker, &self.last);
        if self.sent.as_ref() == Some(&job) {
            return None;
        }
        self.silent_since = self.cx.broker.clock().monotonic();
        let mut text = match self.sent {
            None => format!("retry: {}\n", sse::RETRY_MILLIS),
            Some(_) => String::new(),
        };
        let is_final = self.last.state.is_final();
        let state = if is_final && job.awaits_children() { OPEN } else { self.last.state.as_str() };
        let id = format!("{state} {}", self.last.version);
        sse::write_event(&mut text, "message", Some(&id), &job);
        if is_final && !job.awaits_children() {
            self.phase = Phase::Ended;
        }
        self.sent = Some(job);
        Some(text.into())
    }

    async fn follow(&mut self) -> Option<Bytes> {
        loop {
            let clock = Arc::clone(self.cx.broker.clock());
            let mut wake = self.silent_since.plus(self.cx.options.heartbeat);
            if self.last.state == JobState::Queued {
                wake = wake.min(clock.monotonic().plus(PLACE_INTERVAL));
            }
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(status) if status.version <= self.last.version => continue,
                    // Of the same commit, what follows it may have come in behind its end.
                    Ok(status) if status.state.is_final() => {
                        self.last = self.cx.broker.job(&self.id).await?;
                    }
                    Ok(status) => self.last = (*status).clone(),
                    Err(RecvError::Lagged(_)) => self.last = self.cx.broker.job(&self.id).await?,
                    Err(RecvError::Closed) => return None,
                },
                () = clock.sleep_until(Some(wake)) => {}
                () = self.cx.stopping() => return None,
            }
            if let Some(shown) = self.show() {
                return Some(shown);
            }
            if clock.monotonic() >= self.silent_since.plus(self.cx.options.heartbeat) {
                self.silent_since = clock.monotonic();
                return Some(Bytes::from_static(b": nothing new\n\n"));
            }
        }
    }
}

/// GET `/v1/jobs` as events: changes of those that the filter admits, and of those that it does
/// not admit any more. `resync` says that some were missed.
pub(super) fn all(cx: Context, filter: JobFilter) -> Response {
    let events = cx.broker.watch_jobs();
    let events = stream::unfold((cx, filter, events), |(cx, filter, mut events)| async move {
        let text = next_of_all(&cx, &filter, &mut events).await?;
        Some((text, (cx, filter, events)))
    });
    sse::answer(events)
}

async fn next_of_all(cx: &Context, filter: &JobFilter, events: &mut JobEvents) -> Option<Bytes> {
    let clock = Arc::clone(cx.broker.clock());
    let wake = clock.monotonic().plus(cx.options.heartbeat);
    // Who has left one state for another is of interest as well.
    let wide = JobFilter { state: None, ..filter.clone() };
    loop {
        let mut text = String::new();
        tokio::select! {
            event = events.recv() => match event {
                Ok(status) if !wide.admits(&status) => continue,
                Ok(status) => {
                    let job = Job::of(&cx.broker, &status);
                    sse::write_event(&mut text, "message", None, &job);
                }
                Err(RecvError::Lagged(missed)) => {
                    let data = serde_json::json!({ "missed": missed });
                    sse::write_event(&mut text, "resync", None, &data);
                }
                Err(RecvError::Closed) => return None,
            },
            () = clock.sleep_until(Some(wake)) => text.push_str(": nothing new\n\n"),
            () = cx.stopping() => return None,
        }
        return Some(text.into());
    }
}
