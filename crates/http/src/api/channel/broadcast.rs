//! POST `/v1/broadcast/{channel}`: publishes the body on a channel, and says who got it.

use crate::{
    Context,
    channel::to_publish,
    error::Error,
    extract::{Names, Params, receive},
    websocket::published,
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tramline_broker::{Content, NewPublication};
use tramline_types::{ChannelName, limits::PUBLICATION_BYTES_MAX};

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    /// What a slow receiver is told the latest of.
    key: Option<String>,
    /// Kept as the last value; an empty body deletes that.
    #[serde(default)]
    retain: bool,
}

/// Answers when it is on its way, and durable where it is to be stored.
pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(channel): Names<String>,
    Params(query): Params<Query>,
    request: Request,
) -> Result<Response, Error> {
    let channel = to_publish(ChannelName::parse(&channel)?)?;
    let (parts, body) = request.into_parts();
    let body = receive(body, &cx).await?;
    if body.bytes.len() > PUBLICATION_BYTES_MAX {
        return Err(Error::BodyTooLarge(PUBLICATION_BYTES_MAX));
    }
    let content = content(&parts.headers, &body.bytes)?;
    let Query { key, retain } = query;
    // A copy of its own: what waits for receivers must not hold on to the request.
    let data = Bytes::copy_from_slice(&body.bytes);
    let new = NewPublication { channel, key: key.map(Into::into), content, data, retain };
    let receipt = cx.broker.publish_on_channel(new).await?;
    let fields = published(&receipt);
    let json = format!("{{{}}}", fields.trim_start_matches(','));
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// What the body is: JSON where the client says so, else text where it is.
fn content(headers: &HeaderMap, body: &[u8]) -> Result<Content, Error> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = sent.and_then(|sent| sent.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") && !body.is_empty() {
        return match serde_json::from_slice::<&RawValue>(body) {
            Ok(_) => Ok(Content::Json),
            Err(error) => Err(Error::malformed(
                format!("body: {error}"),
                "send JSON, or another content type",
            )),
        };
    }
    let is_text = !essence.eq_ignore_ascii_case("application/octet-stream")
        && std::str::from_utf8(body).is_ok();
    Ok(if is_text { Content::Text } else { Content::Binary })
}
