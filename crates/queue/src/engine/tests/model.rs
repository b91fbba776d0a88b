//! Every message in a list, and nothing clever.

use super::{LANES, at};
use crate::{Loaded, Lock, LockToken, Outcome, Place, Removal, Rules};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tramline_types::Message;

#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) delay: i64,
    pub(super) group: u64,
    pub(super) ttl: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Delayed(i64),
    Held { sequence: u64, connection: u64, until: Option<i64>, run: Option<u64> },
    Deferred,
    Transferring,
    Done,
}

#[derive(Clone, Debug)]
struct Kept {
    state: State,
    count: u32,
    delivered: bool,
    group: u64,
    expires: Option<i64>,
    /// A receive found its time to live over, where the engine may not have looked yet: behind
    /// others of its group.
    is_over: bool,
    enqueued: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    rules: Rules,
    lanes: BTreeMap<u16, Vec<Kept>>,
    ends: BTreeMap<u16, u64>,
    /// Of each group those that went out and are not done.
    known: BTreeMap<(u16, u64), BTreeSet<u64>>,
}

impl Model {
    pub(super) fn new(rules: Rules) -> Self {
        let lanes = LANES.iter().map(|level| (*level, Vec::new())).collect();
        let ends = LANES.iter().map(|level| (*level, 0)).collect();
        Self { rules, lanes, ends, known: BTreeMap::new() }
    }

    pub(super) fn end(&self, level: u16) -> u64 {
        self.ends[&level]
    }

    pub(super) fn enqueue(&mut self, level: u16, n: u64, sent: Sent, now: i64) -> u64 {
        self.advance(now);
        let lane = self.lanes.get_mut(&level).unwrap();
        let base = lane.len() as u64;
        let state = if sent.delay > 0 { State::Delayed(now + sent.delay) } else { State::Ready };
        let expires = sent.ttl.map(|ttl| now + ttl);
        let (count, delivered, is_over) = (0, false, false);
        let (group, enqueued) = (sent.group, now);
        let kept = Kept { state, count, delivered, group, expires, is_over, enqueued };
        lane.extend((0..n).map(|_| kept.clone()));
        base
    }

    pub(super) fn drop_surplus(&mut self) {
        let Some(max) = self.rules.length_max else { return };
        loop {
            let ready = |kept: &&Kept| kept.state == State::Ready;
            let n = self.lanes.values().flatten().filter(ready).count() as u64;
            if n <= max {
                return;
            }
            let first = LANES.iter().find_map(|level| {
                let at = self.lanes[level].iter().position(|kept| kept.state == State::Ready)?;
                Some((*level, at))
            });
            let (level, at) = first.unwrap();
            self.dead(level, at);
        }
    }

    fn dead(&mut self, level: u16, at: usize) {
        let state = if self.rules.dead_letter { State::Transferring } else { State::Done };
        self.done(level, at);
        self.lanes.get_mut(&level).unwrap()[at].state = state;
    }

    fn done(&mut self, level: u16, at: usize) {
        let kept = &mut self.lanes.get_mut(&level).unwrap()[at];
        kept.state = State::Done;
        let key = (level, kept.group);
        if let Some(known) = self.known.get_mut(&key) {
            known.remove(&(at as u64));
        }
    }

    pub(super) fn durable(&mut self) {
        for (level, lane) in &self.lanes {
            self.ends.insert(*level, lane.len() as u64);
        }
    }

    pub(super) fn loaded(&self, level: u16, offset: u64) -> Loaded {
        let kept = &self.lanes[&level][usize::try_from(offset).unwrap()];
        let value = format!("{level}-{offset}").into_bytes();
        Loaded {
            bytes: value.len().try_into().unwrap(),
            message: Arc::new(Message { value: Some(value.into()), ..Message::default() }),
            enqueued_at: at(kept.enqueued),
            expires_at: kept.expires.map(at),
            group: Some(kept.group),
        }
    }

    /// What a read of the log gives: up to three messages.
    pub(super) fn read(&self, level: u16, from: u64) -> (Vec<(u64, Loaded)>, u64) {
        let next = self.end(level).min(from + 3);
        ((from..next).map(|offset| (offset, self.loaded(level, offset))).collect(), next)
    }

    fn advance(&mut self, now: i64) {
        for level in LANES {
            for at in 0..self.lanes[&level].len() {
                let kept = &mut self.lanes.get_mut(&level).unwrap()[at];
                match kept.state {
                    State::Delayed(until) if until <= now => kept.state = State::Ready,
                    State::Held { until: Some(until), .. } if until <= now => {
                        self.give_back(level, at, None, now);
                    }
                    _ => {}
                }
            }
        }
    }

    fn give_back(&mut self, level: u16, at: usize, delay: Option<u64>, now: i64) {
        let count = self.lanes[&level][at].count;
        if self.rules.deliveries_max.is_some_and(|max| count >= max) {
            return self.dead(level, at);
        }
        let state = match delay {
            Some(delay) => State::Delayed(now + delay.cast_signed()),
            None => State::Ready,
        };
        self.lanes.get_mut(&level).unwrap()[at].state = state;
    }

    pub(super) fn timeout(&mut self, now: i64) {
        self.advance(now);
    }

    /// In order: those that are ready and whose group is free; the dead ones go on the way.
    pub(super) fn receive(
        &mut self,
        n: usize,
        (lock, run): (Lock, Option<u64>),
        now: i64,
        tokens: &[LockToken],
    ) -> Vec<(Place, u32, bool)> {
        self.advance(now);
        let mut got = Vec::new();
        for level in LANES {
            for index in 0..usize::try_from(self.end(level)).unwrap() {
                if got.len() == n {
                    return got;
                }
                let kept = self.lanes[&level][index].clone();
                let (offset, key) = (index as u64, (level, kept.group));
                if kept.state != State::Ready {
                    continue;
                }
                if kept.expires.is_some_and(|expires| expires <= now) {
                    self.dead(level, index);
                    self.lanes.get_mut(&level).unwrap()[index].is_over = true;
                    continue;
                }
                if self.rules.deliveries_max.is_some_and(|max| kept.count >= max) {
                    self.dead(level, index);
                    continue;
                }
                if self.rules.ordered_groups {
                    if !self.is_free(key, offset, run) {
                        continue;
                    }
                    self.known.entry(key).or_default().insert(offset);
                }
                got.push((Place { lane: level, offset }, kept.count, kept.delivered));
                if lock == Lock::None {
                    self.done(level, index);
                    continue;
                }
                let sequence = tokens.get(got.len() - 1).map_or(0, |token| token.sequence);
                let (connection, until) = match lock {
                    Lock::Connection(connection) => (connection.0, None),
                    Lock::Timed(span) => (0, Some(now + i64::try_from(span.as_millis()).unwrap())),
                    Lock::None => (0, None),
                };
                let kept = &mut self.lanes.get_mut(&level).unwrap()[index];
                kept.count += 1;
                kept.delivered = true;
                kept.state = State::Held { sequence, connection, until, run };
            }
        }
        got
    }

    /// Whether no other receive has messages of the group, and none that was out goes before.
    fn is_free(&self, key: (u16, u64), offset: u64, run: Option<u64>) -> bool {
        let Some(known) = self.known.get(&key) else { return true };
        known.iter().all(|known| {
            match &self.lanes[&key.0][usize::try_from(*known).unwrap()].state {
                State::Held { run: of, .. } => run.is_some() && *of == run,
                _ => *known >= offset,
            }
        })
    }

    fn held(&self, token: LockToken) -> Option<usize> {
        let at = usize::try_from(token.place.offset).unwrap();
        match self.lanes[&token.place.lane].get(at)?.state {
            State::Held { sequence, .. } => (sequence == token.sequence).then_some(at),
            _ => None,
        }
    }

    pub(super) fn settle(&mut self, token: LockToken, outcome: &Outcome, now: i64) -> bool {
        self.advance(now);
        let Some(at) = self.held(token) else { return false };
        let level = token.place.lane;
        match outcome {
            Outcome::Accepted => self.done(level, at),
            Outcome::Released { count: true, delay_ms } => {
                self.give_back(level, at, *delay_ms, now);
            }
            Outcome::Released { count: false, .. } => {
                let kept = &mut self.lanes.get_mut(&level).unwrap()[at];
                kept.count -= 1;
                kept.state = State::Ready;
            }
            Outcome::Rejected { .. } => self.dead(level, at),
            Outcome::Deferred => {
                self.lanes.get_mut(&level).unwrap()[at].state = State::Deferred;
            }
        }
        true
    }

    pub(super) fn extend(&mut self, token: LockToken, to: i64, now: i64) -> bool {
        self.advance(now);
        let Some(at) = self.held(token) else { return false };
        let kept = &mut self.lanes.get_mut(&token.place.lane).unwrap()[at];
        let State::Held { until: Some(until), .. } = &mut kept.state else { return false };
        *until = to;
        true
    }

    pub(super) fn release(&mut self, of: u64, now: i64) {
        self.advance(now);
        for level in LANES {
            for at in 0..self.lanes[&level].len() {
                let state = &self.lanes[&level][at].state;
                if matches!(state, State::Held { connection, until: None, .. } if *connection == of)
                {
                    self.give_back(level, at, None, now);
                }
            }
        }
    }

    /// What is ready goes: so many, or more with those whose time to live is over.
    pub(super) fn purge(&mut self, now: i64) -> std::ops::RangeInclusive<u64> {
        self.advance(now);
        let (mut purged, mut dead) = (0, 0);
        for level in LANES {
            for at in 0..usize::try_from(self.end(level)).unwrap() {
                let kept = &self.lanes[&level][at];
                if kept.state == State::Ready {
                    match kept.expires {
                        Some(expires) if expires <= now => dead += 1,
                        _ => purged += 1,
                    }
                    self.done(level, at);
                }
            }
        }
        purged..=purged + dead
    }

    pub(super) fn find(&self, place: Place) -> Option<Loaded> {
        let at = usize::try_from(place.offset).unwrap();
        (at < self.lanes[&place.lane].len()).then(|| self.loaded(place.lane, place.offset))
    }

    /// What comes of taking a message out, and whether its time to live is over.
    pub(super) fn remove(&mut self, place: Place, now: i64) -> (Removal, bool) {
        self.advance(now);
        let at = usize::try_from(place.offset).unwrap();
        let Some(kept) = self.lanes[&place.lane].get(at) else { return (Removal::Gone, false) };
        let is_over = kept.expires.is_some_and(|expires| expires <= now);
        match kept.state {
            State::Held { .. } => (Removal::Locked, false),
            State::Transferring | State::Done => (Removal::Gone, kept.is_over),
            State::Ready | State::Delayed(_) | State::Deferred => {
                self.done(place.lane, at);
                (Removal::Removed, is_over)
            }
        }
    }

    /// Whether a message waited for a time.
    pub(super) fn due(&mut self, place: Place, now: i64) -> bool {
        self.advance(now);
        let at = usize::try_from(place.offset).unwrap();
        let kept = self.lanes.get_mut(&place.lane).unwrap().get_mut(at);
        match kept.filter(|kept| matches!(kept.state, State::Delayed(_))) {
            Some(kept) => {
                kept.state = State::Ready;
                true
            }
            None => false,
        }
    }

    pub(super) fn transferred(&mut self, places: &[Place], now: i64) {
        for place in places {
            let at = usize::try_from(place.offset).unwrap();
            let kept = &self.lanes[&place.lane][at];
            let expired = kept.expires.is_some_and(|expires| expires <= now);
            // The engine may see sooner that the head is dead.
            let early = expired && matches!(kept.state, State::Ready | State::Done);
            assert!(kept.state == State::Transferring || early, "{kept:?}");
            self.done(place.lane, at);
        }
    }

    pub(super) fn restart(&mut self) {
        self.durable();
        for kept in self.lanes.values_mut().flatten() {
            if matches!(kept.state, State::Held { until: None, .. }) {
                kept.state = State::Ready;
            }
        }
    }
}
