//! Server-Sent Events (HTML Living Standard, section 9.2): how an event is written, and the
//! answer that carries them.

use axum::{
    body::Body,
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use std::{convert::Infallible, fmt::Write};

/// What a reader waits before it comes back.
pub(crate) const RETRY_MILLIS: u64 = 1_000;
/// By which a reader says behind which event it goes on.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What every stream is.
pub(crate) const CONTENT_TYPE: &str = "text/event-stream; charset=utf-8";

/// An answer of events, or comments, that goes on until `events` ends.
pub(crate) fn answer(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

/// Writes one event with its data as JSON. One whose name is `message` is written without, which
/// is the same; an id must not hold a line break.
pub(crate) fn write_event<T: Serialize>(
    events: &mut String,
    event: &str,
    id: Option<&str>,
    data: &T,
) {
    let data = serde_json::to_string(data).expect("our own types have text keys only");
    if let Some(id) = id {
        writeln!(events, "id: {id}").expect("a string takes all");
    }
    if event != "message" {
        writeln!(events, "event: {event}").expect("a string takes all");
    }
    write!(events, "data: {data}\n\n").expect("a string takes all");
}
