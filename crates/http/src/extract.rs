//! Query parameters, path names and JSON bodies, refused with our own errors: unknown fields
//! are errors, so that a misspelt one is never silently ignored.

use crate::{Context, error::Error};
use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::sync::atomic::{AtomicBool, Ordering};
use tramline_broker::Share;
use tramline_types::limits;

/// What curl says of every body, whatever it is: it tells nothing.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// The query parameters.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Context> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Context) -> Result<Self, Error> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Error::malformed(
                format!("query: {}", detail(&rejection)),
                "see `/v1/openapi.json` for the parameters",
            )),
        }
    }
}

/// The innermost cause says what is wrong; what lies around it names our types.
fn detail(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The names in the path, percent-decoded.
pub(crate) struct Names<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Context> for Names<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, cx: &Context) -> Result<Self, Error> {
        match Path::<T>::from_request_parts(parts, cx).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(rejection) => Err(Error::malformed(
                format!("path: {}", detail(&rejection)),
                "names in the path are percent-encoded UTF-8",
            )),
        }
    }
}

/// A whole body, and its share of the budget for as long as it is worked on.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    _share: Share,
}

/// The whole body, bounded in size and time, and in memory together with everything else that the
/// broker receives: what has arrived counts, not what was announced. Where there is no room the
/// client is not read on, and refused only when its time is over.
pub(crate) async fn receive(body: Body, cx: &Context) -> Result<Received, Error> {
    let clock = cx.broker.clock();
    let deadline = clock.monotonic().plus(limits::REQUEST_READ_MAX);
    let is_waiting = AtomicBool::new(false);
    tokio::select! {
        biased; // What has arrived counts, however late it is looked at.
        received = collect(body, cx, &is_waiting) => received,
        () = clock.sleep_until(Some(deadline)) => {
            let busy = is_waiting.load(Ordering::Relaxed);
            Err(if busy { Error::Busy } else { Error::BodyTooSlow })
        }
    }
}

async fn collect(body: Body, cx: &Context, is_waiting: &AtomicBool) -> Result<Received, Error> {
    let bytes_max = cx.options.body_bytes_max;
    let announced = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let whole = announced.unwrap_or(bytes_max).min(bytes_max);
    let mut share = cx.broker.budgets().received.share();
    let mut bytes = BytesMut::new();
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            Error::malformed(format!("body: {}", detail(&error)), "send the whole body")
        })?;
        if bytes.len() + piece.len() > bytes_max {
            return Err(Error::BodyTooLarge(bytes_max));
        }
        // The first piece is free: most bodies have no other.
        let held = bytes.len() + piece.len();
        if held > limits::CONNECTION_BYTES_FREE.max(share.bytes()) {
            is_waiting.store(true, Ordering::Relaxed);
            let missing = held - share.bytes();
            share.grow(missing, whole.saturating_sub(share.bytes())).await;
            is_waiting.store(false, Ordering::Relaxed);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Received { bytes: bytes.freeze(), _share: share })
}

/// A JSON body. An empty one counts as `{}`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Context> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, cx: &Context) -> Result<Self, Error> {
        parse_json(&receive(request.into_body(), cx).await?.bytes).map(Self)
    }
}

/// Parses a JSON body. An empty one counts as `{}`.
pub(crate) fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let text = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(text).map_err(|error| {
        Error::malformed(
            format!("body: {error}"),
            "send a JSON object as described in `/v1/openapi.json`",
        )
    })
}
