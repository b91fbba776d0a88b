//! Queues: what was acknowledged is delivered until it is settled, then never again; to one
//! holder at a time, in the order of its group, not before its time; and what died is in the
//! dead-letter queue alone.
//!
//! Deliveries of one message take effect one after the other, but their answers may cross. So
//! one counts as later than another only where its receive began after the other's answer. What
//! nobody waits for (the note of a delivery, more time for a lock) a crash may take back, unless
//! something later was confirmed before it: commits are durable in their order.

mod index;

use super::{
    Found, Options,
    index::{Index, Outcome},
};
use crate::{Rule, Settlement, Totals};
use index::{Delivery, Message, Queues, Settle};
use std::collections::{BTreeMap, HashMap};

pub(super) fn check(index: &Index<'_>, options: Options, found: &mut Found) -> Totals {
    let queues = Queues::new(index);
    check_values(&queues, found);
    for deliveries in queues.deliveries.values() {
        for (n, earlier) in deliveries.iter().enumerate() {
            check_settled(&queues, earlier, deliveries, found);
            check_later(&queues, earlier, &deliveries[n + 1..], found);
        }
    }
    check_dead(&queues, found);
    check_groups(&queues, found);
    check_units(&queues, found);
    check_lost(&queues, options, found);
    queues.totals()
}

/// What is delivered was published, was not refused, goes to the right queue, and not early.
fn check_values(queues: &Queues<'_>, found: &mut Found) {
    for ((queue, value), deliveries) in &queues.deliveries {
        let first = &deliveries[0];
        let Some(message) = queues.messages.get(value) else {
            found.add(Rule::NothingInvented, format!("queue `{queue}`: `{value}`"), [first.event]);
            continue;
        };
        let events = [message.operation.invoke, first.event];
        if message.operation.outcome == Outcome::Failed {
            found.add(Rule::NothingRefusedVisible, format!("queue `{queue}`: `{value}`"), events);
        }
        let is_dead = message.queues.iter().any(|of| queues.dead_letter(of) == Some(queue));
        if !is_dead && !message.queues.iter().any(|of| of == queue) {
            found.add(Rule::RightPlace, format!("`{value}` is in queue `{queue}`"), events);
        }
        let early = deliveries.iter().find(|delivery| {
            message.not_before_ms.is_some_and(|not_before| delivery.at_ms < not_before)
        });
        if let Some(early) = early.filter(|_| !is_dead) {
            let detail = format!(
                "queue `{queue}`: `{value}` at {}, not before {:?}",
                early.at_ms, message.not_before_ms
            );
            found.add(Rule::NotEarly, detail, [message.operation.invoke, early.event]);
        }
    }
}

/// Nothing is delivered that was accepted or rejected for certain before the receive began.
fn check_settled(
    queues: &Queues<'_>,
    delivery: &Delivery<'_>,
    others: &[Delivery<'_>],
    found: &mut Found,
) {
    let done = |settle: &&Settle| {
        matches!(settle.outcome, Settlement::Accept | Settlement::Reject)
            && settle.operation.outcome == Outcome::Ok
    };
    let Some(settle) = queues.settles(delivery).iter().find(done) else { return };
    let Some(complete) = settle.operation.complete else { return };
    if let Some(again) = others.iter().find(|other| other.begun > complete) {
        let detail = format!("queue `{}`: `{}`", delivery.queue, delivery.value);
        let events = [delivery.event, settle.operation.invoke, complete, again.event];
        found.add(Rule::SettledStays, detail, events);
    }
}

/// Counts do not fall, and a timed lock is alone.
fn check_later(
    queues: &Queues<'_>,
    earlier: &Delivery<'_>,
    later: &[Delivery<'_>],
    found: &mut Found,
) {
    for other in later {
        let name = || format!("queue `{}`: `{}`", earlier.queue, earlier.value);
        // Nobody waits for the note of a delivery: a crash may take it along.
        let is_noted = queues.survives(earlier.event, other.event);
        if other.begun > earlier.event
            && is_noted
            && let (Some(before), Some(after)) = (earlier.count, other.count)
            && after < before
        {
            let detail = format!("{} from {before} to {after}", name());
            found.add(Rule::CountKept, detail, [earlier.event, other.event]);
        }
        let Some(until) = queues.held_until(earlier, other.event) else { continue };
        if other.at_ms < until && is_noted {
            let detail = format!("{} at {}, held until {until}", name(), other.at_ms);
            found.add(Rule::OneHolder, detail, [earlier.event, other.event]);
        }
    }
}

/// Once it was delivered by the dead-letter queue, its source delivers it no more.
fn check_dead(queues: &Queues<'_>, found: &mut Found) {
    for ((queue, value), deliveries) in &queues.deliveries {
        let Some(dead) = queues.dead_letter(queue) else { continue };
        let Some(message) = queues.messages.get(value) else { continue };
        // Published to both, it is in both.
        if message.queues.iter().any(|of| of == dead) {
            continue;
        }
        let Some(first) = queues.deliveries.get(&(dead, *value)).map(|dead| &dead[0]) else {
            continue;
        };
        if let Some(again) = deliveries.iter().find(|delivery| delivery.begun > first.event) {
            let detail = format!("`{value}` is in queue `{dead}` and in queue `{queue}`");
            found.add(Rule::OneQueue, detail, [first.event, again.event]);
        }
    }
}

/// A message is delivered when those before it in its group are done, or behind them in one
/// answer.
fn check_groups(queues: &Queues<'_>, found: &mut Found) {
    let mut groups: BTreeMap<(&str, &str), Vec<(&str, &Message<'_>)>> = BTreeMap::new();
    for (value, message) in &queues.messages {
        let Some(group) = message.group else { continue };
        for queue in message.queues.iter().filter(|queue| queues.is_ordered(queue)) {
            groups.entry((queue, group)).or_default().push((value, message));
        }
    }
    for ((queue, group), mut members) in groups {
        members.sort_by_key(|(_, message)| message.operation.invoke);
        for (n, (value, message)) in members.iter().enumerate() {
            let Some(deliveries) = queues.deliveries.get(&(queue, *value)) else { continue };
            let before = members[..n].iter().rev().find(|(_, before)| {
                before.operation.outcome == Outcome::Ok
                    && before.operation.complete.is_some_and(|end| end < message.operation.invoke)
            });
            let Some((before, first)) = before else { continue };
            if queues.is_open(queue, before, &deliveries[0]) {
                let detail = format!("queue `{queue}`, `{group}`: `{value}` before `{before}`");
                let events = [first.operation.invoke, deliveries[0].event];
                found.add(Rule::GroupOrder, detail, events);
            }
        }
    }
}

/// What was published in a unit is there, or the delivery that was accepted in it has not ended
/// by that.
fn check_units(queues: &Queues<'_>, found: &mut Found) {
    let by_token: HashMap<(&str, &str), &Delivery<'_>> = queues
        .deliveries
        .values()
        .flatten()
        .map(|delivery| ((delivery.queue, delivery.token), delivery))
        .collect();
    for (value, message) in &queues.messages {
        let Some(accepted) = message.unit.and_then(|unit| by_token.get(&unit)) else { continue };
        let (from, dead) = (accepted.queue, queues.dead_letter(accepted.queue));
        let again = [Some(from), dead].into_iter().flatten().find_map(|queue| {
            let mut deliveries = queues.deliveries.get(&(queue, accepted.value))?.iter();
            deliveries.find(|delivery| delivery.begun > accepted.event)
        });
        let arrived = message.queues.iter().find_map(|queue| {
            queues.deliveries.get(&(queue.as_str(), *value)).map(|deliveries| deliveries[0].event)
        });
        let detail = || format!("queue `{from}`: `{}`, and `{value}`", accepted.value);
        let invoke = message.operation.invoke;
        match (arrived, again) {
            (Some(arrived), Some(again)) => {
                let events = [accepted.event, invoke, arrived, again.event];
                found.add(Rule::UnitWhole, detail(), events);
            }
            (None, None) => {
                let emptied = message.queues.iter().map(String::as_str).chain([from]).chain(dead);
                let emptied = emptied.map(|queue| queues.emptied(queue)).min().flatten();
                if emptied.is_some_and(|emptied| emptied > invoke) {
                    found.add(Rule::UnitWhole, detail(), [accepted.event, invoke]);
                }
            }
            _ => {}
        }
    }
}

/// In the end everything acknowledged was settled somewhere.
fn check_lost(queues: &Queues<'_>, options: Options, found: &mut Found) {
    for (value, message) in &queues.messages {
        let (Outcome::Ok, Some(complete)) = (message.operation.outcome, message.operation.complete)
        else {
            continue;
        };
        for queue in message.queues {
            let dead = queues.dead_letter(queue);
            let places = [Some(queue.as_str()), dead];
            let emptied = places.iter().flatten().map(|queue| queues.emptied(queue)).min();
            match emptied.flatten().filter(|emptied| *emptied > complete) {
                Some(emptied) if !queues.is_settled(queue, value) => {
                    let detail = format!("queue `{queue}`: `{value}`");
                    let events = [message.operation.invoke, complete, emptied];
                    found.add(Rule::NothingLost, detail, events);
                }
                None if options.drain_required => {
                    found.add(Rule::Drained, format!("queue `{queue}`"), [complete]);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
