//! Query parameters, path names and JSON bodies, refused with our own errors: unknown fields
//! are errors, so that a misspelt one is never silently ignored.

use crate::{Context, error::Error};
use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use bytes::Bytes;
use serde::de::DeserializeOwned;
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

/// The whole body, bounded in size and time.
pub(crate) async fn body_bytes(body: Body, cx: &Context) -> Result<Bytes, Error> {
    let bytes_max = cx.options.body_bytes_max;
    let clock = cx.broker.clock();
    let deadline = clock.monotonic().plus(limits::REQUEST_READ_MAX);
    tokio::select! {
        read = to_bytes(body, bytes_max) => read.map_err(|error| {
            if detail(&error).contains("length limit") {
                Error::BodyTooLarge(bytes_max)
            } else {
                Error::malformed(format!("body: {}", detail(&error)), "send the whole body")
            }
        }),
        () = clock.sleep_until(Some(deadline)) => Err(Error::BodyTooSlow),
    }
}

/// A JSON body. An empty one counts as `{}`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Context> for Json<T> {
    type Rejection = Error;

    async fn from_request(request: Request, cx: &Context) -> Result<Self, Error> {
        let bytes = body_bytes(request.into_body(), cx).await?;
        parse_json(&bytes).map(Self)
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
