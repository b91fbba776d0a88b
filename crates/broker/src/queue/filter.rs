//! Which messages are meant: by key, header, time, and how they died.

use super::death;
use bytes::Bytes;
use tramline_types::{Message, Timestamp};

/// Messages that are all of this; an empty one means every message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// With this key.
    pub key: Option<Bytes>,
    /// With a header of this name, and of this value where one is told.
    pub header: Option<(String, Option<String>)>,
    /// Enqueued then or later.
    pub since: Option<Timestamp>,
    /// Enqueued before.
    pub before: Option<Timestamp>,
    /// That died last in this queue.
    pub died_in: Option<String>,
    /// That died last for this reason, such as `rejected`.
    pub reason: Option<String>,
}

impl MessageFilter {
    /// Whether every message is meant.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn admits(&self, message: &Message, enqueued_at: Timestamp) -> bool {
        self.key.as_ref().is_none_or(|key| message.key.as_ref() == Some(key))
            && self.since.is_none_or(|since| enqueued_at >= since)
            && self.before.is_none_or(|before| enqueued_at < before)
            && self.admits_header(message)
            && self.admits_death(message)
    }

    fn admits_header(&self, message: &Message) -> bool {
        let Some((name, value)) = &self.header else { return true };
        message.headers.iter().filter(|header| header.name == name.as_bytes()).any(|header| {
            value.as_ref().is_none_or(|value| header.value.as_deref() == Some(value.as_bytes()))
        })
    }

    fn admits_death(&self, message: &Message) -> bool {
        if self.died_in.is_none() && self.reason.is_none() {
            return true;
        }
        let deaths = death::read(message);
        let Some(last) = deaths.first() else { return false };
        self.died_in.as_ref().is_none_or(|queue| last.queue == *queue)
            && self.reason.as_ref().is_none_or(|reason| last.reason == *reason)
    }
}
