//! The membership as stored, so that members go on over a restart of the broker.
//!
//! Stored when a rebalance completes and when a static member returns into a settled group, never
//! in between: a restart takes the group back to the last generation that was settled. All
//! numbers are big-endian.
//!
//! ```text
//! membership | 1: u8 | generation: i32 | protocol_type | protocol | leader
//!            | members: u32 | member ...
//! member     | id | instance_id | client_id | client_host | session_timeout: u64, ms
//!            | rebalance_timeout: u64, ms | assignment | protocols: u32 | (name | metadata) ...
//! every text | len: u32, 0xffffffff none | bytes
//! ```

use super::{
    Phase, Rules, State,
    member::{Member, Waiting},
};
use crate::group::{
    offsets::DecodeError,
    request::{Join, MemberId, Sync},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{sync::Arc, time::Duration};
use tramline_types::Monotonic;

const VERSION: u8 = 1;
/// The length of a text that is not there.
const NONE: u32 = u32::MAX;
/// Version, generation, three lengths and the number of members.
const HEAD_BYTES: usize = 1 + 4 + 3 * 4 + 4;
/// Two times, five lengths and the number of protocols.
const MEMBER_BYTES: usize = 2 * 8 + 5 * 4 + 4;

impl State {
    /// A settled group as it was stored; every session starts at `now`.
    pub(crate) fn restore(
        rules: Rules,
        now: Monotonic,
        mut bytes: Bytes,
    ) -> Result<Self, DecodeError> {
        if bytes.try_get_u8().map_err(|_| DecodeError)? != VERSION {
            return Err(DecodeError);
        }
        let mut state = Self::new(rules);
        state.phase = Phase::Stable;
        state.generation = bytes.try_get_i32().map_err(|_| DecodeError)?;
        state.protocol_type = optional(&mut bytes)?;
        state.protocol = optional(&mut bytes)?;
        state.leader = Some(MemberId::new(&text(&mut bytes)?));
        for _ in 0..bytes.try_get_u32().map_err(|_| DecodeError)? {
            let (id, member) = member(&mut bytes)?;
            if state.members.contains_key(&id) {
                return Err(DecodeError);
            }
            state.insert(now, id, member);
        }
        let leads = |leader| state.members.contains_key(leader);
        if bytes.has_remaining() || !state.leader.as_ref().is_some_and(leads) {
            return Err(DecodeError);
        }
        Ok(state)
    }

    /// Starts the session of every member anew.
    pub(crate) fn renew_sessions(&mut self, now: Monotonic) {
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            self.touch(now, &id);
        }
    }

    /// The membership, if it is settled and was not given out since it changed.
    pub(crate) fn poll_membership(&mut self) -> Option<Bytes> {
        let changed = std::mem::take(&mut self.has_changed);
        (changed && self.phase == Phase::Stable).then(|| self.encode())
    }

    /// What [`State::poll_membership`] takes at most after this sync, if it settles the group.
    pub(crate) fn bytes_after_sync(&self, sync: &Sync) -> Option<usize> {
        let settles = self.phase == Phase::Completing
            && self.generation == sync.generation
            && self.leader.as_ref() == Some(&sync.member.member_id);
        settles.then(|| {
            let known = sync.assignments.iter().filter(|(id, _)| self.members.contains_key(id));
            self.encoded_bytes() + known.map(|(_, assignment)| assignment.len()).sum::<usize>()
        })
    }

    /// What [`State::poll_membership`] takes at most after this join under the id `fresh`, if it
    /// takes a static member's place in a settled group.
    pub(crate) fn bytes_after_join(&self, join: &Join, fresh: &MemberId) -> Option<usize> {
        let name = join.member.instance_id.as_ref()?;
        let returns = self.phase == Phase::Stable
            && join.member.member_id.is_empty()
            && self.statics.contains_key(name);
        let ids_bytes = 2 * fresh.as_str().len() + join.client_host.len();
        let lengths_bytes = MEMBER_BYTES + 8 * join.protocols.len();
        returns.then(|| self.encoded_bytes() + join.held_bytes() + ids_bytes + lengths_bytes)
    }

    fn encode(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(self.encoded_bytes());
        buf.put_u8(VERSION);
        buf.put_i32(self.generation);
        put_optional(&mut buf, self.protocol_type.as_deref());
        put_optional(&mut buf, self.protocol.as_deref());
        put_optional(&mut buf, self.leader.as_ref().map(MemberId::as_str));
        buf.put_u32(length(self.members.len()));
        for (id, member) in &self.members {
            put(&mut buf, id.as_str().as_bytes());
            put_optional(&mut buf, member.instance_id.as_deref());
            put(&mut buf, member.client_id.as_bytes());
            put(&mut buf, member.client_host.as_bytes());
            buf.put_u64(millis(member.session_timeout));
            buf.put_u64(millis(member.rebalance_timeout));
            put(&mut buf, &member.assignment);
            buf.put_u32(length(member.protocols.len()));
            for (name, metadata) in &member.protocols {
                put(&mut buf, name.as_bytes());
                put(&mut buf, metadata);
            }
        }
        buf.freeze()
    }

    fn encoded_bytes(&self) -> usize {
        let optional = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        let of_member = |(id, member): (&MemberId, &Member)| {
            let protocols =
                member.protocols.iter().map(|(name, metadata)| 8 + name.len() + metadata.len());
            MEMBER_BYTES
                + id.as_str().len()
                + optional(&member.instance_id)
                + member.client_id.len()
                + member.client_host.len()
                + member.assignment.len()
                + protocols.sum::<usize>()
        };
        let leader = self.leader.as_ref().map_or(0, |leader| leader.as_str().len());
        HEAD_BYTES
            + optional(&self.protocol_type)
            + optional(&self.protocol)
            + leader
            + self.members.iter().map(of_member).sum::<usize>()
    }
}

fn member(bytes: &mut Bytes) -> Result<(MemberId, Member), DecodeError> {
    let id = MemberId::new(&text(bytes)?);
    let mut member = Member {
        instance_id: optional(bytes)?,
        client_id: text(bytes)?,
        client_host: text(bytes)?,
        session_timeout: duration(bytes)?,
        rebalance_timeout: duration(bytes)?,
        assignment: slice(bytes)?.ok_or(DecodeError)?,
        protocols: Vec::new(),
        waiting: Waiting::No,
        is_new: false,
        expires_at: Monotonic::default(),
    };
    for _ in 0..bytes.try_get_u32().map_err(|_| DecodeError)? {
        let name = text(bytes)?;
        member.protocols.push((name, slice(bytes)?.ok_or(DecodeError)?));
    }
    Ok((id, member))
}

fn put(buf: &mut BytesMut, bytes: &[u8]) {
    buf.put_u32(length(bytes.len()));
    buf.put_slice(bytes);
}

fn put_optional(buf: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put(buf, text.as_bytes()),
        None => buf.put_u32(NONE),
    }
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a request is far below 4 GiB")
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn duration(bytes: &mut Bytes) -> Result<Duration, DecodeError> {
    bytes.try_get_u64().map(Duration::from_millis).map_err(|_| DecodeError)
}

fn slice(bytes: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
    let len = bytes.try_get_u32().map_err(|_| DecodeError)?;
    if len == NONE {
        return Ok(None);
    }
    let len = usize::try_from(len).map_err(|_| DecodeError)?;
    if bytes.remaining() < len {
        return Err(DecodeError);
    }
    Ok(Some(bytes.split_to(len)))
}

fn optional(bytes: &mut Bytes) -> Result<Option<Arc<str>>, DecodeError> {
    let Some(text) = slice(bytes)? else { return Ok(None) };
    std::str::from_utf8(&text).map(|text| Some(text.into())).map_err(|_| DecodeError)
}

fn text(bytes: &mut Bytes) -> Result<Arc<str>, DecodeError> {
    optional(bytes)?.ok_or(DecodeError)
}

#[cfg(test)]
mod tests;
