//! Exchanges and bindings: declared, bound, deleted, and what they make of a message.
//!
//! One owner, [`Exchanges`]: a short lock around the pure [`Router`]. A change is submitted to
//! the store under the lock, so that memory and disk see changes in the same order; it is
//! durable when the call returns. Transient exchanges, and bindings with a transient end, live
//! in memory only.

use crate::{Broker, Created, Error, QueueDurability, QueueError, Targets, broker::submit};
use bytes::Bytes;
use parking_lot::RwLock;
use smallvec::{SmallVec, smallvec};
use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};
use tokio::sync::oneshot;
use tramline_catalog::{BindingRecord, ExchangeRecord};
use tramline_routing::{
    Binding, Destination, Error as RoutingError, Exchange, ExchangeSettings, Message as RoutedBy,
    Router,
};
use tramline_store::{Commit, LogStore, Op, Purpose, Reservation};
use tramline_types::{
    ExchangeName, QueueName,
    limits::{BINDING_ARGUMENTS_BYTES_MAX, BINDINGS_MAX, EXCHANGES_MAX},
};

/// What clients may not declare.
const RESERVED_PREFIX: &str = "amq.";

/// Every exchange of this node.
pub(crate) struct Exchanges {
    state: RwLock<State>,
    generation: AtomicU64,
    /// Changes that are not durable yet.
    under_way: Arc<AtomicUsize>,
}

struct State {
    router: Router,
    n_exchanges: usize,
    n_bindings: usize,
}

/// What is to be stored for a change.
type Ops = SmallVec<[Op; 1]>;

impl Exchanges {
    /// Takes up what is stored. A binding is deleted in one commit with its exchange: one
    /// without can only be what damage to the stored data left, and the rest is served.
    pub(crate) fn load(store: &dyn LogStore) -> Result<Self, Error> {
        let mut state = State { router: Router::default(), n_exchanges: 0, n_bindings: 0 };
        for (key, value) in store.scan(ExchangeRecord::prefix()) {
            state.router.insert(ExchangeRecord::decode(&key, &value)?);
            state.n_exchanges += 1;
        }
        for (key, _) in store.scan(BindingRecord::prefix()) {
            let binding = BindingRecord::decode(&key)?;
            match state.router.bind(&binding) {
                Ok(_) => state.n_bindings += 1,
                Err(error) => tracing::warn!(
                    exchange = %binding.source, ?binding.destination, %error, "a stored binding is left out"
                ),
            }
        }
        let (generation, under_way) = (AtomicU64::new(0), Arc::default());
        Ok(Self { state: RwLock::new(state), generation, under_way })
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Takes a deleted queue's bindings out. `commit` gets what is to be stored for that, while
    /// no other change can come in between; the queue is out of sight already.
    pub(crate) fn remove_queue<T>(&self, name: &QueueName, commit: impl FnOnce(Ops) -> T) -> T {
        let mut state = self.state.write();
        let gone = state.router.remove_queue(name);
        let mut ops = state.forget(&gone);
        state.sweep(gone, &mut ops);
        self.changed();
        commit(ops)
    }
}

impl State {
    fn is_durable(&self, name: &ExchangeName) -> bool {
        self.router.exchange(name.as_str()).is_some_and(|exchange| exchange.settings.durable)
    }

    /// Removals of bindings that are out of the router. Removing what was never stored is fine.
    fn forget(&mut self, gone: &[Binding]) -> Ops {
        self.n_bindings -= gone.len();
        gone.iter().map(|binding| Op::Remove(BindingRecord::key(binding))).collect()
    }

    /// Deletes the auto-delete exchanges that lost their last binding with these, and those
    /// that lose theirs by that.
    fn sweep(&mut self, mut gone: Vec<Binding>, ops: &mut Ops) {
        while let Some(binding) = gone.pop() {
            let source = &binding.source;
            let Some(exchange) = self.router.exchange(source.as_str()) else { continue };
            if exchange.settings.auto_delete && self.router.is_unbound(source) {
                let (source, more) = (source.clone(), self.remove(&binding.source, ops));
                tracing::debug!(exchange = %source, "deleted with its last binding");
                gone.extend(more);
            }
        }
    }

    fn remove(&mut self, name: &ExchangeName, ops: &mut Ops) -> Vec<Binding> {
        let gone = self.router.remove(name);
        self.n_exchanges -= 1;
        ops.extend(self.forget(&gone));
        ops.push(Op::Remove(ExchangeRecord::key(name)));
        gone
    }
}

impl Broker {
    /// Declares an exchange; durable on return where it is to be. One that exists must be the
    /// same.
    pub async fn declare_exchange(
        &self,
        name: &ExchangeName,
        settings: ExchangeSettings,
    ) -> Result<Created, Error> {
        if name.is_default() {
            return Err(refused("the default exchange cannot be declared"));
        }
        let record = ExchangeRecord::encode(&settings);
        let reservation = self.reserve_upkeep(record.len() + name.as_str().len(), 1).await?;
        let (created, durable) = {
            let mut state = self.exchanges().state.write();
            if let Some(exchange) = state.router.exchange(name.as_str()) {
                equivalent(exchange, &settings)?;
                (Created::No, self.as_it_is(reservation))
            } else {
                check_new(name, state.n_exchanges)?;
                state.n_exchanges += 1;
                let stored = settings.durable;
                let exchange = Exchange { name: name.clone(), settings, predeclared: false };
                state.router.insert(exchange);
                self.exchanges().changed();
                let put = || Op::Put(ExchangeRecord::key(name), record);
                let ops = if stored { smallvec![put()] } else { Ops::new() };
                (Created::Yes, self.submit_ops(ops, reservation))
            }
        };
        finished(durable).await.map(|()| created)
    }

    /// The exchange of this name.
    pub fn exchange(&self, name: &ExchangeName) -> Result<Exchange, Error> {
        let state = self.exchanges().state.read();
        let found = state.router.exchange(name.as_str()).cloned();
        found.ok_or_else(|| unknown(name))
    }

    /// Every exchange but the default one, by name.
    pub fn list_exchanges(&self) -> Vec<Exchange> {
        self.exchanges().state.read().router.exchanges().cloned().collect()
    }

    /// Deletes an exchange with its bindings; durable on return.
    pub async fn delete_exchange(&self, name: &ExchangeName, if_unused: bool) -> Result<(), Error> {
        let reservation = self.reserve_upkeep(0, 1).await?;
        let durable = {
            let mut state = self.exchanges().state.write();
            let exchange = state.router.exchange(name.as_str()).ok_or_else(|| unknown(name))?;
            if exchange.predeclared {
                return Err(refused("a predeclared exchange cannot be deleted"));
            }
            if if_unused && !state.router.is_unbound(name) {
                return Err(QueueError::InUse(name.to_string()).into());
            }
            let mut ops = Ops::new();
            let gone = state.remove(name, &mut ops);
            state.sweep(gone, &mut ops);
            self.exchanges().changed();
            self.submit_ops(ops, reservation)
        };
        finished(durable).await
    }

    /// Adds a binding, which may be there already; durable on return where both its ends are.
    pub async fn bind(&self, binding: Binding) -> Result<(), Error> {
        check_source(&binding.source)?;
        let key = BindingRecord::key(&binding);
        if key.len() > BINDING_ARGUMENTS_BYTES_MAX {
            let text = format!("a binding takes at most {BINDING_ARGUMENTS_BYTES_MAX} bytes");
            return Err(QueueError::LimitExceeded(text).into());
        }
        let reservation = self.reserve_upkeep(key.len(), 1).await?;
        let durable = {
            let mut state = self.exchanges().state.write();
            let destination_is_durable = match &binding.destination {
                Destination::Queue(queue) => {
                    let queue = self.queue(queue)?;
                    queue.check_writable()?;
                    queue.settings().durability == QueueDurability::Durable
                }
                Destination::Exchange(exchange) => state.is_durable(exchange),
            };
            let stored = destination_is_durable && state.is_durable(&binding.source);
            if state.n_bindings >= BINDINGS_MAX {
                let text = format!("there are {BINDINGS_MAX} bindings, which is the limit");
                return Err(QueueError::LimitExceeded(text).into());
            }
            if state.router.bind(&binding).map_err(from_routing)? {
                state.n_bindings += 1;
                self.exchanges().changed();
                let put = || Op::Put(key, Bytes::new());
                let ops = if stored { smallvec![put()] } else { Ops::new() };
                self.submit_ops(ops, reservation)
            } else {
                self.as_it_is(reservation)
            }
        };
        finished(durable).await
    }

    /// Takes a binding out, which may be gone already; durable on return. An auto-delete
    /// exchange goes with its last one.
    pub async fn unbind(&self, binding: &Binding) -> Result<(), Error> {
        check_source(&binding.source)?;
        let reservation = self.reserve_upkeep(0, 1).await?;
        let durable = {
            let mut state = self.exchanges().state.write();
            if state.router.unbind(binding) {
                let mut ops = state.forget(std::slice::from_ref(binding));
                state.sweep(vec![binding.clone()], &mut ops);
                self.exchanges().changed();
                self.submit_ops(ops, reservation)
            } else {
                self.as_it_is(reservation)
            }
        };
        finished(durable).await
    }

    /// Every binding from an exchange that is not the default one.
    pub fn bindings_from(&self, name: &ExchangeName) -> Vec<Binding> {
        self.exchanges().state.read().router.bindings_from(name)
    }

    /// Every binding to a queue or an exchange, those of the default exchange aside.
    pub fn bindings_to(&self, destination: &Destination) -> Vec<Binding> {
        self.exchanges().state.read().router.bindings_to(destination)
    }

    /// Rises with every change of an exchange, a binding or the set of queues: while it stands,
    /// a route found by key is still the same.
    pub fn routing_generation(&self) -> u64 {
        self.exchanges().generation.load(Ordering::Acquire)
    }

    /// The queues that a client's message reaches, each once.
    ///
    /// # Errors
    /// [`QueueError::UnknownExchange`]; [`QueueError::AccessRefused`] for an internal exchange,
    /// and for the name of a subscription at the default one.
    pub fn route(&self, from: &ExchangeName, message: &RoutedBy<'_>) -> Result<Targets, Error> {
        if from.is_default() {
            let targets = self.route_by_name(message.keys);
            targets.iter().try_for_each(|queue| queue.check_writable())?;
            return Ok(targets);
        }
        let state = self.exchanges().state.read();
        let exchange = state.router.exchange(from.as_str()).ok_or_else(|| unknown(from))?;
        if exchange.settings.internal {
            return Err(refused(&format!("cannot publish to internal exchange `{from}`")));
        }
        let names = state.router.route(from, message).map_err(from_routing)?;
        drop(state);
        Ok(self.targets(names))
    }

    /// The queues that a dead-lettered message reaches, each once: internal exchanges take it,
    /// and an exchange that is gone leads nowhere, nor does the name of a subscription.
    pub(crate) fn route_dead_letter(&self, from: &ExchangeName, message: &RoutedBy<'_>) -> Targets {
        if from.is_default() {
            let mut targets = self.route_by_name(message.keys);
            targets.retain(|queue| !queue.is_subscription());
            return targets;
        }
        let names = self.exchanges().state.read().router.route(from, message);
        self.targets(names.unwrap_or_default())
    }

    /// The default exchange: each key is a queue's name.
    fn route_by_name(&self, keys: &[&[u8]]) -> Targets {
        let mut targets = Targets::new();
        for key in keys {
            let name = std::str::from_utf8(key).ok().and_then(|key| QueueName::parse(key).ok());
            let Some(Ok(queue)) = name.map(|name| self.queue(&name)) else { continue };
            if !targets.iter().any(|of| of.id() == queue.id()) {
                targets.push(queue);
            }
        }
        targets
    }

    /// A queue that is being deleted may still be bound for an instant.
    fn targets(&self, names: Vec<QueueName>) -> Targets {
        names.iter().filter_map(|name| self.queue(name).ok()).collect()
    }

    /// Takes note that a queue came or went.
    pub(crate) fn queues_changed(&self) {
        self.exchanges().changed();
    }

    async fn reserve_upkeep(&self, bytes: usize, ops: usize) -> Result<Reservation, Error> {
        Ok(self.store().reserve(Purpose::Upkeep, bytes, ops).wait().await?)
    }

    /// Submits, under the lock; nothing to store is durable at once.
    fn submit_ops(&self, ops: Ops, reservation: Reservation) -> Option<oneshot::Receiver<()>> {
        if ops.is_empty() {
            return None;
        }
        let under_way = Arc::clone(&self.exchanges().under_way);
        under_way.fetch_add(1, Ordering::Relaxed);
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move || {
            under_way.fetch_sub(1, Ordering::Release);
            let _caller_gave_up = done.send(());
        });
        self.store().submit(Commit { ops, on_durable }, reservation);
        Some(durable)
    }

    /// Nothing is to be changed, called under the lock: what made it so may not be durable yet,
    /// and is when this resolves.
    fn as_it_is(&self, reservation: Reservation) -> Option<oneshot::Receiver<()>> {
        let under_way = self.exchanges().under_way.load(Ordering::Acquire) > 0;
        under_way.then(|| submit(&**self.store(), Ops::new(), reservation))
    }
}

async fn finished(durable: Option<oneshot::Receiver<()>>) -> Result<(), Error> {
    match durable {
        Some(durable) => durable.await.map_err(|_| Error::Closed),
        None => Ok(()),
    }
}

fn check_source(name: &ExchangeName) -> Result<(), Error> {
    if name.is_default() {
        return Err(refused("the default exchange binds every queue by its name, and no other"));
    }
    Ok(())
}

/// Refuses what clients may not declare, and one too many.
fn check_new(name: &ExchangeName, n_exchanges: usize) -> Result<(), Error> {
    if name.as_str().starts_with(RESERVED_PREFIX) {
        return Err(refused(&format!("exchange name `{name}` contains reserved prefix `amq.`")));
    }
    if n_exchanges >= EXCHANGES_MAX {
        let text = format!("there are {EXCHANGES_MAX} exchanges, which is the limit");
        return Err(QueueError::LimitExceeded(text).into());
    }
    Ok(())
}

/// Whether an exchange that exists is what is asked for.
fn equivalent(have: &Exchange, wanted: &ExchangeSettings) -> Result<(), Error> {
    let settings = &have.settings;
    let alternate = |settings: &ExchangeSettings| {
        settings.alternate.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    let compared = [
        ("type", settings.kind.to_string(), wanted.kind.to_string()),
        ("durable", settings.durable.to_string(), wanted.durable.to_string()),
        ("auto_delete", settings.auto_delete.to_string(), wanted.auto_delete.to_string()),
        ("internal", settings.internal.to_string(), wanted.internal.to_string()),
        ("alternate-exchange", alternate(settings), alternate(wanted)),
    ];
    match compared.into_iter().find(|(_, have, wanted)| have != wanted) {
        None => Ok(()),
        Some((setting, is, wanted)) => {
            let name = have.name.to_string();
            Err(QueueError::Inequivalent { name, setting, have: is, wanted }.into())
        }
    }
}

fn refused(text: &str) -> Error {
    QueueError::AccessRefused(text.to_owned()).into()
}

fn unknown(name: &ExchangeName) -> Error {
    QueueError::UnknownExchange(name.to_string()).into()
}

fn from_routing(error: RoutingError) -> Error {
    match error {
        RoutingError::UnknownExchange(name) => unknown(&name),
        RoutingError::InvalidMatch => {
            QueueError::InvalidSetting { setting: "x-match", detail: error.to_string() }.into()
        }
    }
}

#[cfg(test)]
mod tests;
