//! POST `/v1/topics/{topic}/messages`: publishes a batch given as JSON, or the body itself as one
//! message. Answers when every message is durable or refused.

use crate::{
    Context,
    error::Error,
    extract::{Names, Params, parse_json, receive},
    from_wire::PublishMessages,
    to_wire::{PublishAnswer, publish_outcome},
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use tramline_types::{Header, Message, Timestamp, TopicName};

/// Messages of one request.
const MESSAGES_MAX: usize = 10_000;
/// What one batch is made from: below the default of `max.message.bytes`.
const RUN_BYTES_MAX: usize = 512 * 1024;
/// A request header `x-header-name: value` becomes the message header `name`.
const HEADER_PREFIX: &str = "x-header-";

/// The query: for the raw form, in which the body is the value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    key: Option<String>,
    partition: Option<u32>,
    timestamp: Option<i64>,
    #[serde(default)]
    raw: bool,
}

pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<Query>,
    request: Request,
) -> Result<(StatusCode, Json<PublishAnswer>), Error> {
    let name = TopicName::parse(&name)?;
    let (parts, body) = request.into_parts();
    let body = receive(body, &cx).await?;
    let messages = if is_json(&parts.headers) && !query.raw {
        refuse_raw_params(&query)?;
        parse_json::<PublishMessages>(&body.bytes)?.into_domain()?
    } else {
        let message = Message {
            key: query.key.map(|key| key.into_bytes().into()),
            value: Some(body.bytes.clone()),
            headers: raw_headers(&parts.headers),
            timestamp: query.timestamp.map(Timestamp::from_millis),
        };
        vec![(query.partition, message)]
    };
    if messages.len() > MESSAGES_MAX {
        return Err(Error::malformed(
            format!("{} messages are more than {MESSAGES_MAX}", messages.len()),
            "send fewer messages per request",
        ));
    }
    let topic = cx.broker.topic_or_create(&name).await?;
    let mut results = Vec::with_capacity(messages.len());
    // One run after another, so that messages keep their order.
    for run in runs(messages) {
        results.extend(cx.broker.publish_messages(&topic, run).await);
    }
    Ok(publish_outcome(results))
}

/// Splits messages into runs, of which each may become one batch.
fn runs(messages: Vec<(Option<u32>, Message)>) -> Vec<Vec<(Option<u32>, Message)>> {
    let mut runs = vec![Vec::new()];
    let mut run_bytes = 0;
    for (partition, message) in messages {
        let bytes = message_bytes(&message);
        let run = runs.last_mut().expect("there is always one run");
        if !run.is_empty() && run_bytes + bytes > RUN_BYTES_MAX {
            run_bytes = 0;
            runs.push(vec![(partition, message)]);
        } else {
            run.push((partition, message));
        }
        run_bytes += bytes;
    }
    runs
}

fn message_bytes(message: &Message) -> usize {
    let length = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    let headers =
        message.headers.iter().map(|header| header.name.len() + length(&header.value) + 8);
    length(&message.key) + length(&message.value) + headers.sum::<usize>() + 32
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or(value).trim();
        essence.eq_ignore_ascii_case("application/json")
    })
}

/// In the JSON form these belong to each message; taking them silently would lose them.
fn refuse_raw_params(query: &Query) -> Result<(), Error> {
    if query.key.is_some() || query.partition.is_some() || query.timestamp.is_some() {
        return Err(Error::malformed(
            "`key`, `partition` and `timestamp` in the query belong to the raw form",
            "put them into each message, or add `raw=true` to send the body as it is",
        ));
    }
    Ok(())
}

fn raw_headers(headers: &HeaderMap) -> Vec<Header> {
    let named = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(HEADER_PREFIX)?.as_bytes().to_vec();
        Some(Header { name: name.into(), value: Some(value.as_bytes().to_vec().into()) })
    });
    named.collect()
}
