//! Classic consumer groups: who is a member, who reads what, and how far everyone got.
//!
//! One short lock per group around a pure [`State`] and its [`Offsets`]; one task for the timers
//! of all groups. Joins and syncs wait on a oneshot for an answer that another member's step, or
//! a timer, gives. Committed offsets and the last settled membership are durable state of the
//! group's own log in the store; the key `group/<id>` of the key-value space holds that log's id
//! (decimal text).
//!
//! Invariant: a group found in the map is alive, except for the instant between its end and its
//! removal; in that instant it answers like a group that does not know the member.

mod commit;
mod judge;
mod membership;
mod offsets;
mod request;
mod state;
mod timers;

pub use request::{
    CommitOffsets, Committed, CommittedOffset, FirstJoin, GroupDescription, GroupListing,
    GroupPhase, Join, JoinError, Joined, JoinedMember, LeaderReturn, MemberDescription, MemberId,
    MemberRef, OffsetCommit, Sync, Synced,
};

use crate::{Budget, Error, GroupOptions, Share, lag::Window, topic::Topics};
use futures_util::FutureExt;
use membership::Storing;
use offsets::{Change, Occupancy, Offsets, Place};
use parking_lot::{Mutex, RwLock};
use state::{Answer, Rules, State, Step};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};
use timers::Timers;
use tokio::{sync::oneshot, task::JoinHandle};
use tramline_catalog::Counter;
use tramline_store::{LogStore, Purpose, Reserving};
use tramline_types::{Clock, GroupId, LogId, Monotonic, limits::GROUPS_MAX};

/// Where groups are found in the key-value space.
pub(crate) const KEY_PREFIX: &str = "group/";

/// The part of a member's id that the client chooses is cut here.
const MEMBER_NAME_BYTES_MAX: usize = 255;

/// All consumer groups of this node.
pub struct Groups {
    shared: Arc<Shared>,
    timer_task: JoinHandle<()>,
}

struct Shared {
    store: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    log_ids: Arc<Counter>,
    options: RwLock<Arc<GroupOptions>>,
    /// What the members, and what the committed offsets take in memory.
    budgets: [Arc<Budget>; 2],
    groups: Mutex<HashMap<GroupId, Arc<Group>>>,
    timers: Timers,
    topics: Arc<RwLock<Topics>>,
    /// Counts the windows by which lag is judged.
    windows: Arc<()>,
}

struct Group {
    id: GroupId,
    cell: Mutex<Cell>,
    /// How many changes of the offsets are durable; counted by the committer.
    n_durable: Arc<AtomicU64>,
    /// What the store could not read of this group at start: a place of which nothing is known
    /// may have had a position.
    damage: Option<String>,
}

struct Cell {
    state: State,
    offsets: Offsets,
    /// How the commits move, by partition.
    windows: HashMap<Place, Window>,
    log: Option<LogId>,
    /// What the members take of the budget.
    held: Share,
    /// What the committed offsets take of theirs.
    held_offsets: Share,
    joins: HashMap<MemberId, oneshot::Sender<Result<Joined, JoinError>>>,
    syncs: HashMap<MemberId, oneshot::Sender<Result<Synced, Error>>>,
    /// Resolves when the membership, or that there is none, as submitted last, is durable.
    storing: Option<Storing>,
    /// The earliest entry of this group among the timers.
    scheduled: Option<Monotonic>,
}

impl Groups {
    /// Recovers what was committed and starts the timers. Offsets of topics that are gone are
    /// dropped.
    pub(crate) fn start(
        store: Arc<dyn LogStore>,
        clock: Arc<dyn Clock>,
        log_ids: Arc<Counter>,
        (options, budgets): (GroupOptions, [Arc<Budget>; 2]),
        topics: Arc<RwLock<Topics>>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            store,
            clock,
            log_ids,
            options: RwLock::new(Arc::new(options)),
            budgets,
            groups: Mutex::new(HashMap::new()),
            timers: Timers::new(),
            topics,
            windows: Arc::new(()),
        });
        shared.recover()?;
        let timer_task = tokio::spawn(timers::run(shared.clone()));
        Ok(Self { shared, timer_task })
    }

    /// Goes by other options from here on.
    pub(crate) fn set_options(&self, options: GroupOptions) {
        let rules = rules(&options);
        *self.shared.options.write() = Arc::new(options);
        for group in self.shared.all() {
            group.cell.lock().state.set_rules(rules);
        }
        self.shared.timers.wake();
    }

    /// Joins the next generation, or learns about the one there is.
    pub async fn join(&self, join: Join) -> Result<Joined, JoinError> {
        let sent = join.member.member_id.clone();
        let refuse = |error| JoinError { error, member_id: sent.clone() };
        let options = self.shared.options();
        let allowed = options.session_timeout_min..=options.session_timeout_max;
        if !allowed.contains(&join.session_timeout) {
            return Err(refuse(Error::InvalidSessionTimeout));
        }
        let group = if sent.is_empty() {
            self.shared.group_or_new(&join.group).map_err(refuse)?
        } else {
            self.shared.group(&join.group).ok_or_else(|| refuse(Error::UnknownMember))?
        };
        let fresh = fresh_member_id(&join);
        let (answer, waiting) = oneshot::channel();
        let now = self.shared.clock.monotonic();
        let step = self.shared.step(&group, |cell| {
            if cell.state.phase() == GroupPhase::Dead {
                return Err(refuse(Error::UnknownMember));
            }
            if !cell.held.fits(join.held_bytes()) {
                return Err(refuse(Error::Busy("the members of consumer groups".to_owned())));
            }
            let space = cell.state.bytes_after_join(&join, &fresh);
            let space = self.shared.membership_space(&group, space).map_err(refuse)?;
            let step = cell.state.handle_join(now, join, fresh);
            self.shared.store_members(&group, cell, space);
            if let Ok(Step::Wait(member)) = &step {
                cell.joins.insert(member.clone(), answer);
            }
            step
        });
        match step? {
            Step::Done(joined) => {
                self.shared.members_durable(&group).await.map_err(refuse)?;
                Ok(joined)
            }
            Step::Wait(_) => match waiting.await {
                Ok(answer) => answer,
                // The same member joined again and waits in this one's place.
                Err(_) => Err(refuse(Error::RebalanceInProgress)),
            },
        }
    }

    /// Brings the leader's assignment, or waits for it.
    pub async fn sync(&self, sync: Sync) -> Result<Synced, Error> {
        let group = self.shared.group(&sync.group).ok_or(Error::UnknownMember)?;
        let (answer, waiting) = oneshot::channel();
        let now = self.shared.clock.monotonic();
        let step = self.shared.step(&group, |cell| {
            if !cell.held.fits(sync.held_bytes()) {
                return Err(Error::Busy("the assignments of consumer groups".to_owned()));
            }
            let space = cell.state.bytes_after_sync(&sync);
            let space = self.shared.membership_space(&group, space)?;
            let step = cell.state.handle_sync(now, sync);
            self.shared.store_members(&group, cell, space);
            if let Ok(Step::Wait(member)) = &step {
                cell.syncs.insert(member.clone(), answer);
            }
            step
        });
        let synced = match step? {
            Step::Done(synced) => synced,
            Step::Wait(_) => waiting.await.unwrap_or(Err(Error::RebalanceInProgress))?,
        };
        self.shared.members_durable(&group).await?;
        Ok(synced)
    }

    /// A member says that it is alive.
    pub fn heartbeat(
        &self,
        group: &GroupId,
        member: &MemberRef,
        generation: i32,
    ) -> Result<(), Error> {
        let group = self.shared.group(group).ok_or(Error::UnknownMember)?;
        let now = self.shared.clock.monotonic();
        self.shared.step(&group, |cell| cell.state.handle_heartbeat(now, member, generation))
    }

    /// Members go, each with its own result. That the last one went is durable on return.
    pub async fn leave(
        &self,
        group: &GroupId,
        members: Vec<MemberRef>,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let group = self.shared.group(group).ok_or(Error::UnknownMember)?;
        let now = self.shared.clock.monotonic();
        let left = self.shared.step(&group, |cell| {
            members.iter().map(|member| cell.state.handle_leave(now, member)).collect()
        });
        self.shared.members_durable(&group).await?;
        Ok(left)
    }

    /// A group with its members; `Dead` when there is none of that name.
    pub fn describe(&self, group: &GroupId) -> GroupDescription {
        let found = self.shared.group(group).map(|group| {
            self.shared.step(&group, |cell| GroupDescription {
                group: group.id.clone(),
                phase: cell.state.phase(),
                protocol_type: cell.state.protocol_type().cloned(),
                protocol: cell.state.protocol().cloned(),
                members: cell.state.describe_members(),
            })
        });
        found.unwrap_or_else(|| GroupDescription {
            group: group.clone(),
            phase: GroupPhase::Dead,
            protocol_type: None,
            protocol: None,
            members: Vec::new(),
        })
    }

    /// Every group, by name.
    pub fn list(&self) -> Vec<GroupListing> {
        let list = |group: Arc<Group>| {
            let cell = group.cell.lock();
            GroupListing {
                group: group.id.clone(),
                phase: cell.state.phase(),
                protocol_type: cell.state.protocol_type().cloned(),
            }
        };
        self.shared.all().into_iter().map(list).collect()
    }

    /// Starts every session anew: until now nobody could be heard.
    pub(crate) fn renew_sessions(&self) {
        let now = self.shared.clock.monotonic();
        for group in self.shared.all() {
            self.shared.step(&group, |cell| cell.state.renew_sessions(now));
        }
    }

    /// Stops the timers: nobody is expired any more.
    pub(crate) fn close(&self) {
        self.timer_task.abort();
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        self.timer_task.abort();
    }
}

const fn rules(options: &GroupOptions) -> Rules {
    Rules { initial_delay: options.initial_rebalance_delay, members_max: options.members_max }
}

impl Shared {
    fn group(&self, id: &GroupId) -> Option<Arc<Group>> {
        self.groups.lock().get(id).cloned()
    }

    /// Every group, by name: what is done to several comes in the same order every time.
    fn all(&self) -> Vec<Arc<Group>> {
        let mut all: Vec<_> = self.groups.lock().values().cloned().collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    fn group_or_new(&self, id: &GroupId) -> Result<Arc<Group>, Error> {
        let mut groups = self.groups.lock();
        if let Some(group) = groups.get(id) {
            return Ok(group.clone());
        }
        if groups.len() >= GROUPS_MAX {
            let detail = format!("the broker has its limit of {GROUPS_MAX} consumer groups");
            return Err(Error::LimitExceeded(detail));
        }
        let group = self.new_group(id.clone(), None, Offsets::new(), None);
        groups.insert(id.clone(), group.clone());
        Ok(group)
    }

    fn new_group(
        &self,
        id: GroupId,
        log: Option<LogId>,
        offsets: Offsets,
        damage: Option<String>,
    ) -> Arc<Group> {
        let rules = rules(&self.options());
        let cell = Cell {
            state: State::new(rules),
            offsets,
            windows: HashMap::new(),
            log,
            held: self.budgets[0].share(),
            held_offsets: self.budgets[1].share(),
            joins: HashMap::new(),
            syncs: HashMap::new(),
            storing: None,
            scheduled: None,
        };
        Arc::new(Group { id, cell: Mutex::new(cell), n_durable: Arc::default(), damage })
    }

    fn options(&self) -> Arc<GroupOptions> {
        Arc::clone(&self.options.read())
    }

    /// One pure step of one group, with everything that follows from it.
    fn step<T>(&self, group: &Arc<Group>, step: impl FnOnce(&mut Cell) -> T) -> T {
        let (result, deadline) = {
            let mut cell = group.cell.lock();
            group.settle(&mut cell);
            let result = step(&mut cell);
            cell.answer();
            let held_bytes = cell.state.held_bytes() + cell.offsets.members().len();
            cell.held.charge(held_bytes);
            let offsets_bytes = cell.offsets.held_bytes();
            cell.held_offsets.charge(offsets_bytes);
            self.note_occupancy(group, &mut cell);
            (result, cell.deadline_to_schedule())
        };
        if let Some(deadline) = deadline {
            self.timers.schedule(deadline, group.id.clone());
        }
        result
    }

    /// Keeps the stored mark of whether the group has members, from which retention counts.
    fn note_occupancy(&self, group: &Group, cell: &mut Cell) {
        let is_empty = matches!(cell.state.phase(), GroupPhase::Empty | GroupPhase::Dead);
        let was_empty = cell.offsets.occupancy() != Occupancy::Occupied;
        if is_empty == was_empty {
            return;
        }
        let occupancy = if is_empty {
            Occupancy::EmptySince(Some(self.clock.steady()))
        } else {
            Occupancy::Occupied
        };
        if cell.log.is_some()
            && let Reserving::Ready(reservation) = self.store.reserve(Purpose::Upkeep, 9, 1)
        {
            let durable = self.submit(group, cell, vec![Change::Occupancy(occupancy)], reservation);
            cell.storing = Some(durable.shared());
        } else {
            cell.offsets.note_occupancy(occupancy);
        }
    }

    /// Does what is due in one group.
    fn fire(&self, id: &GroupId, at: Monotonic) {
        let Some(group) = self.group(id) else { return };
        let now = self.clock.monotonic();
        self.step(&group, |cell| {
            if cell.scheduled == Some(at) {
                cell.scheduled = None;
            }
            cell.state.handle_timeout(now);
        });
    }
}

impl Cell {
    /// Passes answers on. Who no longer waits has gone; its session will end.
    fn answer(&mut self) {
        while let Some(answer) = self.state.poll_answer() {
            match answer {
                Answer::Join(member, joined) => {
                    if let Some(waiter) = self.joins.remove(&member) {
                        drop(waiter.send(joined));
                    }
                }
                Answer::Sync(member, synced) => {
                    if let Some(waiter) = self.syncs.remove(&member) {
                        drop(waiter.send(synced));
                    }
                }
            }
        }
    }

    /// The next deadline, where the timers do not have it or an earlier one. A timer that fires
    /// too early finds nothing to do, so a deadline that moves back is left alone.
    fn deadline_to_schedule(&mut self) -> Option<Monotonic> {
        let deadline = self.state.poll_timeout()?;
        if self.scheduled.is_some_and(|scheduled| scheduled <= deadline) {
            return None;
        }
        self.scheduled = Some(deadline);
        Some(deadline)
    }
}

fn fresh_member_id(join: &Join) -> MemberId {
    let name = join.member.instance_id.as_ref().unwrap_or(&join.client_id);
    let mut end = name.len().min(MEMBER_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    MemberId::new(&format!("{}-{}", &name[..end], uuid::Uuid::new_v4()))
}

#[cfg(test)]
mod tests;
