//! Dead messages move on: to what their queue's dead-letter exchange makes of them. Appending
//! to the targets and settling at the source are one commit: a message is never in both, and
//! never in neither.

use super::{
    Queue,
    death::{self, Death, Dying},
    plan::{Beside, Plan},
};
use crate::{Broker, Enqueue, EnqueueError, EnqueueOptions, Error, Targets};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tramline_log::{Ending, Watcher};
use tramline_queue::{DeadReason, Engine, Loaded, Place, Transfer};
use tramline_routing::{Message as RoutedBy, Value};
use tramline_store::Purpose;
use tramline_types::{ExchangeName, Message, Offset};

/// Moved in one commit at most.
const TRANSFERS_MAX: usize = 256;
/// Until it is tried again where there was no space, or no route for what must not be lost.
const RETRY: Duration = Duration::from_secs(5);

/// What a read of a dead message came to.
enum Read {
    Message(Loaded),
    /// There is none.
    Nothing,
    /// It is kept where it is.
    Damaged,
    /// The next read may succeed.
    Failed,
}

/// What becomes of a dead message at its source.
enum Fate {
    /// It is done with: it goes to its targets in the same commit, or nowhere.
    Goes,
    Waits,
}

impl Fate {
    fn of(result: &Result<(), EnqueueError>, must_arrive: bool) -> Self {
        match result {
            Ok(()) => Self::Goes,
            Err(EnqueueError::Overflow | EnqueueError::TooLarge { .. }) if !must_arrive => {
                Self::Goes
            }
            // Another try may find space, or another route.
            Err(_) => Self::Waits,
        }
    }
}

/// What became of a batch.
enum Moved {
    All,
    /// These have to wait.
    Later(Vec<Place>),
}

impl Broker {
    /// Moves dead messages. Runs until the broker closes.
    pub(crate) async fn run_transfers(self) {
        let context = Arc::clone(&self.queues_map().context);
        loop {
            while let Some(queue) = context.transfers.pop() {
                self.transfer(&queue).await;
            }
            tokio::select! {
                () = context.transfers.arrived() => {}
                () = self.closed() => return,
            }
        }
    }

    /// A queue's turn: one batch, so that those with few dead messages do not wait for those with
    /// many.
    async fn transfer(&self, queue: &Arc<Queue>) {
        let transfers = {
            let mut state = queue.state.lock();
            let engine = state.engine.as_mut().filter(|_| !queue.is_gone());
            engine.map(|engine| engine.poll_transfers(TRANSFERS_MAX)).unwrap_or_default()
        };
        match self.transfer_some(queue, transfers).await {
            Moved::All => {
                let mut state = queue.state.lock();
                let engine = state.engine.as_deref().filter(|_| !queue.is_gone());
                state.transferring = engine.is_some_and(Engine::has_transfers);
                if state.transferring {
                    self.queues_map().context.transfers.push(queue);
                }
            }
            Moved::Later(places) => self.transfer_later(queue, places),
        }
    }

    /// The mark stays: whatever dies meanwhile waits as well.
    fn transfer_later(&self, queue: &Arc<Queue>, places: Vec<Place>) {
        let (broker, queue) = (self.clone(), Arc::clone(queue));
        self.queues_map().context.runtime.spawn(async move {
            let retry = broker.clock().monotonic().plus(RETRY);
            broker.clock().sleep_until(Some(retry)).await;
            if let Some(engine) = &mut queue.state.lock().engine {
                engine.handle_transfer_failed(&places);
            }
            broker.queues_map().context.transfers.push(&queue);
        });
    }

    /// Moves a batch in one commit.
    async fn transfer_some(&self, queue: &Arc<Queue>, transfers: Vec<Transfer>) -> Moved {
        for transfer in &transfers {
            queue.durable(transfer.place).await;
        }
        let read = queue.read_places(&transfers).await;
        let must_arrive = queue.settings().dead_letter_at_least_once;
        let mut plan = Plan::new(&self.queues_map().context, transfers.len());
        let (mut done, mut later, mut arrived) = (Vec::new(), Vec::new(), 0);
        for (index, transfer) in transfers.into_iter().enumerate() {
            let place = transfer.place;
            let fate = match read.get(&place) {
                Some(Read::Message(loaded)) => match self.dead(
                    queue,
                    loaded,
                    (transfer.reason, transfer.explanation.as_deref()),
                ) {
                    // Else those of its targets that have room would get it at every try.
                    Some(dead) if must_arrive && !plan.has_room(&dead) => Fate::Waits,
                    Some(dead) => {
                        plan.add(index, dead);
                        arrived += usize::from(plan.results()[index].is_ok());
                        Fate::of(&plan.results()[index], must_arrive)
                    }
                    None if must_arrive => Fate::Waits,
                    None => Fate::Goes,
                },
                Some(Read::Nothing) => Fate::Goes,
                Some(Read::Damaged) => continue,
                Some(Read::Failed) | None => Fate::Waits,
            };
            match fate {
                Fate::Goes => done.push(place),
                Fate::Waits => later.push(place),
            }
        }
        let moved = self.submit_transfers(queue, &mut plan, &done).await;
        if moved {
            queue.counters.dead_lettered(arrived);
        } else {
            // No space, or a target was deleted meanwhile: the next try finds another route.
            later.append(&mut done);
        }
        if later.is_empty() { Moved::All } else { Moved::Later(later) }
    }

    async fn submit_transfers(
        &self,
        queue: &Arc<Queue>,
        plan: &mut Plan<'_>,
        done: &[Place],
    ) -> bool {
        if done.is_empty() {
            return true;
        }
        let bytes = plan.bytes() + 32 * done.len();
        let purpose = if plan.is_empty() { Purpose::Upkeep } else { Purpose::Publish };
        let reserving = self.store().reserve(purpose, bytes, plan.n_ops() + 1);
        let Ok(reservation) = reserving.wait().await else { return false };
        let beside = Beside { transferred: Some((queue, done)), ..Beside::default() };
        let mut ending = Some(Ending { reservation, done: Box::new(|| ()) });
        let moved = plan.submit(beside, &mut ending) == Ok(true);
        if moved {
            plan.deliver_transient();
        }
        moved
    }

    /// A dead message and where it goes; `None` when that is nowhere.
    fn dead(
        &self,
        queue: &Queue,
        loaded: &Loaded,
        why: (DeadReason, Option<&str>),
    ) -> Option<Enqueue> {
        let settings = queue.settings();
        let exchange = settings.dead_letter_exchange.as_ref()?;
        let now = self.queues_map().context.now();
        let (name, to) = (queue.name.as_str(), exchange.as_str());
        let (reason, explanation) = why;
        let dying = Dying { queue: name, reason, explanation, to, now };
        let (mut message, deaths) = death::add(&loaded.message, &dying);
        if let Some(key) = &settings.dead_letter_routing_key {
            message.key = Some(Bytes::from(key.clone()));
        }
        let targets = self.dead_letter_targets(exchange, &message, &deaths);
        if targets.is_empty() {
            tracing::debug!(queue = name, "a dead message has nowhere to go");
            return None;
        }
        let priority = death::priority(&message);
        let options = EnqueueOptions { persistent: true, priority, ..EnqueueOptions::default() };
        Some(Enqueue { targets, message, options })
    }

    fn dead_letter_targets(
        &self,
        exchange: &ExchangeName,
        message: &Message,
        deaths: &[Death],
    ) -> Targets {
        let key = message.key.clone().unwrap_or_default();
        let header = |name: &str| {
            let value = death::find(message, name)?;
            Some(Value::Text(String::from_utf8(value.to_vec()).ok()?))
        };
        let routed = RoutedBy { keys: &[&key], header: &header };
        let mut targets = self.route_dead_letter(exchange, &routed);
        // A rejection is a consumer's will: it may send a message round.
        if deaths.first().is_none_or(|death| death.reason != DeadReason::Rejected.as_str()) {
            targets.retain(|target| !death::is_cycle(deaths, target.name.as_str()));
        }
        targets
    }

    /// Messages that a queue at its bound did not take go to its dead-letter target.
    pub(super) fn dead_letter_refused(&self, refused: Vec<(Arc<Queue>, Loaded)>) {
        if refused.is_empty() {
            return;
        }
        let dead = |(queue, loaded): &(Arc<Queue>, Loaded)| {
            self.dead(queue, loaded, (DeadReason::MaxLength, None))
        };
        let items: Vec<Enqueue> = refused.iter().filter_map(dead).collect();
        if !items.is_empty() {
            let broker = self.clone();
            self.queues_map().context.runtime.spawn(async move {
                let results = broker.enqueue(items).await.await;
                let lost = results.iter().filter(|result| result.is_err()).count();
                if lost > 0 {
                    tracing::warn!(lost, "refused messages were not dead-lettered");
                }
            });
        }
    }
}

/// Wakes who waits for messages to become durable.
#[derive(Default)]
struct Durable(Notify);

impl Watcher for Durable {
    fn moved(&self) {
        self.0.notify_one();
    }
}

impl Queue {
    /// Waits until a message can be read: one that a bound drops may be younger than the last
    /// sync.
    pub(super) async fn durable(&self, place: Place) {
        let partition = self.state.lock().partition(place.lane).cloned();
        let (Some(partition), Some(offset)) = (partition, Offset::new(place.offset)) else {
            return;
        };
        let durable = Arc::new(Durable::default());
        let watcher: Arc<dyn Watcher> = Arc::<Durable>::clone(&durable);
        while !self.is_gone() && partition.watch(offset, &watcher) {
            durable.0.notified().await;
        }
    }

    /// The messages at these places.
    async fn read_places(&self, transfers: &[Transfer]) -> BTreeMap<Place, Read> {
        let mut found = BTreeMap::new();
        if self.is_transient() {
            let state = self.state.lock();
            if let Some(engine) = &state.engine {
                for Transfer { place, .. } in transfers {
                    let read = engine.in_memory(*place).map_or(Read::Nothing, Read::Message);
                    found.insert(*place, read);
                }
            }
            return found;
        }
        let mut wanted: Vec<Place> = transfers.iter().map(|transfer| transfer.place).collect();
        wanted.sort_unstable();
        for place in &wanted {
            if found.contains_key(place) {
                continue;
            }
            let is_wanted = |(at, _): &(Place, Loaded)| wanted.binary_search(at).is_ok();
            match self.read_from(*place).await {
                Ok(records) => {
                    let records = records.into_iter().filter(is_wanted);
                    found.extend(records.map(|(at, loaded)| (at, Read::Message(loaded))));
                    found.entry(*place).or_insert(Read::Nothing);
                }
                Err(Error::DataDamaged(detail)) => {
                    if let Some(engine) = &mut self.state.lock().engine {
                        self.handle_damage(engine, *place, &detail);
                    }
                    found.insert(*place, Read::Damaged);
                }
                Err(error) => {
                    let offset = place.offset;
                    tracing::warn!(queue = %self.name, offset, %error, "a dead message waits");
                    found.insert(*place, Read::Failed);
                }
            }
        }
        found
    }
}
