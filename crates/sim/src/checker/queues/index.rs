//! What the rules about queues look up: messages by value, deliveries by queue and value, and
//! what became of each.

use crate::{
    Delivered, Settlement, Step, Totals,
    checker::index::{Index, Operation, Outcome},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A publish into queues.
pub(super) struct Message<'a> {
    pub(super) operation: Operation,
    pub(super) queues: &'a [String],
    pub(super) group: Option<&'a str>,
    pub(super) not_before_ms: Option<i64>,
    /// The queue and the token of the delivery that is accepted in the same unit.
    pub(super) unit: Option<(&'a str, &'a str)>,
}

/// One delivery.
pub(super) struct Delivery<'a> {
    /// When its receive began, or its client was attached.
    pub(super) begun: usize,
    /// When it was there.
    pub(super) event: usize,
    /// Its place in that answer.
    place: usize,
    pub(super) queue: &'a str,
    pub(super) value: &'a str,
    pub(super) token: &'a str,
    pub(super) at_ms: i64,
    pub(super) count: Option<u32>,
    until_ms: Option<i64>,
}

/// The end of a delivery, or more time for it.
#[derive(Clone, Copy)]
pub(super) struct Settle {
    pub(super) operation: Operation,
    pub(super) outcome: Settlement,
}

#[derive(Default)]
struct Declared<'a> {
    dead_letter: Option<&'a str>,
    ordered_groups: bool,
}

pub(super) struct Queues<'a> {
    pub(super) messages: BTreeMap<&'a str, Message<'a>>,
    /// By queue and value, in order of time.
    pub(super) deliveries: BTreeMap<(&'a str, &'a str), Vec<Delivery<'a>>>,
    /// By queue and token.
    settles: HashMap<(&'a str, &'a str), Vec<Settle>>,
    declared: BTreeMap<&'a str, Declared<'a>>,
    emptied: BTreeMap<&'a str, usize>,
    crashes: BTreeSet<usize>,
    /// By the moment of its invocation, when something confirmed by then at the latest was
    /// durable: only entries that no later one undercuts.
    durable: BTreeMap<usize, usize>,
    settles_ok: usize,
}

impl<'a> Queues<'a> {
    pub(super) fn new(index: &Index<'a>) -> Self {
        let mut queues = Self {
            messages: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            settles: HashMap::new(),
            declared: BTreeMap::new(),
            emptied: BTreeMap::new(),
            crashes: BTreeSet::new(),
            durable: BTreeMap::new(),
            settles_ok: 0,
        };
        for operation in &index.operations {
            queues.take_operation(*operation, &index.events[operation.invoke].step);
        }
        queues.collect_durable(index);
        let mut attached: HashMap<(&str, &str), usize> = HashMap::new();
        for (i, event) in index.events.iter().enumerate() {
            let client = event.client.as_str();
            match &event.step {
                Step::Attach { queue } => drop(attached.insert((client, queue), i)),
                Step::Crash => drop(queues.crashes.insert(i)),
                Step::Emptied { queue } => drop(queues.emptied.insert(queue, i)),
                Step::ReceiveOk { queue, at_ms, deliveries } => {
                    let invoked = index.operation(i).map(|operation| operation.invoke);
                    let begun = invoked.or_else(|| attached.get(&(client, queue)).copied());
                    queues.take_deliveries((begun.unwrap_or(0), i), queue, *at_ms, deliveries);
                }
                _ => {}
            }
        }
        queues
    }

    fn take_operation(&mut self, operation: Operation, step: &'a Step) {
        match step {
            Step::DeclareQueue { queue, dead_letter, ordered_groups } => {
                let (dead_letter, ordered_groups) = (dead_letter.as_deref(), *ordered_groups);
                self.declared.insert(queue, Declared { dead_letter, ordered_groups });
            }
            Step::Enqueue { queues, value, group, not_before_ms, unit } => {
                let (group, not_before_ms) = (group.as_deref(), *not_before_ms);
                let unit = unit.as_ref().map(|(queue, token)| (queue.as_str(), token.as_str()));
                let message = Message { operation, queues, group, not_before_ms, unit };
                self.messages.insert(value, message);
            }
            Step::Settle { queue, token, outcome } => {
                self.settles_ok += usize::from(operation.outcome == Outcome::Ok);
                let settles = self.settles.entry((queue, token)).or_default();
                settles.push(Settle { operation, outcome: *outcome });
            }
            _ => {}
        }
    }

    fn collect_durable(&mut self, index: &Index<'_>) {
        let mut first = usize::MAX;
        for operation in index.operations.iter().rev().filter(|o| o.outcome == Outcome::Ok) {
            let waits = match &index.events[operation.invoke].step {
                Step::Enqueue { .. } => true,
                Step::Settle { outcome, .. } => !matches!(outcome, Settlement::Extend { .. }),
                _ => false,
            };
            if let Some(complete) = operation.complete.filter(|end| waits && *end < first) {
                first = complete;
                self.durable.insert(operation.invoke, complete);
            }
        }
    }

    fn take_deliveries(
        &mut self,
        (begun, event): (usize, usize),
        queue: &'a str,
        at_ms: i64,
        deliveries: &'a [Delivered],
    ) {
        for (place, delivered) in deliveries.iter().enumerate() {
            let Delivered { value, token, count, until_ms } = delivered;
            let (count, until_ms) = (*count, *until_ms);
            let delivery =
                Delivery { begun, event, place, queue, value, token, at_ms, count, until_ms };
            self.deliveries.entry((queue, value)).or_default().push(delivery);
        }
    }

    /// The queue that a queue's dead messages go to.
    pub(super) fn dead_letter(&self, queue: &str) -> Option<&'a str> {
        self.declared.get(queue)?.dead_letter
    }

    pub(super) fn is_ordered(&self, queue: &str) -> bool {
        self.declared.get(queue).is_some_and(|declared| declared.ordered_groups)
    }

    /// When a queue was last seen to be empty.
    pub(super) fn emptied(&self, queue: &str) -> Option<usize> {
        self.emptied.get(queue).copied()
    }

    pub(super) fn settles<'s>(&'s self, delivery: &Delivery<'s>) -> &'s [Settle] {
        self.settles.get(&(delivery.queue, delivery.token)).map_or(&[], Vec::as_slice)
    }

    /// Whether what the broker had noted at one event was still known to it at another.
    pub(super) fn survives(&self, event: usize, until: usize) -> bool {
        let Some(&crash) = self.crashes.range(event..until).next() else { return true };
        self.durable.range(event..).next().is_some_and(|(_, complete)| *complete < crash)
    }

    /// Until when a delivery's timed lock holds, unless something may have ended it before.
    pub(super) fn held_until(&self, delivery: &Delivery<'_>, before: usize) -> Option<i64> {
        let mut until = delivery.until_ms?;
        for settle in self.settles(delivery) {
            let Operation { invoke, outcome, complete } = settle.operation;
            match settle.outcome {
                Settlement::Extend { until_ms } => {
                    let end = complete.unwrap_or(before);
                    let is_sure = outcome == Outcome::Ok && end < before;
                    if is_sure && self.survives(end, before) {
                        until = until.max(until_ms);
                    }
                }
                // What failed had ended by itself, or by another's hand.
                _ if invoke < before => return None,
                _ => {}
            }
        }
        Some(until)
    }

    /// Whether a message was not done when another one was delivered.
    pub(super) fn is_open(&self, queue: &str, value: &str, at: &Delivery<'_>) -> bool {
        let deliveries = self.of(queue, value);
        let is_behind = |before: &Delivery<'_>| before.event == at.event && before.place < at.place;
        let is_done = |before: &Delivery<'_>| {
            let ends = |settle: &Settle| {
                matches!(settle.outcome, Settlement::Accept | Settlement::Reject)
                    && settle.operation.outcome != Outcome::Failed
                    && settle.operation.invoke < at.event
            };
            self.settles(before).iter().any(ends)
        };
        !deliveries.iter().any(|before| is_behind(before) || is_done(before))
    }

    /// Whether a message of a queue came to an end there or, dead, in the dead-letter queue.
    pub(super) fn is_settled(&self, queue: &str, value: &str) -> bool {
        let ended = |queue: &str, by: fn(Settlement) -> bool| {
            self.of(queue, value)
                .iter()
                .flat_map(|delivery| self.settles(delivery))
                .any(|settle| settle.operation.outcome != Outcome::Failed && by(settle.outcome))
        };
        let is_end = |outcome| matches!(outcome, Settlement::Accept | Settlement::Reject);
        match self.dead_letter(queue) {
            None => ended(queue, is_end),
            Some(dead) => {
                ended(queue, |outcome| outcome == Settlement::Accept) || ended(dead, is_end)
            }
        }
    }

    fn of<'s>(&'s self, queue: &'s str, value: &'s str) -> &'s [Delivery<'s>] {
        self.deliveries.get(&(queue, value)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn totals(&self) -> Totals {
        let dead: BTreeSet<&str> =
            self.declared.values().filter_map(|declared| declared.dead_letter).collect();
        let count = |is: &dyn Fn(&str) -> bool| {
            let of = self.deliveries.iter().filter(|((queue, _), _)| is(queue));
            of.map(|(_, deliveries)| deliveries.len()).sum()
        };
        let acknowledged =
            self.messages.values().filter(|message| message.operation.outcome == Outcome::Ok);
        Totals {
            enqueues_ok: acknowledged.count(),
            deliveries: count(&|_| true),
            settles_ok: self.settles_ok,
            dead_letters: count(&|queue| dead.contains(queue)),
            ..Totals::default()
        }
    }
}
