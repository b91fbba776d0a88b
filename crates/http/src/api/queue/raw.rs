//! Queues without JSON: the body of a request or an answer is one message's, and everything else
//! is in the query and in headers.

use super::{find, message::token};
use crate::{Context, error::Error, extract::FORM};
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::Deserialize;
use tramline_broker::{Delivery, EnqueueOptions, Outcome};
use tramline_types::{Header, Message, Timestamp};

/// A request header `x-header-name: value` becomes the message header `name`, and back.
const HEADER_PREFIX: &str = "x-header-";
const CONTENT_TYPE: &[u8] = b"content-type";
/// Message headers in one answer.
const HEADERS_MAX: usize = 100;
/// A message may be a page: it must not act as one of this server's.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// The query of POST `/v1/queues/{queue}/messages`: of a raw body.
#[derive(Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnqueueQuery {
    #[serde(default)]
    pub(super) raw: bool,
    key: Option<String>,
    priority: Option<u8>,
    ttl_ms: Option<u64>,
    delay_ms: Option<u64>,
    group: Option<String>,
    deduplication_id: Option<String>,
}

impl EnqueueQuery {
    /// In the JSON form these belong to each message; taking them silently would lose them.
    pub(super) fn refuse(&self) -> Result<(), Error> {
        if *self == Self::default() {
            return Ok(());
        }
        Err(Error::malformed(
            "the parameters in the query belong to the raw form",
            "put them into each message, or add `raw=true` to send the body as it is",
        ))
    }

    /// The body as one message.
    pub(super) fn message(
        self,
        headers: &HeaderMap,
        body: &Bytes,
        now: Timestamp,
    ) -> (Message, EnqueueOptions) {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let content_type = content_type.filter(|given| *given != FORM.as_bytes());
        let given = content_type.map(|value| Header {
            name: Bytes::from_static(CONTENT_TYPE),
            value: Some(Bytes::copy_from_slice(value)),
        });
        let named = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(HEADER_PREFIX)?;
            let name = Bytes::copy_from_slice(name.as_bytes());
            Some(Header { name, value: Some(Bytes::copy_from_slice(value.as_bytes())) })
        });
        let bytes = |text: String| Bytes::from(text.into_bytes());
        let message = Message {
            key: self.key.map(bytes),
            value: Some(body.clone()),
            headers: given.into_iter().chain(named).collect(),
            timestamp: None,
        };
        let at = |delay: u64| now.plus_millis(i64::try_from(delay).unwrap_or(i64::MAX));
        let options = EnqueueOptions {
            persistent: true,
            priority: self.priority.unwrap_or(0),
            ttl_ms: self.ttl_ms,
            deliver_at: self.delay_ms.map(at),
            group: self.group.map(bytes),
            deduplication_id: self.deduplication_id.map(bytes),
            tell_place: false,
        };
        (message, options)
    }
}

/// Whether a body is JSON by its content type.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or(value).trim();
        essence.eq_ignore_ascii_case("application/json")
    })
}

/// One delivery: its body as the answer's, all else as headers; 204 where there is none.
pub(super) fn answer(delivery: Option<Delivery>, is_locked: bool) -> Response {
    let Some(delivery) = delivery else { return StatusCode::NO_CONTENT.into_response() };
    let message = &delivery.message;
    let mut response = message.value.clone().unwrap_or_default().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_SECURITY_POLICY, NO_PAGE);
    let mut put = |name: &'static str, value: String| {
        let value = HeaderValue::from_str(&value);
        headers.extend(value.map(|value| (HeaderName::from_static(name), value)));
    };
    put("message-deliveries", delivery.deliveries.to_string());
    put("message-redelivered", delivery.redelivered.to_string());
    put("message-enqueued-at", delivery.enqueued_at.as_millis().to_string());
    if is_locked {
        put("message-token", URL_SAFE_NO_PAD.encode(delivery.token.to_bytes()));
    }
    if let Some(until) = delivery.locked_until {
        put("message-locked-until", until.as_millis().to_string());
    }
    let key = message.key.as_deref().map(HeaderValue::from_bytes);
    let key_is_shown = !matches!(key, Some(Err(_)));
    if let Some(Ok(key)) = key {
        headers.insert("message-key", key);
    }
    let mut left_out = usize::from(!key_is_shown);
    for (place, of) in message.headers.iter().enumerate() {
        let value = HeaderValue::from_bytes(of.value.as_deref().unwrap_or_default());
        match value {
            Ok(value) if of.name == CONTENT_TYPE => {
                headers.insert(header::CONTENT_TYPE, value);
            }
            Ok(value) if place < HEADERS_MAX => {
                let name = [HEADER_PREFIX.as_bytes(), &of.name].concat();
                match HeaderName::from_bytes(&name) {
                    Ok(name) => drop(headers.append(name, value)),
                    Err(_) => left_out += 1,
                }
            }
            _ => left_out += 1,
        }
    }
    if left_out > 0 {
        headers.insert("message-headers-left-out", HeaderValue::from(left_out));
    }
    response
}

/// The query of POST `/v1/queues/{queue}/settle` without a body: one delivery.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleQuery {
    pub(super) token: Option<String>,
    outcome: Option<super::message::OutcomeName>,
    delay_ms: Option<u64>,
    reason: Option<String>,
}

/// Settles one delivery; an error is the answer's own.
pub(super) async fn settle(
    cx: &Context,
    name: &str,
    query: SettleQuery,
) -> Result<Response, Error> {
    let queue = find(&cx.broker, name)?;
    let token = token(query.token.as_deref().unwrap_or_default())?;
    let Some(outcome) = query.outcome else {
        let hint = "use `accept`, `release`, `reject`, `defer` or `extend`";
        return Err(Error::malformed("`outcome` is missing", hint));
    };
    let Some(outcome) = outcome.into_domain(query.delay_ms, query.reason) else {
        let until = super::message::extend_lock(&queue, token, query.delay_ms)?;
        let told = [("message-locked-until", until.as_millis().to_string())];
        return Ok((StatusCode::NO_CONTENT, told).into_response());
    };
    let outcome: Outcome = outcome;
    let settling = queue.settle(&[(token, outcome)]);
    if !settling.lost().is_empty() {
        return Err(tramline_broker::Error::from(tramline_broker::QueueError::LockLost).into());
    }
    cx.broker.until_durable(settling).await;
    Ok(StatusCode::NO_CONTENT.into_response())
}
