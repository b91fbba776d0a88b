//! ReceiveMessage: up to ten messages, each hidden from others until its visibility timeout ends;
//! waits for a first one where the request or the queue says so.

use super::{Found, find_queue, send::check_id};
use crate::{
    Context,
    caller::Caller,
    error::{Code, Error},
    from_wire::{
        bounded::List,
        message::{Attribute, Typed},
    },
    handle::Handle,
    memory::Received,
    to_wire::message::{Outgoing, header, md5, md5_of_attributes, outgoing},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_broker::{Delivery, Lock, LockToken, Receive};
use uuid::Uuid;

const MESSAGES_MAX: i64 = 10;
const WAIT_MAX: i64 = 20;
/// The longest visibility timeout, in seconds.
pub(super) const VISIBILITY_MAX: i64 = 43_200;
/// Bytes of the bodies of one answer; a first message comes whatever its size.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Larger answers are not kept for a repeated attempt.
const ATTEMPT_BYTES_MAX: usize = 64 * 1024;

/// The names of attributes that the service gives.
const SYSTEM: &[&str] = &[
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Request {
    queue_url: Option<String>,
    attribute_names: Option<List<String>>,
    message_system_attribute_names: Option<List<String>>,
    message_attribute_names: Option<List<String>>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    receive_request_attempt_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Response {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
}

#[derive(Serialize)]
struct Message {
    #[serde(rename = "MessageId")]
    id: String,
    #[serde(rename = "ReceiptHandle")]
    handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    #[serde(rename = "Body")]
    body: String,
    #[serde(rename = "Attributes", skip_serializing_if = "BTreeMap::is_empty")]
    system: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(rename = "MessageAttributes", skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, Attribute>,
}

pub(crate) async fn receive(
    cx: &Context,
    caller: &Caller,
    request: Request,
) -> Result<Response, Error> {
    let found = find_queue(cx, caller, request.queue_url.clone())?;
    let n_max = request.max_number_of_messages.unwrap_or(1);
    if !(1..=MESSAGES_MAX).contains(&n_max) {
        let reason = format!("Must be between 1 and {MESSAGES_MAX}, if provided");
        return Err(Error::value("MaxNumberOfMessages", n_max, reason));
    }
    let wait = seconds("WaitTimeSeconds", request.wait_time_seconds, WAIT_MAX)?;
    let wait = wait.unwrap_or(found.profile.wait);
    let lock = seconds("VisibilityTimeout", request.visibility_timeout, VISIBILITY_MAX)?;
    let lock = lock.unwrap_or(found.profile.visibility);
    check_id("ReceiveRequestAttemptId", request.receive_request_attempt_id.as_deref())?;
    let filter = Filter::new(&request)?;
    let attempt = request.receive_request_attempt_id.as_ref();
    let attempt = attempt.filter(|_| found.profile.fifo.is_some());
    let attempt = attempt.map(|id| (found.queue.id(), Bytes::from(id.clone())));
    if let Some(attempt) = &attempt
        && let Some(received) = repeat(cx, &found, attempt, lock)
    {
        return Ok(respond(cx, caller, &found, (&received, &filter)));
    }
    if found.queue.counts().locked >= cx.options.in_flight_max {
        if found.profile.fifo.is_some() {
            return Ok(Response { messages: Vec::new() });
        }
        let message = "Too many messages in flight: delete some before you receive more.";
        return Err(Error::new(Code::OverLimit, message));
    }
    let is_full = cx.broker.budgets().answers.is_used_up();
    let receive = Receive {
        n_max: usize::try_from(n_max).unwrap_or(1),
        // Where answers take up their memory, one message at a time.
        bytes_max: if is_full { 0 } else { BYTES_MAX },
        lock: Lock::Timed(lock),
        wait,
        connection: None,
    };
    let receiving = async {
        match found.profile.fifo {
            Some(_) => found.queue.receive_runs(receive).await,
            None => found.queue.receive(receive).await,
        }
    };
    let deliveries = tokio::select! {
        deliveries = receiving => deliveries?,
        () = cx.stopping() => Vec::new(),
    };
    let received = Arc::new(Received { deliveries, at: cx.broker.clock().now() });
    note_first(cx, &found, &received);
    if let Some(attempt) = attempt {
        keep(cx, attempt, &received);
    }
    Ok(respond(cx, caller, &found, (&received, &filter)))
}

fn seconds(name: &str, given: Option<i64>, most: i64) -> Result<Option<Duration>, Error> {
    let Some(seconds) = given else { return Ok(None) };
    match u64::try_from(seconds) {
        Ok(good) if seconds <= most => Ok(Some(Duration::from_secs(good))),
        _ => {
            let reason = format!("Must be >= 0 and <= {most}, if provided");
            Err(Error::value(name, seconds, reason))
        }
    }
}

/// An attempt that got this message is none that can be repeated any more.
pub(super) fn forget_attempts(cx: &Context, found: &Found, token: LockToken) {
    let has = |of: &(u64, Bytes), received: &Arc<Received>| {
        of.0 == found.queue.id() && received.deliveries.iter().any(|it| it.token == token)
    };
    cx.memory.attempts.lock().remove_where(has);
}

/// What an attempt got before, if all of that is still in flight: it is for as long again.
fn repeat(
    cx: &Context,
    found: &Found,
    attempt: &(u64, Bytes),
    lock: Duration,
) -> Option<Arc<Received>> {
    let now = cx.broker.clock().monotonic();
    let received = Arc::clone(cx.memory.attempts.lock().get(attempt, now)?);
    let extended = received.deliveries.iter().all(|of| found.queue.extend(of.token, lock).is_ok());
    if !extended {
        cx.memory.attempts.lock().remove(attempt);
    }
    extended.then_some(received)
}

fn keep(cx: &Context, attempt: (u64, Bytes), received: &Arc<Received>) {
    let deliveries = &received.deliveries;
    let bytes = |delivery: &Delivery| delivery.message.value.as_ref().map_or(0, Bytes::len);
    if !deliveries.is_empty() && deliveries.iter().map(bytes).sum::<usize>() <= ATTEMPT_BYTES_MAX {
        let now = cx.broker.clock().monotonic();
        cx.memory.attempts.lock().insert(attempt, Arc::clone(received), now);
    }
}

/// Which attributes are asked for.
struct Filter {
    system: Vec<&'static str>,
    names: Vec<String>,
}

impl Filter {
    fn new(request: &Request) -> Result<Self, Error> {
        let mut system = Vec::new();
        let wanted = [&request.attribute_names, &request.message_system_attribute_names];
        for name in wanted.into_iter().flatten().flat_map(|list| &list.0) {
            if name == "All" {
                system.extend(SYSTEM);
            } else if let Some(known) = SYSTEM.iter().find(|known| **known == name.as_str()) {
                system.push(*known);
            } else if !crate::from_wire::attributes::is_known(name) {
                let message = format!("Unknown Attribute {name}.");
                return Err(Error::new(Code::InvalidAttributeName, message));
            }
        }
        Ok(Self { system, names: request.message_attribute_names.clone().unwrap_or_default().0 })
    }

    fn admits(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| match wanted.as_str() {
            "All" | ".*" => true,
            wanted => match wanted.strip_suffix(".*") {
                Some(prefix) => name.starts_with(prefix),
                None => name == wanted,
            },
        })
    }
}

fn respond(
    cx: &Context,
    caller: &Caller,
    found: &Found,
    (received, filter): (&Received, &Filter),
) -> Response {
    let message = |delivery: &Delivery| {
        let stored = &delivery.message;
        let out = outgoing(stored);
        let system = system(cx, caller, (found, delivery), &out, filter);
        let Outgoing { body, compact, attributes } = out;
        let attributes: Vec<(String, Typed)> =
            attributes.into_iter().filter(|(name, _)| filter.admits(name)).collect();
        let pairs = attributes.iter().map(|(name, typed)| (name.as_str(), typed));
        let handle =
            Handle { queue: found.queue.id(), token: delivery.token, received: received.at };
        let id = if compact.id.is_empty() { id_of(found, delivery) } else { compact.id };
        let digest = compact.digest.and_then(|digest| digest.for_body(body.as_bytes()));
        Message {
            id,
            handle: handle.encode(),
            md5_of_body: digest.unwrap_or_else(|| md5(body.as_bytes())),
            md5_of_attributes: md5_of_attributes(pairs),
            body: body.into_owned(),
            system,
            attributes: attributes.into_iter().map(|(name, typed)| (name, typed.into())).collect(),
        }
    };
    Response { messages: received.deliveries.iter().map(message).collect() }
}

/// The id of a message that another protocol brought: the same at every delivery.
fn id_of(found: &Found, delivery: &Delivery) -> String {
    let place = delivery.place;
    let high = found.queue.id() ^ (u64::from(place.lane) << 48);
    Uuid::from_u64_pair(high, place.offset).to_string()
}

/// The attributes that the service gives a message.
fn system(
    cx: &Context,
    caller: &Caller,
    (found, delivery): (&Found, &Delivery),
    out: &Outgoing<'_>,
    filter: &Filter,
) -> BTreeMap<&'static str, String> {
    let value = |name: &'static str| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let compact = &out.compact;
        match name {
            "AWSTraceHeader" => compact.trace.clone(),
            "ApproximateFirstReceiveTimestamp" => Some(first_received(cx, found, delivery)),
            "ApproximateReceiveCount" => Some((u64::from(delivery.deliveries) + 1).to_string()),
            "DeadLetterQueueSourceArn" => died_in(caller, delivery),
            "MessageDeduplicationId" => compact.deduplication.clone(),
            "MessageGroupId" => header(&delivery.message, b"message-group").map(text),
            "SenderId" if compact.sender.is_empty() => Some(caller.account.clone()),
            "SenderId" => Some(compact.sender.clone()),
            "SentTimestamp" => Some(delivery.enqueued_at.as_millis().to_string()),
            "SequenceNumber" => compact.sequence.clone(),
            _ => None,
        }
    };
    filter.system.iter().filter_map(|name| Some((*name, value(name)?))).collect()
}

/// Notes when messages were received for the first time: who receives them again may ask.
fn note_first(cx: &Context, found: &Found, received: &Received) {
    if received.deliveries.is_empty() {
        return;
    }
    let now = cx.broker.clock().monotonic();
    let mut known = cx.memory.first_received.lock();
    for delivery in received.deliveries.iter().filter(|delivery| !delivery.redelivered) {
        known.insert((found.queue.id(), delivery.place), received.at, now);
    }
}

/// When a message was first received, as far as that is known: not across a restart.
fn first_received(cx: &Context, found: &Found, delivery: &Delivery) -> String {
    let now = cx.broker.clock().monotonic();
    let key = (found.queue.id(), delivery.place);
    let first = cx.memory.first_received.lock().get(&key, now).copied();
    first.unwrap_or(delivery.enqueued_at).as_millis().to_string()
}

/// The queue that a dead-lettered message comes from.
fn died_in(caller: &Caller, delivery: &Delivery) -> Option<String> {
    let deaths: Value = serde_json::from_slice(header(&delivery.message, b"dead-letter")?).ok()?;
    let address = caller.address_of(deaths.get(0)?.get("queue")?.as_str()?)?;
    Some(caller.arn(&address))
}
