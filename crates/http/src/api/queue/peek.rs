//! GET `/v1/queues/{queue}/messages`: looks at messages in any state, a page at a time. Nothing
//! changes by it.

use super::find;
use crate::{
    Context,
    error::Error,
    extract::{Names, Params},
    to_wire::{self, QueueMessage},
};
use axum::{extract::State, response::Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tramline_broker::{MessageFilter, MessageState, Peek, PeekedMessage, Place};
use tramline_types::Timestamp;

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 1_000;
/// Bytes of one answer; one message at least.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    from: Option<String>,
    limit: Option<usize>,
    key: Option<String>,
    /// `name=value`, or a name.
    header: Option<String>,
    /// Milliseconds since the Unix epoch.
    since: Option<i64>,
    before: Option<i64>,
    died_in: Option<String>,
    reason: Option<String>,
}

impl Query {
    fn meant(self) -> Meant {
        let Self { key, header, since, before, died_in, reason, .. } = self;
        Meant { key, header, since, before, died_in, reason }
    }
}

/// Which messages are meant: those that are all of this.
#[derive(Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Meant {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// `name=value`, or a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// Milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    died_in: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Meant {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn filter(self) -> MessageFilter {
        let header = self.header.map(|header| match header.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (header, None),
        });
        MessageFilter {
            key: self.key.map(Bytes::from),
            header,
            since: self.since.map(Timestamp::from_millis),
            before: self.before.map(Timestamp::from_millis),
            died_in: self.died_in,
            reason: self.reason,
        }
    }

    /// As [`Meant::filter`] read it.
    pub(super) fn of(filter: MessageFilter) -> Self {
        let header = filter.header.map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name,
        });
        Self {
            key: filter.key.map(|key| String::from_utf8_lossy(&key).into_owned()),
            header,
            since: filter.since.map(Timestamp::as_millis),
            before: filter.before.map(Timestamp::as_millis),
            died_in: filter.died_in,
            reason: filter.reason,
        }
    }
}

/// The answer.
#[derive(Serialize)]
pub(crate) struct Page {
    messages: Vec<Peeked>,
    /// `from` of the next page.
    next: Option<String>,
}

#[derive(Serialize)]
struct Peeked {
    /// The priority level and the offset.
    place: String,
    state: &'static str,
    /// Why it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// How often it was delivered, a delivery that is out included.
    deliveries: u32,
    /// Until when it is locked or delayed, in milliseconds since the Unix epoch.
    until: Option<i64>,
    enqueued_at: Option<i64>,
    #[serde(flatten)]
    message: Option<QueueMessage>,
}

/// GET `/v1/queues/{queue}/messages`.
pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<Query>,
) -> Result<Response, Error> {
    let queue = find(&cx.broker, &name)?;
    queue.check_owner(None)?;
    let from = query.from.as_deref().map(place).transpose()?;
    let n_max = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let peek = Peek { from, n_max, bytes_max: BYTES_MAX };
    let peeked = queue.peek_where(peek, &query.meant().filter()).await?;
    let messages = peeked.messages.into_iter().map(page_entry).collect();
    to_wire::counted(&cx, &Page { messages, next: peeked.next.map(place_text) })
}

fn page_entry(peeked: PeekedMessage) -> Peeked {
    let look = peeked.look;
    let (state, reason) = match look.state {
        MessageState::Ready => ("ready", None),
        MessageState::Locked => ("locked", None),
        MessageState::Delayed => ("delayed", None),
        MessageState::Deferred => ("deferred", None),
        MessageState::Transferring(reason) => ("transferring", Some(reason.as_str())),
        MessageState::Unreadable => ("unreadable", None),
    };
    Peeked {
        place: place_text(look.place),
        state,
        reason,
        deliveries: look.deliveries,
        until: look.until.map(Timestamp::as_millis),
        enqueued_at: peeked.enqueued_at.map(Timestamp::as_millis),
        message: peeked.message.map(QueueMessage),
    }
}

/// The priority level and the offset.
pub(super) fn place_text(place: Place) -> String {
    format!("{}-{}", place.lane, place.offset)
}

/// A place as the answers tell it.
pub(super) fn place(text: &str) -> Result<Place, Error> {
    let numbers = text.split_once('-');
    let place = numbers.and_then(|(lane, offset)| {
        Some(Place { lane: lane.parse().ok()?, offset: offset.parse().ok()? })
    });
    place.ok_or_else(|| {
        Error::malformed(
            format!("`{text}` is no place"),
            "use a `place`, or `next` of the page before",
        )
    })
}
