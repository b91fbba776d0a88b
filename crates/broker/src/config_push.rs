//! Configuration push: values by key that are kept with their history, and whoever follows them
//! is told of every change at once.
//!
//! Every change is one record batch in a log of its own, with one record per key; the revision
//! that they share counts up by one. A change is answered, and shown to anybody, when it is
//! durable. One task takes up what has become durable and wakes those who follow the keys of it,
//! and nobody else.
//!
//! Locks: `writer` is held from the proposal to its submission, never until it is durable; of the
//! short locks none is taken inside another.

mod adoption;
mod change;
mod clean;
mod error;
mod journal;
mod key;
mod look;
mod record;
mod rollout;
mod rules;
mod schema;
mod state;
mod watch;

pub use adoption::{Adoption, Subscriber};
pub use change::{Change, Expected, Operation, Stage};
pub use error::ConfigError;
pub use key::{ConfigKey, ConfigScope};
pub use look::{ConfigPage, ConfigVersion, Shown};
pub use rollout::Rollout;
pub use rules::ConfigRule;
pub use watch::{ConfigEvent, ConfigEvents, ConfigWatch, WatchStart};

use crate::Error;
use adoption::Adoptions;
use journal::Journal;
use parking_lot::Mutex;
use rules::Rules;
use state::State;
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, oneshot};
use tramline_catalog::Counter;
use tramline_store::LogStore;
use tramline_types::{Clock, limits};
use watch::{Before, Slots, Staged, Update};

/// How configuration push behaves.
#[derive(Clone, Debug)]
pub struct ConfigPushOptions {
    /// Earlier values of a key that are kept, where no rule says otherwise.
    pub history: u32,
    /// The largest value.
    pub value_bytes_max: usize,
    /// All current values together: they are held in memory.
    pub bytes_max: usize,
    /// How long a deletion is remembered: who has been away for longer starts over.
    pub deleted_retention: Duration,
    /// So much of the log that means nothing is always let be.
    pub dead_bytes_free: usize,
}

impl Default for ConfigPushOptions {
    fn default() -> Self {
        Self {
            history: 10,
            value_bytes_max: limits::CONFIG_VALUE_BYTES_MAX,
            bytes_max: limits::CONFIG_BYTES_MAX,
            deleted_retention: Duration::from_secs(7 * 24 * 3600),
            dead_bytes_free: 1024 * 1024,
        }
    }
}

/// Pushed configuration. A clone is a handle.
#[derive(Clone)]
pub struct ConfigPush {
    shared: Arc<Shared>,
}

struct Shared {
    options: ConfigPushOptions,
    clock: Arc<dyn Clock>,
    journal: Journal,
    /// Held while a revision is proposed and given to the log.
    writer: tokio::sync::Mutex<()>,
    owner: Mutex<Owner>,
    /// Something may have become durable.
    durable: Arc<Notify>,
    slots: Slots,
    rules: Rules,
    adoptions: Mutex<Adoptions>,
    counted: Counted,
    /// Tells the ids of this data directory from those of another one.
    epoch: String,
}

#[derive(Default)]
struct Owner {
    state: State,
    /// Who waits for which revision, in order.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// What is counted from the start on.
#[derive(Default)]
struct Counted {
    revisions: AtomicU64,
    changes: AtomicU64,
    refused: AtomicU64,
    told: AtomicU64,
    started_over: AtomicU64,
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigFigures {
    /// Keys that have a value.
    pub keys: u64,
    /// Versions that are kept, deletions included.
    pub versions: u64,
    /// Values in memory.
    pub held_bytes: u64,
    /// The log, and how much of it is kept versions.
    pub log_bytes: (u64, u64),
    /// The last revision.
    pub revision: u64,
    /// Those who follow keys.
    pub watches: u64,
    /// Subscribers whose revision is known.
    pub subscribers: u64,
    /// Revisions made.
    pub revisions: u64,
    /// Keys changed by them.
    pub changes: u64,
    /// Changes refused.
    pub refused: u64,
    /// Changes told to those who follow.
    pub told: u64,
    /// Times that a follower had been away for too long and started over.
    pub started_over: u64,
}

impl ConfigPush {
    /// Takes up what the store holds.
    pub(crate) async fn load(
        (store, clock): (&Arc<dyn LogStore>, &Arc<dyn Clock>),
        log_ids: &Arc<Counter>,
        (leader_epoch, epoch): (i32, &str),
        options: ConfigPushOptions,
    ) -> Result<Self, Error> {
        let journal = Journal::open(store, log_ids, leader_epoch)?;
        let mut state = State::default();
        state.replay_floor(journal.floor());
        journal.replay(&mut state).await?;
        let shared = Shared {
            options,
            clock: Arc::clone(clock),
            rules: Rules::load(&**store)?,
            journal,
            writer: tokio::sync::Mutex::new(()),
            owner: Mutex::new(Owner { state, waiting: VecDeque::new() }),
            durable: Arc::new(Notify::new()),
            slots: Slots::default(),
            adoptions: Mutex::default(),
            counted: Counted::default(),
            epoch: epoch.chars().filter(char::is_ascii_alphanumeric).take(8).collect(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The settings in force.
    pub fn options(&self) -> &ConfigPushOptions {
        &self.shared.options
    }

    /// Tells event ids of this data directory from those of another one.
    pub fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// The last revision.
    pub fn revision(&self) -> u64 {
        self.shared.owner.lock().state.visible()
    }

    /// Figures for metrics.
    pub fn figures(&self) -> ConfigFigures {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let counted = &self.shared.counted;
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (watches, subscribers) =
            (self.shared.slots.watches(), self.shared.adoptions.lock().len());
        let owner = self.shared.owner.lock();
        let (keys, versions) = owner.state.counts();
        ConfigFigures {
            keys: wide(keys),
            versions: wide(versions),
            held_bytes: wide(owner.state.held_bytes()),
            log_bytes: (wide(owner.state.log_bytes()), wide(owner.state.live_bytes())),
            revision: owner.state.visible(),
            watches: wide(watches),
            subscribers: wide(subscribers),
            revisions: of(&counted.revisions),
            changes: of(&counted.changes),
            refused: of(&counted.refused),
            told: of(&counted.told),
            started_over: of(&counted.started_over),
        }
    }

    /// Takes up what has become durable, tells those who follow, and answers who waits.
    fn take_up(&self) {
        let Some(durable) = self.shared.journal.durable() else { return };
        let (applied, answered) = {
            let mut owner = self.shared.owner.lock();
            let applied = owner.state.handle_durable(durable);
            let visible = owner.state.visible();
            let mut answered = Vec::new();
            while let Some(waiter) = owner.waiting.pop_front_if(|(at, _)| *at <= visible) {
                answered.push(waiter);
            }
            (applied, answered)
        };
        for revision in &applied {
            add(&self.shared.counted.revisions, 1);
            add(&self.shared.counted.changes, revision.updates.len());
            self.shared.slots.publish(&revision.updates);
        }
        for (_, waiter) in answered {
            // The receiver is gone when the caller gave up: the revision stands all the same.
            let _caller_gave_up = waiter.send(());
        }
    }

    /// Runs until the broker closes.
    pub(crate) async fn run(self, broker: crate::Broker) {
        let clock = &self.shared.clock;
        let mut clean_at = clock.monotonic().plus(clean::INTERVAL);
        let mut forget_at = clock.monotonic().plus(clean::FORGET_INTERVAL);
        loop {
            tokio::select! {
                () = self.shared.durable.notified() => self.take_up(),
                () = clock.sleep_until(Some(clean_at)) => {
                    let now = clock.monotonic();
                    clean_at = now.plus(clean::INTERVAL);
                    if now >= forget_at {
                        forget_at = now.plus(clean::FORGET_INTERVAL);
                        self.forget();
                        self.shared.adoptions.lock().forget(clock.now());
                    }
                    self.clean_or_say_why_not().await;
                }
                () = broker.closed() => return,
            }
        }
    }
}
