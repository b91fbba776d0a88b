//! `/v1/queues/{queue}/messages`, `/receive`, `/settle`: work with a queue by plain JSON.

use super::{
    find,
    peek::{place, place_text},
    raw,
};
use crate::{
    Context,
    error::{Error, ErrorBody},
    extract::{Names, Params, parse_json, receive as receive_body},
    from_wire::EnqueueMessages,
    to_wire::QueueMessage,
};
use axum::{
    Json,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tramline_broker::{self as broker, Enqueue, Lock, LockToken, Outcome, Receive};

/// Messages of one answer or request.
const MESSAGES_MAX: usize = 10_000;
/// Bytes of one answer; one message at least.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// As long as SQS allows.
const LOCK_MAX: Duration = Duration::from_secs(12 * 3600);

/// The answer of POST `/v1/queues/{queue}/messages`: one entry per message, in their order.
#[derive(Serialize)]
pub(crate) struct Enqueued {
    messages: Vec<EnqueueResult>,
    failed: usize,
    /// The first failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EnqueueResult {
    Enqueued { enqueued: bool },
    Failed { error: ErrorBody },
}

/// POST `/v1/queues/{queue}/messages`. Answers when every message is durable or refused, with the
/// status of the first refusal if there is one.
pub(crate) async fn enqueue(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<raw::EnqueueQuery>,
    request: Request,
) -> Result<(StatusCode, Json<Enqueued>), Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    let (parts, body) = request.into_parts();
    let body = receive_body(body, &cx).await?;
    let now = cx.broker.clock().now();
    let messages = if raw::is_json(&parts.headers) && !query.raw {
        query.refuse()?;
        parse_json::<EnqueueMessages>(&body.bytes)?.into_domain(now)?
    } else {
        vec![query.message(&parts.headers, &body.bytes, now)]
    };
    check_count(messages.len())?;
    let enqueue = |(message, options)| Enqueue {
        targets: std::iter::once(queue.clone()).collect(),
        message,
        options,
    };
    let enqueuing = cx.broker.enqueue(messages.into_iter().map(enqueue).collect()).await;
    let results = cx.broker.until_durable(enqueuing).await;
    let mut status = StatusCode::OK;
    let mut answer = Enqueued { messages: Vec::new(), failed: 0, error: None };
    for result in results {
        answer.messages.push(match result {
            Ok(()) => EnqueueResult::Enqueued { enqueued: true },
            Err(error) => {
                let error = Error::from(error);
                if answer.failed == 0 {
                    (status, _) = error.status_and_hint();
                    answer.error = Some(error.body());
                }
                answer.failed += 1;
                EnqueueResult::Failed { error: error.body() }
            }
        });
    }
    Ok((status, Json(answer)))
}

/// The body of POST `/v1/queues/{queue}/receive`; in the raw form its query.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiveRequest {
    limit: Option<usize>,
    wait_ms: Option<u64>,
    lock_ms: Option<u64>,
    /// Settled as they are delivered.
    #[serde(default)]
    accept: bool,
    /// One message, as the answer's body.
    #[serde(default)]
    raw: bool,
    /// Messages that were deferred, instead of what comes next.
    places: Option<Vec<String>>,
}

/// The answer of POST `/v1/queues/{queue}/receive`.
#[derive(Serialize)]
pub(crate) struct Received {
    messages: Vec<Delivery>,
}

#[derive(Serialize)]
struct Delivery {
    /// Names the delivery when it is settled; `null` where it was settled as it was delivered.
    token: Option<String>,
    /// Where the message lies: the same at each delivery.
    place: String,
    /// Earlier deliveries of the message.
    deliveries: u32,
    redelivered: bool,
    /// Milliseconds since the Unix epoch.
    enqueued_at: i64,
    locked_until: Option<i64>,
    #[serde(flatten)]
    message: QueueMessage,
}

/// POST `/v1/queues/{queue}/receive`.
pub(crate) async fn receive(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<ReceiveRequest>,
    request: Request,
) -> Result<Response, Error> {
    let queue = find(&cx.broker, &name)?;
    let body = receive_body(request.into_body(), &cx).await?;
    let request: ReceiveRequest = match query.raw {
        true => ReceiveRequest { limit: Some(1), ..query },
        false => parse_json(&body.bytes)?,
    };
    let lock = request.lock_ms.map_or_else(|| queue.lock_duration(), Duration::from_millis);
    let lock = lock.min(LOCK_MAX);
    let wait = Duration::from_millis(request.wait_ms.unwrap_or(0)).min(cx.options.wait_max);
    let receive = Receive {
        n_max: request.limit.unwrap_or(1).clamp(1, MESSAGES_MAX),
        bytes_max: BYTES_MAX,
        lock: if request.accept { Lock::None } else { Lock::Timed(lock) },
        wait,
        connection: None,
    };
    let deliveries = match &request.places {
        Some(places) => recall(&queue, places, receive.lock).await?,
        None => tokio::select! {
            deliveries = queue.receive(receive) => deliveries?,
            () = cx.stopping() => Vec::new(),
        },
    };
    if request.raw {
        return Ok(raw::answer(deliveries.into_iter().next(), !request.accept));
    }
    let delivery = |delivery: broker::Delivery| Delivery {
        token: (!request.accept).then(|| URL_SAFE_NO_PAD.encode(delivery.token.to_bytes())),
        place: place_text(delivery.place),
        deliveries: delivery.deliveries,
        redelivered: delivery.redelivered,
        enqueued_at: delivery.enqueued_at.as_millis(),
        locked_until: delivery.locked_until.map(tramline_types::Timestamp::as_millis),
        message: QueueMessage(delivery.message),
    };
    let messages = deliveries.into_iter().map(delivery).collect();
    Ok(Json(Received { messages }).into_response())
}

async fn recall(
    queue: &Arc<broker::Queue>,
    places: &[String],
    lock: Lock,
) -> Result<Vec<broker::Delivery>, Error> {
    queue.check_owner(None)?;
    check_count(places.len())?;
    let places = places.iter().map(|text| place(text)).collect::<Result<Vec<_>, Error>>()?;
    Ok(queue.recall(&places, lock).await?)
}

/// The body of POST `/v1/queues/{queue}/settle`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleRequest {
    settles: Vec<Settle>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    token: String,
    outcome: OutcomeName,
    /// With `release`: not to be delivered before this has passed. With `extend`: how long.
    delay_ms: Option<u64>,
    /// With `reject`: why.
    reason: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutcomeName {
    /// Done.
    Accept,
    /// Back to its place.
    Release,
    /// To the dead-letter target, where there is one.
    Reject,
    /// Set aside until it is asked for by its place.
    Defer,
    /// Locked for longer.
    Extend,
}

impl OutcomeName {
    /// `None`: the lock is extended.
    pub(super) fn into_domain(
        self,
        delay_ms: Option<u64>,
        reason: Option<String>,
    ) -> Option<Outcome> {
        match self {
            Self::Accept => Some(Outcome::Accepted),
            Self::Release => Some(Outcome::Released { count: true, delay_ms }),
            Self::Reject => Some(Outcome::Rejected { dead_letter: true, reason }),
            Self::Defer => Some(Outcome::Deferred),
            Self::Extend => None,
        }
    }
}

/// The answer of POST `/v1/queues/{queue}/settle`: one entry per delivery, in their order.
#[derive(Serialize)]
pub(crate) struct Settled {
    settles: Vec<SettleResult>,
    failed: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum SettleResult {
    Settled { settled: bool },
    Extended { locked_until: i64 },
    Failed { error: ErrorBody },
}

/// POST `/v1/queues/{queue}/settle`. Answers when it is durable.
pub(crate) async fn settle(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<raw::SettleQuery>,
    request: Request,
) -> Result<Response, Error> {
    if query.token.is_some() {
        return raw::settle(&cx, &name, query).await;
    }
    let body = receive_body(request.into_body(), &cx).await?;
    let request: SettleRequest = parse_json(&body.bytes)?;
    let queue = find(&cx.broker, &name)?;
    check_count(request.settles.len())?;
    // All of them are understood before the first one is done.
    let tokens = request.settles.iter().map(|settle| token(&settle.token));
    let tokens = tokens.collect::<Result<Vec<_>, Error>>()?;
    let (mut results, mut places, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for (settle, token) in request.settles.iter().zip(tokens) {
        let Some(outcome) = settle.outcome.into_domain(settle.delay_ms, settle.reason.clone())
        else {
            results.push(extend(&queue, token, settle.delay_ms));
            continue;
        };
        results.push(SettleResult::Settled { settled: true });
        places.push((token, results.len() - 1));
        outcomes.push((token, outcome));
    }
    let settling = queue.settle(&outcomes);
    let mut lost: HashMap<LockToken, usize> = HashMap::new();
    settling.lost().iter().for_each(|token| *lost.entry(*token).or_default() += 1);
    // Of a token that is named twice, the later one finds the lock gone.
    for (token, place) in places.into_iter().rev() {
        if let Some(left) = lost.get_mut(&token).filter(|left| **left > 0) {
            *left -= 1;
            let error = broker::Error::from(broker::QueueError::LockLost);
            results[place] = SettleResult::Failed { error: Error::from(error).body() };
        }
    }
    cx.broker.until_durable(settling).await;
    let failed = results.iter().filter(|s| matches!(s, SettleResult::Failed { .. })).count();
    Ok(Json(Settled { settles: results, failed }).into_response())
}

fn extend(queue: &Arc<broker::Queue>, token: LockToken, lock_ms: Option<u64>) -> SettleResult {
    match extend_lock(queue, token, lock_ms) {
        Ok(until) => SettleResult::Extended { locked_until: until.as_millis() },
        Err(error) => SettleResult::Failed { error: error.body() },
    }
}

/// Extends a lock; gives until when.
pub(super) fn extend_lock(
    queue: &Arc<broker::Queue>,
    token: LockToken,
    lock_ms: Option<u64>,
) -> Result<tramline_types::Timestamp, Error> {
    let lock = lock_ms.map_or_else(|| queue.lock_duration(), Duration::from_millis);
    Ok(queue.extend(token, lock.min(LOCK_MAX))?)
}

fn check_count(count: usize) -> Result<(), Error> {
    if count > MESSAGES_MAX {
        return Err(Error::malformed(
            format!("{count} are more than {MESSAGES_MAX}"),
            "send fewer per request",
        ));
    }
    Ok(())
}

pub(super) fn token(text: &str) -> Result<LockToken, Error> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let bytes = bytes.and_then(|bytes| <[u8; LockToken::BYTES]>::try_from(bytes).ok());
    bytes.map(LockToken::from_bytes).ok_or_else(|| {
        Error::malformed(format!("`{text}` is no token"), "use the `token` of a delivery")
    })
}
