//! Sends take effect in their order in time: one that was invoked after an offset had been
//! acknowledged or read lies above it. For an ordered producer, the order of invocation is kept
//! even among sends in flight at the same time.

use super::{
    Found,
    index::{Index, Place, Send},
};
use crate::Rule;
use std::collections::HashMap;

pub(super) fn check(index: &Index<'_>, found: &mut Found) {
    let mut last = HashMap::<(&str, Place<'_>), (u64, &Send<'_>)>::new();
    for send in &index.sends {
        let Some(spot) = send.spots.iter().min_by_key(|spot| spot.offset) else { continue };
        let floor = index.places[&spot.place].floor_before(send.operation.invoke);
        if let Some((event, floor)) = floor.filter(|(_, floor)| *floor >= spot.offset) {
            let detail = format!(
                "{}: `{}` got offset {}, but offset {floor} existed before it was sent",
                spot.place, send.value, spot.offset
            );
            let events = [event, send.operation.invoke, spot.event];
            found.add(Rule::SendOrder, detail, events);
        }
        if !index.clients.get(send.client).is_some_and(|client| client.ordered) {
            continue;
        }
        let key = (send.client, spot.place);
        if let Some((offset, before)) = last.get(&key).filter(|(last, _)| *last > spot.offset) {
            let detail = format!(
                "{}: `{}` sent `{}` before `{}`, but they got offsets {offset} and {}",
                spot.place, send.client, before.value, send.value, spot.offset
            );
            let events = [before.operation.invoke, send.operation.invoke, spot.event];
            found.add(Rule::SendOrder, detail, events);
        } else {
            last.insert(key, (spot.offset, send));
        }
    }
}
