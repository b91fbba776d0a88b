//! What each client reads: offsets rise, none that exists is passed over, and at the end
//! nothing acknowledged is missing.

use super::{
    Found, Options,
    index::{Facts, Index, Outcome, Place},
};
use crate::{Event, Read, Rule, Step};
use std::collections::HashMap;

/// Where one client stands in one partition.
struct Position {
    assigned: usize,
    /// The next offset to be read, once known, and the event that said so.
    next: Option<(u64, usize)>,
}

struct Polls<'i, 'a> {
    index: &'i Index<'a>,
    positions: HashMap<(&'a str, Place<'a>), Position>,
    /// When the last complete reading of a partition began.
    drains: HashMap<Place<'a>, usize>,
}

pub(super) fn check(index: &Index<'_>, options: Options, found: &mut Found) {
    let mut polls = Polls { index, positions: HashMap::new(), drains: HashMap::new() };
    for (i, event) in index.events.iter().enumerate() {
        polls.handle(i, event, found);
    }
    polls.check_unplaced(found);
    if options.drain_required {
        polls.check_drained(found);
    }
}

impl<'a> Polls<'_, 'a> {
    fn handle(&mut self, i: usize, event: &'a Event, found: &mut Found) {
        let client = event.client.as_str();
        match &event.step {
            Step::Assign { topic, partition, offset } => {
                let key = (client, Place { topic, partition: *partition });
                let next = offset.map(|offset| (offset, i));
                self.positions.insert(key, Position { assigned: i, next });
            }
            Step::PollOk { records } => {
                for Read { topic, partition, offset, .. } in records {
                    let place = Place { topic, partition: *partition };
                    self.read(i, (client, place), *offset, found);
                }
            }
            Step::Drained { topic, partition, next } => {
                let place = Place { topic, partition: *partition };
                self.drain(i, (client, place), *next, found);
            }
            _ => {}
        }
    }

    fn read(&mut self, i: usize, key: (&'a str, Place<'a>), offset: u64, found: &mut Found) {
        let (client, place) = key;
        let position = self.positions.entry(key).or_insert(Position { assigned: i, next: None });
        let next = position.next.replace((offset + 1, i));
        let Some((next, since)) = next else { return };
        if offset < next {
            let detail = format!("{place}: `{client}` read offset {offset}, expected {next}");
            found.add(Rule::PollOrder, detail, [since, i]);
        } else {
            self.check_passed(key, (next, since), (offset, i), found);
        }
    }

    /// Reports the known offsets that a client went past, from one offset and event to another.
    fn check_passed(
        &self,
        (client, place): (&str, Place<'_>),
        (from, since): (u64, usize),
        (to, event): (u64, usize),
        found: &mut Found,
    ) {
        let Some(facts) = self.index.places.get(&place) else { return };
        for &offset in facts.known_in(from.max(self.lowest(place, facts)), to) {
            let (value, known) = facts.values[&offset];
            let acked = self.acked(value, place, offset);
            let rule = if acked { Rule::NothingLost } else { Rule::NothingSkipped };
            let detail = format!(
                "{place}: `{client}` went from offset {from} to {to}, past `{value}` at {offset}"
            );
            found.add(rule, detail, [known, since, event]);
        }
    }

    /// Below this offset, retention may have removed what was there.
    fn lowest(&self, place: Place<'_>, facts: &Facts<'_>) -> u64 {
        if self.index.retained.contains(place.topic) { facts.start_max } else { 0 }
    }

    fn acked(&self, value: &str, place: Place<'_>, offset: u64) -> bool {
        self.index.send_of.get(value).is_some_and(|&send| {
            let send = &self.index.sends[send];
            send.operation.outcome == Outcome::Ok
                && (send.topic, send.offset) == (place.topic, Some(offset))
        })
    }

    fn drain(&mut self, i: usize, key: (&'a str, Place<'a>), next: u64, found: &mut Found) {
        let (client, place) = key;
        let Some(position) = self.positions.get_mut(&key) else { return };
        let assigned = position.assigned;
        if let Some((from, since)) = position.next.replace((next, i)) {
            self.check_passed(key, (from, since), (next, i), found);
        }
        let latest = self.drains.entry(place).or_insert(assigned);
        *latest = assigned.max(*latest);
        // What was known before this reading began lies below its end.
        let floor = self.index.places.get(&place).and_then(|facts| facts.floor_before(assigned));
        if let Some((event, floor)) = floor.filter(|(_, floor)| *floor >= next) {
            let detail =
                format!("{place}: `{client}` found the end at {next}, offset {floor} existed");
            found.add(Rule::NothingLost, detail, [event, assigned, i]);
        }
    }

    /// Sends acknowledged without an offset must have been read by somebody.
    fn check_unplaced(&self, found: &mut Found) {
        for send in &self.index.sends {
            let operation = &send.operation;
            let (Outcome::Ok, Some(complete), Some(partition)) =
                (operation.outcome, operation.complete, send.partition)
            else {
                continue;
            };
            let place = Place { topic: send.topic, partition };
            let drained = self.drains.get(&place).filter(|began| **began > complete);
            let retained = self.index.retained.contains(send.topic);
            if let Some(&began) = drained.filter(|_| send.spots.is_empty() && !retained) {
                let detail = format!("{place}: `{}` was never read", send.value);
                found.add(Rule::NothingLost, detail, [operation.invoke, complete, began]);
            }
        }
    }

    fn check_drained(&self, found: &mut Found) {
        let mut last = HashMap::<Place<'_>, usize>::new();
        for send in &self.index.sends {
            let complete =
                send.operation.complete.filter(|_| send.operation.outcome == Outcome::Ok);
            if let (Some(complete), Some(partition)) = (complete, send.partition) {
                let place = Place { topic: send.topic, partition };
                let latest = last.entry(place).or_default();
                *latest = complete.max(*latest);
            }
        }
        last.retain(|place, complete| {
            !self.index.deleted.contains(place.topic)
                && self.drains.get(place).is_none_or(|began| began < complete)
        });
        for (place, complete) in last {
            found.add(Rule::Drained, place.to_string(), [complete]);
        }
    }
}
