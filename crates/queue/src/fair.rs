//! Fair groups: a group with many messages does not hold up those with few.
//!
//! Messages that could be delivered are looked at before their turn, up to [`AHEAD_MAX`] of them,
//! and wait here by group. The group that has had the fewest turns is served first; a turn is one
//! delivery (start-time fair queueing: every group has a number, that of its next turn; the clock
//! is the number served last; a group that was away starts at the clock, so it has neither
//! credit nor debt). Among equals the oldest message goes. Within a group the order of offsets
//! holds.
//!
//! In memory only: after a restart everything that waited is ready in its place, and looked at
//! again. Invariant: `offsets` is the union of all `waiting`, and `order` has each group that has
//! any of them exactly once, by its number and first offset.

use roaring::RoaringTreemap;
use std::collections::{BTreeSet, HashMap};

/// Messages of one lane that are looked at before their turn. Those behind them wait until some
/// have gone.
pub(crate) const AHEAD_MAX: u64 = 120_000;
/// Groups that are remembered beside those with messages here.
const ABSENT_MAX: usize = 4096;

#[derive(Default)]
pub(crate) struct Fair {
    groups: HashMap<Option<u64>, Group>,
    order: BTreeSet<(u64, u64, Option<u64>)>,
    offsets: RoaringTreemap,
    /// Whose turn it was: they are ready, and go next.
    chosen: BTreeSet<u64>,
    clock: u64,
}

#[derive(Default)]
struct Group {
    /// The number of its next turn.
    turn: u64,
    /// Where it stands in the order, when it does.
    place: Option<(u64, u64)>,
    waiting: RoaringTreemap,
}

impl Fair {
    /// How many wait.
    pub(crate) fn len(&self) -> u64 {
        if self.order.is_empty() { 0 } else { self.offsets.len() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        !self.order.is_empty() && self.offsets.contains(offset)
    }

    pub(crate) fn count_before(&self, offset: u64) -> u64 {
        self.offsets.range_cardinality(..offset)
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.offsets.min()
    }

    /// A message waits for its group's turn.
    pub(crate) fn add(&mut self, offset: u64, group: Option<u64>) {
        self.offsets.insert(offset);
        let (clock, name) = (self.clock, group);
        let group = self.groups.entry(name).or_default();
        if group.waiting.is_empty() {
            group.turn = group.turn.max(clock);
        }
        group.waiting.insert(offset);
        Self::place(&mut self.order, name, group);
    }

    /// Stands a group where it belongs.
    fn place(order: &mut BTreeSet<(u64, u64, Option<u64>)>, name: Option<u64>, group: &mut Group) {
        let place = group.waiting.min().map(|first| (group.turn, first));
        if place != group.place {
            if let Some((turn, first)) = group.place {
                order.remove(&(turn, first, name));
            }
            if let Some((turn, first)) = place {
                order.insert((turn, first, name));
            }
            group.place = place;
        }
    }

    /// The message whose turn it is: ready from here on, and to be delivered next.
    pub(crate) fn poll(&mut self) -> Option<u64> {
        let (turn, offset, name) = self.order.first().copied()?;
        self.clock = turn;
        if let Some(group) = self.groups.get_mut(&name) {
            group.waiting.remove(offset);
            group.turn = turn.saturating_add(1);
            Self::place(&mut self.order, name, group);
        }
        self.offsets.remove(offset);
        self.chosen.insert(offset);
        if self.groups.len() > 2 * self.order.len() + ABSENT_MAX {
            // At the clock they would begin anew.
            self.groups.retain(|_, group| !group.waiting.is_empty() || group.turn > turn + 1);
        }
        Some(offset)
    }

    /// Whether it is its turn; asked once.
    pub(crate) fn take_chosen(&mut self, offset: u64) -> bool {
        !self.chosen.is_empty() && self.chosen.remove(&offset)
    }

    /// Nothing of these waits any more; gives how many did.
    pub(crate) fn remove(&mut self, from: u64, to: u64) -> u64 {
        while let Some(offset) = self.chosen.range(from..to).next().copied() {
            self.chosen.remove(&offset);
        }
        if self.is_empty() || self.offsets.range_cardinality(from..to) == 0 {
            return 0;
        }
        let removed = self.offsets.remove_range(from..to);
        for (name, group) in self.groups.iter_mut().filter(|(_, group)| !group.waiting.is_empty()) {
            if group.waiting.remove_range(from..to) > 0 {
                Self::place(&mut self.order, *name, group);
            }
        }
        removed
    }

    /// Everything that waits, which does not any more.
    pub(crate) fn take(&mut self) -> RoaringTreemap {
        let clock = self.clock;
        *self = Self { offsets: std::mem::take(&mut self.offsets), clock, ..Self::default() };
        std::mem::take(&mut self.offsets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(fair: &mut Fair, n: usize) -> Vec<u64> {
        std::iter::from_fn(|| fair.poll()).take(n).collect()
    }

    #[test]
    fn groups_take_turns_and_the_oldest_of_equals_goes_first() {
        let mut fair = Fair::default();
        (0..6).for_each(|offset| fair.add(offset, Some(1)));
        (6..8).for_each(|offset| fair.add(offset, Some(2)));
        fair.add(8, None);
        assert_eq!(served(&mut fair, 9), [0, 6, 8, 1, 7, 2, 3, 4, 5]);
        assert!(fair.is_empty() && fair.poll().is_none());
    }

    #[test]
    fn who_was_away_has_neither_credit_nor_debt() {
        let mut fair = Fair::default();
        (0..100).for_each(|offset| fair.add(offset, Some(1)));
        assert_eq!(served(&mut fair, 50).len(), 50);
        (100..104).for_each(|offset| fair.add(offset, Some(2)));
        assert_eq!(served(&mut fair, 6), [100, 50, 101, 51, 102, 52]);
        assert_eq!(served(&mut fair, 4), [103, 53, 54, 55]);
    }

    #[test]
    fn what_is_removed_has_no_turn() {
        let mut fair = Fair::default();
        (0..4).for_each(|offset| fair.add(offset, Some(1)));
        (4..6).for_each(|offset| fair.add(offset, Some(2)));
        assert_eq!((fair.remove(0, 2), fair.remove(5, 9), fair.remove(50, 60)), (2, 1, 0));
        assert_eq!((fair.len(), fair.contains(1), fair.contains(2)), (3, false, true));
        assert_eq!(served(&mut fair, 9), [2, 4, 3]);
        fair.add(9, Some(1));
        assert_eq!(fair.take().into_iter().collect::<Vec<_>>(), [9]);
        assert!(fair.poll().is_none());
    }
}
