//! Jobs in the order of their numbers: in pages, of which only the newest one grows.

use super::slots::Slot;
use std::{collections::BTreeMap, ops::Range};

/// Numbers of a page.
const PAGE: u64 = SLOTS as u64;
const SLOTS: usize = 64;

#[derive(Default)]
pub(super) struct Order {
    pages: BTreeMap<u64, Page>,
}

struct Page {
    slots: Box<[Option<Slot>; SLOTS]>,
    len: usize,
}

impl Page {
    fn numbered(&self, page: u64) -> impl DoubleEndedIterator<Item = (u64, Slot)> {
        let slots = self.slots.iter().enumerate();
        let number = move |within: usize| page * PAGE + within as u64;
        slots.filter_map(move |(within, slot)| Some((number(within), (*slot)?)))
    }
}

const fn within(number: u64) -> usize {
    (number % PAGE) as usize
}

impl Order {
    pub(super) fn get(&self, number: u64) -> Option<Slot> {
        self.pages.get(&(number / PAGE))?.slots[within(number)]
    }

    pub(super) fn insert(&mut self, number: u64, slot: Slot) {
        let empty = || Page { slots: Box::new([None; SLOTS]), len: 0 };
        let page = self.pages.entry(number / PAGE).or_insert_with(empty);
        let before = page.slots[within(number)].replace(slot);
        page.len += usize::from(before.is_none());
    }

    pub(super) fn remove(&mut self, number: u64) {
        let Some(page) = self.pages.get_mut(&(number / PAGE)) else { return };
        page.len -= usize::from(page.slots[within(number)].take().is_some());
        if page.len == 0 {
            self.pages.remove(&(number / PAGE));
        }
    }

    /// Those with these numbers.
    pub(super) fn range(
        &self,
        numbers: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = (u64, Slot)> {
        let pages = numbers.start / PAGE..=numbers.end / PAGE;
        self.pages
            .range(pages)
            .flat_map(|(page, it)| it.numbered(*page))
            .filter(move |(n, _)| numbers.contains(n))
    }
}
