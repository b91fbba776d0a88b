//! What every rule looks up: operations with their outcome, sends by value, and per partition
//! which value was seen at which offset.

use crate::{Event, HistoryError, Read, Step};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

/// One partition of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`/{}", self.topic, self.partition)
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Failed,
    Unknown,
}

/// An invocation and its completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) invoke: usize,
    /// The completing event; none when it never came. The moment of an unknown outcome says
    /// nothing about when the operation took effect.
    pub(super) complete: Option<usize>,
    pub(super) outcome: Outcome,
}

/// One send.
#[derive(Debug)]
pub(super) struct Send<'a> {
    pub(super) operation: Operation,
    pub(super) client: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: Option<u32>,
    pub(super) value: &'a str,
    /// Where it was acknowledged to be.
    pub(super) offset: Option<u64>,
    /// Every distinct place where it was acknowledged or read, in order of time.
    pub(super) spots: Vec<Spot<'a>>,
}

/// A value at an offset, and the event that first said so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot<'a> {
    pub(super) place: Place<'a>,
    pub(super) offset: u64,
    pub(super) event: usize,
    pub(super) read: bool,
}

/// What is known of one partition.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    /// The first value seen at each offset, and where.
    pub(super) values: HashMap<u64, (&'a str, usize)>,
    /// Other values seen at an offset: offset, value, event.
    pub(super) conflicts: Vec<(u64, &'a str, usize)>,
    /// Every offset of `values`, in order.
    pub(super) known: Vec<u64>,
    /// The highest offset seen so far, by event.
    floors: Vec<(usize, u64)>,
    /// The highest log start that was seen.
    pub(super) start_max: u64,
}

impl Facts<'_> {
    /// The highest offset that was acknowledged or read before an event.
    pub(super) fn floor_before(&self, event: usize) -> Option<(usize, u64)> {
        let above = self.floors.partition_point(|(i, _)| *i < event);
        above.checked_sub(1).map(|i| self.floors[i])
    }

    /// The known offsets of a range.
    pub(super) fn known_in(&self, from: u64, to: u64) -> &[u64] {
        let first = self.known.partition_point(|offset| *offset < from);
        let end = self.known.partition_point(|offset| *offset < to);
        &self.known[first..end.max(first)]
    }
}

/// What is promised for a client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClientFacts {
    pub(super) ordered: bool,
    pub(super) may_duplicate: bool,
}

pub(super) struct Index<'a> {
    pub(super) events: &'a [Event],
    pub(super) operations: Vec<Operation>,
    operation_of: HashMap<(&'a str, u64), usize>,
    pub(super) sends: Vec<Send<'a>>,
    pub(super) send_of: HashMap<&'a str, usize>,
    pub(super) places: BTreeMap<Place<'a>, Facts<'a>>,
    pub(super) clients: HashMap<&'a str, ClientFacts>,
    /// Topics whose oldest records may be removed.
    pub(super) retained: HashSet<&'a str>,
    /// Topics whose deletion was invoked and not refused.
    pub(super) deleted: HashSet<&'a str>,
}

impl<'a> Index<'a> {
    pub(super) fn new(events: &'a [Event]) -> Result<Self, HistoryError> {
        let mut index = Self {
            events,
            operations: Vec::new(),
            operation_of: HashMap::new(),
            sends: Vec::new(),
            send_of: HashMap::new(),
            places: BTreeMap::new(),
            clients: HashMap::new(),
            retained: HashSet::new(),
            deleted: HashSet::new(),
        };
        index.pair()?;
        index.collect_sends()?;
        index.collect_topics();
        index.collect_sightings();
        for facts in index.places.values_mut() {
            facts.known = facts.values.keys().copied().collect();
            facts.known.sort_unstable();
        }
        Ok(index)
    }

    /// Every record read, with the event that read it.
    pub(super) fn reads(&self) -> impl Iterator<Item = (usize, &'a Read)> + use<'a> {
        self.events.iter().enumerate().flat_map(|(i, event)| {
            let records = match &event.step {
                Step::PollOk { records } => records.as_slice(),
                _ => &[],
            };
            records.iter().map(move |read| (i, read))
        })
    }

    /// The operation that an event belongs to.
    pub(super) fn operation(&self, event: usize) -> Option<&Operation> {
        let Event { client, op, .. } = &self.events[event];
        self.operation_of.get(&(client.as_str(), *op)).map(|i| &self.operations[*i])
    }

    /// The result of a successful operation.
    pub(super) fn result(&self, operation: &Operation) -> Option<&'a Step> {
        let complete = operation.complete.filter(|_| operation.outcome == Outcome::Ok)?;
        Some(&self.events[complete].step)
    }

    fn pair(&mut self) -> Result<(), HistoryError> {
        for (i, event) in self.events.iter().enumerate() {
            let key = (event.client.as_str(), event.op);
            match kind(&event.step) {
                Kind::Alone => {}
                Kind::Invoke => {
                    let operation =
                        Operation { invoke: i, complete: None, outcome: Outcome::Unknown };
                    if self.operation_of.insert(key, self.operations.len()).is_some() {
                        return Err(self.pairing(i, "this client used the number before"));
                    }
                    self.operations.push(operation);
                }
                Kind::Complete(outcome) => {
                    let polled = matches!(event.step, Step::PollOk { .. } | Step::ReceiveOk { .. });
                    let Some(&operation) = self.operation_of.get(&key) else {
                        if polled {
                            continue; // It may go without its invocation.
                        }
                        return Err(self.pairing(i, "completes what was not invoked"));
                    };
                    let invoke = self.operations[operation].invoke;
                    if self.operations[operation].complete.is_some() {
                        return Err(self.pairing(i, "completes what was completed"));
                    }
                    if !fits(&self.events[invoke].step, &event.step) {
                        return Err(self.pairing(i, "is no result of what was invoked"));
                    }
                    self.operations[operation].complete = Some(i);
                    self.operations[operation].outcome = outcome;
                }
            }
        }
        Ok(())
    }

    fn pairing(&self, event: usize, detail: &'static str) -> HistoryError {
        let line = serde_json::to_string(&self.events[event]).unwrap_or_default();
        HistoryError::Pairing { event, detail, line }
    }

    fn collect_sends(&mut self) -> Result<(), HistoryError> {
        for operation in &self.operations {
            let event = &self.events[operation.invoke];
            let Step::Send { topic, partition, value } = &event.step else { continue };
            let (partition, offset) = match self.result(operation) {
                Some(Step::SendOk { partition, offset }) => (Some(*partition), *offset),
                _ => (*partition, None),
            };
            if self.send_of.insert(value, self.sends.len()).is_some() {
                return Err(self.pairing(operation.invoke, "the value was sent before"));
            }
            self.sends.push(Send {
                operation: *operation,
                client: &event.client,
                topic,
                partition,
                value,
                offset,
                spots: Vec::new(),
            });
        }
        Ok(())
    }

    fn collect_topics(&mut self) {
        for event in self.events {
            if let Step::Client { ordered, may_duplicate } = event.step {
                self.clients.insert(&event.client, ClientFacts { ordered, may_duplicate });
            }
        }
        for operation in self.operations.iter().filter(|o| o.outcome != Outcome::Failed) {
            match &self.events[operation.invoke].step {
                Step::CreateTopic { topic, retention: true, .. } => {
                    self.retained.insert(topic);
                }
                Step::AlterTopic { topic, setting, .. } if setting.starts_with("retention.") => {
                    self.retained.insert(topic);
                }
                Step::DeleteTopic { topic } => {
                    self.deleted.insert(topic);
                }
                _ => {}
            }
        }
    }

    /// Goes through all that names a value at an offset, in order of time.
    fn collect_sightings(&mut self) {
        for (i, event) in self.events.iter().enumerate() {
            match &event.step {
                Step::SendOk { partition, offset: Some(offset) } => {
                    let invoke = self.operation(i).map(|operation| operation.invoke);
                    let Some(Step::Send { topic, value, .. }) =
                        invoke.map(|invoke| &self.events[invoke].step)
                    else {
                        continue;
                    };
                    let place = Place { topic, partition: *partition };
                    self.see(value, Spot { place, offset: *offset, event: i, read: false });
                }
                Step::PollOk { records } => {
                    for Read { topic, partition, offset, value } in records {
                        let place = Place { topic, partition: *partition };
                        self.see(value, Spot { place, offset: *offset, event: i, read: true });
                    }
                }
                Step::EndsOk(end) => {
                    let invoke = self.operation(i).map(|operation| operation.invoke);
                    if let Some(Step::Ends { topic, partition }) =
                        invoke.map(|invoke| &self.events[invoke].step)
                    {
                        let place = Place { topic, partition: *partition };
                        let facts = self.places.entry(place).or_default();
                        facts.start_max = facts.start_max.max(end.start);
                    }
                }
                _ => {}
            }
        }
    }

    fn see(&mut self, value: &'a str, spot: Spot<'a>) {
        let facts = self.places.entry(spot.place).or_default();
        let (first, _) = *facts.values.entry(spot.offset).or_insert((value, spot.event));
        let conflict =
            |(offset, other, _): &(u64, &str, usize)| (*offset, *other) == (spot.offset, value);
        if first != value && !facts.conflicts.iter().any(conflict) {
            facts.conflicts.push((spot.offset, value, spot.event));
        }
        if facts.floors.last().is_none_or(|(_, floor)| *floor < spot.offset) {
            facts.floors.push((spot.event, spot.offset));
        }
        if let Some(&send) = self.send_of.get(value) {
            let spots = &mut self.sends[send].spots;
            match spots.iter_mut().find(|s| (s.place, s.offset) == (spot.place, spot.offset)) {
                Some(known) => known.read |= spot.read,
                None => spots.push(spot),
            }
        }
    }
}

enum Kind {
    Alone,
    Invoke,
    Complete(Outcome),
}

fn kind(step: &Step) -> Kind {
    match step {
        Step::Client { .. }
        | Step::Note { .. }
        | Step::Assign { .. }
        | Step::Drained { .. }
        | Step::Attach { .. }
        | Step::Emptied { .. }
        | Step::Crash => Kind::Alone,
        Step::Send { .. }
        | Step::Poll
        | Step::Ends { .. }
        | Step::Commit { .. }
        | Step::FetchCommitted { .. }
        | Step::DeleteGroup { .. }
        | Step::CreateTopic { .. }
        | Step::DeleteTopic { .. }
        | Step::AlterTopic { .. }
        | Step::ListTopics
        | Step::DeclareQueue { .. }
        | Step::Enqueue { .. }
        | Step::Receive { .. }
        | Step::Settle { .. } => Kind::Invoke,
        Step::SendOk { .. }
        | Step::PollOk { .. }
        | Step::EndsOk(_)
        | Step::FetchCommittedOk { .. }
        | Step::ListTopicsOk { .. }
        | Step::ReceiveOk { .. }
        | Step::Ok => Kind::Complete(Outcome::Ok),
        Step::Fail { .. } => Kind::Complete(Outcome::Failed),
        Step::Unknown { .. } => Kind::Complete(Outcome::Unknown),
    }
}

fn fits(invoke: &Step, complete: &Step) -> bool {
    match complete {
        Step::SendOk { .. } => matches!(invoke, Step::Send { .. }),
        Step::PollOk { .. } => matches!(invoke, Step::Poll),
        Step::EndsOk(_) => matches!(invoke, Step::Ends { .. }),
        Step::FetchCommittedOk { .. } => matches!(invoke, Step::FetchCommitted { .. }),
        Step::ListTopicsOk { .. } => matches!(invoke, Step::ListTopics),
        Step::ReceiveOk { queue, .. } => {
            matches!(invoke, Step::Receive { queue: asked } if asked == queue)
        }
        Step::Ok => matches!(
            invoke,
            Step::Commit { .. }
                | Step::DeleteGroup { .. }
                | Step::CreateTopic { .. }
                | Step::DeleteTopic { .. }
                | Step::AlterTopic { .. }
                | Step::DeclareQueue { .. }
                | Step::Enqueue { .. }
                | Step::Settle { .. }
        ),
        _ => true,
    }
}
