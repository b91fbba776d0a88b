//! Where a queue tells of its tracked messages.

use super::{Arrived, Home, Jobs, after::WHENEVER, id, id::Related, ticket::Ticket};
use crate::Queue;
use std::sync::Arc;
use tramline_queue::{Arrival, Change, Engine, Place};
use tramline_types::{LogId, Message, Timestamp};

/// What a queue whose messages are tracked keeps for that.
pub(crate) struct Following {
    pub(super) home: Arc<Home>,
    /// Came in with the step under way.
    pub(super) arrived: Vec<Arrived>,
    /// What happened with it.
    pub(super) changes: Vec<Change>,
}

impl Following {
    pub(crate) const fn new(home: Arc<Home>) -> Self {
        Self { home, arrived: Vec::new(), changes: Vec::new() }
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
    related: Option<Box<Related>>,
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
        id::of(message).map(|id| Self { id, related: id::related(message).map(Box::new), asks })
    }

    /// What it is logged as, at most.
    pub(crate) fn logged_bytes(&self) -> usize {
        let related = self.related.as_deref().map_or(0, |(parent, after)| {
            let after = after.iter().map(|id| id.len() + 2).sum::<usize>();
            parent.as_deref().map_or(0, str::len) + after
        });
        64 + self.id.len() + related
    }
}

/// The tags of some of the messages that go somewhere together, by their numbers there.
#[derive(Clone, Default)]
pub(crate) struct Tags(Vec<(usize, Tag)>);

impl Tags {
    pub(crate) fn add(&mut self, at: usize, tag: Option<Tag>) {
        self.0.extend(tag.map(|tag| (at, tag)));
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Delays those that wait for other jobs.
    pub(crate) fn hold(&self, arrivals: &mut [Arrival], jobs: &Jobs) {
        for (at, tag) in &self.0 {
            let Some((_, after)) = tag.related.as_deref() else { continue };
            if let Some(arrival) = arrivals.get_mut(*at).filter(|_| jobs.has_to_wait(after)) {
                arrival.deliver_at = Some(WHENEVER);
            }
        }
    }

    /// Those that one queue tracks.
    pub(crate) fn arriving(self, queue: &Queue, arrivals: &[Arrival], now: Timestamp) -> Arriving {
        let track = queue.tracks();
        let tracked = |(at, tag): &(usize, Tag)| {
            let known = arrivals.get(*at);
            known.is_some_and(|it| (track || tag.asks) && !queue.is_grave_of(&it.loaded.message))
        };
        let arrived = |(at, tag): (usize, Tag)| {
            let arrival = &arrivals[at];
            let arrived = Arrived {
                id: tag.id,
                place: Place::default(),
                at: now,
                until: arrival.deliver_at.filter(|until| *until > now),
                bytes: arrival.loaded.bytes,
                related: tag.related,
            };
            (at, arrived)
        };
        let list = self.0.into_iter().filter(tracked).map(arrived).collect();
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
