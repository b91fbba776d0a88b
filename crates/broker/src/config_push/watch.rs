//! Following a scope: what it holds, then every change of it, each subscriber as its roll-outs
//! have it.
//!
//! All who follow the same scope share a slot, which has the last changes of that scope: a change
//! is put there once and wakes nobody else. Who comes late, or is slow, reads from the state what
//! has changed since, each key once.

use super::{ConfigError, ConfigPush, ConfigScope, Rollout, look::Shown};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::watch;
use tramline_types::limits::CONFIG_WATCHES_MAX;

/// Changes that a slot keeps at hand.
const RECENT_MAX: usize = 256;
/// Bytes of values that a slot keeps at hand; one revision at least.
const RECENT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A change of a key.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) key: super::ConfigKey,
    pub(crate) revision: u64,
    /// `None`: deleted.
    pub(crate) value: Option<Arc<Shown>>,
    /// Not everybody gets it.
    pub(crate) staged: Option<Staged>,
    pub(crate) before: Before,
}

/// What those get who are not in the roll-out.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) rollout: Rollout,
    pub(crate) base: Option<Arc<Shown>>,
}

/// What a key was before a change.
#[derive(Debug)]
pub(crate) enum Before {
    /// Several changes came together.
    Unknown,
    /// At this revision for everybody; 0: without a value.
    Revision(u64),
    /// At this revision for those in the roll-out.
    Staged(u64, Rollout),
}

impl Update {
    /// What a subscriber is told of it, if anything.
    fn event(&self, client: Option<&str>) -> Option<ConfigEvent> {
        let value = match &self.staged {
            Some(staged) if !staged.rollout.includes(client) => staged.base.as_ref(),
            _ => self.value.as_ref(),
        };
        let before = match &self.before {
            Before::Unknown => None,
            Before::Revision(revision) => Some(*revision),
            Before::Staged(revision, rollout) if rollout.includes(client) => Some(*revision),
            Before::Staged(_, rollout) => Some(rollout.base.unwrap_or(0)),
        };
        if before == Some(value.map_or(0, |value| value.revision)) {
            return None;
        }
        Some(match value {
            Some(value) => ConfigEvent::Put { at: self.revision, value: Arc::clone(value) },
            None => ConfigEvent::Delete { at: self.revision, key: self.key.clone() },
        })
    }

    fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.value.len())
    }
}

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub enum ConfigEvent {
    /// A key has this value.
    Put {
        /// The revision that made it so; above the value's own where a roll-out was taken back.
        at: u64,
        /// The value.
        value: Arc<Shown>,
    },
    /// A key has no value any more.
    Delete {
        /// The revision that made it so.
        at: u64,
        /// The key.
        key: super::ConfigKey,
    },
    /// Everything up to this revision has been told.
    Synced {
        /// The revision.
        at: u64,
    },
    /// What changed since the revision that the subscriber knows is not known any more: what it
    /// has means nothing, all values of the scope come.
    Resync,
}

/// Some events: those of one revision come together.
#[derive(Clone, Debug)]
pub struct ConfigEvents {
    /// The events.
    pub events: Vec<ConfigEvent>,
    /// Whether a subscriber that knows the revision of one of them may go on behind it: not
    /// before it has all values.
    pub resumable: bool,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// With all values.
    Snapshot,
    /// Behind this revision.
    After(u64),
    /// What the subscriber knows is from another data directory.
    Foreign,
}

/// One scope and its last changes.
pub(crate) struct Slot {
    changed: watch::Sender<u64>,
    recent: Mutex<Recent>,
    followers: AtomicUsize,
}

#[derive(Default)]
struct Recent {
    /// Every change of the scope above this revision is here.
    since: u64,
    updates: VecDeque<Arc<Update>>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, updates: &[Arc<Update>]) {
        self.bytes += updates.iter().map(|update| update.bytes()).sum::<usize>();
        self.updates.extend(updates.iter().cloned());
        let newest = updates.last().map_or(0, |update| update.revision);
        while self.updates.len() > RECENT_MAX || self.bytes > RECENT_BYTES_MAX {
            let Some(first) = self.updates.pop_front_if(|it| it.revision < newest) else { break };
            self.bytes -= first.bytes();
            self.since = first.revision;
        }
        // A revision is here as a whole, or not at all.
        while let Some(rest) = self.updates.pop_front_if(|it| it.revision <= self.since) {
            self.bytes -= rest.bytes();
        }
    }
}

/// Every scope that somebody follows.
#[derive(Default)]
pub(crate) struct Slots {
    by_scope: Mutex<HashMap<ConfigScope, Arc<Slot>>>,
    watches: AtomicUsize,
}

impl Slots {
    pub(crate) fn watches(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }

    /// Puts what one revision changed into the slots of its keys, and wakes their followers.
    pub(crate) fn publish(&self, updates: &[Arc<Update>]) {
        let mut told: BTreeMap<*const Slot, (Arc<Slot>, Vec<Arc<Update>>)> = BTreeMap::new();
        {
            let by_scope = self.by_scope.lock();
            for update in updates {
                for slot in ConfigScope::of(&update.key).filter_map(|scope| by_scope.get(&scope)) {
                    let entry = told.entry(Arc::as_ptr(slot));
                    let (_, of_slot) = entry.or_insert_with(|| (Arc::clone(slot), Vec::new()));
                    of_slot.push(Arc::clone(update));
                }
            }
        }
        for (slot, updates) in told.into_values() {
            let revision = updates.last().map_or(0, |update| update.revision);
            slot.recent.lock().push(&updates);
            slot.changed.send_replace(revision);
        }
    }

    fn enter(&self, scope: &ConfigScope) -> Result<Arc<Slot>, ConfigError> {
        let mut by_scope = self.by_scope.lock();
        if self.watches() >= CONFIG_WATCHES_MAX {
            let detail = format!("{CONFIG_WATCHES_MAX} follow configuration already");
            return Err(ConfigError::LimitExceeded(detail));
        }
        self.watches.fetch_add(1, Ordering::Relaxed);
        let slot = by_scope.entry(scope.clone()).or_insert_with(|| {
            let recent = Mutex::new(Recent { since: u64::MAX, ..Recent::default() });
            Arc::new(Slot {
                changed: watch::Sender::new(0),
                recent,
                followers: AtomicUsize::new(0),
            })
        });
        slot.followers.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::clone(slot))
    }

    fn leave(&self, scope: &ConfigScope, slot: &Slot) {
        let mut by_scope = self.by_scope.lock();
        self.watches.fetch_sub(1, Ordering::Relaxed);
        if slot.followers.fetch_sub(1, Ordering::Relaxed) == 1 {
            by_scope.remove(scope);
        }
    }
}

enum Phase {
    /// Says first that all begins anew, where it does.
    Snapshot {
        resync: bool,
        up_to: u64,
        after: Option<super::ConfigKey>,
    },
    CatchUp,
    Follow,
}

/// One subscriber that follows a scope.
pub struct ConfigWatch {
    config: ConfigPush,
    scope: ConfigScope,
    client: Option<Arc<str>>,
    slot: Arc<Slot>,
    changed: watch::Receiver<u64>,
    /// Everything up to this revision was told.
    position: u64,
    phase: Phase,
}

impl Drop for ConfigWatch {
    fn drop(&mut self) {
        self.config.shared.slots.leave(&self.scope, &self.slot);
        if let Some(client) = &self.client {
            let now = self.config.shared.clock.now();
            self.config.shared.adoptions.lock().handle_left(&self.scope, client, now);
        }
    }
}

impl ConfigPush {
    /// Follows a scope. A subscriber that goes on behind a revision has adopted that revision.
    pub fn watch(
        &self,
        scope: ConfigScope,
        client: Option<Arc<str>>,
        start: WatchStart,
    ) -> Result<ConfigWatch, ConfigError> {
        if let Some(client) = &client {
            super::adoption::check_client(client)?;
        }
        let slot = self.shared.slots.enter(&scope)?;
        let changed = slot.changed.subscribe();
        // The slot gets every change from here on.
        let (visible, floor) = {
            let owner = self.shared.owner.lock();
            (owner.state.visible(), owner.state.floor())
        };
        {
            let mut recent = slot.recent.lock();
            recent.since = recent.since.min(visible);
        }
        let snapshot = |resync| Phase::Snapshot { resync, up_to: visible, after: None };
        let (position, phase) = match start {
            WatchStart::After(revision) if (floor..=visible).contains(&revision) => {
                (revision, Phase::CatchUp)
            }
            WatchStart::Snapshot => (visible, snapshot(false)),
            WatchStart::After(_) | WatchStart::Foreign => {
                add_one(&self.shared.counted.started_over);
                (visible, snapshot(true))
            }
        };
        if let Some(client) = &client {
            let now = self.shared.clock.now();
            let mut adoptions = self.shared.adoptions.lock();
            adoptions.handle_came(&scope, client, now);
            if let (Phase::CatchUp, revision @ 1..) = (&phase, position) {
                adoptions.confirm(&scope, client, (revision, now));
            }
        }
        let config = self.clone();
        Ok(ConfigWatch { config, scope, client, slot, changed, position, phase })
    }
}

fn add_one(counter: &std::sync::atomic::AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl ConfigWatch {
    /// Everything up to this revision was told. Events of one revision come together.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The next events, as soon as there are some. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> ConfigEvents {
        loop {
            let resumable = !matches!(self.phase, Phase::Snapshot { .. });
            let events = match &self.phase {
                Phase::Snapshot { .. } => self.snapshot(),
                Phase::CatchUp => self.catch_up(),
                Phase::Follow => self.follow().await,
            };
            if !events.is_empty() {
                self.config.told(events.len());
                return ConfigEvents { events, resumable };
            }
        }
    }

    /// Some of the values; after the last ones what has changed meanwhile.
    fn snapshot(&mut self) -> Vec<ConfigEvent> {
        let client = self.client.as_deref();
        let Phase::Snapshot { resync, up_to, after } = &mut self.phase else { return Vec::new() };
        let mut events = Vec::new();
        if std::mem::take(resync) {
            events.push(ConfigEvent::Resync);
        }
        let owner = self.config.shared.owner.lock();
        let page = owner.state.page(&self.scope, after.as_ref(), (*up_to, client));
        drop(owner);
        let put = |value: Arc<Shown>| ConfigEvent::Put { at: value.revision, value };
        events.extend(page.shown.into_iter().map(put));
        match page.next {
            Some(key) => *after = Some(key),
            None => self.phase = Phase::CatchUp,
        }
        events
    }

    fn catch_up(&mut self) -> Vec<ConfigEvent> {
        let (page, visible) = {
            let owner = self.config.shared.owner.lock();
            (owner.state.changes(&self.scope, self.position), owner.state.visible())
        };
        let client = self.client.as_deref();
        let mut events: Vec<_> =
            page.updates.iter().filter_map(|update| update.event(client)).collect();
        self.position = page.up_to;
        if page.up_to >= visible {
            self.phase = Phase::Follow;
            events.push(ConfigEvent::Synced { at: self.position });
        }
        events
    }

    async fn follow(&mut self) -> Vec<ConfigEvent> {
        // An error means that the slot is gone, which this one holds.
        let _always_open =
            self.changed.wait_for(|revision| *revision > self.position).await.is_ok();
        let client = self.client.as_deref();
        {
            let recent = self.slot.recent.lock();
            if recent.since <= self.position {
                let first = recent.updates.partition_point(|it| it.revision <= self.position);
                let updates = recent.updates.range(first..);
                let events = updates.clone().filter_map(|update| update.event(client)).collect();
                self.position = updates.last().map_or(self.position, |update| update.revision);
                return events;
            }
        }
        let owner = self.config.shared.owner.lock();
        if self.position < owner.state.floor() {
            let up_to = owner.state.visible();
            self.position = up_to;
            self.phase = Phase::Snapshot { resync: true, up_to, after: None };
            return Vec::new();
        }
        let page = owner.state.changes(&self.scope, self.position);
        self.position = page.up_to;
        page.updates.iter().filter_map(|update| update.event(client)).collect()
    }
}
