//! Who is in one classic consumer group, and in which generation.
//!
//! Pure state after Kafka's group coordinator: time comes in as `now`, answers for members that
//! wait go out through [`State::poll_answer`]. Assignments and metadata are opaque, so eager and
//! cooperative strategies look the same here.
//!
//! ```text
//! Empty -> PreparingRebalance -> CompletingRebalance -> Stable
//!   ^________|  ^__________________|  |__________________|
//! ```
//!
//! Invariant: `expiries` holds exactly one entry per member and per pending id; `n_joining`
//! counts the members that wait in a join; outside `PreparingRebalance` nobody does; only in
//! `CompletingRebalance` does anybody wait in a sync; the leader, where there are members, is one.

mod member;
mod rebalance;
mod stored;

use super::request::{
    FirstJoin, GroupPhase, Join, JoinError, Joined, JoinedMember, LeaderReturn, MemberDescription,
    MemberId, MemberRef, Sync, Synced,
};
use crate::Error;
use bytes::Bytes;
use member::{Member, Waiting};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tramline_types::Monotonic;

/// A join that waits for the others is not timed out by its session but by this: the client
/// may be gone (Kafka's `NewMemberJoinTimeoutMs`).
const FIRST_JOIN_MAX: Duration = Duration::from_secs(300);

/// What the state goes by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How long an empty group waits for more members after the first.
    pub(crate) initial_delay: Duration,
    /// How many members a group may have.
    pub(crate) members_max: usize,
}

/// One answer to a member that waits.
#[derive(Debug)]
pub(crate) enum Answer {
    /// To a join.
    Join(MemberId, Result<Joined, JoinError>),
    /// To a sync.
    Sync(MemberId, Result<Synced, Error>),
}

/// What a request led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<T> {
    /// Answered.
    Done(T),
    /// The answer comes later, for this member.
    Wait(MemberId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Empty,
    Preparing { deadline: Monotonic, initial: Option<Initial> },
    Completing,
    Stable,
    Dead,
}

/// The first rebalance of an empty group waits a fixed time, and again while members arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Initial {
    remaining: Duration,
    arrived: bool,
}

/// One group's membership.
#[derive(Debug)]
pub(crate) struct State {
    rules: Rules,
    phase: Phase,
    generation: i32,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    statics: BTreeMap<Arc<str>, MemberId>,
    /// Ids given out that have not joined, with their expiry.
    pending: BTreeMap<MemberId, Monotonic>,
    /// When members and pending ids are given up.
    expiries: BTreeSet<(Monotonic, MemberId)>,
    /// How many members support each strategy.
    supported: BTreeMap<Arc<str>, usize>,
    n_joining: usize,
    /// Members of this generation that have not asked for their assignment, and until when.
    unsynced: BTreeSet<MemberId>,
    sync_deadline: Option<Monotonic>,
    answers: VecDeque<Answer>,
    /// What the members' metadata and assignments take.
    held_bytes: usize,
    /// The membership differs from what [`State::poll_membership`] gave last, and is to be stored.
    has_changed: bool,
}

impl State {
    /// Goes by other rules from here on.
    pub(crate) const fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// An empty group.
    pub(crate) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            phase: Phase::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeMap::new(),
            expiries: BTreeSet::new(),
            supported: BTreeMap::new(),
            n_joining: 0,
            unsynced: BTreeSet::new(),
            sync_deadline: None,
            answers: VecDeque::new(),
            held_bytes: 0,
            has_changed: false,
        }
    }

    /// Where the group stands.
    pub(crate) const fn phase(&self) -> GroupPhase {
        match self.phase {
            Phase::Empty => GroupPhase::Empty,
            Phase::Preparing { .. } => GroupPhase::PreparingRebalance,
            Phase::Completing => GroupPhase::CompletingRebalance,
            Phase::Stable => GroupPhase::Stable,
            Phase::Dead => GroupPhase::Dead,
        }
    }

    /// `consumer` and the like.
    pub(crate) const fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// The strategy of this generation.
    pub(crate) const fn protocol(&self) -> Option<&Arc<str>> {
        self.protocol.as_ref()
    }

    /// What the members' metadata and assignments take in memory.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Nobody is here, nor on the way.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Empty && self.pending.is_empty()
    }

    /// When [`State::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        let rebalance = match self.phase {
            Phase::Preparing { deadline, .. } => Some(deadline),
            _ => None,
        };
        let expiry = self.expiries.first().map(|(at, _)| *at);
        [rebalance, expiry, self.sync_deadline].into_iter().flatten().min()
    }

    /// The next answer for a member that waits.
    pub(crate) fn poll_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// A member joins. `fresh` is the id to give it if it has none.
    pub(crate) fn handle_join(
        &mut self,
        now: Monotonic,
        mut join: Join,
        fresh: MemberId,
    ) -> Result<Step<Joined>, JoinError> {
        let mut names = BTreeSet::new();
        join.protocols.retain(|(name, _)| names.insert(name.clone()));
        let sent = join.member.member_id.clone();
        let step = if !self.supports(&join) {
            Err(JoinError { error: Error::InconsistentProtocol, member_id: sent })
        } else if sent.is_empty() {
            self.join_unknown(now, join, fresh)
        } else {
            self.join_known(now, join).map_err(|error| JoinError { error, member_id: sent })
        };
        self.complete_join_when_all_are_in(now);
        step
    }

    /// A member asks for its assignment.
    pub(crate) fn handle_sync(
        &mut self,
        now: Monotonic,
        sync: Sync,
    ) -> Result<Step<Synced>, Error> {
        let id = self.current(&sync.member)?;
        let differs = |said: &Option<Arc<str>>, ours: &Option<Arc<str>>| {
            said.is_some() && said.as_ref() != ours.as_ref()
        };
        if self.generation != sync.generation {
            return Err(Error::IllegalGeneration);
        }
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(Error::InconsistentProtocol);
        }
        match self.phase {
            Phase::Empty | Phase::Dead => Err(Error::UnknownMember),
            Phase::Preparing { .. } => Err(Error::RebalanceInProgress),
            Phase::Stable => {
                self.touch(now, &id);
                self.note_synced(&id);
                let assignment = self.member(&id)?.assignment.clone();
                Ok(Step::Done(self.synced(assignment)))
            }
            Phase::Completing => {
                self.touch(now, &id);
                self.note_synced(&id);
                self.member_mut(&id)?.waiting = Waiting::Sync;
                if self.leader.as_ref() == Some(&id) {
                    self.propagate(now, sync.assignments);
                }
                Ok(Step::Wait(id))
            }
        }
    }

    /// A member says that it is alive.
    pub(crate) fn handle_heartbeat(
        &mut self,
        now: Monotonic,
        member: &MemberRef,
        generation: i32,
    ) -> Result<(), Error> {
        let id = self.current(member)?;
        if self.generation != generation {
            return Err(Error::IllegalGeneration);
        }
        self.touch(now, &id);
        match self.phase {
            Phase::Preparing { .. } => Err(Error::RebalanceInProgress),
            Phase::Empty | Phase::Completing | Phase::Stable | Phase::Dead => Ok(()),
        }
    }

    /// A member goes. A static one may be named by its instance id alone.
    pub(crate) fn handle_leave(&mut self, now: Monotonic, member: &MemberRef) -> Result<(), Error> {
        if self.phase == Phase::Dead {
            return Err(Error::UnknownMember);
        }
        if let Some(expires_at) = self.pending.remove(&member.member_id) {
            self.expiries.remove(&(expires_at, member.member_id.clone()));
            self.complete_join_when_all_are_in(now);
            return Ok(());
        }
        let id = match (&member.instance_id, member.member_id.is_empty()) {
            (Some(instance), true) => {
                self.statics.get(instance).cloned().ok_or(Error::UnknownMember)?
            }
            _ => self.current(member)?,
        };
        self.remove(now, &id);
        Ok(())
    }

    /// Whether this member may commit offsets; counts as a sign of life.
    pub(crate) fn handle_commit(
        &mut self,
        now: Monotonic,
        member: &MemberRef,
        generation: i32,
    ) -> Result<(), Error> {
        if self.phase == Phase::Dead {
            return Err(Error::UnknownMember);
        }
        if generation < 0 && self.phase == Phase::Empty {
            return Ok(()); // A client that only keeps its offsets here.
        }
        if generation < 0 && member.member_id.is_empty() && member.instance_id.is_none() {
            return Err(Error::UnknownMember);
        }
        let id = self.current(member)?;
        if self.generation != generation {
            return Err(Error::IllegalGeneration);
        }
        if self.phase == Phase::Completing {
            return Err(Error::RebalanceInProgress);
        }
        self.touch(now, &id);
        Ok(())
    }

    /// Ends an empty group for good. An id given out but not used does not keep it.
    pub(crate) fn handle_delete(&mut self) -> Result<(), Error> {
        match self.phase {
            Phase::Empty => {
                self.phase = Phase::Dead;
                self.pending.clear();
                self.expiries.clear();
                Ok(())
            }
            Phase::Dead => Ok(()),
            Phase::Preparing { .. } | Phase::Completing | Phase::Stable => {
                Err(Error::NonEmptyGroup)
            }
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Monotonic) {
        self.expire_silent(now);
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.sync_deadline = None;
            for id in std::mem::take(&mut self.unsynced) {
                self.remove(now, &id);
            }
        }
        if let Phase::Preparing { deadline, initial } = self.phase
            && deadline <= now
        {
            self.rebalance_deadline_passed(now, initial);
        }
    }

    /// The members as described to tools.
    pub(crate) fn describe_members(&self) -> Vec<MemberDescription> {
        let stable = self.phase == Phase::Stable;
        let describe = |(id, member): (&MemberId, &Member)| MemberDescription {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if stable { self.metadata(member) } else { Bytes::new() },
            assignment: if stable { member.assignment.clone() } else { Bytes::new() },
        };
        self.members.iter().map(describe).collect()
    }

    fn join_unknown(
        &mut self,
        now: Monotonic,
        join: Join,
        fresh: MemberId,
    ) -> Result<Step<Joined>, JoinError> {
        let existing = join.member.instance_id.as_ref().and_then(|name| self.statics.get(name));
        if let Some(former) = existing.cloned() {
            return Ok(self.replace_static(now, join, &former, fresh));
        }
        if self.members.len() + self.pending.len() >= self.rules.members_max {
            let member_id = join.member.member_id;
            return Err(JoinError { error: Error::GroupFull, member_id });
        }
        if join.member.instance_id.is_none() && join.first_join == FirstJoin::AskedBack {
            let expires_at = now.plus(join.session_timeout);
            self.pending.insert(fresh.clone(), expires_at);
            self.expiries.insert((expires_at, fresh.clone()));
            let error = Error::MemberIdRequired(fresh.as_str().to_owned());
            return Err(JoinError { error, member_id: fresh });
        }
        self.add(now, join, fresh.clone());
        Ok(Step::Wait(fresh))
    }

    fn join_known(&mut self, now: Monotonic, join: Join) -> Result<Step<Joined>, Error> {
        let sent = join.member.member_id.clone();
        if let Some(expires_at) = self.pending.remove(&sent) {
            self.expiries.remove(&(expires_at, sent.clone()));
            self.add(now, join, sent.clone());
            return Ok(Step::Wait(sent));
        }
        let id = self.current(&join.member)?;
        let unchanged = self.member(&id)?.protocols == join.protocols;
        let leads = self.leader.as_ref() == Some(&id);
        let answer_again = match self.phase {
            Phase::Empty | Phase::Dead => return Err(Error::UnknownMember),
            Phase::Preparing { .. } => false,
            // The answer to the first join got lost.
            Phase::Completing => unchanged,
            // A leader joins again when it wants another assignment.
            Phase::Stable => unchanged && !leads,
        };
        if answer_again {
            self.touch(now, &id);
            return Ok(Step::Done(self.joined(&id)));
        }
        self.update(now, &id, join)?;
        self.prepare_rebalance(now);
        Ok(Step::Wait(id))
    }

    /// A static member came back without its id: it takes its former self's place.
    fn replace_static(
        &mut self,
        now: Monotonic,
        join: Join,
        former: &MemberId,
        fresh: MemberId,
    ) -> Step<Joined> {
        let leader_return = join.leader_return;
        let led = self.leader.as_ref() == Some(former);
        let member = Member::returning(self.drop_member(former, || Error::FencedInstance), join);
        self.insert(now, fresh.clone(), member);
        if led {
            self.leader = Some(fresh.clone());
        }
        match self.phase {
            Phase::Stable if self.select_protocol() == self.protocol => {
                self.has_changed = true;
                let mut joined = self.joined(&fresh);
                match leader_return {
                    LeaderReturn::SkipsAssignment => joined.skip_assignment = led,
                    LeaderReturn::Follows => {
                        joined.members = Vec::new();
                        joined.leader = if led { former.clone() } else { joined.leader };
                    }
                }
                return Step::Done(joined);
            }
            Phase::Stable | Phase::Completing => {
                self.start_waiting(&fresh);
                self.prepare_rebalance(now);
            }
            Phase::Empty | Phase::Preparing { .. } | Phase::Dead => self.start_waiting(&fresh),
        }
        Step::Wait(fresh)
    }

    fn add(&mut self, now: Monotonic, join: Join, id: MemberId) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if let Phase::Preparing { initial: Some(initial), .. } = &mut self.phase {
            initial.arrived = true;
        }
        self.insert(now, id.clone(), Member::new(join));
        self.start_waiting(&id);
        self.leader.get_or_insert(id);
        self.prepare_rebalance(now);
    }

    fn update(&mut self, now: Monotonic, id: &MemberId, join: Join) -> Result<(), Error> {
        let member = self.member_mut(id)?;
        member.rebalance_timeout = join.rebalance_timeout;
        member.session_timeout = join.session_timeout;
        let before = std::mem::replace(&mut member.protocols, join.protocols);
        self.count_protocols(&before, -1);
        let after = self.member(id)?.protocols.clone();
        self.count_protocols(&after, 1);
        self.touch(now, id);
        self.start_waiting(id);
        Ok(())
    }

    fn start_waiting(&mut self, id: &MemberId) {
        let member = self.members.get_mut(id).expect("the caller has just looked it up");
        match std::mem::replace(&mut member.waiting, Waiting::Join) {
            Waiting::Join => {}
            Waiting::No => self.n_joining += 1,
            Waiting::Sync => {
                self.n_joining += 1;
                self.answers.push_back(Answer::Sync(id.clone(), Err(Error::RebalanceInProgress)));
            }
        }
    }

    fn note_synced(&mut self, id: &MemberId) {
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
    }

    fn joined(&self, id: &MemberId) -> Joined {
        let leads = self.leader.as_ref() == Some(id);
        let list = |(id, member): (&MemberId, &Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: self.metadata(member),
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_else(|| MemberId::new("")),
            member_id: id.clone(),
            members: if leads { self.members.iter().map(list).collect() } else { Vec::new() },
            skip_assignment: false,
        }
    }

    fn synced(&self, assignment: Bytes) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment,
        }
    }

    fn metadata(&self, member: &Member) -> Bytes {
        self.protocol.as_ref().and_then(|name| member.metadata(name)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
