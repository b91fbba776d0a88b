//! A compacted topic: writers that set and delete keys, readers that compare what they see, and
//! the check that compaction keeps its promises, through crashes, retirement and a full disk.
//!
//! The latest acknowledged record of every key is there, unless it is a tombstone whose time is
//! over; nothing older comes back in its place; offsets rise and keep what they hold; nothing is
//! there that was refused or never written.

use super::client::{Client, Session, topic_name};
use crate::payload;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tramline_broker::{Error, FetchItem, FetchRequest, Fetched, PublishItem, Topic};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_types::{Clock, Message, Timestamp};

pub(super) const NAME: &str = "compacted";
const KEYS: u64 = 12;
const DELETE_RETENTION_MS: i64 = 700;
const PAUSE_MAX: Duration = Duration::from_millis(60);
const OPENED_BYTES_MAX: usize = 1024 * 1024;

/// How a write fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    At(u64),
    Unknown,
    Refused,
}

/// One record that was written, or may have been.
#[derive(Clone, Debug)]
struct Write {
    key: String,
    /// `None` is a tombstone.
    value: Option<String>,
    fate: Fate,
    at: Timestamp,
}

/// Everything that was written, in the order of the calls, and what was seen at each offset.
#[derive(Default)]
pub(super) struct Compacted {
    writes: Vec<Write>,
    seen: HashMap<u64, (String, Option<String>)>,
    /// Superseded records that the last reader did not find any more.
    removed: usize,
}

/// One record that was read.
type Found = (u64, String, Option<String>);

impl Compacted {
    /// How many superseded records were gone at the last look.
    pub(super) const fn removed(&self) -> usize {
        self.removed
    }

    fn settle(&mut self, first: usize, fates: impl Iterator<Item = Fate>) {
        for (write, fate) in self.writes[first..].iter_mut().zip(fates) {
            write.fate = fate;
        }
    }

    /// Compares what a reader found, from the front to the end, with what was written by
    /// `written` calls that had ended before it began to read.
    fn check(&mut self, found: &[Found], ended: &[usize], now: Timestamp) -> Vec<String> {
        let mut problems = Vec::new();
        if !found.is_sorted_by(|a, b| a.0 < b.0) {
            problems.push("offsets of the compacted topic do not rise".to_owned());
        }
        let mut last: BTreeMap<&str, (u64, Option<&str>)> = BTreeMap::new();
        for (offset, key, value) in found {
            let before = self.seen.entry(*offset).or_insert_with(|| (key.clone(), value.clone()));
            if (&before.0, &before.1) != (key, value) {
                problems.push(format!("offset {offset} holds `{key}`, and held `{}`", before.0));
            }
            let same = |write: &&Write| {
                write.key == *key
                    && write.value == *value
                    && (value.is_some() || matches!(write.fate, Fate::At(at) if at == *offset))
            };
            let unknown_tombstone = value.is_none()
                && self
                    .writes
                    .iter()
                    .any(|w| w.key == *key && w.value.is_none() && w.fate == Fate::Unknown);
            match self.writes.iter().find(same).map(|write| write.fate) {
                Some(Fate::Refused) => {
                    problems.push(format!("`{key}` at {offset} was refused and is there"));
                }
                Some(Fate::At(at)) if at != *offset => {
                    problems.push(format!("`{key}` of {at} is at {offset}"));
                }
                None if !unknown_tombstone => {
                    problems.push(format!("`{key}` at {offset} was never written"));
                }
                _ => {}
            }
            last.insert(key, (*offset, value.as_deref()));
        }
        problems.extend(self.check_latest(&last, ended, now));
        self.removed = ended
            .iter()
            .filter(|index| {
                matches!(self.writes[**index].fate, Fate::At(at)
                if found.binary_search_by_key(&at, |(offset, ..)| *offset).is_err())
            })
            .count();
        problems
    }

    fn check_latest(
        &self,
        last: &BTreeMap<&str, (u64, Option<&str>)>,
        ended: &[usize],
        now: Timestamp,
    ) -> Vec<String> {
        let mut latest: BTreeMap<&str, (u64, &Write)> = BTreeMap::new();
        for index in ended {
            let write = &self.writes[*index];
            if let Fate::At(at) = write.fate
                && latest.get(write.key.as_str()).is_none_or(|(before, _)| *before < at)
            {
                latest.insert(&write.key, (at, write));
            }
        }
        let is_over = |write: &Write| write.at.plus_millis(DELETE_RETENTION_MS) <= now;
        let mut problems = Vec::new();
        for (key, (at, write)) in latest {
            let found = last.get(key).map(|(offset, _)| *offset);
            if found.is_some_and(|found| found >= at) {
                continue;
            }
            // A later tombstone without an answer may have been stored, and its time be over.
            let deleted_later = self.writes.iter().any(|later| {
                later.key == key
                    && later.value.is_none()
                    && later.at >= write.at
                    && !matches!(later.fate, Fate::Refused)
                    && is_over(later)
            });
            let may_be_gone = found.is_none() && deleted_later;
            if !may_be_gone {
                problems.push(format!(
                    "`{key}` was set at {at} ({:?}), and the last one there is {found:?}",
                    write.value
                ));
            }
        }
        problems
    }
}

impl Client {
    /// Sets and deletes its share of the keys until the world stops.
    pub(super) async fn write_keys(mut self, (writer, writers): (u64, u64)) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            let Some(topic) = self.compacted_topic(&session).await else { continue };
            let (batch, first, count) = self.batch_of_keys(writer, writers);
            let item = PublishItem { topic, partition: 0, batch };
            let publish = async { session.broker.publish(vec![item]).await.await };
            let answer = session.call(publish).await.and_then(|mut results| results.pop());
            let fates = (0..count).map(|n| match &answer {
                Some(Ok(published)) => Fate::At(published.base_offset.get() + n),
                Some(Err(_)) => Fate::Refused,
                None => Fate::Unknown,
            });
            self.world.compacted.lock().settle(first, fates);
            if let Some(Err(error)) = &answer
                && !matches!(error, Error::StorageFull)
            {
                self.world.problem(format!("the compacted topic refused a write: {error}"));
            }
        }
    }

    /// Reads everything, again and again, and compares.
    pub(super) async fn read_keys(mut self) {
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX * 4).await;
            self.check_keys().await;
        }
    }

    /// Reads everything and compares.
    pub(super) async fn check_keys(&self) {
        let session = self.session().await;
        let Ok(topic) = session.broker.topic(&topic_name(NAME)) else { return };
        let ended: Vec<usize> = {
            let compacted = self.world.compacted.lock();
            let is_there = |(_, write): &(usize, &Write)| matches!(write.fate, Fate::At(_));
            compacted.writes.iter().enumerate().filter(is_there).map(|(index, _)| index).collect()
        };
        let Some(found) = self.read_through(&session, &topic).await else { return };
        let now = self.clock.now();
        let problems = self.world.compacted.lock().check(&found, &ended, now);
        for problem in problems {
            self.world.problem(problem);
        }
    }

    async fn compacted_topic(&self, session: &Session) -> Option<Arc<Topic>> {
        let settings = [
            ("cleanup.policy", "compact".to_owned()),
            ("min.cleanable.dirty.ratio", "0.2".to_owned()),
            ("delete.retention.ms", DELETE_RETENTION_MS.to_string()),
        ];
        self.own_topic(session, NAME, &settings).await
    }

    /// A batch, noted as written with an unknown outcome: the index of its first record and how
    /// many they are. Every key belongs to one writer.
    fn batch_of_keys(&mut self, writer: u64, writers: u64) -> (Batch, usize, u64) {
        let codec = if self.random.one_in(3) { Compression::Lz4 } else { Compression::None };
        let mut builder = BatchBuilder::new(codec);
        let count = 1 + self.random.below(4);
        let mut writes = Vec::new();
        for _ in 0..count {
            let key = format!("key-{}", self.random.below(KEYS / writers) * writers + writer);
            let value = (!self.random.one_in(4))
                .then(|| format!("{}-{:x}", self.name, self.random.next_u64()));
            let bytes = if self.random.one_in(12) { 5000 } else { 20 + self.random.index(200) };
            let message = Message {
                key: Some(Bytes::from(key.clone())),
                value: value.as_deref().map(|value| payload::encode(value, bytes)),
                ..Message::default()
            };
            builder.push(&message, self.clock.now());
            writes.push(Write { key, value, fate: Fate::Unknown, at: self.clock.now() });
        }
        let mut compacted = self.world.compacted.lock();
        let first = compacted.writes.len();
        compacted.writes.extend(writes);
        (builder.build().expect("the batch has records and is small"), first, count)
    }

    /// Everything from the first offset to the end; `None` when the process died meanwhile.
    async fn read_through(&self, session: &Session, topic: &Arc<Topic>) -> Option<Vec<Found>> {
        let mut found = Vec::new();
        let mut offset = 0;
        loop {
            let request = FetchRequest {
                items: vec![FetchItem {
                    topic: Arc::clone(topic),
                    partition: 0,
                    offset,
                    bytes_max: 20_000,
                }],
                bytes_min: 0,
                bytes_max: 20_000,
                wait_max: Duration::ZERO,
            };
            let fetched = match session.call(session.broker.fetch(request)).await?.pop()? {
                Ok(fetched) => fetched,
                Err(Error::Closed) => return None,
                Err(error) => {
                    self.world.problem(format!("the compacted topic cannot be read: {error}"));
                    return None;
                }
            };
            let next = self.take(&fetched, offset, &mut found);
            if next == offset {
                return Some(found);
            }
            offset = next;
        }
    }

    /// Adds the records at or above `from`; where to read on, behind the last batch.
    fn take(&self, fetched: &Fetched, from: i64, found: &mut Vec<Found>) -> i64 {
        let mut next = from;
        for piece in &fetched.pieces {
            let mut rest = piece.clone();
            while let Ok(Some(batch)) = Batch::decode_first(&mut rest) {
                let base = batch.header().base_offset;
                next = next.max(batch.header().last_offset() + 1);
                let Ok(records) = batch.records(OPENED_BYTES_MAX) else {
                    self.world.problem("a compacted batch does not open".to_owned());
                    continue;
                };
                for record in records {
                    let offset = base + i64::from(record.offset_delta);
                    if offset < from {
                        continue;
                    }
                    let key = record.key.map(|key| String::from_utf8_lossy(&key).into_owned());
                    let value = record.value.as_deref().map(|value| payload::decode(Some(value)));
                    let offset = u64::try_from(offset).unwrap_or(u64::MAX);
                    found.push((offset, key.unwrap_or_default(), value));
                }
            }
        }
        next
    }
}
