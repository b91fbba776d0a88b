//! Messages go out.

use super::{Change, Engine, State, plus};
use crate::{
    DeadReason, Lock, LockToken, Place,
    delta::{Record, Run},
    group::Admitted,
    lane::Lane,
    locks::Held,
    source::{Loaded, Source},
};
use std::{sync::Arc, time::Duration};
use tramline_types::{ConnectionId, Message, Timestamp};

/// A wish for messages.
#[derive(Clone, Copy, Debug)]
pub struct Take {
    /// Messages at most.
    pub n_max: usize,
    /// Stop at so many bytes of bodies; a first message comes whatever its size.
    pub bytes_max: usize,
    /// What holds them.
    pub lock: Lock,
    /// Of an ordered group, a run of messages may go out by what has this number; else one.
    pub run: Option<u64>,
}

/// One handing-out of a message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Names this delivery when it is settled.
    pub token: LockToken,
    /// Where the message lies: stable over redeliveries.
    pub place: Place,
    /// How often it was delivered before, as far as that counts.
    pub deliveries: u32,
    /// Whether it was delivered before at all.
    pub redelivered: bool,
    /// The message.
    pub message: Arc<Message>,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When a timed lock ends.
    pub locked_until: Option<Timestamp>,
}

/// How a receive ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// With what was asked for.
    Full,
    /// There is no more.
    Empty,
    /// The next message is not in memory.
    Load(Load),
}

/// What to read from a lane's log for [`Engine::handle_loaded`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The lane.
    pub lane: u16,
    /// The first offset wanted.
    pub from: u64,
    /// A message that returned; else fresh ones.
    pub again: bool,
}

/// What is left of a wish, and what was given.
pub(super) struct Room<'a> {
    take: &'a Take,
    now: Timestamp,
    pub(super) out: &'a mut Vec<Delivery>,
    n: usize,
    bytes: usize,
    any: bool,
}

impl Room<'_> {
    fn admits(&self, loaded: &Loaded) -> bool {
        let bytes = usize::try_from(loaded.bytes).unwrap_or(usize::MAX);
        self.n > 0 && (!self.any || bytes <= self.bytes)
    }

    fn take(&mut self, loaded: &Loaded) {
        self.n -= 1;
        self.any = true;
        let bytes = usize::try_from(loaded.bytes).unwrap_or(usize::MAX);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// What the cursor met.
pub(super) enum Step {
    Full,
    Empty,
    Load,
    Go,
}

impl Engine {
    /// Hands messages out, the highest level first, in order within a level.
    pub fn handle_receive(
        &mut self,
        take: &Take,
        now: Timestamp,
        out: &mut Vec<Delivery>,
    ) -> Taking {
        self.advance(now);
        let (n, bytes) = (take.n_max, take.bytes_max);
        let mut room = Room { take, now, out, n, bytes, any: false };
        if self.state.rules.equal_lanes {
            return self.receive_in_turn(&mut room);
        }
        for lane in &mut self.lanes {
            match self.state.serve(lane, &mut room) {
                Step::Full => return Taking::Full,
                Step::Load => return Taking::Load(lane.load()),
                Step::Empty | Step::Go => {}
            }
        }
        Taking::Empty
    }

    /// What to load before it is asked for: the window has run half empty, and the log has more.
    pub fn poll_ahead(&self) -> Option<Load> {
        if self.state.rules.equal_lanes {
            return self.poll_ahead_in_turn();
        }
        let lane = self.lanes.iter().find(|lane| lane.ready() > 0)?;
        lane.load_ahead(self.state.rules.window_bytes_max / 2)
    }

    /// Delivers a deferred message, which the caller has read; `false` when it is not deferred.
    pub fn handle_recall(
        &mut self,
        (place, loaded): (Place, Loaded),
        take: &Take,
        now: Timestamp,
        out: &mut Vec<Delivery>,
    ) -> bool {
        self.advance(now);
        let (true, Some(at)) = (self.state.deferred.remove(&place), self.find(place.lane)) else {
            return false;
        };
        let lane = &mut self.lanes[at];
        lane.unpark(place.offset);
        self.state.groups.set_out(place);
        let (n, bytes) = (1, take.bytes_max);
        let mut room = Room { take, now, out, n, bytes, any: false };
        self.state.hand_out_again(lane, (place.offset, loaded), &mut room);
        true
    }

    /// Whether a message is deferred.
    pub fn is_deferred(&self, place: Place) -> bool {
        self.state.deferred.contains(&place)
    }

    /// Gives what was asked for by [`Taking::Load`]: all messages of the log in
    /// `load.from..next`, in order, those that do not exist left out.
    pub fn handle_loaded(&mut self, load: Load, records: Vec<(u64, Loaded)>, next: u64) {
        let Some(at) = self.find(load.lane) else { return };
        let bytes_max = self.state.rules.window_bytes_max;
        let lane = &mut self.lanes[at];
        let mut found = false;
        if let Source::Log(window) = &mut lane.source {
            let follows = !load.again && load.from <= window.next().max(lane.cursor);
            if follows {
                window.loaded_to(lane.cursor);
            }
            for (offset, loaded) in records {
                found |= offset == load.from;
                if offset >= lane.cursor {
                    if follows {
                        window.insert_fresh(offset, loaded);
                    }
                } else if (lane.returned.contains(offset) || lane.fair.contains(offset))
                    && (offset == load.from || window.bytes() < bytes_max)
                {
                    window.insert_recalled(offset, loaded);
                }
            }
            if follows {
                window.loaded_to(next);
            }
        }
        // Damaged or removed: it cannot be delivered, and must not stand in the way.
        if load.again && !found && next > load.from && lane.is_waiting(load.from) {
            lane.finish(load.from, load.from + 1);
            self.state.log(Record::Done(Run::one(load.lane, load.from)));
            self.state.group_done(&mut self.lanes[at], load.from);
        }
    }
}

impl Lane {
    /// What follows in the log, when less than this is in memory of what comes next.
    pub(super) fn load_ahead(&self, bytes_low: usize) -> Option<Load> {
        let Source::Log(window) = &self.source else { return None };
        let from = window.next();
        // Nothing is known of what comes next: that is asked for when it is wanted.
        let is_known = from > self.cursor && from < self.end;
        let is_low = window.bytes() < bytes_low;
        (is_known && is_low).then_some(Load { lane: self.level, from, again: false })
    }
}

impl State {
    /// Hands out what one lane has.
    pub(super) fn serve(&mut self, lane: &mut Lane, room: &mut Room<'_>) -> Step {
        loop {
            let step = if room.n == 0 {
                Step::Full
            } else if lane.n_returned > 0 {
                self.deliver_returned(lane, room)
            } else if !lane.fair.is_empty() {
                self.deliver_in_turn(lane, room.now)
            } else {
                self.deliver_fresh(lane, room)
            };
            if !matches!(step, Step::Go) {
                return step;
            }
        }
    }

    fn deliver_returned(&mut self, lane: &mut Lane, room: &mut Room<'_>) -> Step {
        let Some(offset) = lane.first_returned() else { return Step::Empty };
        let Some(loaded) = lane.source.returned(offset) else { return Step::Load };
        let (bytes, group) = (loaded.bytes, loaded.group);
        if self.expires(loaded).is_some_and(|expires| expires <= room.now) {
            let step = self.expire(lane, offset, bytes);
            self.call_follower(lane, group, room);
            return step;
        }
        if self.rules.deliveries_max.is_some_and(|max| lane.count(offset) >= max) {
            // Its last delivery ended with a restart.
            self.not_ready(bytes);
            self.dead(lane, offset, DeadReason::DeliveryLimit);
            self.call_follower(lane, group, room);
            return Step::Go;
        }
        if self.takes_turns(group) && !lane.fair.take_chosen(offset) {
            self.set_aside(lane, offset, group);
            return Step::Go;
        }
        let Some(loaded) = lane.source.returned(offset) else { return Step::Load };
        if !room.admits(loaded) {
            return Step::Full;
        }
        if !self.admits(lane, (offset, group), room.take) {
            lane.park(offset);
            lane.source.drop_loaded(offset);
            return Step::Go;
        }
        let Some(loaded) = lane.source.take_returned(offset) else { return Step::Load };
        self.hand_out_again(lane, (offset, loaded), room);
        self.call_follower(lane, group, room);
        Step::Go
    }

    /// What waits behind a message that is out of the way goes on by the same receive, if that is
    /// what its group is out by.
    fn call_follower(&mut self, lane: &mut Lane, group: Option<u64>, room: &Room<'_>) {
        if self.rules.ordered_groups
            && room.n > 0
            && room.take.run.is_some()
            && let Some(next) = group.and_then(|group| self.groups.poll_follower(lane.level, group))
        {
            lane.unpark_for_delivery(next.offset);
        }
    }

    /// A message below the cursor goes out.
    fn hand_out_again(
        &mut self,
        lane: &mut Lane,
        (offset, loaded): (u64, Loaded),
        room: &mut Room<'_>,
    ) {
        room.take(&loaded);
        let redelivered = lane.was_delivered(offset);
        let deliveries = lane.count(offset);
        lane.deliver_again(offset);
        let run = Run::one(lane.level, offset);
        let delivery = self.hold(lane, (offset, loaded), (deliveries, redelivered), room);
        if room.take.lock == Lock::None {
            self.log(Record::Done(run));
            lane.finish(offset, offset + 1);
            self.group_done(lane, offset);
        } else {
            self.log(Record::Redelivered(run));
            self.log_lock(run, &delivery);
        }
        room.out.push(delivery);
    }

    /// Delivers as many as there are without anything unusual among them.
    fn deliver_fresh(&mut self, lane: &mut Lane, room: &mut Room<'_>) -> Step {
        let from = lane.cursor;
        let first = room.out.len();
        let mut at = from;
        let step = loop {
            if room.n == 0 {
                break Step::Full;
            }
            if at >= lane.end {
                break Step::Empty;
            }
            let usual = (lane.n_parked_fresh == 0 || !lane.parked.contains(at))
                && lane.source.fresh(at).is_some_and(|(offset, _)| offset == at);
            if !usual {
                break Step::Go;
            }
            let Some((_, loaded)) = lane.source.fresh(at) else { break Step::Go };
            if self.expires(loaded).is_some_and(|expires| expires <= room.now) {
                break Step::Go;
            }
            let group = loaded.group;
            if self.takes_turns(group) {
                break Step::Go;
            }
            if !room.admits(loaded) {
                break Step::Full;
            }
            if self.rules.ordered_groups && !self.admits(lane, (at, group), room.take) {
                break Step::Go;
            }
            let Some(loaded) = lane.source.take_fresh(at) else { break Step::Go };
            room.take(&loaded);
            let delivery = self.hold(lane, (at, loaded), (0, false), room);
            room.out.push(delivery);
            at += 1;
        };
        self.close_run(lane, (from, at), room.take, &room.out[first..]);
        match step {
            Step::Go => self.unusual(lane, room),
            step => step,
        }
    }

    fn close_run(
        &mut self,
        lane: &mut Lane,
        (from, to): (u64, u64),
        take: &Take,
        out: &[Delivery],
    ) {
        let (Some(delivery), true) = (out.first(), from < to) else { return };
        let run = Run { lane: lane.level, from, to };
        if take.lock == Lock::None {
            lane.finish(from, to);
            self.log(Record::Done(run));
            if self.rules.ordered_groups {
                (from..to).for_each(|offset| self.group_done(lane, offset));
            }
        } else {
            lane.deliver_fresh(from, to);
            self.log(Record::Delivered(run));
            self.log_lock(run, delivery);
        }
    }

    /// What is at the cursor is not simply delivered.
    fn unusual(&mut self, lane: &mut Lane, room: &Room<'_>) -> Step {
        if let Some(step) = self.clear_cursor(lane, room.now) {
            return step;
        }
        let at = lane.cursor;
        let Some((_, loaded)) = lane.source.fresh(at) else { return Step::Load };
        let group = loaded.group;
        if self.takes_turns(group) {
            return self.look_ahead(lane, room.now);
        }
        // What held its group back may have been settled by the very delivery before.
        let is_free = |group| self.groups.is_free(lane.place(at), group, room.take.run);
        if !self.rules.ordered_groups || group.is_none_or(is_free) {
            return Step::Go;
        }
        self.admits(lane, (at, group), room.take);
        lane.pass(at + 1);
        lane.park(at);
        self.log(Record::Passed(Run::one(lane.level, at)));
        Step::Go
    }

    /// Goes over what is at the cursor and cannot be delivered; `None` where something can.
    pub(super) fn clear_cursor(&mut self, lane: &mut Lane, now: Timestamp) -> Option<Step> {
        let at = lane.cursor;
        if lane.n_parked_fresh > 0 && lane.parked.contains(at) {
            lane.pass(at + 1);
            return Some(Step::Go);
        }
        let found = lane.source.fresh(at);
        let found = found.map(|(offset, loaded)| (offset, self.expires(loaded), loaded.bytes));
        let Some((offset, expires, bytes)) = found else {
            let known = match &lane.source {
                Source::Log(window) => window.next().min(lane.end),
                Source::Memory(_) => lane.end,
            };
            if known > at {
                self.skip(lane, known);
                return Some(Step::Go);
            }
            return Some(Step::Load);
        };
        if offset > at {
            self.skip(lane, offset.min(lane.end));
            return Some(Step::Go);
        }
        expires.is_some_and(|expires| expires <= now).then(|| self.expire(lane, at, bytes))
    }

    /// There are no messages from the cursor to here.
    fn skip(&mut self, lane: &mut Lane, to: u64) {
        let from = lane.cursor;
        lane.finish(from, to);
        if let Some(before) = from.checked_sub(1) {
            // The cursor goes over what is delayed without a word: a restart must not take this,
            // which may be long, for something that is done ahead of it.
            self.log(Record::Passed(Run::one(lane.level, before)));
        }
        self.log(Record::Done(Run { lane: lane.level, from, to }));
    }

    fn expire(&mut self, lane: &mut Lane, offset: u64, bytes: u32) -> Step {
        if self.rules.dead_letter && self.transfers.len() >= super::TRANSFERS_MAX {
            // They go on when those before them have moved.
            return Step::Empty;
        }
        self.not_ready(bytes);
        self.dead(lane, offset, DeadReason::Expired);
        Step::Go
    }

    fn admits(&mut self, lane: &Lane, (offset, group): (u64, Option<u64>), take: &Take) -> bool {
        match group {
            Some(group) if self.rules.ordered_groups => {
                let admitted = self.groups.admit(lane.place(offset), group, take.run);
                if admitted == Admitted::First {
                    self.log(Record::Head { lane: lane.level, offset, group });
                }
                admitted != Admitted::No
            }
            _ => true,
        }
    }

    fn hold(
        &mut self,
        lane: &mut Lane,
        (offset, loaded): (u64, Loaded),
        (deliveries, redelivered): (u32, bool),
        room: &Room<'_>,
    ) -> Delivery {
        let (take, now) = (room.take, room.now);
        self.sequence += 1;
        let place = lane.place(offset);
        let token = LockToken { place, sequence: self.sequence };
        self.bytes_ready = self.bytes_ready.saturating_sub(u64::from(loaded.bytes));
        let sequence = self.sequence;
        let mut until = None;
        let held = match take.lock {
            Lock::None => None,
            Lock::Connection(connection) => {
                Some(Held::of_connection(sequence, connection, loaded.bytes))
            }
            Lock::Timed(span) => {
                let end = plus(now, millis(span));
                until = Some(end);
                Some(Held::timed(sequence, end, loaded.bytes))
            }
        };
        let connection = held.and_then(|held| held.connection());
        let settled = take.lock == Lock::None;
        let counted = deliveries.saturating_add(1);
        self.changes.note(Change::Delivered { place, deliveries: counted, connection, settled });
        if let Some(held) = held {
            lane.locks.insert(offset, held);
            if let Some(end) = held.until() {
                self.expiries.insert((end, place));
            }
        }
        if !self.ended.is_empty() {
            self.ended.remove(&place);
        }
        Delivery {
            token,
            place,
            deliveries,
            redelivered,
            message: loaded.message,
            enqueued_at: loaded.enqueued_at,
            locked_until: until,
        }
    }

    fn log_lock(&mut self, run: Run, first: &Delivery) {
        if let Some(until) = first.locked_until {
            let sequence = first.token.sequence;
            self.log(Record::Locked { run, sequence, until: until.as_millis() });
        }
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Whose connection-bound locks a step is about.
pub(super) fn is_of(held: &Held, connection: ConnectionId) -> bool {
    held.connection() == Some(connection)
}
