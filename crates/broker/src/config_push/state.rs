//! Which keys there are, with which values, and which of them are kept: pure state.
//!
//! A change is proposed against what was proposed before it, becomes part of the log, and is
//! taken up when it is durable. Time comes in with the change.
//!
//! Invariants: the versions of a key are ascending; of each key the newest is there, with as many
//! earlier ones as it says, and the one that its roll-out is based on; `by_revision` has each key
//! exactly once, at its newest revision; of the values, those of the newest and of the base are held
//! in memory, and `held_bytes` is their sum.

mod look;
mod propose;

use super::{ConfigKey, Rollout, Update};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};
use tramline_types::Timestamp;

pub(crate) use propose::{Limits, Proposal};

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) revision: u64,
    pub(crate) time: Timestamp,
    /// Where in the log it lies.
    pub(crate) offset: u64,
    /// About so many bytes of the log.
    pub(crate) stored: usize,
    /// Earlier versions that are kept beside it while it is the newest.
    pub(crate) kept: u32,
    pub(crate) rollout: Option<Rollout>,
    pub(crate) note: Option<Arc<str>>,
    pub(crate) content_type: Arc<str>,
    pub(crate) content: Content,
}

/// A version's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The key was deleted.
    Deleted,
    /// In memory.
    Held(Bytes),
    /// In the log only; so long.
    Stored(usize),
}

impl Content {
    const fn held(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::Deleted | Self::Stored(_) => 0,
        }
    }
}

/// One key.
#[derive(Debug, Default)]
pub(crate) struct Keyed {
    /// Ascending.
    pub(crate) versions: VecDeque<Version>,
    /// The highest offset of a record of it that means nothing any more. Its newest record stays
    /// while that lies in the log, or else an older one would seem to be the newest.
    dead_max: Option<u64>,
}

impl Keyed {
    pub(crate) fn newest(&self) -> &Version {
        self.versions.back().expect("a key has a version at least")
    }

    pub(crate) fn version(&self, revision: u64) -> Option<&Version> {
        self.versions
            .binary_search_by_key(&revision, |it| it.revision)
            .ok()
            .map(|at| &self.versions[at])
    }

    fn bury(&mut self, offset: u64) {
        self.dead_max = self.dead_max.max(Some(offset));
    }
}

/// The newest proposed version of a key that is not durable yet.
#[derive(Clone, Debug)]
struct Head {
    revision: u64,
    deleted: bool,
    rollout: Option<Rollout>,
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct State {
    keys: BTreeMap<ConfigKey, Keyed>,
    by_revision: BTreeMap<u64, Vec<ConfigKey>>,
    pending: VecDeque<Pending>,
    heads: HashMap<ConfigKey, Head>,
    /// The last revision that was taken up.
    visible: u64,
    /// The last revision that was given out.
    given: u64,
    /// Deletions up to this revision may be forgotten.
    floor: u64,
    held_bytes: usize,
    /// Of the log, what belongs to versions.
    live_bytes: usize,
    /// Of the log, everything.
    log_bytes: usize,
}

/// What is in the log and not known to be durable.
#[derive(Debug)]
struct Pending {
    /// The offset after its last record.
    end: u64,
    revision: u64,
    items: Vec<(ConfigKey, Version)>,
}

/// A revision that has been taken up.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) updates: Vec<Arc<Update>>,
}

impl State {
    pub(crate) const fn visible(&self) -> u64 {
        self.visible
    }

    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(crate) const fn log_bytes(&self) -> usize {
        self.log_bytes
    }

    pub(crate) const fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    pub(crate) fn key(&self, key: &ConfigKey) -> Option<&Keyed> {
        self.keys.get(key)
    }

    /// Keys that have a value, and all versions that are kept. Counts all keys.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let live = self.keys.values().filter(|key| key.newest().content != Content::Deleted);
        (live.count(), self.keys.values().map(|key| key.versions.len()).sum())
    }

    /// A proposal is in the log, from `base` on; `stored` tells the bytes of each of its records.
    pub(crate) fn handle_submitted(&mut self, proposal: Proposal, base: u64, stored: &[usize]) {
        let Proposal { revision, mut items } = proposal;
        let mut end = base;
        for ((key, version), stored) in items.iter_mut().zip(stored) {
            version.offset = end;
            version.stored = *stored;
            end += 1;
            let deleted = version.content == Content::Deleted;
            let head = Head { revision, deleted, rollout: version.rollout.clone() };
            self.heads.insert(key.clone(), head);
        }
        self.given = revision;
        self.pending.push_back(Pending { end, revision, items });
    }

    /// Everything below `durable` is durable: takes up what was waiting for that.
    pub(crate) fn handle_durable(&mut self, durable: u64) -> Vec<Applied> {
        let mut applied = Vec::new();
        while let Some(pending) = self.pending.pop_front_if(|first| first.end <= durable) {
            let mut updates = Vec::with_capacity(pending.items.len());
            for (key, version) in pending.items {
                if self.heads.get(&key).is_some_and(|head| head.revision == pending.revision) {
                    self.heads.remove(&key);
                }
                let before = self.before(&key);
                self.take_up(&key, version);
                updates.push(Arc::new(self.update(&key, before)));
            }
            self.visible = pending.revision;
            applied.push(Applied { updates });
        }
        applied
    }

    /// A version that the log has, in any order: what is not to be kept is passed over. Where it
    /// comes twice, the later place counts.
    pub(crate) fn replay(&mut self, key: &ConfigKey, version: Version) {
        self.visible = self.visible.max(version.revision);
        self.given = self.given.max(version.revision);
        self.take_up(key, version);
    }

    /// Deletions up to here were forgotten in an earlier run.
    pub(crate) fn replay_floor(&mut self, floor: u64) {
        self.floor = floor;
        self.visible = self.visible.max(floor);
        self.given = self.given.max(floor);
    }

    fn take_up(&mut self, key: &ConfigKey, version: Version) {
        self.log_bytes += version.stored;
        self.live_bytes += version.stored;
        self.held_bytes += version.content.held();
        let keyed = self.keys.entry(key.clone()).or_default();
        if let Some(newest) = keyed.versions.back() {
            remove_from(&mut self.by_revision, newest.revision, key);
        }
        match keyed.versions.binary_search_by_key(&version.revision, |it| it.revision) {
            Ok(at) => {
                let copy = std::mem::replace(&mut keyed.versions[at], version);
                keyed.bury(copy.offset);
                self.live_bytes -= copy.stored;
                self.held_bytes -= copy.content.held();
            }
            Err(at) => keyed.versions.insert(at, version),
        }
        self.settle(key);
        let newest = self.keys[key].newest().revision;
        self.by_revision.entry(newest).or_default().push(key.clone());
    }

    /// Drops the versions of a key that are too many, and of the values in memory those that are
    /// asked for seldom.
    fn settle(&mut self, key: &ConfigKey) {
        let keyed = self.keys.get_mut(key).expect("the caller has put a version there");
        let kept = usize::try_from(keyed.newest().kept).unwrap_or(usize::MAX).saturating_add(1);
        let base = keyed.newest().rollout.as_ref().and_then(|rollout| rollout.base);
        let first = keyed.versions.len().saturating_sub(kept);
        let mut place = 0;
        let mut dead = Vec::new();
        let (live_bytes, held_bytes) = (&mut self.live_bytes, &mut self.held_bytes);
        keyed.versions.retain(|version| {
            let keep = place >= first || Some(version.revision) == base;
            place += 1;
            if !keep {
                dead.push(version.offset);
                *live_bytes -= version.stored;
                *held_bytes -= version.content.held();
            }
            keep
        });
        dead.into_iter().for_each(|offset| keyed.bury(offset));
        let newest = keyed.newest().revision;
        for version in &mut keyed.versions {
            if version.revision != newest
                && Some(version.revision) != base
                && let Content::Held(bytes) = &version.content
            {
                self.held_bytes -= bytes.len();
                version.content = Content::Stored(bytes.len());
            }
        }
    }

    /// Whether a record of the log still means something.
    pub(crate) fn is_live(&self, key: &ConfigKey, revision: u64, offset: u64) -> bool {
        let version = self.keys.get(key).and_then(|keyed| keyed.version(revision));
        version.is_some_and(|version| version.offset == offset)
    }

    /// A version lies at another place of the log now, too.
    pub(crate) fn handle_moved(&mut self, key: &ConfigKey, revision: u64, offset: u64) {
        let Some(keyed) = self.keys.get_mut(key) else { return };
        let found = keyed.versions.binary_search_by_key(&revision, |it| it.revision);
        let Ok(at) = found else { return keyed.bury(offset) };
        let old = std::mem::replace(&mut keyed.versions[at].offset, offset);
        self.log_bytes += keyed.versions[at].stored;
        keyed.bury(old);
    }

    /// The beginning of the log is gone, up to an offset; it had so many bytes.
    pub(crate) fn handle_trimmed(&mut self, bytes: usize) {
        self.log_bytes = self.log_bytes.saturating_sub(bytes);
    }

    /// Forgets keys whose deletion lies before `before`: their history first, the deletion itself
    /// when nothing older of the key is in the log, which begins at `log_start`. A few at a time;
    /// gives whether there may be more.
    pub(crate) fn forget(&mut self, before: Timestamp, log_start: u64, n_max: usize) -> bool {
        let is_old = |key: &ConfigKey, keyed: &Keyed| {
            let newest = keyed.newest();
            let clean = keyed.dead_max.is_none_or(|dead| dead < log_start);
            newest.content == Content::Deleted
                && newest.time < before
                && (clean || keyed.versions.len() > 1)
                && !self.heads.contains_key(key)
        };
        let old = self.keys.iter().filter(|(key, keyed)| is_old(key, keyed));
        let old: Vec<ConfigKey> = old.map(|(key, _)| key.clone()).take(n_max).collect();
        for key in &old {
            let newest = self.keys[key].newest().revision;
            self.floor = self.floor.max(newest);
            let keyed = self.keys.get_mut(key).expect("it was there a moment ago");
            while keyed.versions.len() > 1
                && let Some(version) = keyed.versions.pop_front()
            {
                keyed.bury(version.offset);
                self.live_bytes -= version.stored;
                self.held_bytes -= version.content.held();
            }
            let keyed = &self.keys[key];
            if keyed.dead_max.is_none_or(|dead| dead < log_start) {
                self.live_bytes -= keyed.newest().stored;
                remove_from(&mut self.by_revision, newest, key);
                self.keys.remove(key);
            }
        }
        old.len() == n_max
    }
}

fn remove_from(index: &mut BTreeMap<u64, Vec<ConfigKey>>, revision: u64, key: &ConfigKey) {
    if let Some(keys) = index.get_mut(&revision) {
        keys.retain(|other| other != key);
        if keys.is_empty() {
            index.remove(&revision);
        }
    }
}

#[cfg(test)]
mod tests;
