//! What one consumer group has committed, and how that is stored, with the membership beside it.
//!
//! Pure state. A change is encoded and noted as submitted; it shows when [`Offsets::settle`]
//! hears that it is durable, so that no client is told a position that a crash takes back.
//!
//! The group's log in the store has no records, only state. A delta is one change, a checkpoint
//! is all entries in the same form. All numbers are big-endian.
//!
//! ```text
//! set        | 1: u8 | entry ...                                          |
//! removed    | 2: u8 | (topic_len: u16, topic, partition: u32) ...        |
//! occupancy  | 3: u8 | since: i64                                         |
//! checkpoint | 4: u8 | since: i64 | entry ...                             |
//! set        | 5: u8 | (entry, expires_at: i64) ...                       |
//! checkpoint | 6: u8 | since: i64 | (entry, expires_at: i64) ...          |
//! members    | 7: u8 | membership                                         |
//! checkpoint | 8: u8 | since: i64 | len: u32 | membership | (entry, expires_at: i64) ... |
//! entry      | topic_len: u16 | topic | partition: u32 | offset: i64 | leader_epoch: i32,
//!            | -1 none | committed_at: i64, ms | metadata_len: u16 | metadata             |
//! membership as in `state/stored.rs`; empty where it is not kept. It is over when the group
//!            becomes empty
//! expires_at when the entry goes, ms since 1970; -1: as all others. 1 and 4 where none has one;
//!            8 where there is a membership
//! since      when the group became empty, ms since 1970; -1 while it has members
//! ```

use super::request::{Committed, CommittedOffset, OffsetCommit};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tramline_store::RecoveredState;
use tramline_types::{Offset, Timestamp, TopicName};

const SET: u8 = 1;
const REMOVED: u8 = 2;
const OCCUPANCY: u8 = 3;
const CHECKPOINT: u8 = 4;
const SET_EXPIRING: u8 = 5;
const CHECKPOINT_EXPIRING: u8 = 6;
const MEMBERS: u8 = 7;
const CHECKPOINT_OCCUPIED: u8 = 8;

/// Deltas may grow to this before the first checkpoint is due.
const DELTA_BYTES_MAX: usize = 4096;
/// Commits that arrive while space for a checkpoint is awaited still fit.
const CHECKPOINT_SPARE_BYTES: usize = 4096;

/// What an entry takes in memory beside its two texts: key, value, their allocations and the
/// tree's share.
const ENTRY_BYTES_HELD: usize = 144;

/// What an entry takes in a checkpoint beside its two texts.
const ENTRY_BYTES_STORED: usize = 36;

/// One partition of one topic.
pub(crate) type Place = (TopicName, u32);

/// Whether the group has members; what the retention of its offsets counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupancy {
    /// It has members.
    Occupied,
    /// It has had none since then; `None` when it never had any.
    EmptySince(Option<Timestamp>),
}

/// One stored change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// These positions were committed.
    Set(Vec<(Place, Committed)>),
    /// These positions are dropped.
    Removed(Vec<Place>),
    /// The group got its first member or lost its last.
    Occupancy(Occupancy),
    /// A generation was settled: its membership, encoded; empty where it is not kept.
    Members(Bytes),
}

/// Why stored bytes are no group state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored state of a consumer group cannot be read")]
pub(crate) struct DecodeError;

/// The committed positions of one group.
#[derive(Debug)]
pub(crate) struct Offsets {
    durable: BTreeMap<Place, Committed>,
    /// The names and metadata of `durable`.
    text_bytes: usize,
    occupancy: Occupancy,
    /// The last settled membership, while the group has members; empty where none is kept.
    members: Bytes,
    /// Submitted, in order, not known to be durable.
    in_flight: VecDeque<Change>,
    n_settled: u64,
    delta_bytes: usize,
    checkpoint_bytes: usize,
}

impl Offsets {
    /// Nothing committed.
    pub(crate) const fn new() -> Self {
        Self {
            durable: BTreeMap::new(),
            text_bytes: 0,
            occupancy: Occupancy::EmptySince(None),
            members: Bytes::new(),
            in_flight: VecDeque::new(),
            n_settled: 0,
            delta_bytes: 0,
            checkpoint_bytes: 0,
        }
    }

    /// The state as stored.
    pub(crate) fn recover(stored: &RecoveredState) -> Result<Self, DecodeError> {
        let mut offsets = Self::new();
        if let Some(checkpoint) = &stored.checkpoint {
            offsets.checkpoint_bytes = checkpoint.len();
            offsets.apply_checkpoint(checkpoint.clone())?;
        }
        for delta in &stored.deltas {
            offsets.delta_bytes += delta.len();
            offsets.apply(Change::decode(delta.clone())?);
        }
        Ok(offsets)
    }

    /// Encodes a change that is about to be submitted.
    pub(crate) fn handle_submit(&mut self, change: Change) -> Bytes {
        let bytes = change.encode();
        self.delta_bytes += bytes.len();
        self.in_flight.push_back(change);
        bytes
    }

    /// The number of changes submitted so far.
    pub(crate) fn n_submitted(&self) -> u64 {
        self.n_settled + u64::try_from(self.in_flight.len()).expect("a length fits 64 bits")
    }

    /// So many changes, of all that were ever submitted, are durable.
    pub(crate) fn settle(&mut self, n_durable: u64) {
        while self.n_settled < n_durable
            && let Some(change) = self.in_flight.pop_front()
        {
            self.n_settled += 1;
            self.apply(change);
        }
    }

    /// The space that a checkpoint may take, when one is due.
    pub(crate) fn checkpoint_due(&self) -> Option<usize> {
        let bytes = || self.with_submitted().checkpoint().len() + CHECKPOINT_SPARE_BYTES;
        self.is_checkpoint_due().then(bytes)
    }

    fn is_checkpoint_due(&self) -> bool {
        self.delta_bytes > DELTA_BYTES_MAX.max(2 * self.checkpoint_bytes)
    }

    /// A checkpoint of everything submitted, when one is due and not larger than `bytes_max`.
    pub(crate) fn poll_checkpoint(&mut self, bytes_max: usize) -> Option<Bytes> {
        if !self.is_checkpoint_due() {
            return None;
        }
        let checkpoint = self.with_submitted().checkpoint();
        if checkpoint.len() > bytes_max {
            return None;
        }
        self.delta_bytes = 0;
        self.checkpoint_bytes = checkpoint.len();
        Some(checkpoint)
    }

    fn with_submitted(&self) -> Self {
        let mut all = Self::new();
        all.durable = self.durable.clone();
        all.text_bytes = self.text_bytes;
        all.occupancy = self.occupancy;
        all.members = self.members.clone();
        for change in &self.in_flight {
            all.apply(change.clone());
        }
        all
    }

    fn checkpoint(&self) -> Bytes {
        let mut buf = BytesMut::new();
        let expiring = self.durable.values().any(|committed| committed.expires_at.is_some());
        let occupied = !self.members.is_empty();
        buf.put_u8(match (occupied, expiring) {
            (true, _) => CHECKPOINT_OCCUPIED,
            (false, true) => CHECKPOINT_EXPIRING,
            (false, false) => CHECKPOINT,
        });
        buf.put_i64(encode_occupancy(self.occupancy));
        if occupied {
            buf.put_u32(u32::try_from(self.members.len()).expect("it went into one commit"));
            buf.put_slice(&self.members);
        }
        for (place, committed) in &self.durable {
            encode_entry(&mut buf, place, committed);
            if occupied || expiring {
                encode_expiry(&mut buf, committed.expires_at);
            }
        }
        buf.freeze()
    }

    /// How many partitions have something kept, or on the way.
    pub(crate) fn len(&self) -> usize {
        self.durable.len() + self.in_flight.len()
    }

    /// What is kept takes so much in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.durable.len() * ENTRY_BYTES_HELD + self.text_bytes
    }

    /// What is kept takes so much in a checkpoint at most.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.durable.len() * ENTRY_BYTES_STORED + self.text_bytes
    }

    /// By so much these positions would make [`Self::held_bytes`] and [`Self::stored_bytes`] grow.
    pub(crate) fn growth(&self, entries: &[(Place, Committed)]) -> (usize, usize) {
        let (mut held, mut stored) = (0, 0);
        for (place, committed) in entries {
            let (texts, entry) = match self.durable.get(place) {
                Some(known) => (committed.metadata.len().saturating_sub(known.metadata.len()), 0),
                None => (text_bytes(place, committed), 1),
            };
            held += texts + entry * ENTRY_BYTES_HELD;
            stored += texts + entry * ENTRY_BYTES_STORED;
        }
        (held, stored)
    }

    /// What is kept for one partition.
    pub(crate) fn get(&self, place: &Place) -> Option<&Committed> {
        self.durable.get(place)
    }

    /// Everything that is kept.
    pub(crate) fn all(&self) -> Vec<CommittedOffset> {
        let show = |((topic, partition), committed): (&Place, &Committed)| CommittedOffset {
            topic: topic.clone(),
            partition: *partition,
            committed: Some(committed.clone()),
        };
        self.durable.iter().map(show).collect()
    }

    /// The partitions of one topic that are kept, or on the way.
    pub(crate) fn of_topic(&self, topic: &TopicName) -> Vec<Place> {
        let first = (topic.clone(), 0);
        let durable = self.durable.range(first..).map(|(place, _)| place);
        let durable = durable.take_while(|(name, _)| name == topic);
        let submitted = self.in_flight.iter().flat_map(|change| match change {
            Change::Set(entries) => entries.as_slice(),
            Change::Removed(_) | Change::Occupancy(_) | Change::Members(_) => &[],
        });
        let submitted = submitted.map(|(place, _)| place).filter(|(name, _)| name == topic);
        durable.chain(submitted).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What has been kept for as long as it has to be: nothing while the group has members,
    /// else what has its own time and is beyond it, and what was committed before `limit`, if the
    /// group has been empty since before then.
    pub(crate) fn expired(&self, now: Timestamp, limit: Timestamp) -> Vec<Place> {
        let long_empty = match self.occupancy {
            Occupancy::Occupied => return Vec::new(),
            Occupancy::EmptySince(since) => since.is_none_or(|since| since <= limit),
        };
        let is_expired = |committed: &Committed| match committed.expires_at {
            Some(at) => at <= now,
            None => long_empty && committed.at <= limit,
        };
        let old = self.durable.iter().filter(|(_, committed)| is_expired(committed));
        old.map(|(place, _)| place.clone()).collect()
    }

    /// Whether the group has members, as last submitted.
    pub(crate) fn occupancy(&self) -> Occupancy {
        let submitted = self.in_flight.iter().rev().find_map(|change| match change {
            Change::Occupancy(occupancy) => Some(*occupancy),
            Change::Members(_) => Some(Occupancy::Occupied),
            Change::Set(_) | Change::Removed(_) => None,
        });
        submitted.unwrap_or(self.occupancy)
    }

    /// The membership as kept; empty where none is.
    pub(crate) const fn members(&self) -> &Bytes {
        &self.members
    }

    /// Notes whether the group has members where nothing is stored for the group.
    pub(crate) fn note_occupancy(&mut self, occupancy: Occupancy) {
        self.apply(Change::Occupancy(occupancy));
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Set(entries) => {
                for (place, committed) in entries {
                    self.text_bytes += text_bytes(&place, &committed);
                    let known = self.durable.get(&place);
                    self.text_bytes -= known.map_or(0, |known| text_bytes(&place, known));
                    self.durable.insert(place, committed);
                }
            }
            Change::Removed(places) => {
                for place in places {
                    if let Some(known) = self.durable.remove(&place) {
                        self.text_bytes -= text_bytes(&place, &known);
                    }
                }
            }
            Change::Occupancy(occupancy) => {
                self.occupancy = occupancy;
                if occupancy != Occupancy::Occupied {
                    self.members = Bytes::new();
                }
            }
            Change::Members(members) => {
                self.occupancy = Occupancy::Occupied;
                self.members = members;
            }
        }
    }

    fn apply_checkpoint(&mut self, mut bytes: Bytes) -> Result<(), DecodeError> {
        let kind = bytes.try_get_u8().map_err(|_| DecodeError)?;
        let occupancy = decode_occupancy(bytes.try_get_i64().map_err(|_| DecodeError)?);
        if kind == CHECKPOINT_OCCUPIED {
            let len = bytes.try_get_u32().map_err(|_| DecodeError)?;
            let len = usize::try_from(len).map_err(|_| DecodeError)?;
            if bytes.remaining() < len {
                return Err(DecodeError);
            }
            self.members = Bytes::copy_from_slice(&bytes.split_to(len));
        }
        let entries = match kind {
            CHECKPOINT => decode_all(&mut bytes, decode_entry)?,
            CHECKPOINT_EXPIRING | CHECKPOINT_OCCUPIED => decode_all(&mut bytes, decode_expiring)?,
            _ => return Err(DecodeError),
        };
        self.apply(Change::Set(entries));
        self.apply(Change::Occupancy(occupancy));
        Ok(())
    }
}

fn text_bytes((topic, _): &Place, committed: &Committed) -> usize {
    topic.as_str().len() + committed.metadata.len()
}

impl Committed {
    /// What a commit keeps.
    pub(crate) fn new(
        commit: &OffsetCommit,
        offset: Offset,
        (at, retention): (Timestamp, Option<Duration>),
    ) -> Self {
        let expires_at = retention.map(|retention| {
            at.plus_millis(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
        });
        let (leader_epoch, metadata) = (commit.leader_epoch, commit.metadata.clone());
        Self { offset, leader_epoch, metadata, at, expires_at }
    }
}

impl Change {
    fn encode(&self) -> Bytes {
        let mut buf = BytesMut::new();
        match self {
            Self::Set(entries) => {
                let expiring = entries.iter().any(|(_, committed)| committed.expires_at.is_some());
                buf.put_u8(if expiring { SET_EXPIRING } else { SET });
                for (place, committed) in entries {
                    encode_entry(&mut buf, place, committed);
                    if expiring {
                        encode_expiry(&mut buf, committed.expires_at);
                    }
                }
            }
            Self::Removed(places) => {
                buf.put_u8(REMOVED);
                for place in places {
                    encode_place(&mut buf, place);
                }
            }
            Self::Occupancy(occupancy) => {
                buf.put_u8(OCCUPANCY);
                buf.put_i64(encode_occupancy(*occupancy));
            }
            Self::Members(members) => {
                buf.put_u8(MEMBERS);
                buf.put_slice(members);
            }
        }
        buf.freeze()
    }

    fn decode(mut bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(match bytes.try_get_u8().map_err(|_| DecodeError)? {
            SET => Self::Set(decode_all(&mut bytes, decode_entry)?),
            SET_EXPIRING => Self::Set(decode_all(&mut bytes, decode_expiring)?),
            REMOVED => Self::Removed(decode_all(&mut bytes, decode_place)?),
            OCCUPANCY => {
                Self::Occupancy(decode_occupancy(bytes.try_get_i64().map_err(|_| DecodeError)?))
            }
            // A copy of its own: it is kept, and what it was read with is not.
            MEMBERS => Self::Members(Bytes::copy_from_slice(&bytes)),
            _ => return Err(DecodeError),
        })
    }
}

fn encode_occupancy(occupancy: Occupancy) -> i64 {
    match occupancy {
        Occupancy::Occupied => -1,
        Occupancy::EmptySince(since) => since.map_or(0, Timestamp::as_millis),
    }
}

const fn decode_occupancy(since: i64) -> Occupancy {
    match since {
        i64::MIN..0 => Occupancy::Occupied,
        0 => Occupancy::EmptySince(None),
        1.. => Occupancy::EmptySince(Some(Timestamp::from_millis(since))),
    }
}

fn decode_all<T>(
    bytes: &mut Bytes,
    one: impl Fn(&mut Bytes) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut all = Vec::new();
    while bytes.has_remaining() {
        all.push(one(bytes)?);
    }
    Ok(all)
}

fn encode_text(buf: &mut BytesMut, text: &str) {
    buf.put_u16(u16::try_from(text.len()).expect("names and metadata are shorter than 64 KiB"));
    buf.put_slice(text.as_bytes());
}

fn decode_text(bytes: &mut Bytes) -> Result<Arc<str>, DecodeError> {
    let len = usize::from(bytes.try_get_u16().map_err(|_| DecodeError)?);
    if bytes.remaining() < len {
        return Err(DecodeError);
    }
    let text = bytes.split_to(len);
    Ok(std::str::from_utf8(&text).map_err(|_| DecodeError)?.into())
}

fn encode_place(buf: &mut BytesMut, (topic, partition): &Place) {
    encode_text(buf, topic.as_str());
    buf.put_u32(*partition);
}

fn decode_place(bytes: &mut Bytes) -> Result<Place, DecodeError> {
    let topic = TopicName::parse(&decode_text(bytes)?).map_err(|_| DecodeError)?;
    Ok((topic, bytes.try_get_u32().map_err(|_| DecodeError)?))
}

fn encode_entry(buf: &mut BytesMut, place: &Place, committed: &Committed) {
    encode_place(buf, place);
    buf.put_i64(committed.offset.as_i64());
    buf.put_i32(committed.leader_epoch.unwrap_or(-1));
    buf.put_i64(committed.at.as_millis());
    encode_text(buf, &committed.metadata);
}

fn decode_entry(bytes: &mut Bytes) -> Result<(Place, Committed), DecodeError> {
    let place = decode_place(bytes)?;
    let offset = bytes.try_get_i64().map_err(|_| DecodeError)?;
    let leader_epoch = bytes.try_get_i32().map_err(|_| DecodeError)?;
    let at = bytes.try_get_i64().map_err(|_| DecodeError)?;
    let committed = Committed {
        offset: Offset::from_i64(offset).ok_or(DecodeError)?,
        leader_epoch: (leader_epoch >= 0).then_some(leader_epoch),
        metadata: decode_text(bytes)?,
        at: Timestamp::from_millis(at),
        expires_at: None,
    };
    Ok((place, committed))
}

fn encode_expiry(buf: &mut BytesMut, expires_at: Option<Timestamp>) {
    buf.put_i64(expires_at.map_or(-1, Timestamp::as_millis));
}

fn decode_expiring(bytes: &mut Bytes) -> Result<(Place, Committed), DecodeError> {
    let (place, mut committed) = decode_entry(bytes)?;
    let at = bytes.try_get_i64().map_err(|_| DecodeError)?;
    committed.expires_at = (at >= 0).then(|| Timestamp::from_millis(at));
    Ok((place, committed))
}

#[cfg(test)]
mod tests;
