//! The realtime bus: channels, who listens to them, their histories and last values.
//!
//! A publication is matched once, gets the next place in the one order of all channels, and is
//! put before each of its receivers while a short lock is held, so that every receiver sees that
//! order; the writing happens after it, on the publisher's thread, and to many receivers on others
//! as well. On the way to those who listen now there is no other task where they are few, and no
//! disk. A last value that is retained goes to the store as
//! well, and its publisher is answered when it is durable.
//!
//! The lock of the bus may be held while a receiver's, the rules' or the store's intake is taken,
//! never the other way round.

mod binding;
mod buffer;
mod history;
pub(crate) mod metrics;
mod publication;
mod receiver;
mod recover;
mod retained;
mod rules;
mod settings;
mod subscribe;
mod view;

pub(crate) use binding::{Bindings, run_bindings};
pub use publication::{
    ChannelEvent, ChannelForm, ChannelMember, ChannelPosition, NewPublication, Publication,
    Subscribed,
};
pub use receiver::{Flushed, NewReceiver, Outlet, Receiver, ReceiverFigures};
pub use rules::ChannelFigures;
pub use subscribe::{ReceiverHandle, Subscribe};
pub use view::{ChannelDescription, ReceiverDescription};

use crate::{Broker, Budget, Error, JobError, broker::submit};
use buffer::{LatestKey, Treatment};
use history::{Extent, History};
use parking_lot::{Mutex, RwLock};
use retained::Retained;
use rules::{Rule, Rules};
use smallvec::{SmallVec, smallvec};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::oneshot;
use tramline_catalog::RetainedRecord;
use tramline_routing::{ChannelPattern, ChannelTrie};
use tramline_store::{LogStore, Op, Purpose, Reservation};
use tramline_types::{
    ChannelName, Clock, Monotonic,
    limits::{CHANNELS_WITH_HISTORY_MAX, HISTORY_BYTES_MAX, PUBLICATION_BYTES_MAX},
};

/// The channels of one node.
pub(crate) struct Bus {
    epoch: u64,
    clock: Arc<dyn Clock>,
    /// What waits for receivers is answers that nobody has taken.
    answers: Arc<Budget>,
    rules: RwLock<Arc<Rules>>,
    state: Mutex<State>,
    bindings: Bindings,
}

#[derive(Default)]
struct State {
    /// The last publication's.
    offset: u64,
    trie: ChannelTrie,
    receivers: Vec<Option<Listening>>,
    /// Numbers that are free to be used again.
    free: Vec<u32>,
    histories: BTreeMap<ChannelName, History>,
    history_bytes: usize,
    retained: Retained,
}

/// A receiver and what it listens to.
struct Listening {
    receiver: Arc<Receiver>,
    patterns: BTreeSet<ChannelPattern>,
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its place.
    pub position: ChannelPosition,
    /// Receivers to whose sockets it went.
    pub delivered: u64,
    /// Receivers for whom it waits.
    pub waiting: u64,
    /// Slow receivers that do not get it.
    pub dropped: u64,
    /// Topics and queues that store it.
    pub stored: u64,
}

/// Receivers that one task writes to: with more of them, others that have nothing to do help. Where
/// clients are on the same machine, helping with fewer takes the cores that they read on.
const WRITTEN_AT_ONCE: usize = 1024;

/// Receivers that something was put before.
type Touched = SmallVec<[Arc<Receiver>; 8]>;

impl State {
    fn receiver(&self, number: u32) -> Option<&Arc<Receiver>> {
        let slot = self.receivers.get(usize::try_from(number).ok()?)?;
        slot.as_ref().map(|listening| &listening.receiver)
    }
}

impl Bus {
    pub(crate) fn load(store: &dyn LogStore, clock: Arc<dyn Clock>, answers: Arc<Budget>) -> Self {
        let state = State { retained: Retained::load(store), ..State::default() };
        Self {
            epoch: rand::random(),
            clock,
            answers,
            rules: RwLock::new(Arc::new(settings::load(store))),
            state: Mutex::new(state),
            bindings: Bindings::load(store),
        }
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read())
    }

    fn position(&self, offset: u64) -> ChannelPosition {
        ChannelPosition { epoch: self.epoch, offset }
    }

    /// Gives a publication its place and puts it before its receivers. `retain` stores it, in the
    /// same order.
    fn place(&self, new: NewPublication, retain: Retain<'_>) -> Placed {
        let mut touched = Touched::new();
        let mut state = self.state.lock();
        // Settings change under this lock, so that what is lost is noted where it is looked up.
        let rules = self.rules();
        let rule = rules.of(new.channel.as_str());
        let Rule { settings, .. } = &**rule;
        let treatment =
            Treatment { policy: settings.slow_consumer, bytes_max: settings.buffer_bytes };
        state.offset += 1;
        let publication = Arc::new(Publication {
            position: self.position(state.offset),
            at: self.clock.now(),
            channel: new.channel,
            key: new.key,
            content: new.content,
            data: new.data,
            forms: Default::default(),
        });
        let (offset, mut counts) = (publication.position.offset, Counts::default());
        let State { trie, receivers, .. } = &*state;
        trie.matches(&publication.channel, &mut |number| {
            let slot = usize::try_from(number).ok().and_then(|number| receivers.get(number));
            let Some(Some(Listening { receiver, .. })) = slot else { return };
            if !receiver.sees(offset) {
                return;
            }
            let bytes = publication.event(receiver.form(), false);
            let key = || LatestKey(publication.channel.clone(), publication.key.clone());
            let pushed = receiver.push(bytes, treatment, key);
            counts.add(&pushed);
            touched.push(Arc::clone(receiver));
        });
        self.keep(&mut state, &publication, rule);
        let durable = retain.apply(&mut state.retained, &publication);
        drop(state);
        rule.count(&counts);
        Placed { position: publication.position, kept: counts.kept, touched, durable }
    }

    /// Adds to the channel's history, or notes that this one is in none.
    fn keep(&self, state: &mut State, publication: &Arc<Publication>, rule: &Rule) {
        let (offset, now) = (publication.position.offset, self.clock.monotonic());
        let has_room = state.histories.len() < CHANNELS_WITH_HISTORY_MAX
            && state.history_bytes + publication.bytes() <= HISTORY_BYTES_MAX;
        let known = state.histories.get_mut(&publication.channel);
        let history = match known {
            Some(history) => history,
            None if rule.settings.history_size == 0 || !has_room => {
                rule.lost.store(offset, Ordering::Relaxed);
                return;
            }
            None => {
                let begin = History::new(rule.lost.load(Ordering::Relaxed));
                state.histories.entry(publication.channel.clone()).or_insert(begin)
            }
        };
        let before = history.bytes();
        history.add(Arc::clone(publication), now, extent(rule, now));
        if !has_room {
            history.drop_first();
        }
        state.history_bytes = state.history_bytes - before + history.bytes();
    }

    /// Drops what is too old, and the histories that have nothing left.
    pub(crate) fn expire(&self) {
        let mut state = self.state.lock();
        let (rules, now) = (self.rules(), self.clock.monotonic());
        let mut bytes = 0;
        state.histories.retain(|name, history| {
            let rule = rules.of(name.as_str());
            history.trim(extent(rule, now));
            bytes += history.bytes();
            if history.len() == 0 {
                rule.lost.fetch_max(history.lost(), Ordering::Relaxed);
            }
            history.len() > 0
        });
        state.history_bytes = bytes;
    }
}

/// How much of a channel's history is kept.
fn extent(rule: &Rule, now: Monotonic) -> Extent {
    let span = std::time::Duration::from_millis(rule.settings.history_ms);
    let since = now.since_origin().checked_sub(span).map(Monotonic::from_origin);
    Extent { size: rule.settings.history_size, since }
}

/// What became of one publication before all its receivers.
#[derive(Default)]
struct Counts {
    kept: u64,
    dropped: u64,
    conflated: u64,
    cut_off: u64,
}

impl Counts {
    fn add(&mut self, pushed: &buffer::Pushed) {
        self.kept += u64::from(pushed.kept);
        self.dropped += pushed.dropped;
        self.conflated += u64::from(pushed.conflated);
        self.cut_off += u64::from(pushed.cut_off);
    }
}

impl Rule {
    /// Counts a last value that its receiver does not get.
    fn count_dropped(&self) {
        self.counters.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one publication.
    fn count(&self, counts: &Counts) {
        let counters = &self.counters;
        counters.published.fetch_add(1, Ordering::Relaxed);
        counters.delivered.fetch_add(counts.kept, Ordering::Relaxed);
        counters.dropped.fetch_add(counts.dropped, Ordering::Relaxed);
        counters.conflated.fetch_add(counts.conflated, Ordering::Relaxed);
        counters.cut_off.fetch_add(counts.cut_off, Ordering::Relaxed);
    }
}

/// What is done with a publication as its channel's last value.
enum Retain<'a> {
    No,
    Store(&'a dyn LogStore, Reservation),
}

impl Retain<'_> {
    fn apply(
        self,
        retained: &mut Retained,
        publication: &Arc<Publication>,
    ) -> Option<oneshot::Receiver<()>> {
        let Self::Store(store, reservation) = self else { return None };
        let key = RetainedRecord::key(&publication.channel);
        let op = if publication.data.is_empty() {
            retained.remove(&publication.channel);
            Op::Remove(key)
        } else {
            retained.set(Arc::clone(publication));
            Op::Put(key, publication.record().encode())
        };
        Some(submit(store, smallvec![op], reservation))
    }
}

/// A publication that is before its receivers, and not written yet.
struct Placed {
    position: ChannelPosition,
    /// By so many of them.
    kept: u64,
    touched: Touched,
    /// Resolves when the last value is.
    durable: Option<oneshot::Receiver<()>>,
}

impl Placed {
    async fn write(self) -> Result<Receipt, Error> {
        let Self { position, kept, touched, durable } = self;
        let dropped = touched.len() as u64 - kept;
        let delivered = write_to(touched).await;
        if let Some(durable) = durable {
            durable.await.map_err(|_| Error::Closed)?;
        }
        let waiting = kept.saturating_sub(delivered);
        Ok(Receipt { position, delivered, waiting, dropped, stored: 0 })
    }
}

/// Writes to receivers what is before them; how many took all of it.
async fn write_to(receivers: Touched) -> u64 {
    let write = |receivers: &[Arc<Receiver>]| {
        receivers.iter().filter(|receiver| receiver.deliver()).count() as u64
    };
    if receivers.len() <= WRITTEN_AT_ONCE {
        return write(&receivers);
    }
    let receivers: Arc<[Arc<Receiver>]> = receivers.into_vec().into();
    let mut others = Vec::new();
    for from in (WRITTEN_AT_ONCE..receivers.len()).step_by(WRITTEN_AT_ONCE) {
        let (receivers, to) = (Arc::clone(&receivers), from + WRITTEN_AT_ONCE);
        others.push(tokio::spawn(async move { write(&receivers[from..to.min(receivers.len())]) }));
    }
    let mut delivered = write(&receivers[..WRITTEN_AT_ONCE]);
    for other in others {
        delivered += other.await.unwrap_or_default();
    }
    delivered
}

impl Broker {
    /// Publishes on a channel: to those who listen now, to the topics and queues that the channel
    /// is bound to, and as its last value where that is retained. What is to be stored is durable
    /// on return; where nothing is, this does not wait.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for too large a one; what a topic, a queue or the job that it is
    /// about refuses, and then nobody has got it.
    pub async fn publish_on_channel(&self, new: NewPublication) -> Result<Receipt, JobError> {
        let bytes = new.data.len() + new.key.as_deref().map_or(0, str::len);
        if bytes > PUBLICATION_BYTES_MAX {
            let text = format!("a publication takes at most {PUBLICATION_BYTES_MAX} bytes");
            return Err(Error::LimitExceeded(text).into());
        }
        if let Some(report) = self.report_by_message(new.channel.as_str(), &new.data) {
            // It goes to those who listen as well, if it makes sense.
            report.await?;
        }
        let stored = self.store_publication(&new).await?;
        let receipt = self.publish_unbound(new).await?;
        Ok(Receipt { stored, ..receipt })
    }

    /// Publishes what its channel's bindings do not store.
    async fn publish_unbound(&self, new: NewPublication) -> Result<Receipt, Error> {
        let bytes = new.data.len() + new.key.as_deref().map_or(0, str::len);
        let bus = self.bus();
        if !new.retain && !bus.rules().of(new.channel.as_str()).settings.retain {
            return bus.place(new, Retain::No).write().await;
        }
        bus.state.lock().retained.check_room(&new)?;
        let room = bytes + new.channel.as_str().len() + 64;
        let reservation = self.store().reserve(Purpose::Publish, room, 1).wait().await?;
        let store = Retain::Store(&**self.store(), reservation);
        bus.place(new, store).write().await
    }
}
