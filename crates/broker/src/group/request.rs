//! What front-ends say to a consumer group, and what they hear back.

use crate::Error;
use bytes::Bytes;
use std::{fmt, sync::Arc, time::Duration};
use tramline_types::{GroupId, Offset, Timestamp, TopicName};

/// Names one member of a group: made by the broker, unique, never used again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(Arc<str>);

impl MemberId {
    /// Takes the id as the client sent it; empty means "none yet".
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The client has no id yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A member as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRef {
    /// The id from the last join; empty when the client has none.
    pub member_id: MemberId,
    /// The static member's name (`group.instance.id`).
    pub instance_id: Option<Arc<str>>,
}

impl MemberRef {
    /// A dynamic member.
    pub fn dynamic(member_id: &str) -> Self {
        Self { member_id: MemberId::new(member_id), instance_id: None }
    }
}

/// What a client without a member id gets from its first join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstJoin {
    /// It becomes a member at once (JoinGroup before v4).
    Admitted,
    /// It is told its id and joins again with it, so that a client that gave up leaves no ghost.
    AskedBack,
}

/// How a static leader that came back learns that the assignment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderReturn {
    /// It is made leader with a flag to skip the assignment (KIP-814, JoinGroup v9).
    SkipsAssignment,
    /// It is told that its former self leads, so that it does not assign.
    Follows,
}

/// A member wants to be in the next generation.
#[derive(Clone, Debug)]
pub struct Join {
    /// The group.
    pub group: GroupId,
    /// Who joins.
    pub member: MemberRef,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// Where it comes from.
    pub client_host: Arc<str>,
    /// `consumer`, `connect`, and the like.
    pub protocol_type: Arc<str>,
    /// Assignment strategies, the preferred one first, each with the member's metadata.
    pub protocols: Vec<(Arc<str>, Bytes)>,
    /// Without a heartbeat for so long, the member is gone.
    pub session_timeout: Duration,
    /// How long the others wait for this member to join again.
    pub rebalance_timeout: Duration,
    /// What happens without a member id.
    pub first_join: FirstJoin,
    /// What a returning static leader is told.
    pub leader_return: LeaderReturn,
}

impl Sync {
    /// What the assignments take in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.assignments.iter().map(|(_, assignment)| assignment.len()).sum()
    }
}

impl Join {
    /// What the member takes in memory by what it says about itself.
    pub(crate) fn held_bytes(&self) -> usize {
        let protocols = self.protocols.iter().map(|(name, metadata)| name.len() + metadata.len());
        protocols.sum::<usize>() + names_bytes(&self.client_id, self.member.instance_id.as_deref())
    }
}

/// What a member's names take in memory.
pub(super) fn names_bytes(client_id: &str, instance_id: Option<&str>) -> usize {
    client_id.len() + instance_id.map_or(0, str::len)
}

/// The generation that a join led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The strategy that won the vote.
    pub protocol: Option<Arc<str>>,
    /// Who assigns.
    pub leader: MemberId,
    /// Who this answer is for.
    pub member_id: MemberId,
    /// Everyone with their metadata for the chosen strategy: for the leader alone.
    pub members: Vec<JoinedMember>,
    /// The leader must not assign again.
    pub skip_assignment: bool,
}

/// One member, for the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: MemberId,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// What it said about itself for the chosen strategy.
    pub metadata: Bytes,
}

/// A refused join, with the member id to answer.
#[derive(Debug)]
pub struct JoinError {
    /// Why.
    pub error: Error,
    /// The id to use next; the one that the client sent, or one made for it.
    pub member_id: MemberId,
}

/// A member asks for its assignment; the leader brings everyone's.
#[derive(Clone, Debug)]
pub struct Sync {
    /// The group.
    pub group: GroupId,
    /// Who asks.
    pub member: MemberRef,
    /// Which generation it knows.
    pub generation: i32,
    /// Checked where the client says it (v5).
    pub protocol_type: Option<Arc<str>>,
    /// Checked where the client says it (v5).
    pub protocol: Option<Arc<str>>,
    /// Who gets what: from the leader alone.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// A member's assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen strategy.
    pub protocol: Option<Arc<str>>,
    /// What the leader gave this member, opaque.
    pub assignment: Bytes,
}

/// Where a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupPhase {
    /// No members; offsets may remain.
    Empty,
    /// Members are to join the next generation.
    PreparingRebalance,
    /// Everyone joined; the leader's assignment is awaited.
    CompletingRebalance,
    /// Everyone has an assignment.
    Stable,
    /// Deleted, or never there.
    Dead,
}

impl GroupPhase {
    /// The name that Kafka's tools show and filter by.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// The group.
    pub group: GroupId,
    /// Where it stands; `Dead` when there is no such group.
    pub phase: GroupPhase,
    /// `consumer` and the like; `None` when only offsets are kept.
    pub protocol_type: Option<Arc<str>>,
    /// The chosen strategy.
    pub protocol: Option<Arc<str>>,
    /// The members, by id.
    pub members: Vec<MemberDescription>,
}

/// One member of a described group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: MemberId,
    /// Its static name.
    pub instance_id: Option<Arc<str>>,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// Where it comes from.
    pub client_host: Arc<str>,
    /// Its metadata for the chosen strategy; empty until the group is stable.
    pub metadata: Bytes,
    /// Its assignment; empty until the group is stable.
    pub assignment: Bytes,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// The group.
    pub group: GroupId,
    /// Where it stands.
    pub phase: GroupPhase,
    /// `consumer` and the like; `None` when only offsets are kept.
    pub protocol_type: Option<Arc<str>>,
}

/// A member, or a client outside any generation, says how far it got.
#[derive(Clone, Debug)]
pub struct CommitOffsets {
    /// The group.
    pub group: GroupId,
    /// Who commits; empty for a client that only keeps offsets here.
    pub member: MemberRef,
    /// Which generation it knows; -1 for a client that only keeps offsets here.
    pub generation: i32,
    /// The positions.
    pub offsets: Vec<OffsetCommit>,
    /// How long they are kept while the group has no members, where not as long as all others.
    pub retention: Option<Duration>,
}

/// One position to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The topic: one that exists.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// The next offset to be read. `None` forgets the position, as if none had been committed.
    pub offset: Option<Offset>,
    /// The epoch of the last record read, where the client knows it.
    pub leader_epoch: Option<i32>,
    /// Whatever the client keeps with it.
    pub metadata: Arc<str>,
}

/// One position as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// What is kept; `None` when nothing is.
    pub committed: Option<Committed>,
}

/// What is kept for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to be read.
    pub offset: Offset,
    /// The epoch of the last record read, where the client knew it.
    pub leader_epoch: Option<i32>,
    /// Whatever the client kept with it.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub at: Timestamp,
    /// When it goes, if the group has no members then; as all others where it is `None`.
    pub expires_at: Option<Timestamp>,
}
