//! When final jobs are forgotten. A job that begins anew has another number then: what is left
//! here of its former one is passed over, and taken out when there is much of it.

use std::collections::{BTreeMap, VecDeque};
use tramline_types::Timestamp;

#[derive(Default)]
pub(super) struct Finals {
    numbers: BTreeMap<Timestamp, VecDeque<u64>>,
    len: usize,
}

impl Finals {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn insert(&mut self, expires: Timestamp, number: u64) {
        self.numbers.entry(expires).or_default().push_back(number);
        self.len += 1;
    }

    /// The first one, if its time has come.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<u64> {
        let is_due = self.numbers.first_key_value().is_some_and(|(expires, _)| *expires <= now);
        if is_due { self.pop() } else { None }
    }

    /// The first one.
    pub(super) fn pop(&mut self) -> Option<u64> {
        let mut first = self.numbers.first_entry()?;
        let number = first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        self.len -= usize::from(number.is_some());
        number
    }

    /// Takes out those that are not there any more.
    pub(super) fn retain(&mut self, mut is_there: impl FnMut(u64) -> bool) {
        for numbers in self.numbers.values_mut() {
            numbers.retain(|number| is_there(*number));
        }
        self.numbers.retain(|_, numbers| !numbers.is_empty());
        self.len = self.numbers.values().map(VecDeque::len).sum();
    }
}
