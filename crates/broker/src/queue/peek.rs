//! Looking at a queue's messages without taking them, and asking for one that was set aside.

use super::{Delivery, Queue, load::LoadedAt};
use crate::{Error, QueueError};
use std::sync::Arc;
use tramline_queue::{Loaded, Lock, Look, MessageState, Place, Take};
use tramline_types::{Message, Timestamp};

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
        let looks = {
            let mut state = self.state.lock();
            if self.is_gone() {
                return Err(QueueError::Deleted(self.name.to_string()).into());
            }
            state.sync_ends();
            state.engine.as_deref().map_or_else(Vec::new, |it| it.look(peek.from, peek.n_max))
        };
        let after = |look: &Look| Place { offset: look.place.offset + 1, ..look.place };
        let mut peeked = Peeked::default();
        if looks.len() == peek.n_max {
            peeked.next = looks.last().map(after);
        }
        let (mut near, mut bytes) = (Vec::new(), 0_usize);
        for look in looks {
            if bytes >= peek.bytes_max && !peeked.messages.is_empty() {
                peeked.next = Some(look.place);
                break;
            }
            let read = match self.find(look.place, &mut near).await {
                Ok(Some(read)) => Some(read),
                Ok(None) => continue,
                Err(Error::DataDamaged(_)) => None,
                Err(error) => return Err(error),
            };
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
    async fn find(&self, place: Place, near: &mut Vec<LoadedAt>) -> Result<Option<Loaded>, Error> {
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

    /// Delivers messages that were deferred, by their places; those that are not deferred are
    /// left out.
    ///
    /// # Errors
    /// What reading comes to: what was delivered before it stays locked.
    pub async fn recall(
        self: &Arc<Self>,
        places: &[Place],
        lock: Lock,
    ) -> Result<Vec<Delivery>, Error> {
        self.touch();
        let (mut near, mut out) = (Vec::new(), Vec::new());
        let take = Take { n_max: 1, bytes_max: usize::MAX, lock, run: None };
        for place in places {
            let deferred = {
                let state = self.state.lock();
                state.engine.as_deref().is_some_and(|engine| engine.is_deferred(*place))
            };
            if !deferred {
                continue;
            }
            let Some(loaded) = self.find(*place, &mut near).await? else { continue };
            self.step(None, |engine, now| {
                engine.handle_recall((*place, loaded), &take, now, &mut out)
            });
        }
        Ok(out)
    }
}

fn body_bytes(loaded: &Loaded) -> usize {
    usize::try_from(loaded.bytes).unwrap_or(usize::MAX)
}
