//! Committed offsets on their way to the store and back: commit, fetch, delete, expire, recover.

use super::{
    Cell, Change, CommitOffsets, Committed, CommittedOffset, Group, GroupPhase, Groups, KEY_PREFIX,
    Occupancy, Offsets, Place, Shared,
};
use crate::Error;
use bytes::Bytes;
use std::sync::{Arc, atomic::Ordering};
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use tramline_store::{Commit, Op, Purpose, Reservation};
use tramline_types::{GroupId, LogId, Offset, TopicName, limits::GROUP_OFFSETS_BYTES_MAX};

/// What an entry takes beside its two texts, rounded up.
const ENTRY_BYTES: usize = 64;
/// Create, registry, id bound, up to three deltas.
const OPS_MAX: usize = 6;

impl Groups {
    /// Keeps positions; durable when this returns.
    pub async fn commit_offsets(
        &self,
        request: CommitOffsets,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let shared = &self.shared;
        let group = if request.generation < 0 {
            shared.group_or_new(&request.group)?
        } else {
            shared.group(&request.group).ok_or(Error::IllegalGeneration)?
        };
        let check = |cell: &mut Cell| {
            let now = shared.clock.monotonic();
            cell.state.handle_commit(now, &request.member, request.generation)
        };
        shared.step(&group, check)?;
        let at = shared.clock.steady();
        let metadata_bytes_max = shared.options().offset_metadata_bytes_max;
        let mut entries = Vec::new();
        let mut forgotten = Vec::new();
        let mut results = Vec::new();
        let mut bytes = 3 * ENTRY_BYTES + group.id.as_str().len();
        for commit in &request.offsets {
            let fits = commit.metadata.len() <= metadata_bytes_max;
            results.push(if fits { Ok(()) } else { Err(Error::OffsetMetadataTooLarge) });
            if !fits {
                continue;
            }
            bytes += ENTRY_BYTES + commit.topic.as_str().len() + commit.metadata.len();
            let place = (commit.topic.clone(), commit.partition);
            match commit.offset {
                Some(offset) => {
                    let committed = Committed::new(commit, offset, (at, request.retention));
                    entries.push((place, committed));
                }
                None => forgotten.push(place),
            }
        }
        if entries.is_empty() && forgotten.is_empty() {
            return Ok(results);
        }
        let reservation = shared.store.reserve(Purpose::Upkeep, bytes, OPS_MAX).wait().await?;
        let moves = shared.moves(&entries);
        let durable = shared.step(&group, |cell| {
            check(cell)?;
            cell.check_room(&entries)?;
            shared.note_moves(cell, moves);
            for place in &forgotten {
                cell.windows.remove(place);
            }
            let mut changes = Vec::new();
            if cell.log.is_none() {
                changes.push(Change::Occupancy(cell.offsets.occupancy()));
            }
            if !entries.is_empty() {
                changes.push(Change::Set(entries));
            }
            if !forgotten.is_empty() {
                changes.push(Change::Removed(forgotten));
            }
            Ok::<_, Error>(shared.submit(&group, cell, changes, reservation))
        })?;
        durable.await.map_err(|_| Error::Closed)?;
        shared.step(&group, |_| ()); // What is kept from here on is charged.
        // It is durable whether or not there is space for a checkpoint: the next one asks again.
        drop(shared.checkpoint_when_due(&group).await);
        Ok(results)
    }

    /// What is kept: for these partitions, or for all that have something. An error where damage
    /// may have taken a position that is asked for: a new one heals it.
    pub fn fetch_offsets(
        &self,
        group: &GroupId,
        places: Option<Vec<(TopicName, u32)>>,
    ) -> Result<Vec<CommittedOffset>, Error> {
        let Some(group) = self.shared.group(group) else {
            let none = |(topic, partition)| CommittedOffset { topic, partition, committed: None };
            return Ok(places.unwrap_or_default().into_iter().map(none).collect());
        };
        let mut cell = group.cell.lock();
        group.settle(&mut cell);
        let known = |place: &Place| cell.offsets.get(place).is_some();
        if let Some(damage) = &group.damage
            && places.as_ref().is_none_or(|places| !places.iter().all(known))
        {
            return Err(Error::DataDamaged(damage.clone()));
        }
        let Some(places) = places else { return Ok(cell.offsets.all()) };
        let look_up = |place: Place| {
            let committed = cell.offsets.get(&place).cloned();
            CommittedOffset { topic: place.0, partition: place.1, committed }
        };
        Ok(places.into_iter().map(look_up).collect())
    }

    /// Forgets positions of an empty group; durable when this returns.
    pub async fn delete_offsets(
        &self,
        group: &GroupId,
        places: Vec<(TopicName, u32)>,
    ) -> Result<(), Error> {
        let name = group;
        let group = self.shared.group(name).ok_or_else(|| Error::UnknownGroup(name.to_string()))?;
        if group.cell.lock().state.phase() != GroupPhase::Empty {
            return Err(Error::NonEmptyGroup);
        }
        self.shared.drop_places(&group, places).await
    }

    /// Forgets positions of topics that the group's members do not read, as the caller knows from
    /// what they say about themselves; durable when this returns.
    pub async fn delete_unread_offsets(
        &self,
        group: &GroupId,
        places: Vec<(TopicName, u32)>,
    ) -> Result<(), Error> {
        let name = group;
        let group = self.shared.group(name).ok_or_else(|| Error::UnknownGroup(name.to_string()))?;
        self.shared.drop_places(&group, places).await
    }

    /// Deletes an empty group with its offsets; durable when this returns.
    pub async fn delete(&self, group: &GroupId) -> Result<(), Error> {
        let name = group;
        let group = self.shared.group(name).ok_or_else(|| Error::UnknownGroup(name.to_string()))?;
        self.shared.end(&group).await
    }

    /// Drops what was committed for a topic that is gone.
    pub async fn topic_deleted(&self, topic: &TopicName) -> Result<(), Error> {
        for group in self.shared.all() {
            let places = {
                let mut cell = group.cell.lock();
                group.settle(&mut cell);
                cell.offsets.of_topic(topic)
            };
            self.shared.drop_places(&group, places).await?;
        }
        Ok(())
    }

    /// Drops what was committed for topics that do not exist: at start, when the process ended
    /// between the deletion of a topic and [`Groups::topic_deleted`].
    pub async fn retain_topics(&self, exists: impl Fn(&TopicName) -> bool) -> Result<(), Error> {
        for group in self.shared.all() {
            let mut places: Vec<Place> = {
                let cell = group.cell.lock();
                cell.offsets.all().into_iter().map(|kept| (kept.topic, kept.partition)).collect()
            };
            places.retain(|(topic, _)| !exists(topic));
            self.shared.drop_places(&group, places).await?;
        }
        Ok(())
    }
}

impl Cell {
    /// Whether these positions may be kept as well: those that only move on may always.
    fn check_room(&self, entries: &[(Place, Committed)]) -> Result<(), Error> {
        let (held, stored) = self.offsets.growth(entries);
        if held > 0 && !self.held_offsets.fits(held) {
            let detail = "the committed offsets of all groups take all of their memory";
            return Err(Error::LimitExceeded(detail.to_owned()));
        }
        if stored > 0 && self.offsets.stored_bytes() + stored > GROUP_OFFSETS_BYTES_MAX {
            let detail = "the committed offsets of the group would be too large to be stored";
            return Err(Error::LimitExceeded(detail.to_owned()));
        }
        Ok(())
    }
}

impl Group {
    /// Takes in what the committer has counted.
    pub(super) fn settle(&self, cell: &mut Cell) {
        cell.offsets.settle(self.n_durable.load(Ordering::Acquire));
    }
}

impl Shared {
    pub(super) fn recover(&self) -> Result<(), Error> {
        let now = self.clock.steady();
        let damage = self.store.damage();
        for (key, value) in self.store.scan(KEY_PREFIX.as_bytes()) {
            let damaged = || Error::DataDamaged(format!("`{}`", String::from_utf8_lossy(&key)));
            let name = std::str::from_utf8(&key[KEY_PREFIX.len()..]).map_err(|_| damaged())?;
            let id = GroupId::parse(name).map_err(|_| damaged())?;
            let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            let log = LogId(number.ok_or_else(damaged)?);
            let stored = self.store.take_state(log)?;
            let mut offsets = Offsets::recover(&stored)
                .map_err(|error| Error::DataDamaged(format!("group `{id}`: {error}")))?;
            let membership = offsets.members().clone();
            if membership.is_empty() && offsets.occupancy() == Occupancy::Occupied {
                offsets.note_occupancy(Occupancy::EmptySince(Some(now)));
            }
            let lost = damage.iter().find(|damage| damage.log == Some(log));
            let lost = lost.map(|damage| format!("group `{id}`: {}", damage.detail));
            if let Some(detail) = &lost {
                error!(group = %id, detail, "committed offsets are damaged: reset them");
            }
            let group = self.new_group(id.clone(), Some(log), offsets, lost);
            self.begin_windows(&group);
            if membership.is_empty() {
                self.step(&group, |_| ()); // What was loaded is charged.
            } else {
                self.restore_members(&group, membership)
                    .map_err(|error| Error::DataDamaged(format!("group `{id}`: {error}")))?;
            }
            self.groups.lock().insert(id, group);
        }
        Ok(())
    }

    /// Submits changes of a group's offsets; the first one makes the group's log.
    pub(super) fn submit(
        &self,
        group: &Group,
        cell: &mut Cell,
        changes: Vec<Change>,
        reservation: Reservation,
    ) -> oneshot::Receiver<()> {
        let mut ops = Vec::with_capacity(OPS_MAX);
        let log = cell.log.unwrap_or_else(|| {
            let (number, bound) = self.log_ids.next();
            ops.push(bound);
            ops.push(Op::Create(LogId(number), Offset::ZERO));
            ops.push(Op::Put(key(&group.id), Bytes::from(number.to_string())));
            LogId(number)
        });
        cell.log = Some(log);
        for change in changes {
            ops.push(Op::Delta(log, cell.offsets.handle_submit(change)));
        }
        let n_submitted = cell.offsets.n_submitted();
        let n_durable = group.n_durable.clone();
        let (durable, waiting) = oneshot::channel();
        let on_durable = Box::new(move || {
            n_durable.fetch_max(n_submitted, Ordering::Release);
            durable.send(()).ok(); // The client may be gone.
        });
        self.store.submit(Commit { ops: ops.into(), on_durable }, reservation);
        waiting
    }

    async fn drop_places(&self, group: &Arc<Group>, places: Vec<Place>) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let size = |(topic, _): &Place| ENTRY_BYTES + topic.as_str().len();
        let bytes = places.iter().map(size).sum();
        let reservation = self.store.reserve(Purpose::Upkeep, bytes, OPS_MAX).wait().await?;
        let durable = self.step(group, |cell| {
            for place in &places {
                cell.windows.remove(place);
            }
            let removed = vec![Change::Removed(places)];
            (cell.state.phase() != GroupPhase::Dead && cell.log.is_some())
                .then(|| self.submit(group, cell, removed, reservation))
        });
        if let Some(durable) = durable {
            durable.await.map_err(|_| Error::Closed)?;
        }
        self.checkpoint_when_due(group).await
    }

    /// Replaces a long chain of deltas. Nobody waits for it to be durable.
    pub(super) async fn checkpoint_when_due(&self, group: &Arc<Group>) -> Result<(), Error> {
        let Some(bytes) = group.cell.lock().offsets.checkpoint_due() else { return Ok(()) };
        let reservation = self.store.reserve(Purpose::Upkeep, bytes, 1).wait().await?;
        let mut cell = group.cell.lock();
        let alive = cell.state.phase() != GroupPhase::Dead;
        if let Some(log) = cell.log.filter(|_| alive)
            && let Some(checkpoint) = cell.offsets.poll_checkpoint(bytes)
        {
            let ops = [Op::Checkpoint(log, checkpoint)].into_iter().collect();
            self.store.submit(Commit { ops, on_durable: Box::new(|| {}) }, reservation);
        }
        Ok(())
    }

    /// Ends an empty group: its name is free at once, its log goes with the commit.
    async fn end(&self, group: &Arc<Group>) -> Result<(), Error> {
        let bytes = ENTRY_BYTES + group.id.as_str().len();
        let reservation = self.store.reserve(Purpose::Upkeep, bytes, OPS_MAX).wait().await?;
        let durable = {
            let mut cell = group.cell.lock();
            cell.state.handle_delete()?;
            cell.log.take().map(|log| {
                let ops = [Op::Delete(log), Op::Remove(key(&group.id))].into_iter().collect();
                let (durable, waiting) = oneshot::channel();
                let on_durable = Box::new(move || {
                    durable.send(()).ok();
                });
                self.store.submit(Commit { ops, on_durable }, reservation);
                waiting
            })
        };
        {
            let mut groups = self.groups.lock();
            if groups.get(&group.id).is_some_and(|held| Arc::ptr_eq(held, group)) {
                groups.remove(&group.id);
            }
        }
        match durable {
            Some(durable) => durable.await.map_err(|_| Error::Closed),
            None => Ok(()),
        }
    }

    /// Drops offsets that have been kept long enough, and groups that have nothing left.
    pub(super) async fn sweep(&self) {
        let retention = i64::try_from(self.options().offsets_retention.as_millis());
        let now = self.clock.steady();
        let limit = now.minus_millis(retention.unwrap_or(i64::MAX));
        for group in self.all() {
            let (expired, n_kept) = {
                let mut cell = group.cell.lock();
                group.settle(&mut cell);
                self.note_occupancy(&group, &mut cell);
                let idle = cell.state.is_idle();
                let expired = if idle { cell.offsets.expired(now, limit) } else { Vec::new() };
                let n_kept = if idle { cell.offsets.len() - expired.len() } else { usize::MAX };
                (expired, n_kept)
            };
            let n_expired = expired.len();
            let done = if n_kept == 0 {
                self.end(&group).await
            } else {
                self.drop_places(&group, expired).await
            };
            match done {
                Ok(()) if n_expired > 0 => info!(group = %group.id, n_expired, "offsets expired"),
                Ok(()) => {}
                // Somebody joined meanwhile, or there is no space: the next sweep sees to it.
                Err(error) => warn!(group = %group.id, %error, "offsets could not be expired"),
            }
        }
    }
}

fn key(group: &GroupId) -> Bytes {
    Bytes::from(format!("{KEY_PREFIX}{group}"))
}
