//! Looking at a queue's messages without taking them.

use super::{MessageFilter, Queue, load::LoadedAt};
use crate::{Error, QueueError};
use std::sync::Arc;
use tramline_queue::{Loaded, Look, MessageState, Place};
use tramline_types::{Message, Timestamp};

/// Messages that one page with a filter looks at, and bytes of their bodies.
const LOOKED_MAX: usize = 10_000;
const LOOKED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Peek {
    /// The first place; `None` for the head.
    pub from: Option<Place>,
    /// Messages at most.
    pub n_max: usize,
    /// Stop at so many bytes of bodies; a first message comes whatever its size.
    pub bytes_max: usize,
}

/// A page of a queue.
#[derive(Clone, Debug, Default)]
pub struct Peeked {
    /// Messages that are not done, the highest priority first, in order.
    pub messages: Vec<PeekedMessage>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Place>,
}

/// A message that somebody looks at.
#[derive(Clone, Debug)]
pub struct PeekedMessage {
    /// Where it lies and what is the matter with it.
    pub look: Look,
    /// The message; `None` where it cannot be read.
    pub message: Option<Arc<Message>>,
    /// When it was enqueued.
    pub enqueued_at: Option<Timestamp>,
}

impl Queue {
    /// Looks at messages in any state. Nothing changes by it.
    ///
    /// # Errors
    /// [`QueueError::Deleted`], and what reading comes to.
    pub async fn peek(&self, peek: Peek) -> Result<Peeked, Error> {
        self.peek_where(peek, &MessageFilter::default()).await
    }

    /// As [`Queue::peek`], those of them that are meant. A page may have none of these and be
    /// followed by another.
    ///
    /// # Errors
    /// As [`Queue::peek`].
    pub async fn peek_where(&self, peek: Peek, filter: &MessageFilter) -> Result<Peeked, Error> {
        let n_looked = if filter.is_empty() { peek.n_max } else { LOOKED_MAX };
        let looks = {
            let mut state = self.state.lock();
            if self.is_gone() {
                return Err(QueueError::Deleted(self.name.to_string()).into());
            }
            state.sync_ends();
            state.engine.as_deref().map_or_else(Vec::new, |it| it.look(peek.from, n_looked))
        };
        let after = |look: &Look| Place { offset: look.place.offset + 1, ..look.place };
        let mut peeked = Peeked::default();
        if looks.len() == n_looked {
            peeked.next = looks.last().map(after);
        }
        let (mut near, mut bytes, mut looked) = (Vec::new(), 0_usize, 0_usize);
        for look in looks {
            let is_full = bytes >= peek.bytes_max && !peeked.messages.is_empty();
            if is_full || peeked.messages.len() == peek.n_max || looked >= LOOKED_BYTES_MAX {
                peeked.next = Some(look.place);
                break;
            }
            let read = match self.find(look.place, &mut near).await {
                Ok(Some(read)) => Some(read),
                Ok(None) => continue,
                Err(Error::DataDamaged(_)) => None,
                Err(error) => return Err(error),
            };
            looked = looked.saturating_add(read.as_ref().map_or(0, body_bytes));
            let is_meant = |read: &Loaded| filter.admits(&read.message, read.enqueued_at);
            if !filter.is_empty() && !read.as_ref().is_some_and(is_meant) {
                continue;
            }
            let state = if read.is_some() { look.state } else { MessageState::Unreadable };
            bytes = bytes.saturating_add(read.as_ref().map_or(0, body_bytes));
            peeked.messages.push(PeekedMessage {
                look: Look { state, ..look },
                enqueued_at: read.as_ref().map(|read| read.enqueued_at),
                message: read.map(|read| read.message),
            });
        }
        Ok(peeked)
    }

    /// The message at a place; `near` are those that were read last.
    pub(super) async fn find(
        &self,
        place: Place,
        near: &mut Vec<LoadedAt>,
    ) -> Result<Option<Loaded>, Error> {
        if self.is_transient() {
            let state = self.state.lock();
            return Ok(state.engine.as_deref().and_then(|engine| engine.in_memory(place)));
        }
        let at = |near: &[LoadedAt]| near.binary_search_by_key(&place, |(at, _)| *at).ok();
        // What was read and does not have it: there is none at this place.
        let is_read = |near: &[LoadedAt]| {
            let first = near.first().is_some_and(|(first, _)| *first < place);
            first && near.last().is_some_and(|(last, _)| place < *last)
        };
        if at(near).is_none() && !is_read(near) {
            *near = self.read_from(place).await?;
        }
        Ok(at(near).map(|at| near[at].1.clone()))
    }
}

fn body_bytes(loaded: &Loaded) -> usize {
    usize::try_from(loaded.bytes).unwrap_or(usize::MAX)
}
