//! What is read was sent and not refused, is where it was sent to, once, and at the offset that
//! was acknowledged.

use super::{
    Found,
    index::{Index, Outcome, Place, Send},
};
use crate::Rule;
use std::collections::HashSet;

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    check_invented(index, found);
    for (place, facts) in &index.places {
        for (offset, value, event) in &facts.conflicts {
            let (first, first_event) = facts.values[offset];
            let detail = format!("{place} offset {offset}: `{first}` and `{value}`");
            found.add(Rule::OneValuePerOffset, detail, [first_event, *event]);
        }
    }
    for send in &index.sends {
        check_place(send, found);
        check_copies(index, send, found);
    }
}

fn check_invented(index: &Index<'_>, found: &mut Found) {
    let mut reported = HashSet::new();
    for (event, read) in index.reads() {
        let place = Place { topic: &read.topic, partition: read.partition };
        if !index.send_of.contains_key(read.value.as_str()) && reported.insert((place, read.offset))
        {
            let detail = format!("{place} offset {}: `{}`", read.offset, read.value);
            found.add(Rule::NothingInvented, detail, [event]);
        }
    }
}

fn check_place(send: &Send<'_>, found: &mut Found) {
    for spot in &send.spots {
        let events = [send.operation.invoke, spot.event];
        let Place { topic, partition } = spot.place;
        if topic != send.topic || send.partition.is_some_and(|sent| sent != partition) {
            let detail = format!("`{}` is in {} offset {}", send.value, spot.place, spot.offset);
            found.add(Rule::RightPlace, detail, events);
        }
        if send.operation.outcome == Outcome::Failed {
            let detail = format!("`{}` in {} offset {}", send.value, spot.place, spot.offset);
            found.add(
                Rule::NothingRefusedVisible,
                detail,
                events.into_iter().chain(send.operation.complete),
            );
        }
    }
}

fn check_copies(index: &Index<'_>, send: &Send<'_>, found: &mut Found) {
    let may_duplicate = index.clients.get(send.client).is_some_and(|client| client.may_duplicate);
    if send.spots.len() < 2 || may_duplicate {
        return;
    }
    let spots: Vec<String> =
        send.spots.iter().map(|spot| format!("{} offset {}", spot.place, spot.offset)).collect();
    let detail = format!("`{}`: {}", send.value, spots.join(", "));
    let events = send.spots.iter().map(|spot| spot.event).chain([send.operation.invoke]);
    // Acknowledged there but never read there: moved, not doubled.
    let moved = send.spots.iter().any(|spot| !spot.read);
    found.add(if moved { Rule::AtItsOffset } else { Rule::NoDuplicate }, detail, events);
}
