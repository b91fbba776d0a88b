//! The exchanges of a namespace and the way of a message through them.
//!
//! Invariant: every binding's ends exist, queues aside: who deletes a queue says so with
//! [`Router::remove_queue`].

use crate::{Arguments, Binding, Destination, Value, headers, table::Table};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};
use tramline_types::{ExchangeName, QueueName};

/// How an exchange compares messages with its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeKind {
    /// The routing key equals the binding's.
    Direct,
    /// Everything goes everywhere.
    Fanout,
    /// The routing key's words match the binding's pattern.
    Topic,
    /// The headers match the binding's arguments.
    Headers,
}

impl ExchangeKind {
    /// Its name in AMQP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
        }
    }

    /// The kind of this AMQP name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Direct, Self::Fanout, Self::Topic, Self::Headers]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an exchange is declared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeSettings {
    /// How it matches.
    pub kind: ExchangeKind,
    /// Whether it outlives a restart.
    pub durable: bool,
    /// Whether it goes with its last binding.
    pub auto_delete: bool,
    /// Whether only other exchanges may publish to it.
    pub internal: bool,
    /// Where messages go that match nothing.
    pub alternate: Option<ExchangeName>,
}

impl ExchangeSettings {
    /// A durable exchange of this kind.
    pub const fn durable(kind: ExchangeKind) -> Self {
        Self { kind, durable: true, auto_delete: false, internal: false, alternate: None }
    }
}

/// An exchange as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: ExchangeName,
    /// What it was declared with.
    pub settings: ExchangeSettings,
    /// Predeclared: neither deleted nor declared by clients.
    pub predeclared: bool,
}

/// What routing looks at in a message.
pub struct Message<'a> {
    /// Its routing keys: one, and those of `CC` and `BCC`.
    pub keys: &'a [&'a [u8]],
    /// Looks a header up; asked only by headers exchanges.
    pub header: &'a dyn Fn(&str) -> Option<Value>,
}

/// Why the router refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No exchange of this name.
    #[error("no exchange `{0}`")]
    UnknownExchange(ExchangeName),
    /// `x-match` is none of the four.
    #[error("`x-match` is none of `all`, `any`, `all-with-x`, `any-with-x`")]
    InvalidMatch,
}

/// Every exchange but the default one, with its bindings.
#[derive(Clone, Debug)]
pub struct Router {
    exchanges: BTreeMap<ExchangeName, Entry>,
    /// Which exchanges lead to a destination, by which keys and how many bindings: for deletions.
    sources: HashMap<Destination, HashMap<(ExchangeName, Bytes), u32>>,
}

#[derive(Clone, Debug)]
struct Entry {
    exchange: Exchange,
    table: Table,
}

/// The predeclared exchanges (AMQP 0-9-1 section 3.1.3, and RabbitMQ's).
const PREDECLARED: [(&str, ExchangeKind, bool); 6] = [
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ("amq.topic", ExchangeKind::Topic, false),
];

impl Default for Router {
    fn default() -> Self {
        let mut router = Self { exchanges: BTreeMap::new(), sources: HashMap::new() };
        for (name, kind, internal) in PREDECLARED {
            let name = ExchangeName::parse(name).expect("a short constant");
            let settings = ExchangeSettings { internal, ..ExchangeSettings::durable(kind) };
            router.insert(Exchange { name, settings, predeclared: true });
        }
        router
    }
}

impl Router {
    /// The exchange of this name.
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.get(name).map(|entry| &entry.exchange)
    }

    /// Every exchange, by name.
    pub fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.values().map(|entry| &entry.exchange)
    }

    /// Adds an exchange that is not there.
    pub fn insert(&mut self, exchange: Exchange) {
        let table = Table::new(exchange.settings.kind);
        self.exchanges.insert(exchange.name.clone(), Entry { exchange, table });
    }

    /// Takes an exchange out, and with it every binding from and to it, which come back: each
    /// once, though one may lead from the exchange to itself.
    pub fn remove(&mut self, name: &ExchangeName) -> Vec<Binding> {
        let mut gone = self.bindings_from(name);
        gone.extend(self.bindings_to(&Destination::Exchange(name.clone())));
        gone.retain(|binding| self.unbind(binding));
        self.exchanges.remove(name);
        gone
    }

    /// Takes out every binding to a queue; they come back.
    pub fn remove_queue(&mut self, name: &QueueName) -> Vec<Binding> {
        let mut gone = self.bindings_to(&Destination::Queue(name.clone()));
        gone.retain(|binding| self.unbind(binding));
        gone
    }

    /// Adds a binding; false when it is there already.
    pub fn bind(&mut self, binding: &Binding) -> Result<bool, Error> {
        if let Destination::Exchange(to) = &binding.destination
            && !self.exchanges.contains_key(to)
        {
            return Err(Error::UnknownExchange(to.clone()));
        }
        let unknown = || Error::UnknownExchange(binding.source.clone());
        let entry = self.exchanges.get_mut(&binding.source).ok_or_else(unknown)?;
        if entry.exchange.settings.kind == ExchangeKind::Headers {
            headers::Wanted::parse(&binding.arguments).ok_or(Error::InvalidMatch)?;
        }
        let added = entry.table.insert(binding);
        if added {
            let sources = self.sources.entry(binding.destination.clone()).or_default();
            let way = (binding.source.clone(), binding.key.clone());
            *sources.entry(way).or_default() += 1;
        }
        Ok(added)
    }

    /// Takes a binding out; false when it is not there.
    pub fn unbind(&mut self, binding: &Binding) -> bool {
        let Some(entry) = self.exchanges.get_mut(&binding.source) else { return false };
        let removed = entry.table.remove(binding);
        if removed && let Some(sources) = self.sources.get_mut(&binding.destination) {
            let way = (binding.source.clone(), binding.key.clone());
            if let Some(count) = sources.get_mut(&way) {
                *count -= 1;
                if *count == 0 {
                    sources.remove(&way);
                }
            }
            if sources.is_empty() {
                self.sources.remove(&binding.destination);
            }
        }
        removed
    }

    /// Whether nothing leads from this exchange.
    pub fn is_unbound(&self, name: &ExchangeName) -> bool {
        self.exchanges.get(name).is_none_or(|entry| entry.table.is_empty())
    }

    /// Every binding from an exchange.
    pub fn bindings_from(&self, source: &ExchangeName) -> Vec<Binding> {
        let Some(entry) = self.exchanges.get(source) else { return Vec::new() };
        let binding = |(destination, key, arguments): (&Destination, &Bytes, &Arguments)| Binding {
            source: source.clone(),
            destination: destination.clone(),
            key: key.clone(),
            arguments: arguments.clone(),
        };
        entry.table.iter().map(binding).collect()
    }

    /// Every binding to a destination.
    pub fn bindings_to(&self, destination: &Destination) -> Vec<Binding> {
        let Some(sources) = self.sources.get(destination) else { return Vec::new() };
        let mut found = Vec::new();
        for (source, key) in sources.keys() {
            let Some(entry) = self.exchanges.get(source) else { continue };
            found.extend(entry.table.arguments(destination, key).map(|arguments| Binding {
                source: source.clone(),
                destination: destination.clone(),
                key: key.clone(),
                arguments: arguments.clone(),
            }));
        }
        found
    }

    /// The queues that a message reaches from an exchange that is not the default one, each
    /// once. Exchanges that lead to each other are passed once.
    pub fn route(
        &self,
        from: &ExchangeName,
        message: &Message<'_>,
    ) -> Result<Vec<QueueName>, Error> {
        let start = self.exchanges.get(from);
        let start = start.ok_or_else(|| Error::UnknownExchange(from.clone()))?;
        let mut queues = Found::default();
        let mut waiting = vec![start];
        let mut passed = HashSet::from([&start.exchange.name]);
        let mut pass = |name: &ExchangeName, waiting: &mut Vec<_>| {
            // An alternate exchange may be named before it is declared.
            if let Some((name, next)) = self.exchanges.get_key_value(name)
                && passed.insert(name)
            {
                waiting.push(next);
            }
        };
        let mut matched = Vec::new();
        while let Some(entry) = waiting.pop() {
            let mut is_matched = false;
            // A kind that does not look at keys finds the same for each of them.
            let n_keys = if entry.table.asks_keys() { message.keys.len() } else { 1 };
            for key in message.keys.iter().take(n_keys) {
                entry.table.matches(key, message.header, &mut matched);
                is_matched |= !matched.is_empty();
                for destination in matched.drain(..) {
                    match destination {
                        Destination::Queue(queue) => queues.add(queue),
                        Destination::Exchange(name) => pass(&name, &mut waiting),
                    }
                }
            }
            let alternate = entry.exchange.settings.alternate.as_ref();
            if let Some(alternate) = alternate.filter(|_| !is_matched) {
                pass(alternate, &mut waiting);
            }
        }
        Ok(queues.list)
    }
}

/// Queues in the order in which they were found, each once.
#[derive(Default)]
struct Found {
    list: Vec<QueueName>,
    /// Kept from the size on at which looking through the list costs more.
    set: HashSet<QueueName>,
}

impl Found {
    fn add(&mut self, queue: QueueName) {
        const LIST_MAX: usize = 16;
        if self.list.len() < LIST_MAX {
            if !self.list.contains(&queue) {
                self.list.push(queue);
            }
            return;
        }
        if self.set.is_empty() {
            self.set.extend(self.list.iter().cloned());
        }
        if self.set.insert(queue.clone()) {
            self.list.push(queue);
        }
    }
}

#[cfg(test)]
mod tests;
