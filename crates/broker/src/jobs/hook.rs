//! Where a queue tells of its tracked messages.

use super::{Arrived, Home, Jobs, after::WHENEVER, id, ticket::Ticket};
use crate::Queue;
use std::sync::Arc;
use tramline_queue::{Arrival, Engine, Place};
use tramline_types::{LogId, Message, Timestamp};

/// What a queue whose messages are tracked keeps for that.
pub(crate) struct Following {
    pub(super) home: Arc<Home>,
    /// Came in with the step under way.
    pub(super) arrived: Vec<Arrived>,
}

impl Following {
    pub(crate) const fn new(home: Arc<Home>) -> Self {
        Self { home, arrived: Vec::new() }
    }

    pub(crate) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    pub(crate) fn set_home(&mut self, home: Arc<Home>) {
        self.home = home;
    }
}

/// The job that a message is.
#[derive(Clone)]
pub(crate) struct Tag {
    id: Arc<str>,
    parent: Option<Arc<str>>,
    after: Vec<Arc<str>>,
    /// It is to be tracked in any queue.
    asks: bool,
}

impl Tag {
    /// The tag of a message for a queue that tracks all of its messages, or does not.
    pub(crate) fn of(message: &Message, track: bool, jobs: &Jobs) -> Option<Self> {
        let asks = id::asks(message);
        if !track && !asks {
            return None;
        }
        jobs.set_used();
        let parent = id::header(message, id::JOB_PARENT).and_then(id::valid);
        let after = id::after(message);
        id::of(message).map(|id| Self { id, parent, after, asks })
    }

    /// What it is logged as, at most.
    pub(crate) fn logged_bytes(&self) -> usize {
        let after = self.after.iter().map(|id| id.len() + 2).sum::<usize>();
        64 + self.id.len() + self.parent.as_deref().map_or(0, str::len) + after
    }
}

/// The tags of some of the messages that go somewhere together, by their numbers there.
#[derive(Default)]
pub(crate) struct Tags(Vec<(usize, Tag)>);

impl Tags {
    pub(crate) fn add(&mut self, at: usize, tag: Option<&Tag>) {
        self.0.extend(tag.map(|tag| (at, tag.clone())));
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Delays those that wait for other jobs.
    pub(crate) fn hold(&self, arrivals: &mut [Arrival], jobs: &Jobs) {
        for (at, tag) in &self.0 {
            if let Some(arrival) = arrivals.get_mut(*at).filter(|_| jobs.has_to_wait(&tag.after)) {
                arrival.deliver_at = Some(WHENEVER);
            }
        }
    }

    /// Those that one queue tracks.
    pub(crate) fn arriving(&self, queue: &Queue, arrivals: &[Arrival], now: Timestamp) -> Arriving {
        let track = queue.tracks();
        let tracked = |(at, tag): &&(usize, Tag)| {
            let known = arrivals.get(*at);
            known.is_some_and(|it| (track || tag.asks) && !queue.is_grave_of(&it.loaded.message))
        };
        let arrived = |(at, tag): &(usize, Tag)| {
            let arrival = &arrivals[*at];
            let arrived = Arrived {
                id: Arc::clone(&tag.id),
                place: Place::default(),
                at: now,
                until: arrival.deliver_at.filter(|until| *until > now),
                bytes: arrival.loaded.bytes,
                parent: tag.parent.clone(),
                after: tag.after.clone(),
            };
            (*at, arrived)
        };
        let list = self.0.iter().filter(tracked).map(arrived).collect();
        Arriving { list, placed: 0, nth: 0 }
    }
}

/// Tracked messages whose places are about to be known.
#[derive(Default)]
pub(crate) struct Arriving {
    list: Vec<(usize, Arrived)>,
    placed: usize,
    nth: usize,
}

impl Arriving {
    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The next message got this place; `is_repeat` where it is delivered by another one.
    pub(crate) fn placed(&mut self, place: Place, is_repeat: bool) {
        if let Some((at, arrived)) = self.list.get_mut(self.placed)
            && *at == self.nth
        {
            if is_repeat {
                self.list.remove(self.placed);
            } else {
                arrived.place = place;
                self.placed += 1;
            }
        }
        self.nth += 1;
    }
}

impl Following {
    pub(crate) fn arrived(&mut self, arriving: Arriving) {
        self.arrived.extend(arriving.list.into_iter().map(|(_, arrived)| arrived));
    }
}

impl Jobs {
    /// What a step is to commit beside its own changes. Called under the queue's lock.
    pub(crate) fn note_step(
        &self,
        following: &mut Following,
        engine: &mut Engine,
        (now, ticket): (Timestamp, &Ticket),
    ) -> Option<(LogId, Vec<bytes::Bytes>)> {
        let noted = self.note(following, engine, (now, ticket.number))?;
        self.logs.lock().wrote(noted.deltas.iter().map(bytes::Bytes::len).sum());
        Some((noted.log, noted.deltas))
    }
}
