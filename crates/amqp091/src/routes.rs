//! Where messages go, remembered by exchange and routing key.
//!
//! A route that was found without looking at headers holds until the broker's routing changes.

use std::{cell::Cell, collections::HashMap};
use tramline_broker::{Broker, Error, RoutedBy, Targets, Value};
use tramline_types::ExchangeName;

/// Routes that one connection remembers.
const ROUTES_MAX: usize = 4096;

/// Queues of all those routes together.
const TARGETS_MAX: usize = 64 * 1024;

/// Remembered routes.
#[derive(Default)]
pub(crate) struct Routes {
    generation: u64,
    /// By the exchange's length, the exchange, the routing key.
    found: HashMap<Vec<u8>, Targets>,
    n_targets: usize,
    last: Vec<u8>,
    last_targets: Targets,
    has_last: bool,
    /// The key that is looked for, made in the same room each time.
    wanted: Vec<u8>,
}

/// What a message is routed by.
pub(crate) struct Routed<'a> {
    pub(crate) exchange: &'a str,
    /// Its own key, and those of `CC` and `BCC`.
    pub(crate) keys: &'a [&'a [u8]],
    pub(crate) header: &'a dyn Fn(&str) -> Option<Value>,
}

impl Routes {
    /// The queues that a message reaches.
    pub(crate) fn route(&mut self, broker: &Broker, by: &Routed<'_>) -> Result<Targets, Error> {
        let generation = broker.routing_generation();
        if generation != self.generation {
            self.generation = generation;
            self.forget();
        }
        let &[key] = by.keys else { return ask(broker, by).map(|(targets, _)| targets) };
        self.wanted.clear();
        self.wanted.extend(u8::try_from(by.exchange.len()));
        self.wanted.extend_from_slice(by.exchange.as_bytes());
        self.wanted.extend_from_slice(key);
        if self.has_last && self.wanted == self.last {
            return Ok(self.last_targets.clone());
        }
        let targets = match self.found.get(&self.wanted) {
            Some(targets) => targets.clone(),
            None => {
                let (targets, by_key_alone) = ask(broker, by)?;
                if !by_key_alone {
                    return Ok(targets);
                }
                self.n_targets += targets.len();
                if self.found.len() >= ROUTES_MAX || self.n_targets > TARGETS_MAX {
                    self.forget();
                    self.n_targets = targets.len();
                }
                self.found.insert(self.wanted.clone(), targets.clone());
                targets
            }
        };
        self.last.clone_from(&self.wanted);
        self.last_targets.clone_from(&targets);
        self.has_last = true;
        Ok(targets)
    }

    fn forget(&mut self) {
        self.found.clear();
        self.n_targets = 0;
        self.last_targets.clear();
        self.has_last = false;
    }
}

/// The route, and whether no header was looked at for it.
fn ask(broker: &Broker, by: &Routed<'_>) -> Result<(Targets, bool), Error> {
    let looked = Cell::new(false);
    let header = |name: &str| {
        looked.set(true);
        (by.header)(name)
    };
    let exchange = ExchangeName::parse(by.exchange)?;
    let targets = broker.route(&exchange, &RoutedBy { keys: by.keys, header: &header })?;
    Ok((targets, !looked.get()))
}
