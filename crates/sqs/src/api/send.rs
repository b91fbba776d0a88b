//! SendMessage and SendMessageBatch. Answered when the messages are durable.

use super::{Found, batch, batch::Results, find_queue};
use crate::{
    Context,
    caller::Caller,
    error::{Code, Error, required},
    from_wire::bounded::List,
    from_wire::message::{Checked, Compact, Digested, Sent, Typed, TypedValue, stored},
    memory::Ids,
    profile::Fifo,
    to_wire::message::{hex, md5, md5_of_attributes},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tramline_broker::{Enqueue, EnqueueOptions};
use uuid::Uuid;

const DELAY_MAX: i64 = 900;
const ID_MAX: usize = 128;
/// All messages of a batch together.
const BATCH_BYTES_MAX: usize = 1_048_576;

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    #[serde(rename = "MD5OfMessageBody")]
    body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    system_attributes: Option<String>,
    #[serde(rename = "MessageId")]
    id: String,
    #[serde(rename = "SequenceNumber", skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
}

pub(crate) async fn send(
    cx: &Context,
    caller: &Caller,
    mut request: Sent,
) -> Result<Answer, Error> {
    let found = find_queue(cx, caller, request.queue_url.take())?;
    let message = prepare(&found, request)?;
    let answers = put(cx, caller, &found, vec![message]).await;
    required(answers.into_iter().next(), "MessageBody")?
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendBatch {
    queue_url: Option<String>,
    entries: Option<List<Sent>>,
}

impl batch::Entry for Sent {
    const NAME: &'static str = "SendMessageBatchRequestEntry";

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Successful {
    id: String,
    #[serde(flatten)]
    answer: Answer,
}

pub(crate) async fn send_batch(
    cx: &Context,
    caller: &Caller,
    request: SendBatch,
) -> Result<Results<Successful>, Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let entries = batch::check(request.entries)?;
    let mut bytes = 0;
    let (mut results, mut messages) = (Vec::new(), Vec::new());
    for (id, entry) in entries {
        if let Some(fifo) = found.profile.fifo {
            check_fifo(fifo, &entry)?;
        }
        let body_bytes = entry.message_body.as_ref().map_or(0, String::len);
        match prepare(&found, entry) {
            Ok(message) => {
                bytes += message.checked.size;
                messages.push(message);
                results.push((id, None));
            }
            Err(error) => {
                bytes += body_bytes;
                results.push((id, Some(error)));
            }
        }
    }
    if bytes > BATCH_BYTES_MAX {
        let message = format!(
            "Batch requests cannot be longer than {BATCH_BYTES_MAX} bytes. You have sent {bytes} \
             bytes."
        );
        return Err(Error::new(Code::BatchRequestTooLong, message));
    }
    let mut answers = put(cx, caller, &found, messages).await.into_iter();
    let results = results.into_iter().map(|(id, error)| {
        let result = match error {
            Some(error) => Err(error),
            None => required(answers.next(), "MessageBody").and_then(|answer| answer),
        };
        (id.clone(), result.map(|answer| Successful { id, answer }))
    });
    Ok(Results::of(results))
}

/// A message that can be put into its queue.
struct Prepared {
    checked: Checked,
    delay_ms: u64,
    group: Option<String>,
    /// What repeats are told by, as clients name it.
    deduplication: Option<String>,
}

/// Checks one message against its queue.
fn prepare(found: &Found, mut sent: Sent) -> Result<Prepared, Error> {
    let profile = &found.profile;
    if let Some(fifo) = profile.fifo {
        check_fifo(fifo, &sent)?;
    }
    let checked = sent.check()?;
    if checked.size > profile.message_bytes_max {
        let limit = profile.message_bytes_max;
        return Err(Error::invalid(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
        )));
    }
    let group = sent.message_group_id.take();
    let deduplication = sent.message_deduplication_id.take();
    check_id("MessageGroupId", group.as_deref())?;
    check_id("MessageDeduplicationId", deduplication.as_deref())?;
    let delay = sent.delay_seconds;
    if let Some(seconds) = delay.filter(|seconds| !(0..=DELAY_MAX).contains(seconds)) {
        let reason = format!("DelaySeconds must be >= 0 and <= {DELAY_MAX}");
        return Err(Error::value("DelaySeconds", seconds, reason));
    }
    let delay_ms = delay.and_then(|seconds| u64::try_from(seconds * 1000).ok());
    let delay_ms = delay_ms.unwrap_or(profile.delay_ms);
    let Some(fifo) = profile.fifo else {
        if let Some(id) = deduplication {
            let reason = "The request includes a parameter that is not valid for this queue type";
            return Err(Error::value("MessageDeduplicationId", id, reason));
        }
        return Ok(Prepared { checked, delay_ms, group, deduplication: None });
    };
    if let Some(seconds) = delay.filter(|seconds| *seconds > 0) {
        let reason = "The request include parameter that is not valid for this queue type";
        return Err(Error::value("DelaySeconds", seconds, reason));
    }
    let by_content = || fifo.by_content.then(|| hex(&Sha256::digest(checked.body.as_bytes())));
    let deduplication = deduplication.or_else(by_content);
    Ok(Prepared { checked, delay_ms, group, deduplication })
}

/// What every message to a FIFO queue has; a batch with one that has not is refused as a whole.
fn check_fifo(fifo: Fifo, sent: &Sent) -> Result<(), Error> {
    if sent.message_group_id.is_none() {
        return Err(Error::missing("MessageGroupId"));
    }
    if sent.message_deduplication_id.is_none() && !fifo.by_content {
        return Err(Error::invalid(
            "The queue should either have ContentBasedDeduplication enabled or \
             MessageDeduplicationId provided explicitly",
        ));
    }
    Ok(())
}

/// The rules for ids of groups and of deduplication.
pub(super) fn check_id(name: &str, id: Option<&str>) -> Result<(), Error> {
    match id {
        Some(id)
            if !(1..=ID_MAX).contains(&id.len()) || !id.bytes().all(|c| c.is_ascii_graphic()) =>
        {
            let reason = format!(
                "{name} can only include alphanumeric and punctuation characters. 1 to {ID_MAX} in \
                 length"
            );
            Err(Error::value(name, id, reason))
        }
        _ => Ok(()),
    }
}

/// Puts messages into their queue; answers when they are durable.
async fn put(
    cx: &Context,
    caller: &Caller,
    found: &Found,
    messages: Vec<Prepared>,
) -> Vec<Result<Answer, Error>> {
    let mut answers = Vec::with_capacity(messages.len());
    let mut items = Vec::with_capacity(messages.len());
    let enqueuing = match found.profile.fifo {
        None => {
            for message in messages {
                let ids = (Uuid::new_v4().to_string(), None);
                let (item, answer) = item(cx, caller, found, (message, None, ids));
                items.push(item);
                answers.push(answer);
            }
            cx.broker.enqueue(items).await
        }
        Some(fifo) => {
            // Held until they are in, so that numbers and places have the same order.
            let mut fifo_queue = cx.memory.fifo(found.queue.id()).lock().await;
            for message in messages {
                let mut key = Vec::new();
                if fifo.per_group {
                    key.extend_from_slice(message.group.as_deref().unwrap_or_default().as_bytes());
                    key.push(0);
                }
                key.extend_from_slice(
                    message.deduplication.as_deref().unwrap_or_default().as_bytes(),
                );
                let key = Bytes::from(key);
                let clock = cx.broker.clock();
                let now = (clock.now(), clock.monotonic());
                let of = (found.queue.id(), &*key);
                let Ids { message: id, sequence } =
                    cx.memory.ids(&mut fifo_queue, of, now, Uuid::new_v4());
                let ids = (id, Some(sequence));
                let (item, answer) = item(cx, caller, found, (message, Some(key), ids));
                items.push(item);
                answers.push(answer);
            }
            cx.broker.enqueue(items).await
        }
    };
    let results = cx.broker.until_durable(enqueuing).await;
    let both = results.into_iter().zip(answers);
    both.map(|(result, answer)| result.map(|()| answer).map_err(Error::from)).collect()
}

/// What the broker is to put in, and what the client is told.
fn item(
    cx: &Context,
    caller: &Caller,
    found: &Found,
    (message, key, (id, sequence)): (Prepared, Option<Bytes>, (String, Option<String>)),
) -> (Enqueue, Answer) {
    let Prepared { checked, delay_ms, group, deduplication } = message;
    let pairs = checked.attributes.iter().map(|(name, typed)| (name.as_str(), typed));
    let trace = checked
        .trace
        .clone()
        .map(|trace| Typed { data_type: "String".to_owned(), value: TypedValue::Text(trace) });
    let md5_of_body = md5(checked.body.as_bytes());
    let digest = Digested::of(checked.body.as_bytes(), &md5_of_body);
    let answer = Answer {
        body: md5_of_body,
        attributes: md5_of_attributes(pairs),
        system_attributes: md5_of_attributes(trace.iter().map(|trace| ("AWSTraceHeader", trace))),
        id: id.clone(),
        sequence: sequence.clone(),
    };
    let compact = Compact {
        id,
        sender: caller.account.clone(),
        sequence,
        deduplication,
        digest,
        ..Compact::default()
    };
    let delay = i64::try_from(delay_ms).unwrap_or(i64::MAX);
    let options = EnqueueOptions {
        persistent: true,
        deliver_at: (delay > 0).then(|| cx.broker.clock().now().plus_millis(delay)),
        group: group.map(Bytes::from),
        deduplication_id: key,
        ..EnqueueOptions::default()
    };
    let targets = std::iter::once(std::sync::Arc::clone(&found.queue)).collect();
    (Enqueue { targets, message: stored(checked, compact), options }, answer)
}
