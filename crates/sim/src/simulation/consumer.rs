//! Consumers: read a partition from somewhere, commit now and then, look at what was committed;
//! and the audit at the end, which reads everything.

use super::{
    client::{Client, Session},
    topics::Known,
};
use crate::{Committed, End, Read, Step, payload};
use std::{sync::Arc, time::Duration};
use tramline_broker::{
    CommitOffsets, Error, FetchItem, FetchRequest, Fetched, MemberRef, OffsetCommit, Position,
};
use tramline_record::Batch;
use tramline_types::{GroupId, Offset};

const PAUSE_MAX: Duration = Duration::from_millis(60);
const OPENED_BYTES_MAX: usize = 1024 * 1024;
const GROUPS: u64 = 3;

/// A partition that a consumer reads.
struct Assigned {
    known: Known,
    partition: u32,
    position: u64,
}

/// What one poll showed.
enum Polled {
    /// The position moved.
    Moved,
    /// Nothing above the position, which is the high watermark.
    End,
    /// Retention overtook the position.
    OutOfRange,
    /// The topic is gone, or the process died.
    Gone,
}

impl Client {
    /// Consumes until the world stops.
    pub(super) async fn consume(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let picked = self.world.topics.lock().pick(&session.broker, &mut self.random);
            let Some(known) = picked else { continue };
            let partitions = u64::from(known.topic.partition_count());
            let partition =
                u32::try_from(self.random.below(partitions)).expect("a partition's index");
            let Some(end) = self.ends(&session, &known, partition).await else { continue };
            let span = end.next - end.start;
            let skipped = if self.random.one_in(2) { 0 } else { self.random.below(span + 1) };
            let mut assigned = self.assign(known, partition, end.start + skipped);
            for _ in 0..self.random.below(6) {
                self.pause(PAUSE_MAX / 4).await;
                if !matches!(self.poll(&session, &mut assigned).await, Polled::Moved) {
                    break;
                }
            }
            let group = format!("group-{}", self.random.below(GROUPS));
            let group = GroupId::parse(&group).expect("a short text is a group's id");
            match self.random.below(20) {
                0 => self.delete_group(&session, &group).await,
                1..11 => self.commit(&session, &group, &assigned).await,
                _ => {}
            }
            self.fetch_committed(&session, &group, &assigned.known, partition).await;
        }
    }

    /// Looks at both ends. `None` when the topic is gone or the process died.
    async fn ends(&self, session: &Session, known: &Known, partition: u32) -> Option<End> {
        let op = self.invoke(Step::Ends { topic: known.label.clone(), partition });
        let look_up = async |position| {
            let found =
                session.call(session.broker.offset_for(&known.topic, partition, position)).await;
            match found {
                Some(Ok(found)) => found.offset.map(Offset::get),
                Some(Err(error)) => {
                    self.world.problem(format!("no end of `{}`: {error}", known.label));
                    None
                }
                None => None,
            }
        };
        let start = look_up(Position::Earliest).await;
        let next = look_up(Position::Latest).await;
        if let (Some(start), Some(next)) = (start, next) {
            let end = End { start, next };
            self.complete(op, Step::EndsOk(end));
            Some(end)
        } else {
            self.unknown(op);
            None
        }
    }

    fn assign(&self, known: Known, partition: u32, position: u64) -> Assigned {
        let topic = known.label.clone();
        self.note(Step::Assign { topic, partition, offset: Some(position) });
        Assigned { known, partition, position }
    }

    async fn poll(&mut self, session: &Session, assigned: &mut Assigned) -> Polled {
        let op = self.invoke(Step::Poll);
        let bytes_max = 1 + self.random.index(20_000);
        let request = FetchRequest {
            items: vec![FetchItem {
                topic: Arc::clone(&assigned.known.topic),
                partition: assigned.partition,
                offset: i64::try_from(assigned.position).expect("an offset is below i64::MAX"),
                bytes_max,
            }],
            bytes_min: self.random.index(2),
            bytes_max,
            wait_max: Duration::from_millis(self.random.below(50)),
        };
        let Some(mut fetched) = session.call(session.broker.fetch(request)).await else {
            self.unknown(op);
            return Polled::Gone;
        };
        match fetched.pop().expect("one result per item") {
            Ok(fetched) => {
                let records = self.open(&fetched, assigned);
                let at_end =
                    records.is_empty() && fetched.high_watermark.get() == assigned.position;
                if let Some(last) = records.last() {
                    assigned.position = last.offset + 1;
                }
                self.complete(op, Step::PollOk { records });
                if at_end { Polled::End } else { Polled::Moved }
            }
            Err(error) => {
                self.fail(op, &error);
                match error {
                    Error::OffsetOutOfRange { .. } => Polled::OutOfRange,
                    Error::UnknownTopic(_) | Error::Closed => Polled::Gone,
                    error => {
                        let label = &assigned.known.label;
                        self.world.problem(format!("`{label}` cannot be read: {error}"));
                        Polled::Gone
                    }
                }
            }
        }
    }

    /// Every record at or above the position.
    fn open(&self, fetched: &Fetched, assigned: &Assigned) -> Vec<Read> {
        let mut reads = Vec::new();
        for piece in &fetched.pieces {
            let mut rest = piece.clone();
            loop {
                let batch = match Batch::decode_first(&mut rest) {
                    Ok(Some(batch)) => batch,
                    Ok(None) => break,
                    Err(error) => {
                        self.world.problem(format!("a wrong batch was read: {error}"));
                        break;
                    }
                };
                let base = batch.header().base_offset;
                for record in batch.records(OPENED_BYTES_MAX).unwrap_or_default() {
                    let offset = u64::try_from(base + i64::from(record.offset_delta));
                    let offset = offset.unwrap_or(u64::MAX);
                    if offset >= fetched.high_watermark.get() {
                        self.world.problem(format!("offset {offset} is not durable and is read"));
                    }
                    if offset >= assigned.position {
                        reads.push(Read {
                            topic: assigned.known.label.clone(),
                            partition: assigned.partition,
                            offset,
                            value: payload::decode(record.value.as_deref()),
                        });
                    }
                }
            }
        }
        reads
    }

    async fn commit(&self, session: &Session, group: &GroupId, assigned: &Assigned) {
        let Assigned { known, partition, position } = assigned;
        // A name may mean another topic since.
        let same = session.broker.topic(known.topic.name()).map(|topic| topic.id());
        if same != Ok(known.topic.id()) {
            return;
        }
        let (topic, partition, offset) = (known.label.clone(), *partition, *position);
        let offsets = vec![Committed { topic, partition, offset }];
        let op = self.invoke(Step::Commit { group: group.to_string(), offsets });
        let request = CommitOffsets {
            group: group.clone(),
            member: MemberRef::dynamic(""),
            generation: -1,
            offsets: vec![OffsetCommit {
                topic: known.topic.name().clone(),
                partition,
                offset: Some(Offset::new(offset).expect("an offset that was read")),
                leader_epoch: None,
                metadata: "".into(),
            }],
            retention: None,
        };
        let committed = session.call(session.broker.groups().commit_offsets(request)).await;
        match committed.map(|results| results.and_then(|mut r| r.pop().unwrap_or(Ok(())))) {
            None => self.unknown(op),
            Some(Ok(())) => self.complete(op, Step::Ok),
            Some(Err(error)) => {
                self.fail(op, &error);
                if !matches!(error, Error::StorageFull | Error::UnknownTopic(_)) {
                    self.world.problem(format!("a commit was refused: {error}"));
                }
            }
        }
    }

    async fn delete_group(&self, session: &Session, group: &GroupId) {
        let op = self.invoke(Step::DeleteGroup { group: group.to_string() });
        match session.call(session.broker.groups().delete(group)).await {
            None => self.unknown(op),
            Some(Ok(())) => self.complete(op, Step::Ok),
            Some(Err(error)) => {
                self.fail(op, &error);
                if !matches!(error, Error::UnknownGroup(_) | Error::StorageFull) {
                    self.world.problem(format!("a group is not deleted: {error}"));
                }
            }
        }
    }

    async fn fetch_committed(
        &self,
        session: &Session,
        group: &GroupId,
        known: &Known,
        partition: u32,
    ) {
        let name = known.topic.name();
        let op = self.invoke(Step::FetchCommitted {
            group: group.to_string(),
            topic: known.label.clone(),
            partition,
        });
        let place = vec![(name.clone(), partition)];
        let fetch = async { session.broker.groups().fetch_offsets(group, Some(place)) };
        let fetched = session.call(fetch).await;
        // A name may mean another topic since.
        let same = session.broker.topic(name).map(|topic| topic.id()) == Ok(known.topic.id());
        match fetched {
            Some(Ok(fetched)) if same => {
                let committed = fetched.first().and_then(|one| one.committed.as_ref());
                let offset = committed.map(|committed| committed.offset.get());
                self.complete(op, Step::FetchCommittedOk { offset });
            }
            Some(Err(error)) => {
                self.fail(op, &error);
                self.world.problem(format!("no committed offsets: {error}"));
            }
            _ => self.unknown(op),
        }
    }

    /// Reads everything there is: topics, committed offsets, and every partition to its end.
    pub(super) async fn audit(mut self) {
        let session = self.session().await;
        self.world.topics.lock().resolve(&session.broker);
        self.list(&session);
        let live = self.world.topics.lock().live(&session.broker);
        self.audit_orders(&session, &live).await;
        for known in live {
            for partition in 0..known.topic.partition_count() {
                for group in 0..GROUPS {
                    let group = GroupId::parse(&format!("group-{group}"));
                    let group = group.expect("a short text is a group's id");
                    self.fetch_committed(&session, &group, &known, partition).await;
                }
                self.drain(&session, &known, partition).await;
            }
        }
    }

    async fn drain(&mut self, session: &Session, known: &Known, partition: u32) {
        loop {
            let Some(end) = self.ends(session, known, partition).await else { return };
            let mut assigned = self.assign(known.clone(), partition, end.start);
            loop {
                match self.poll(session, &mut assigned).await {
                    Polled::Moved => {}
                    Polled::OutOfRange => break,
                    Polled::Gone => return,
                    Polled::End => {
                        let (topic, next) = (known.label.clone(), assigned.position);
                        self.note(Step::Drained { topic, partition, next });
                        return;
                    }
                }
            }
        }
    }
}
