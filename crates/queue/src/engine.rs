//! One queue's delivery state.
//!
//! The owner calls a `handle_*` step under its lock, then takes what has to be logged with
//! [`Engine::take_delta`] and submits it before it lets go, so that changes and commits have the
//! same order. Whatever is only a matter of time (a delay that is over, a timed lock that ends)
//! is not logged: every delta carries its time, and a replay does the same by it.

mod changes;
mod checkpoint;
mod enqueue;
mod look;
mod purge;
mod receive;
mod replay;
mod settle;
mod shared;
mod single;
mod turn;

pub use changes::Change;
pub use enqueue::Arrival;
pub use look::{Look, MessageState};
pub use receive::{Delivery, Load, Take, Taking};
pub use settle::Transfer;
pub use single::Removal;

use crate::{
    Counts, DeadReason, Place,
    dedup::Seen,
    delays::Delays,
    delta::{Journal, Record, Run},
    group::Groups,
    lane::Lane,
    source::{Loaded, Source},
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use tramline_types::Timestamp;

/// Deltas may grow to this, or to twice the checkpoint, before the next checkpoint.
const DELTA_BYTES_MIN: usize = 64 * 1024;
/// Dead messages that may wait for their transfer before no more are made out of expired ones.
const TRANSFERS_MAX: usize = 4096;
/// Ended locks that are remembered.
const ENDED_MAX: usize = 100_000;

/// The settings that an engine goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Messages live in memory, and nothing is logged.
    pub transient: bool,
    /// A message is dead after so long.
    pub message_ttl_ms: Option<u64>,
    /// Ready messages at most.
    pub length_max: Option<u64>,
    /// Bytes of ready bodies at most.
    pub bytes_max: Option<u64>,
    /// At a bound the oldest go; else the newest are to be refused by the owner.
    pub drop_head: bool,
    /// Dead messages are moved, not dropped,
    pub dead_letter: bool,
    /// except those whose time to live is over.
    pub drop_expired: bool,
    /// Deliveries of one message at most.
    pub deliveries_max: Option<u32>,
    /// The first and the longest wait between deliveries of one message.
    pub retry_backoff_ms: Option<(u64, u64)>,
    /// Ids are told again within this time.
    pub deduplication_ms: Option<u64>,
    /// Messages of one group go out one at a time, in order.
    pub ordered_groups: bool,
    /// Groups take turns, where their messages are not in order anyway.
    pub fair_groups: bool,
    /// Lanes are equals that are served in turn: the partitions of a topic. Else the highest level
    /// goes first.
    pub equal_lanes: bool,
    /// What messages may take in memory, where they are in a log as well.
    pub window_bytes_max: usize,
}

/// A queue's delivery state.
pub struct Engine {
    /// The highest level first.
    lanes: SmallVec<[Lane; 1]>,
    /// Among equal lanes the one that is served next.
    turn: usize,
    state: State,
}

/// A timed lock that has ended.
#[derive(Clone, Copy)]
struct Ended {
    sequence: u64,
    bytes: u32,
}

/// What is of the whole queue.
struct State {
    rules: Rules,
    delayed: Delays,
    expiries: BTreeSet<(Timestamp, Place)>,
    deferred: BTreeSet<Place>,
    transferring: BTreeMap<Place, DeadReason>,
    /// What consumers said of the rejected among them. In memory only.
    explanations: HashMap<Place, Box<str>>,
    transfers: VecDeque<Place>,
    groups: Groups,
    seen: Seen,
    sequence: u64,
    bytes_ready: u64,
    /// As it was last logged.
    bytes_logged: u64,
    /// Some messages have a time to live of their own.
    perishable: bool,
    n_dropped: u64,
    /// Could not be read: kept, in nobody's way. Not logged: a restart tries again.
    unreadable: BTreeSet<Place>,
    /// Timed locks that have ended, until their messages are delivered again.
    ended: HashMap<Place, Ended>,
    /// For who follows messages one by one.
    changes: changes::Changes,
    journal: Journal,
    delta_bytes: usize,
    checkpoint_bytes: usize,
}

impl Engine {
    /// An engine without messages. `epoch` is above that of every earlier start.
    pub fn new(rules: Rules, epoch: u64) -> Self {
        let state = State {
            rules,
            delayed: Delays::default(),
            expiries: BTreeSet::new(),
            deferred: BTreeSet::new(),
            transferring: BTreeMap::new(),
            explanations: HashMap::new(),
            transfers: VecDeque::new(),
            groups: Groups::default(),
            seen: Seen::default(),
            sequence: epoch << 40,
            bytes_ready: 0,
            bytes_logged: 0,
            perishable: false,
            n_dropped: 0,
            unreadable: BTreeSet::new(),
            ended: HashMap::new(),
            changes: changes::Changes::default(),
            journal: Journal::default(),
            delta_bytes: 0,
            checkpoint_bytes: 0,
        };
        Self { lanes: SmallVec::new(), turn: 0, state }
    }

    /// Leaves out so many of the numbers that deliveries have.
    pub const fn skip_sequences(&mut self, n: u64) {
        self.state.sequence += n;
    }

    /// The rules in force.
    pub const fn rules(&self) -> &Rules {
        &self.state.rules
    }

    /// Goes by other rules from here on. What lies in memory, is ordered by groups or was
    /// deduplicated stays so.
    pub fn set_rules(&mut self, rules: Rules) {
        debug_assert_eq!(self.state.rules.transient, rules.transient);
        debug_assert_eq!(self.state.rules.ordered_groups, rules.ordered_groups);
        if !rules.fair_groups {
            self.lanes.iter_mut().for_each(Lane::fold_turns);
        }
        self.state.rules = rules;
    }

    /// Adds a lane over a log that holds `start..next`; in a transient queue over memory.
    pub fn open_lane(&mut self, level: u16, start: u64, next: u64) {
        let at = self.lanes.partition_point(|lane| lane.level > level);
        debug_assert!(self.lanes.get(at).is_none_or(|lane| lane.level != level));
        let lane = if self.state.rules.transient {
            Lane::in_memory(level)
        } else {
            Lane::in_log(level, start, next)
        };
        self.lanes.insert(at, lane);
    }

    /// Whether there is such a lane.
    pub fn has_lane(&self, level: u16) -> bool {
        self.find(level).is_some()
    }

    fn find(&self, level: u16) -> Option<usize> {
        match self.lanes.as_slice() {
            [only] => (only.level == level).then_some(0),
            lanes => lanes.binary_search_by(|lane| level.cmp(&lane.level)).ok(),
        }
    }

    /// A lane's log is durable up to here.
    pub fn set_end(&mut self, level: u16, end: u64) {
        if let Some(at) = self.find(level) {
            let lane = &mut self.lanes[at];
            lane.end = lane.end.max(end);
            lane.tail = lane.tail.max(end);
        }
    }

    /// A lane's end, as last told.
    pub fn end(&self, level: u16) -> u64 {
        self.find(level).map_or(0, |at| self.lanes[at].end)
    }

    /// Everything below is done: what may be trimmed.
    pub fn floor(&self, level: u16) -> u64 {
        self.find(level).map_or(0, |at| self.lanes[at].floor())
    }

    /// How many could be delivered now.
    pub fn ready(&self) -> u64 {
        self.lanes.iter().map(Lane::ready).sum()
    }

    /// How many are not done, also of those that were submitted and are not durable yet.
    pub fn unsettled(&self) -> u64 {
        let of_lane = |lane: &Lane| {
            let fresh = lane.tail.saturating_sub(lane.cursor);
            (lane.outstanding.len() + fresh).saturating_sub(lane.ahead.len())
        };
        self.lanes.iter().map(of_lane).sum()
    }

    /// How many are in which state.
    pub fn counts(&self) -> Counts {
        let locked = self.lanes.iter().map(|lane| lane.locks.len()).sum::<usize>();
        let wide = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let (ready, blocked) = (self.ready(), self.state.groups.n_waiting());
        Counts {
            ready,
            blocked,
            locked: wide(locked),
            delayed: wide(self.state.delayed.len()),
            deferred: wide(self.state.deferred.len()),
            transferring: wide(self.state.transferring.len()),
            bytes_ready: if ready + blocked == 0 { 0 } else { self.state.bytes_ready },
            unreadable: wide(self.state.unreadable.len()),
            dropped: self.state.n_dropped,
            oldest: self.oldest(),
            consumers: 0,
        }
    }

    /// When the oldest message that waits to be delivered came, where it is in memory.
    fn oldest(&self) -> Option<Timestamp> {
        let mut oldest: Option<Timestamp> = None;
        for lane in self.lanes.iter().filter(|lane| lane.ready() > 0) {
            // One that is not in memory may be older than all that are.
            let (_, head) = lane.head()?;
            oldest = Some(oldest.map_or(head.enqueued_at, |before| before.min(head.enqueued_at)));
        }
        oldest
    }

    /// After a restart: what the ready ones take at most, where it is not known: where nothing
    /// goes by it.
    pub fn estimate_bytes_ready(&mut self, stored: u64) {
        if self.state.rules.bytes_max.is_none() && self.ready() > 0 {
            self.state.bytes_ready = stored;
        }
    }

    /// What changed since the last call, to be logged at this time, in pieces of a few hundred
    /// kibibytes: to be called until it gives `None`.
    pub fn take_delta(&mut self, now: Timestamp) -> Option<Bytes> {
        let bytes = self.state.bytes_ready;
        if self.state.rules.bytes_max.is_some() && self.state.bytes_logged != bytes {
            self.state.bytes_logged = bytes;
            self.state.log(Record::BytesReady(bytes));
        }
        let delta = self.state.journal.take(now.as_millis())?;
        self.state.delta_bytes += delta.len();
        Some(Bytes::from(delta))
    }

    /// When time alone will change something.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let delayed = self.state.delayed.first();
        let locked = self.state.expiries.first().map(|(until, _)| *until);
        if !self.expires_heads() {
            return delayed.into_iter().chain(locked).min();
        }
        let heads = self.lanes.iter().filter_map(|lane| {
            // What is not durable yet will be by then.
            let (_, loaded) = lane.first_below(lane.tail)?;
            self.state.expires(loaded)
        });
        heads.chain(delayed).chain(locked).min()
    }

    /// What has to be loaded so that [`Engine::poll_timeout`] knows when a head expires.
    pub fn poll_head(&self) -> Option<Load> {
        if !self.expires_heads() {
            return None;
        }
        let unknown = |lane: &&Lane| lane.ready() > 0 && lane.head().is_none();
        let load = |lane: &Lane| Some(lane.load_head()).filter(|load| load.from < lane.end);
        self.lanes.iter().filter(unknown).find_map(load)
    }

    /// Whether heads may have to go by their time to live, and can.
    fn expires_heads(&self) -> bool {
        let is_mortal = self.state.rules.message_ttl_ms.is_some() || self.state.perishable;
        is_mortal && (!self.state.rules.dead_letter || self.state.transfers.len() < TRANSFERS_MAX)
    }

    /// Time passed: delays and locks that are over, and heads that are dead.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.advance(now);
        for lane in &mut self.lanes {
            lane.skip_parked();
            while self.state.transfers.len() < TRANSFERS_MAX
                && let Some((offset, loaded)) = lane.head()
                && self.state.expires(loaded).is_some_and(|expires| expires <= now)
            {
                self.state.not_ready(loaded.bytes);
                self.state.dead(lane, offset, DeadReason::Expired);
                lane.skip_parked();
            }
        }
    }

    /// Time passed: what is over by now is ready. For what is asked before a step.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.advance(now);
    }

    /// What is over by now. Called by every step, so that a step sees nothing stale.
    fn advance(&mut self, now: Timestamp) {
        while let Some(place) = self.state.delayed.pop(now) {
            if let Some(at) = self.find(place.lane) {
                self.lanes[at].unpark_for_delivery(place.offset);
                self.state.changes.note(Change::Due(place));
            }
        }
        while let Some(&(until, place)) = self.state.expiries.first()
            && until <= now
        {
            self.state.expiries.pop_first();
            let Some(at) = self.find(place.lane) else { continue };
            if let Some(held) = self.lanes[at].locks.remove(place.offset) {
                self.state.remember(place, Ended { sequence: held.sequence, bytes: held.bytes });
                self.state.give_back(&mut self.lanes[at], (place.offset, held.bytes), None, now);
            }
        }
        if self.state.seen.len() > 0 {
            self.state.seen.expire(now.as_millis());
        }
    }
}

impl Lane {
    /// Moves the cursor to the first fresh message that could be delivered.
    fn skip_parked(&mut self) {
        while self.n_parked_fresh > 0 && self.parked.contains(self.cursor) {
            self.pass(self.cursor + 1);
        }
    }

    /// The first message that could be delivered, if it is in memory.
    fn head(&self) -> Option<(u64, &Loaded)> {
        self.first_below(self.end)
    }

    fn first_below(&self, end: u64) -> Option<(u64, &Loaded)> {
        if let Some(offset) = self.first_waiting() {
            let offset = Some(offset).filter(|offset| *offset < end)?;
            return Some((offset, self.source.returned(offset)?));
        }
        if self.cursor >= end || (self.n_parked_fresh > 0 && self.parked.contains(self.cursor)) {
            return None;
        }
        self.source.fresh(self.cursor).filter(|(offset, _)| *offset == self.cursor)
    }

    /// What has to be loaded to know the first message.
    fn load_head(&self) -> Load {
        match self.fair.first() {
            Some(first) if self.first_waiting() == Some(first) => {
                Load { lane: self.level, from: first, again: true }
            }
            _ => self.load(),
        }
    }

    /// What has to be loaded for the next message.
    fn load(&self) -> Load {
        match (self.returned.min(), &self.source) {
            (Some(from), _) => Load { lane: self.level, from, again: true },
            (None, Source::Log(window)) => {
                Load { lane: self.level, from: window.next().max(self.cursor), again: false }
            }
            (None, Source::Memory(_)) => Load { lane: self.level, from: self.cursor, again: false },
        }
    }

    fn place(&self, offset: u64) -> Place {
        Place { lane: self.level, offset }
    }

    /// Ready again; what is in memory is loaded anew where it left this message out.
    fn unpark_for_delivery(&mut self, offset: u64) {
        if self.unpark(offset) && offset >= self.cursor {
            self.source.reload(offset);
        }
    }
}

impl State {
    fn log(&mut self, record: Record) {
        if !self.rules.transient {
            self.journal.add(record);
        }
    }

    fn not_ready(&mut self, bytes: u32) {
        self.bytes_ready = self.bytes_ready.saturating_sub(u64::from(bytes));
    }

    fn remember(&mut self, place: Place, ended: Ended) {
        if self.ended.len() >= ENDED_MAX {
            self.ended.clear();
        }
        self.ended.insert(place, ended);
    }

    /// When a message is dead.
    fn expires(&self, loaded: &Loaded) -> Option<Timestamp> {
        let by_queue = self.rules.message_ttl_ms.map(|ttl| plus(loaded.enqueued_at, ttl));
        match (by_queue, loaded.expires_at) {
            (Some(queue), Some(own)) => Some(queue.min(own)),
            (queue, own) => queue.or(own),
        }
    }

    /// A ready message, or one whose lock was taken off, is dead: it moves on, or goes.
    fn dead(&mut self, lane: &mut Lane, offset: u64, reason: DeadReason) {
        let place = lane.place(offset);
        let dropped = reason == DeadReason::Expired && self.rules.drop_expired;
        let moves = self.rules.dead_letter && !dropped;
        self.changes.note(Change::Dead { place, reason, moves });
        if moves {
            lane.pass(offset + 1);
            lane.park(offset);
            lane.source.drop_loaded(offset);
            self.transferring.insert(place, reason);
            self.transfers.push_back(place);
            self.log(Record::Transferring { lane: lane.level, offset, reason: reason.code() });
        } else {
            lane.finish(offset, offset + 1);
            self.n_dropped += 1;
            self.log(Record::Done(Run::one(lane.level, offset)));
        }
        self.group_done(lane, offset);
    }

    /// A message of a group is gone: the next one may go out.
    fn group_done(&mut self, lane: &mut Lane, offset: u64) {
        if self.rules.ordered_groups
            && let Some((next, group)) = self.groups.done(lane.place(offset))
        {
            self.goes_next(lane, next, group);
        }
    }

    /// A message of a group is not out any more, and not done.
    fn group_released(&mut self, lane: &mut Lane, offset: u64) {
        if self.rules.ordered_groups
            && let Some((next, group)) = self.groups.released(lane.place(offset))
        {
            self.goes_next(lane, next, group);
        }
    }

    fn goes_next(&mut self, lane: &mut Lane, next: Place, group: u64) {
        self.log(Record::Head { lane: lane.level, offset: next.offset, group });
        lane.unpark_for_delivery(next.offset);
    }
}

impl DeadReason {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Expired => 1,
            Self::Rejected => 2,
            Self::MaxLength => 3,
            Self::DeliveryLimit => 4,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Expired,
            2 => Self::Rejected,
            3 => Self::MaxLength,
            4 => Self::DeliveryLimit,
            _ => return None,
        })
    }
}

pub(crate) fn plus(time: Timestamp, millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    Timestamp::from_millis(time.as_millis().saturating_add(millis))
}

#[cfg(test)]
mod tests;
