//! The ends of partitions only move forwards, across restarts too.

use super::{
    Found,
    index::{Index, Place},
};
use crate::{Rule, Step};
use std::collections::HashMap;

/// The highest ends seen so far, by the event that saw them.
#[derive(Default)]
struct Seen {
    next: Vec<(usize, u64)>,
    start: Vec<(usize, u64)>,
}

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    let mut seen = HashMap::<Place<'_>, Seen>::new();
    for (i, event) in index.events.iter().enumerate() {
        let Step::EndsOk(end) = event.step else { continue };
        let Some(invoke) = index.operation(i).map(|operation| operation.invoke) else { continue };
        let Step::Ends { topic, partition } = &index.events[invoke].step else { continue };
        let place = Place { topic, partition: *partition };
        let seen = seen.entry(place).or_default();

        let read = index.places.get(&place).and_then(|facts| facts.floor_before(invoke));
        let floor = read
            .map(|(event, offset)| (event, offset + 1))
            .into_iter()
            .chain(before(&seen.next, invoke))
            .max_by_key(|(_, next)| *next);
        if let Some((since, floor)) = floor.filter(|(_, floor)| *floor > end.next) {
            let detail = format!("{place}: from {floor} to {}", end.next);
            found.add(Rule::HighWatermark, detail, [since, invoke, i]);
        }
        if let Some((since, floor)) =
            before(&seen.start, invoke).filter(|(_, floor)| *floor > end.start)
        {
            let detail = format!("{place}: from {floor} back to {}", end.start);
            found.add(Rule::LogStart, detail, [since, invoke, i]);
        }
        if end.start > 0 && !index.retained.contains(place.topic) {
            let detail = format!("{place}: at {} without any retention", end.start);
            found.add(Rule::LogStart, detail, [i]);
        }
        if end.start > end.next {
            let detail = format!("{place}: {} above the high watermark {}", end.start, end.next);
            found.add(Rule::LogStart, detail, [i]);
        }
        push(&mut seen.next, i, end.next);
        push(&mut seen.start, i, end.start);
    }
}

fn before(highest: &[(usize, u64)], event: usize) -> Option<(usize, u64)> {
    let above = highest.partition_point(|(i, _)| *i < event);
    above.checked_sub(1).map(|i| highest[i])
}

fn push(highest: &mut Vec<(usize, u64)>, event: usize, value: u64) {
    if highest.last().is_none_or(|(_, last)| *last < value) {
        highest.push((event, value));
    }
}
