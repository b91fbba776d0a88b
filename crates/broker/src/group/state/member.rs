//! One member, and the bookkeeping of all of them: sessions, static names, the vote.

use super::{Answer, FIRST_JOIN_MAX, State};
use crate::{
    Error,
    group::request::{Join, JoinError, MemberId, MemberRef, names_bytes},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tramline_types::Monotonic;

/// What a member waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    No,
    Join,
    Sync,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<Arc<str>>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) protocols: Vec<(Arc<str>, Bytes)>,
    pub(super) session_timeout: Duration,
    pub(super) rebalance_timeout: Duration,
    pub(super) assignment: Bytes,
    pub(super) waiting: Waiting,
    /// It has not been in any generation.
    pub(super) is_new: bool,
    pub(super) expires_at: Monotonic,
}

impl Member {
    pub(super) fn new(join: Join) -> Self {
        Self {
            instance_id: join.member.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            protocols: join.protocols,
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            assignment: Bytes::new(),
            waiting: Waiting::No,
            is_new: true,
            expires_at: Monotonic::default(),
        }
    }

    /// A static member's new self keeps the assignment.
    pub(super) fn returning(former: Option<Self>, join: Join) -> Self {
        let (assignment, is_new) =
            former.map_or((Bytes::new(), true), |former| (former.assignment, former.is_new));
        Self { assignment, is_new, ..Self::new(join) }
    }

    /// What it takes in memory beside its protocols.
    fn other_bytes(&self) -> usize {
        self.assignment.len() + names_bytes(&self.client_id, self.instance_id.as_deref())
    }

    pub(super) fn metadata(&self, protocol: &str) -> Option<Bytes> {
        self.protocols.iter().find(|(name, _)| &**name == protocol).map(|(_, bytes)| bytes.clone())
    }
}

impl State {
    pub(super) fn member(&self, id: &MemberId) -> Result<&Member, Error> {
        self.members.get(id).ok_or(Error::UnknownMember)
    }

    pub(super) fn member_mut(&mut self, id: &MemberId) -> Result<&mut Member, Error> {
        self.members.get_mut(id).ok_or(Error::UnknownMember)
    }

    /// The member that a request names, if it is the one that holds the name.
    pub(super) fn current(&self, named: &MemberRef) -> Result<MemberId, Error> {
        if let Some(instance) = &named.instance_id {
            match self.statics.get(instance) {
                None => return Err(Error::UnknownMember),
                Some(holder) if *holder != named.member_id => return Err(Error::FencedInstance),
                Some(_) => {}
            }
        }
        self.member(&named.member_id)?;
        Ok(named.member_id.clone())
    }

    /// Puts the member's expiry one session away.
    pub(super) fn touch(&mut self, now: Monotonic, id: &MemberId) {
        if let Some(member) = self.members.get_mut(id) {
            let span = if member.is_new { FIRST_JOIN_MAX } else { member.session_timeout };
            let had_expiry = self.expiries.remove(&(member.expires_at, id.clone()));
            debug_assert!(had_expiry);
            member.expires_at = now.plus(span);
            self.expiries.insert((member.expires_at, id.clone()));
        }
    }

    pub(super) fn insert(&mut self, now: Monotonic, id: MemberId, mut member: Member) {
        self.count_protocols(&member.protocols, 1);
        self.held_bytes += member.other_bytes();
        if let Some(instance) = &member.instance_id {
            self.statics.insert(instance.clone(), id.clone());
        }
        member.expires_at = now;
        self.expiries.insert((now, id.clone()));
        self.members.insert(id.clone(), member);
        self.touch(now, &id);
    }

    /// Takes a member out and answers whatever it waits for.
    pub(super) fn drop_member(
        &mut self,
        id: &MemberId,
        error: impl Fn() -> Error,
    ) -> Option<Member> {
        let member = self.members.remove(id)?;
        self.count_protocols(&member.protocols, -1);
        self.held_bytes -= member.other_bytes();
        self.expiries.remove(&(member.expires_at, id.clone()));
        self.unsynced.remove(id);
        if self.unsynced.is_empty() {
            self.sync_deadline = None;
        }
        if let Some(instance) = &member.instance_id {
            self.statics.remove(instance);
        }
        match member.waiting {
            Waiting::No => {}
            Waiting::Join => {
                self.n_joining -= 1;
                let refused = JoinError { error: error(), member_id: id.clone() };
                self.answers.push_back(Answer::Join(id.clone(), Err(refused)));
            }
            Waiting::Sync => self.answers.push_back(Answer::Sync(id.clone(), Err(error()))),
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    pub(super) fn count_protocols(&mut self, protocols: &[(Arc<str>, Bytes)], by: isize) {
        for (name, metadata) in protocols {
            let bytes = isize::try_from(name.len() + metadata.len()).expect("memory is smaller");
            let held = self.held_bytes.checked_add_signed(by * bytes);
            self.held_bytes = held.expect("what goes was counted when it came");
            let count = self.supported.entry(name.clone()).or_default();
            *count = count.checked_add_signed(by).expect("each strategy is counted once a member");
            if *count == 0 {
                self.supported.remove(name);
            }
        }
    }

    /// Whether everyone here could work with one of the strategies that the newcomer brings.
    pub(super) fn supports(&self, join: &Join) -> bool {
        let all = self.members.len();
        !join.protocol_type.is_empty()
            && !join.protocols.is_empty()
            && (all == 0
                || self.protocol_type.as_ref() == Some(&join.protocol_type)
                    && join
                        .protocols
                        .iter()
                        .any(|(name, _)| self.supported.get(name) == Some(&all)))
    }

    /// Each member votes for the first strategy of its list that all support; a tie goes to
    /// the name that sorts last.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        let all = self.members.len();
        let mut votes: BTreeMap<&Arc<str>, usize> = BTreeMap::new();
        for member in self.members.values() {
            let common = |(name, _): &&(Arc<str>, Bytes)| self.supported.get(name) == Some(&all);
            if let Some((name, _)) = member.protocols.iter().find(common) {
                *votes.entry(name).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.clone())
    }

    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }
}
