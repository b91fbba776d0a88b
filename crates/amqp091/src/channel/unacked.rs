//! A channel's deliveries that are out, by their numbers.
//!
//! Invariant: the numbers rise from front to back, and the front is not settled: what is settled
//! in between leaves a gap that goes when the front reaches it.

use crate::{client::ConsumerKey, error::Refusal};
use std::collections::VecDeque;
use tramline_broker::LockToken;
use tramline_types::{Monotonic, limits::AMQP_UNACKED_PER_CHANNEL_MAX};

pub(super) const UNACKED_MAX: usize = AMQP_UNACKED_PER_CHANNEL_MAX;

/// One delivery that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Out {
    /// Which of the channel's queues.
    pub(crate) queue: u32,
    /// Whose credit it takes; none, where it was asked for.
    pub(crate) consumer: Option<ConsumerKey>,
    pub(crate) token: LockToken,
    /// When its channel is closed because it is still out.
    pub(crate) due: Option<Monotonic>,
}

/// What is out.
#[derive(Debug, Default)]
pub(crate) struct Unacked {
    slots: VecDeque<(u64, Option<Out>)>,
    n_out: usize,
    /// No delivery is due before; what was may be settled.
    due: Option<Monotonic>,
}

impl Unacked {
    /// How many are out.
    pub(crate) const fn len(&self) -> usize {
        self.n_out
    }

    /// When to ask [`Unacked::late`].
    pub(crate) const fn poll_due(&self) -> Option<Monotonic> {
        self.due
    }

    /// One that is out for too long.
    pub(crate) fn late(&mut self, now: Monotonic) -> Option<Out> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        let timed = self.slots.iter().filter_map(|(_, out)| out.as_ref());
        let first = timed.filter(|out| out.due.is_some()).min_by_key(|out| out.due).copied();
        self.due = first.and_then(|out| out.due);
        first.filter(|out| out.due.is_some_and(|due| due <= now))
    }

    fn note_due(&mut self, due: Option<Monotonic>) {
        self.due = self.due.into_iter().chain(due).min();
    }

    /// Another one, with a number above all before.
    pub(crate) fn push(&mut self, delivery_tag: u64, out: Out) {
        if self.slots.len() >= 2 * self.n_out.max(1024) {
            self.slots.retain(|(_, out)| out.is_some());
        }
        self.note_due(out.due);
        self.slots.push_back((delivery_tag, Some(out)));
        self.n_out += 1;
    }

    /// Where a number is: it is as far behind the front as their difference, unless numbers were
    /// given to deliveries that need no settling.
    fn position(&self, delivery_tag: u64) -> Option<usize> {
        let (front, _) = self.slots.front()?;
        let guess = usize::try_from(delivery_tag.checked_sub(*front)?).ok()?;
        let slot = match self.slots.get(guess) {
            Some((tag, _)) if *tag == delivery_tag => guess,
            _ => self.slots.binary_search_by_key(&delivery_tag, |(tag, _)| *tag).ok()?,
        };
        self.slots[slot].1.is_some().then_some(slot)
    }

    /// Takes out one delivery, or all up to it; all that are out, where `multiple` comes with 0.
    pub(crate) fn settle(
        &mut self,
        delivery_tag: u64,
        multiple: bool,
        mut each: impl FnMut(u64, Out),
    ) -> Result<(), Refusal> {
        if multiple && delivery_tag == 0 {
            self.take_all().for_each(|(tag, out)| each(tag, out));
            return Ok(());
        }
        let slot = self
            .position(delivery_tag)
            .ok_or_else(|| Refusal::precondition(format!("unknown delivery tag {delivery_tag}")))?;
        if multiple {
            for (tag, out) in self.slots.drain(..=slot) {
                if let Some(out) = out {
                    self.n_out -= 1;
                    each(tag, out);
                }
            }
        } else if let Some(out) = self.slots[slot].1.take() {
            self.n_out -= 1;
            each(delivery_tag, out);
        }
        while self.slots.front().is_some_and(|(_, out)| out.is_none()) {
            self.slots.pop_front();
        }
        Ok(())
    }

    /// Everything that is out.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Out> {
        self.slots.iter_mut().filter_map(|(_, out)| out.as_mut())
    }

    /// Takes out everything, in order.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = (u64, Out)> + use<> {
        self.n_out = 0;
        let slots = std::mem::take(&mut self.slots).into_iter();
        slots.filter_map(|(tag, out)| Some((tag, out?)))
    }

    /// What was settled is out again.
    pub(crate) fn put_back(&mut self, again: impl Iterator<Item = (u64, Out)>) {
        for (tag, out) in again {
            self.note_due(out.due);
            self.slots.push_back((tag, Some(out)));
        }
        self.slots.retain(|(_, out)| out.is_some());
        self.slots.make_contiguous().sort_unstable_by_key(|(tag, _)| *tag);
        self.n_out = self.slots.len();
    }
}

#[cfg(test)]
mod tests;
