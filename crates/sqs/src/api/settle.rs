//! DeleteMessage, ChangeMessageVisibility and their batches. Answered when it is durable.

use super::{
    Found, batch,
    batch::Results,
    find_queue,
    receive::{VISIBILITY_MAX, forget_attempts},
};
use crate::{
    Context,
    caller::Caller,
    error::{Error, required},
    from_wire::bounded::List,
    handle::Handle,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tramline_broker::{LockToken, Outcome};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Delete {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
}

pub(crate) async fn delete(cx: &Context, caller: &Caller, request: Delete) -> Result<(), Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let shown = request.receipt_handle.clone().unwrap_or_default();
    let handle = parse(&found, request.receipt_handle)?;
    let kept = accept(cx, &found, &[handle.token]).await;
    if kept.is_empty() { Ok(()) } else { Err(expired(&shown)) }
}

/// Deletes messages. A handle of an earlier delivery deletes nothing, and that is no error; the
/// last one does also when its time is over, as long as nobody else has received the message. In
/// a FIFO queue it does not: the next of the group may be with somebody else. What is still there
/// for that is given back, and is an error.
async fn accept(cx: &Context, found: &Found, tokens: &[LockToken]) -> Vec<LockToken> {
    if found.profile.fifo.is_none() {
        cx.broker.until_durable(found.queue.accept_late(tokens)).await;
        return Vec::new();
    }
    let settles: Vec<_> = tokens.iter().map(|token| (*token, Outcome::Accepted)).collect();
    let mut lost = cx.broker.until_durable(found.queue.settle(&settles)).await;
    lost.retain(|token| !found.queue.is_done(token.place));
    lost
}

fn expired(handle: &str) -> Error {
    Error::value("ReceiptHandle", handle, "The receipt handle has expired")
}

fn parse(found: &Found, handle: Option<String>) -> Result<Handle, Error> {
    Handle::parse(&required(handle, "ReceiptHandle")?, &found.queue)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteBatch {
    queue_url: Option<String>,
    entries: Option<List<DeleteEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteEntry {
    id: Option<String>,
    receipt_handle: Option<String>,
}

impl batch::Entry for DeleteEntry {
    const NAME: &'static str = "DeleteMessageBatchRequestEntry";

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// An entry that was done.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Done {
    id: String,
}

pub(crate) async fn delete_batch(
    cx: &Context,
    caller: &Caller,
    request: DeleteBatch,
) -> Result<Results<Done>, Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let (mut results, mut tokens) = (Vec::new(), Vec::new());
    for (id, entry) in batch::check(request.entries)? {
        let shown = entry.receipt_handle.clone().unwrap_or_default();
        let token = parse(&found, entry.receipt_handle).map(|handle| handle.token);
        tokens.extend(token.as_ref().ok().copied());
        results.push((id, shown, token));
    }
    let kept = accept(cx, &found, &tokens).await;
    let results = results.into_iter().map(|(id, shown, token)| {
        let result = match token {
            Ok(token) if kept.contains(&token) => Err(expired(&shown)),
            Ok(_) => Ok(Done { id: id.clone() }),
            Err(error) => Err(error),
        };
        (id, result)
    });
    Ok(Results::of(results))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Change {
    queue_url: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

pub(crate) async fn change(cx: &Context, caller: &Caller, request: Change) -> Result<(), Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let shown = request.receipt_handle.clone().unwrap_or_default();
    let (token, timeout) = check(cx, &found, request.receipt_handle, request.visibility_timeout)?;
    let lost = hide(cx, &found, &[(token, timeout)]).await;
    if lost.is_empty() { Ok(()) } else { Err(not_in_flight(&shown)) }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeBatch {
    queue_url: Option<String>,
    entries: Option<List<ChangeEntry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeEntry {
    id: Option<String>,
    receipt_handle: Option<String>,
    visibility_timeout: Option<i64>,
}

impl batch::Entry for ChangeEntry {
    const NAME: &'static str = "ChangeMessageVisibilityBatchRequestEntry";

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

pub(crate) async fn change_batch(
    cx: &Context,
    caller: &Caller,
    request: ChangeBatch,
) -> Result<Results<Done>, Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let (mut results, mut changes) = (Vec::new(), Vec::new());
    for (id, entry) in batch::check(request.entries)? {
        let shown = entry.receipt_handle.clone().unwrap_or_default();
        let change = check(cx, &found, entry.receipt_handle, entry.visibility_timeout);
        changes.extend(change.as_ref().ok().copied());
        results.push((id, shown, change));
    }
    let lost = hide(cx, &found, &changes).await;
    let results = results.into_iter().map(|(id, shown, change)| {
        let result = match change {
            Ok((token, _)) if lost.contains(&token) => Err(not_in_flight(&shown)),
            Ok(_) => Ok(Done { id: id.clone() }),
            Err(error) => Err(error),
        };
        (id, result)
    });
    Ok(Results::of(results))
}

fn check(
    cx: &Context,
    found: &Found,
    handle: Option<String>,
    timeout: Option<i64>,
) -> Result<(LockToken, Duration), Error> {
    let handle = parse(found, handle)?;
    let seconds = required(timeout, "VisibilityTimeout")?;
    let span = u64::try_from(seconds).ok().filter(|_| seconds <= VISIBILITY_MAX);
    let span = span.ok_or_else(|| {
        let reason = format!("VisibilityTimeout must be an integer between 0 and {VISIBILITY_MAX}");
        Error::value("VisibilityTimeout", seconds, reason)
    })?;
    let now = cx.broker.clock().now().as_millis();
    let since = now.saturating_sub(handle.received.as_millis()) / 1000;
    if seconds > 0 && since.saturating_add(seconds) > VISIBILITY_MAX {
        let reason = format!(
            "Total VisibilityTimeout for the message is beyond the limit [{VISIBILITY_MAX} seconds]"
        );
        return Err(Error::value("VisibilityTimeout", seconds, reason));
    }
    Ok((handle.token, Duration::from_secs(span)))
}

/// Hides messages for as long from now; shows those at once whose time is zero. Gives those that
/// are not in flight any more.
async fn hide(cx: &Context, found: &Found, changes: &[(LockToken, Duration)]) -> Vec<LockToken> {
    if found.profile.fifo.is_some() {
        changes.iter().for_each(|(token, _)| forget_attempts(cx, found, *token));
    }
    let shown = changes
        .iter()
        .filter(|(_, span)| span.is_zero())
        .map(|(token, _)| (*token, Outcome::Released { count: true, delay_ms: None }));
    let shown: Vec<_> = shown.collect();
    let hidden: Vec<_> = changes.iter().filter(|(_, span)| !span.is_zero()).copied().collect();
    let (released, extended) = (found.queue.settle(&shown), found.queue.extend_all(&hidden));
    let mut lost = released.await;
    lost.extend(extended.await);
    lost
}

fn not_in_flight(handle: &str) -> Error {
    let reason = "Message does not exist or is not available for visibility timeout change";
    Error::value("ReceiptHandle", handle, reason)
}
