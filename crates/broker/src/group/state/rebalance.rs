//! How one generation ends and the next one starts.

use super::{Answer, Initial, Phase, State, member::Waiting};
use crate::group::state::member::Member;
use crate::{Error, group::request::MemberId};
use bytes::Bytes;
use tramline_types::Monotonic;

impl State {
    /// From any settled phase into the next rebalance; nothing when one is being prepared.
    pub(super) fn prepare_rebalance(&mut self, now: Monotonic) {
        let longest = self.rebalance_timeout();
        let delay = self.rules.initial_delay;
        let (wait, initial) = match self.phase {
            Phase::Preparing { .. } | Phase::Dead => return,
            Phase::Empty if !delay.is_zero() => {
                let remaining = longest.saturating_sub(delay);
                (delay.min(longest), Some(Initial { remaining, arrived: false }))
            }
            Phase::Empty | Phase::Completing | Phase::Stable => (longest, None),
        };
        for (id, member) in &mut self.members {
            if member.waiting == Waiting::Sync {
                member.waiting = Waiting::No;
                self.answers.push_back(Answer::Sync(id.clone(), Err(Error::RebalanceInProgress)));
            }
        }
        self.unsynced.clear();
        self.sync_deadline = None;
        self.phase = Phase::Preparing { deadline: now.plus(wait), initial };
    }

    pub(super) fn complete_join_when_all_are_in(&mut self, now: Monotonic) {
        if let Phase::Preparing { initial: None, .. } = self.phase
            && self.n_joining == self.members.len()
            && self.pending.is_empty()
        {
            self.complete_join(now);
        }
    }

    pub(super) fn rebalance_deadline_passed(&mut self, now: Monotonic, initial: Option<Initial>) {
        match initial {
            Some(Initial { remaining, arrived: true }) if !remaining.is_zero() => {
                let wait = self.rules.initial_delay.min(remaining);
                let initial = Initial { remaining: remaining - wait, arrived: false };
                self.phase = Phase::Preparing { deadline: now.plus(wait), initial: Some(initial) };
            }
            Some(_) | None => self.complete_join(now),
        }
    }

    /// Starts the next generation with those that joined and the static ones.
    pub(super) fn complete_join(&mut self, now: Monotonic) {
        let absent = |(id, member): (&MemberId, &Member)| {
            (member.waiting != Waiting::Join && member.instance_id.is_none()).then(|| id.clone())
        };
        for id in self.members.iter().filter_map(absent).collect::<Vec<_>>() {
            self.drop_member(&id, || Error::UnknownMember);
        }
        if self.n_joining == 0 && !self.members.is_empty() {
            // Static members alone, none of them back: their sessions decide.
            let deadline = now.plus(self.rebalance_timeout());
            self.phase = Phase::Preparing { deadline, initial: None };
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.protocol = None;
            self.leader = None;
            return;
        }
        self.elect_leader();
        self.protocol = self.select_protocol();
        self.phase = Phase::Completing;
        self.sync_deadline = Some(now.plus(self.rebalance_timeout()));
        self.unsynced = self.members.keys().cloned().collect();
        for id in self.unsynced.clone() {
            let member = self.members.get_mut(&id).expect("`unsynced` was made from the members");
            member.is_new = false;
            self.held_bytes -= std::mem::take(&mut member.assignment).len();
            let waited = std::mem::replace(&mut member.waiting, Waiting::No) == Waiting::Join;
            if waited {
                self.n_joining -= 1;
                self.touch(now, &id);
                let joined = self.joined(&id);
                self.answers.push_back(Answer::Join(id, Ok(joined)));
            }
        }
    }

    /// The leader keeps its place if it joined, else the first member that did takes it.
    pub(super) fn elect_leader(&mut self) {
        let joined = |id: &MemberId| {
            self.members.get(id).is_some_and(|member| member.waiting == Waiting::Join)
        };
        if !self.leader.as_ref().is_some_and(joined) {
            self.leader = self.members.keys().find(|id| joined(id)).cloned();
        }
    }

    /// Takes the leader's assignment and answers everyone who waits for theirs.
    pub(super) fn propagate(&mut self, now: Monotonic, assignments: Vec<(MemberId, Bytes)>) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&id) {
                self.held_bytes += assignment.len();
                self.held_bytes -= std::mem::replace(&mut member.assignment, assignment).len();
            }
        }
        self.phase = Phase::Stable;
        self.has_changed = true;
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let member = self.members.get_mut(&id).expect("its key was just read");
            if std::mem::replace(&mut member.waiting, Waiting::No) == Waiting::Sync {
                let assignment = member.assignment.clone();
                self.touch(now, &id);
                let synced = self.synced(assignment);
                self.answers.push_back(Answer::Sync(id, Ok(synced)));
            }
        }
    }

    pub(super) fn expire_silent(&mut self, now: Monotonic) {
        while let Some((at, id)) = self.expiries.first().cloned()
            && at <= now
        {
            if self.pending.remove(&id).is_some() {
                self.expiries.remove(&(at, id));
                self.complete_join_when_all_are_in(now);
                continue;
            }
            let member = self.members.get(&id).expect("`expiries` names members and pending ids");
            if member.waiting != Waiting::No && !member.is_new {
                self.touch(now, &id); // It waits for us: that is its heartbeat.
            } else {
                self.remove(now, &id);
            }
        }
    }

    /// Takes a member out and starts or finishes the rebalance that this leads to.
    pub(super) fn remove(&mut self, now: Monotonic, id: &MemberId) {
        if self.members.contains_key(id) {
            self.drop_member(id, || Error::UnknownMember);
            self.prepare_rebalance(now);
            self.complete_join_when_all_are_in(now);
        }
    }
}
