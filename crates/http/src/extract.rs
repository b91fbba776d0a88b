//! Query parameters, path names and JSON bodies, refused with our own errors: unknown fields
//! are errors, so that a misspelt one is never silently ignored.

use crate::{Context, error::Error};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tramline_types::limits;

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
    _share: OwnedSemaphorePermit,
}

/// The whole body, bounded in size and time, and with all other bodies together in memory: what
/// has arrived counts, not what was announced.
pub(crate) async fn receive(body: Body, cx: &Context) -> Result<Received, Error> {
    let clock = cx.broker.clock();
    let deadline = clock.monotonic().plus(limits::REQUEST_READ_MAX);
    tokio::select! {
        biased; // What has arrived counts, however late it is looked at.
        received = collect(body, cx) => received,
        () = clock.sleep_until(Some(deadline)) => Err(Error::BodyTooSlow),
    }
}

async fn collect(body: Body, cx: &Context) -> Result<Received, Error> {
    let bytes_max = cx.options.body_bytes_max;
    let mut share = take_share(cx, 0)?;
    let mut bytes = BytesMut::new();
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            Error::malformed(format!("body: {}", detail(&error)), "send the whole body")
        })?;
        if bytes.len() + piece.len() > bytes_max {
            return Err(Error::BodyTooLarge(bytes_max));
        }
        share.merge(take_share(cx, piece.len())?);
        bytes.extend_from_slice(&piece);
    }
    Ok(Received { bytes: bytes.freeze(), _share: share })
}

fn take_share(cx: &Context, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
    let bytes = u32::try_from(bytes).map_err(|_| Error::Busy)?;
    Arc::clone(&cx.bodies).try_acquire_many_owned(bytes).map_err(|_| Error::Busy)
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
