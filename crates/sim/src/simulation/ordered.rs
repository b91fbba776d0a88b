//! Topics in total order: readers that compare what they see, and the check at the end that there
//! was one order, which agrees with every partition and with time.

use super::{
    client::{Client, Session},
    topics::Known,
};
use crate::{Event, Step, payload};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tramline_broker::{Error, FetchItem, FetchRequest, Fetched, Topic};
use tramline_record::Batch;

const PAUSE_MAX: Duration = Duration::from_millis(80);
const OPENED_BYTES_MAX: usize = 1024 * 1024;

/// What readers saw of every order: by topic, the value at each offset.
#[derive(Default)]
pub(super) struct Orders(HashMap<String, BTreeMap<u64, String>>);

/// Records with their offsets, and the first offset there is.
struct Content {
    start: u64,
    records: Vec<(u64, String)>,
}

impl Orders {
    /// Takes what a reader saw; says where another one saw something else.
    fn note(&mut self, label: &str, offset: u64, value: &str) -> Option<String> {
        let seen = self.0.entry(label.to_owned()).or_default();
        let before = seen.entry(offset).or_insert_with(|| value.to_owned());
        (before != value)
            .then(|| format!("`{label}` has two orders: `{before}` and `{value}` at {offset}"))
    }

    /// Records that were seen.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// What was sent after another value was acknowledged must stand behind it.
    pub(super) fn check_times(&self, events: &[Event]) -> Vec<String> {
        let mut places: HashMap<(&str, &str), u64> = HashMap::new();
        let mut problems = Vec::new();
        for (label, seen) in &self.0 {
            for (offset, value) in seen {
                if let Some(other) = places.insert((label, value), *offset) {
                    problems.push(format!("`{value}` is in `{label}` at {other} and {offset}"));
                }
            }
        }
        let mut sends: HashMap<(&str, u64), (&str, &str)> = HashMap::new();
        let mut acknowledged: HashMap<&str, u64> = HashMap::new();
        for event in events {
            let op = (event.client.as_str(), event.op);
            match &event.step {
                Step::Send { topic, value, .. } => {
                    sends.insert(op, (topic, value));
                    let place = places.get(&(topic.as_str(), value.as_str()));
                    let before = acknowledged.get(topic.as_str());
                    if let (Some(place), Some(before)) = (place, before)
                        && place < before
                    {
                        problems.push(format!(
                            "`{value}` stands at {place} of `{topic}`, and was sent after what \
                             stands at {before} was acknowledged"
                        ));
                    }
                }
                Step::SendOk { .. } => {
                    let Some((topic, value)) = sends.get(&op) else { continue };
                    if let Some(place) = places.get(&(*topic, *value)) {
                        let last = acknowledged.entry(topic).or_default();
                        *last = (*last).max(*place);
                    }
                }
                _ => {}
            }
        }
        problems
    }
}

impl Client {
    /// Reads orders until the world stops.
    pub(super) async fn follow_orders(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let picked = self.world.topics.lock().pick(&session.broker, &mut self.random);
            let Some(known) = picked else { continue };
            let Some(view) = known.topic.ordered_view().cloned() else { continue };
            let Ok(log) = view.partition(0) else { continue };
            let (start, end) = (log.log_start().get(), log.high_watermark().get());
            let mut position = start + self.random.below(end.saturating_sub(start) + 1);
            for _ in 0..6 {
                let bytes_max = 1 + self.random.index(20_000);
                let read = self.read(&session, (&view, 0), position, bytes_max).await;
                let Some(Ok(records)) = read else { break };
                for (offset, value) in &records {
                    self.note_order(&known.label, *offset, value);
                    position = offset + 1;
                }
                self.pause(PAUSE_MAX / 8).await;
            }
        }
    }

    fn note_order(&self, label: &str, offset: u64, value: &str) {
        if let Some(problem) = self.world.orders.lock().note(label, offset, value) {
            self.world.problem(problem);
        }
    }

    /// Reads every order and every partition to its end, and holds them against each other.
    pub(super) async fn audit_orders(&self, session: &Session, live: &[Known]) {
        for known in live {
            let Some(view) = known.topic.ordered_view() else { continue };
            let mut partitions = Vec::new();
            for partition in 0..known.topic.partition_count() {
                partitions.extend(self.read_all(session, (&known.topic, partition)).await);
            }
            let Some(order) = self.read_all(session, (view, 0)).await else { continue };
            for (offset, value) in &order.records {
                self.note_order(&known.label, *offset, value);
            }
            for problem in disagreements(&order, &partitions) {
                self.world.problem(format!("the order of `{}`: {problem}", known.label));
            }
        }
    }

    /// Everything from the first offset to the end. `None` when the topic is gone.
    async fn read_all(
        &self,
        session: &Session,
        (topic, partition): (&Arc<Topic>, u32),
    ) -> Option<Content> {
        const ROUND_BYTES: usize = 64 * 1024;
        let log = topic.partition(partition).ok()?;
        'again: loop {
            let start = log.log_start().get();
            let mut content = Content { start, records: Vec::new() };
            let mut position = start;
            loop {
                match self.read(session, (topic, partition), position, ROUND_BYTES).await? {
                    Ok(records) if records.is_empty() => return Some(content),
                    Ok(records) => {
                        position = records.last().map_or(position, |(offset, _)| offset + 1);
                        content.records.extend(records);
                    }
                    // Retention overtook this reader.
                    Err(Error::OffsetOutOfRange { .. }) => continue 'again,
                    Err(error) => {
                        self.world.problem(format!("`{}` cannot be read: {error}", topic.name()));
                        return None;
                    }
                }
            }
        }
    }

    async fn read(
        &self,
        session: &Session,
        (topic, partition): (&Arc<Topic>, u32),
        position: u64,
        bytes_max: usize,
    ) -> Option<Result<Vec<(u64, String)>, Error>> {
        let request = FetchRequest {
            items: vec![FetchItem {
                topic: Arc::clone(topic),
                partition,
                offset: i64::try_from(position).expect("an offset is below i64::MAX"),
                bytes_max,
            }],
            bytes_min: 0,
            bytes_max,
            wait_max: Duration::ZERO,
        };
        let fetched = session.call(session.broker.fetch(request)).await?.pop()?;
        Some(fetched.map(|fetched| open(&fetched, position)))
    }
}

fn open(fetched: &Fetched, position: u64) -> Vec<(u64, String)> {
    let mut records = Vec::new();
    for piece in &fetched.pieces {
        let mut rest = piece.clone();
        while let Ok(Some(batch)) = Batch::decode_first(&mut rest) {
            let base = batch.header().base_offset;
            for record in batch.records(OPENED_BYTES_MAX).unwrap_or_default() {
                let offset = u64::try_from(base + i64::from(record.offset_delta));
                let offset = offset.unwrap_or(u64::MAX);
                if offset >= position {
                    records.push((offset, payload::decode(record.value.as_deref())));
                }
            }
        }
    }
    records
}

/// How an order disagrees with the partitions that it is of.
fn disagreements(order: &Content, partitions: &[Content]) -> Vec<String> {
    let mut problems = Vec::new();
    let offsets = order.records.iter().map(|(offset, _)| *offset);
    if !offsets.eq(order.start..order.start + order.records.len() as u64) {
        problems.push("it has gaps".to_owned());
    }
    let places: HashMap<&str, u64> =
        order.records.iter().map(|(offset, value)| (value.as_str(), *offset)).collect();
    let mut unseen: BTreeSet<&str> = places.keys().copied().collect();
    for (number, partition) in partitions.iter().enumerate() {
        let mut last = None;
        for (offset, value) in &partition.records {
            unseen.remove(value.as_str());
            match places.get(value.as_str()) {
                // Only what retention may have taken from its front is not there.
                None if last.is_none() && order.start > 0 => {}
                None => problems.push(format!("`{value}` of {number}/{offset} is missing")),
                Some(place) if last.is_some_and(|last| *place <= last) => {
                    problems.push(format!("`{value}` of {number}/{offset} is out of place"));
                }
                Some(place) => last = Some(*place),
            }
        }
    }
    if partitions.iter().all(|partition| partition.start == 0) && !unseen.is_empty() {
        problems.push(format!("{unseen:?} are in no partition"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(start: u64, values: &[&str]) -> Content {
        let records = (start..).zip(values).map(|(offset, value)| (offset, (*value).to_owned()));
        Content { start, records: records.collect() }
    }

    #[test]
    fn every_disagreement_is_found() {
        let order = content(0, &["a", "b", "c", "d"]);
        let agrees =
            |order: &Content, partitions: &[Content]| disagreements(order, partitions).is_empty();
        assert!(agrees(&order, &[content(0, &["a", "d"]), content(0, &["b", "c"])]));
        assert!(!agrees(&order, &[content(0, &["d", "a"]), content(0, &["b", "c"])]));
        assert!(!agrees(&order, &[content(0, &["a", "d", "e"]), content(0, &["b", "c"])]));
        assert!(!agrees(&order, &[content(0, &["a", "d"]), content(0, &["b"])]));
        let trimmed = content(2, &["c", "d"]);
        assert!(agrees(&trimmed, &[content(0, &["a", "d"]), content(0, &["b", "c"])]));
        assert!(!agrees(&trimmed, &[content(0, &["d", "a"]), content(0, &["b", "c"])]));
        assert!(agrees(&order, &[content(1, &["d"]), content(0, &["b", "c"])]));
        let mut gap = content(0, &["a", "b"]);
        gap.records[1].0 = 5;
        assert!(!agrees(&gap, &[content(0, &["a", "b"])]));
    }

    #[test]
    fn an_order_against_time_is_found() {
        let send = |op, value: &str| Event {
            at: 0,
            client: "c".to_owned(),
            op,
            step: Step::Send { topic: "t".into(), partition: Some(0), value: value.into() },
        };
        let sent = |op| Event {
            at: 0,
            client: "c".to_owned(),
            op,
            step: Step::SendOk { partition: 0, offset: None },
        };
        let mut orders = Orders::default();
        assert_eq!(orders.note("t", 0, "a"), None);
        assert_eq!(orders.note("t", 1, "b"), None);
        assert!(orders.note("t", 1, "x").is_some());
        let one_after_the_other =
            |first, second| [send(1, first), sent(1), send(2, second), sent(2)].to_vec();
        assert!(orders.check_times(&one_after_the_other("a", "b")).is_empty());
        assert_eq!(orders.check_times(&one_after_the_other("b", "a")).len(), 1);
        let both = [send(1, "b"), send(2, "a"), sent(1), sent(2)];
        assert!(orders.check_times(&both).is_empty(), "neither was first");
        orders.note("t", 2, "a");
        assert_eq!(orders.check_times(&[]).len(), 1, "`a` is there twice");
    }
}
