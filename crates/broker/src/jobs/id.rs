//! Which job a message is, whatever protocol it came by.
//!
//! The first present of: header `job-id`; Celery's task id (header `id` of a message that has a
//! header `task`, or the same two in the envelope that kombu puts into an SQS body); the message
//! id, which SQS messages have as well.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use tramline_types::{Message, limits};

/// The header that names a job. A message that has it is tracked in any queue.
pub(crate) const JOB_ID: &[u8] = b"job-id";
/// The header that has a message tracked in any queue under its other ids.
const JOB_TRACK: &[u8] = b"job-track";
/// The header of the job whose being done made this one.
pub(crate) const JOB_PARENT: &[u8] = b"job-parent";
/// The header of the jobs that have to be done first: ids with commas between them.
const JOB_AFTER: &[u8] = b"job-after";
/// Bodies that are looked into for an envelope.
const ENVELOPE_BYTES_MAX: usize = 1024 * 1024;

/// A header's value.
pub(crate) fn header<'a>(message: &'a Message, name: &[u8]) -> Option<&'a Bytes> {
    let found = message.headers.iter().find(|header| header.name == name)?;
    found.value.as_ref()
}

/// Whether a message asks to be tracked wherever it is.
pub(crate) fn asks(message: &Message) -> bool {
    message.headers.iter().any(|header| {
        let asks_by = |value: &Bytes| match value.as_ref() {
            b"" | b"false" | b"0" => header.name.len() == JOB_ID.len() && !value.is_empty(),
            _ => true,
        };
        (header.name == JOB_ID || header.name == JOB_TRACK || header.name == JOB_AFTER)
            && header.value.as_ref().is_some_and(asks_by)
    })
}

/// The job that a message is.
pub(crate) fn of(message: &Message) -> Option<Arc<str>> {
    if let Some(id) = header(message, JOB_ID).and_then(valid) {
        return Some(id);
    }
    if header(message, b"task").is_some()
        && let Some(id) = header(message, b"id").and_then(valid)
    {
        return Some(id);
    }
    let enveloped = message.value.as_ref().and_then(|body| envelope(body));
    enveloped.or_else(|| header(message, b"message-id").and_then(valid))
}

/// The parent of a job, and those that have to be done first.
pub(crate) type Related = (Option<Arc<str>>, Vec<Arc<str>>);

/// The jobs that a message names beside its own.
pub(crate) fn related(message: &Message) -> Option<Related> {
    let (parent, after) = (header(message, JOB_PARENT).and_then(valid), after(message));
    (parent.is_some() || !after.is_empty()).then_some((parent, after))
}

/// The jobs that have to be done before this message is worked on.
fn after(message: &Message) -> Vec<Arc<str>> {
    let Some(ids) = header(message, JOB_AFTER).and_then(|ids| std::str::from_utf8(ids).ok()) else {
        return Vec::new();
    };
    let ids = ids.split(',').map(str::trim).filter(|id| is_valid(id));
    ids.take(limits::JOB_AFTER_MAX).map(Arc::from).collect()
}

/// An id that can be a job's.
pub(crate) fn valid(id: &Bytes) -> Option<Arc<str>> {
    let text = std::str::from_utf8(id).ok()?;
    is_valid(text).then(|| Arc::from(text))
}

fn is_valid(id: &str) -> bool {
    let is_plain = id.bytes().all(|byte| byte.is_ascii_graphic());
    !id.is_empty()
        && id.len() <= limits::JOB_ID_BYTES_MAX
        && (is_plain || !id.chars().any(char::is_control))
}

#[derive(Deserialize)]
struct Envelope {
    headers: TaskHeaders,
}

#[derive(Deserialize)]
struct TaskHeaders {
    id: String,
    #[serde(rename = "task")]
    _task: String,
}

/// The task id in an envelope of kombu's: base64 of JSON, or JSON.
fn envelope(body: &[u8]) -> Option<Arc<str>> {
    if body.len() > ENVELOPE_BYTES_MAX {
        return None;
    }
    let decoded;
    let json = if body.starts_with(b"eyJ") {
        decoded = STANDARD.decode(body.trim_ascii_end()).ok()?;
        &decoded
    } else if body.starts_with(b"{\"") {
        body
    } else {
        return None;
    };
    // Most JSON is no envelope: no need to read all of it.
    json.windows(9)
        .take(json.len().min(64 * 1024))
        .any(|part| part == b"\"headers\"")
        .then_some(())?;
    let Envelope { headers } = serde_json::from_slice(json).ok()?;
    is_valid(&headers.id).then(|| Arc::from(headers.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tramline_types::Header;

    fn message(headers: &[(&str, &str)], body: &str) -> Message {
        let header = |(name, value): &(&str, &str)| Header {
            name: Bytes::from((*name).to_owned()),
            value: Some(Bytes::from((*value).to_owned())),
        };
        let value = Some(Bytes::from(body.to_owned()));
        Message { value, headers: headers.iter().map(header).collect(), ..Message::default() }
    }

    #[test]
    fn the_first_id_that_is_there_counts() {
        let all = [("message-id", "m"), ("id", "c"), ("task", "t"), ("job-id", "j")];
        let of_some = |from: usize, to: usize| of(&message(&all[from..to], "x"));
        assert_eq!(of_some(0, 4).as_deref(), Some("j"));
        assert_eq!(of_some(0, 3).as_deref(), Some("c"));
        assert_eq!(of_some(0, 2).as_deref(), Some("m"), "an `id` alone is nobody's task");
        assert_eq!(of_some(1, 2), None);
    }

    #[test]
    fn kombus_envelope_in_an_sqs_body_has_the_task_id() {
        let json = r#"{"body": "W10=", "headers": {"lang": "py", "task": "t", "id": "abc"}}"#;
        let sqs = [("message-id", "m")];
        assert_eq!(of(&message(&sqs, json)).as_deref(), Some("abc"));
        let encoded = STANDARD.encode(json);
        assert_eq!(of(&message(&sqs, &encoded)).as_deref(), Some("abc"));
        for other in ["eyJ", "{\"headers\": 1}", "{\"a\": \"headers\"}", "eyJoZWFkZXJz"] {
            assert_eq!(of(&message(&sqs, other)).as_deref(), Some("m"), "{other}");
        }
    }

    #[test]
    fn ids_that_no_page_could_show_are_none() {
        assert_eq!(of(&message(&[("job-id", "a\nb")], "")), None);
        assert_eq!(of(&message(&[("job-id", "")], "")), None);
        assert_eq!(of(&message(&[("job-id", &"x".repeat(256))], "")), None);
    }

    #[test]
    fn a_message_asks_for_tracking_by_header() {
        assert!(asks(&message(&[("job-id", "0")], "")));
        assert!(asks(&message(&[("job-track", "true")], "")));
        assert!(!asks(&message(&[("job-track", "false")], "")));
        assert!(!asks(&message(&[("job-xx", "true"), ("message-id", "m")], "")));
    }
}
