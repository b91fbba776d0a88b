//! The bindings of one exchange, arranged for its kind.

use crate::{
    Arguments, Binding, Destination, ExchangeKind, Value, destinations::Destinations,
    headers::Wanted, topic::Patterns,
};
use bytes::Bytes;
use smallvec::SmallVec;
use std::collections::HashMap;

/// Finds destinations. `bound` has every binding once; the arrangement follows it.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The arguments of each binding, by destination and key.
    bound: HashMap<(Destination, Bytes), SmallVec<[Arguments; 1]>>,
    arranged: Arranged,
}

#[derive(Clone, Debug)]
enum Arranged {
    Direct(HashMap<Bytes, Destinations>),
    Fanout(Destinations),
    Topic(Patterns),
    Headers(Vec<(Wanted, Binding)>),
}

impl Table {
    pub(crate) fn new(kind: ExchangeKind) -> Self {
        let arranged = match kind {
            ExchangeKind::Direct => Arranged::Direct(HashMap::new()),
            ExchangeKind::Fanout => Arranged::Fanout(Destinations::default()),
            ExchangeKind::Topic => Arranged::Topic(Patterns::default()),
            ExchangeKind::Headers => Arranged::Headers(Vec::new()),
        };
        Self { bound: HashMap::new(), arranged }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bound.is_empty()
    }

    /// Every binding: destination, key, arguments.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Destination, &Bytes, &Arguments)> {
        self.bound.iter().flat_map(|((destination, key), all)| {
            all.iter().map(move |arguments| (destination, key, arguments))
        })
    }

    /// The arguments of every binding to a destination by a key.
    pub(crate) fn arguments(
        &self,
        destination: &Destination,
        key: &Bytes,
    ) -> impl Iterator<Item = &Arguments> {
        self.bound.get(&(destination.clone(), key.clone())).into_iter().flatten()
    }

    /// Adds a binding whose arguments are checked; false when it is there.
    pub(crate) fn insert(&mut self, binding: &Binding) -> bool {
        let place = (binding.destination.clone(), binding.key.clone());
        let bound = self.bound.entry(place).or_default();
        if bound.iter().any(|arguments| arguments.is_equivalent(&binding.arguments)) {
            return false;
        }
        bound.push(binding.arguments.clone());
        let destination = &binding.destination;
        match &mut self.arranged {
            Arranged::Direct(keys) => {
                keys.entry(binding.key.clone()).or_default().add(destination);
            }
            Arranged::Fanout(all) => all.add(destination),
            Arranged::Topic(patterns) => patterns.insert(&binding.key, destination),
            Arranged::Headers(all) => {
                let wanted = Wanted::parse(&binding.arguments).expect("checked by the router");
                all.push((wanted, binding.clone()));
            }
        }
        true
    }

    /// Takes a binding out; false when it is not there.
    pub(crate) fn remove(&mut self, binding: &Binding) -> bool {
        let destination = &binding.destination;
        let place = (destination.clone(), binding.key.clone());
        let Some(bound) = self.bound.get_mut(&place) else { return false };
        let same = |arguments: &Arguments| arguments.is_equivalent(&binding.arguments);
        let Some(at) = bound.iter().position(same) else { return false };
        bound.swap_remove(at);
        if bound.is_empty() {
            self.bound.remove(&place);
        }
        match &mut self.arranged {
            Arranged::Direct(keys) => {
                if let Some(destinations) = keys.get_mut(&binding.key) {
                    destinations.remove(destination);
                    if destinations.is_empty() {
                        keys.remove(&binding.key);
                    }
                }
            }
            Arranged::Fanout(all) => all.remove(destination),
            Arranged::Topic(patterns) => patterns.remove(&binding.key, destination),
            Arranged::Headers(all) => all.retain(|(_, of)| !of.is_same(binding)),
        }
        true
    }

    /// Whether messages of different keys may match differently.
    pub(crate) const fn asks_keys(&self) -> bool {
        matches!(self.arranged, Arranged::Direct(_) | Arranged::Topic(_))
    }

    /// Adds what a message matches; a destination may come more than once.
    pub(crate) fn matches(
        &self,
        key: &[u8],
        header: &dyn Fn(&str) -> Option<Value>,
        found: &mut Vec<Destination>,
    ) {
        match &self.arranged {
            Arranged::Direct(keys) => {
                found.extend(keys.get(key).into_iter().flat_map(Destinations::iter).cloned());
            }
            Arranged::Fanout(all) => found.extend(all.iter().cloned()),
            Arranged::Topic(patterns) => patterns.matches(key, found),
            Arranged::Headers(all) => {
                let fitting = all.iter().filter(|(wanted, _)| wanted.matches(header));
                found.extend(fitting.map(|(_, binding)| binding.destination.clone()));
            }
        }
    }
}
