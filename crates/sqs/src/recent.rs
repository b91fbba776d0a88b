//! What happened within a span before now, up to a number: beyond it the oldest goes first.
//!
//! Invariant: `order` names every key of `by_key` with its time; entries of `order` whose time is
//! not that of the key are of what was replaced or removed.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};
use tramline_types::Monotonic;

pub(crate) struct Recent<K, V> {
    span: Duration,
    n_max: usize,
    by_key: HashMap<K, (Monotonic, V)>,
    order: VecDeque<(Monotonic, K)>,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(span: Duration, n_max: usize) -> Self {
        Self { span, n_max, by_key: HashMap::new(), order: VecDeque::new() }
    }

    /// What is known of this key, if it is not too long ago.
    pub(crate) fn get(&mut self, key: &K, now: Monotonic) -> Option<&V> {
        self.expire(now);
        self.by_key.get(key).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V, now: Monotonic) {
        self.expire(now);
        self.by_key.insert(key.clone(), (now, value));
        self.order.push_back((now, key));
        while self.order.len() > self.n_max {
            self.drop_first();
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.by_key.remove(key).map(|(_, value)| value)
    }

    /// Forgets those of which `which` says so.
    pub(crate) fn remove_where(&mut self, which: impl Fn(&K, &V) -> bool) {
        self.by_key.retain(|key, (_, value)| !which(key, value));
    }

    pub(crate) fn clear(&mut self) {
        self.by_key.clear();
        self.order.clear();
    }

    fn expire(&mut self, now: Monotonic) {
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= self.span) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((at, key)) = self.order.pop_front()
            && self.by_key.get(&key).is_some_and(|(known, _)| *known == at)
        {
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_too_long_ago_is_forgotten_and_a_repeat_counts_anew() {
        let mut recent = Recent::new(Duration::from_secs(10), 100);
        recent.insert("a", 1, at(0));
        recent.insert("a", 2, at(5));
        assert_eq!(recent.get(&"a", at(14)), Some(&2));
        assert_eq!(recent.get(&"a", at(15)), None);
        recent.insert("b", 3, at(20));
        assert_eq!(recent.remove(&"b"), Some(3));
        assert_eq!(recent.get(&"b", at(20)), None);
    }

    #[test]
    fn beyond_the_number_the_oldest_goes() {
        let mut recent = Recent::new(Duration::from_secs(10), 2);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            recent.insert(key, value, at(0));
        }
        assert_eq!(recent.get(&"a", at(0)), None);
        assert_eq!(recent.get(&"c", at(0)), Some(&3));
    }
}
