//! A topic with `durability=memory`: one client that sends to it, reads it, and after every crash
//! compares what is left with what there was.
//!
//! What is acknowledged is shown at once, at the next offset. A crash may take records from the
//! end and from nowhere else, and none below an end that was seen to be durable; what is left is
//! what there was, and offsets go on from there.

use super::client::{Client, Session};
use crate::payload;
use std::{sync::Arc, time::Duration};
use tramline_broker::{Error, FetchItem, FetchRequest, PublishItem, Published, Topic};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_types::{Clock, Message};

pub(super) const NAME: &str = "early";
const PAUSE_MAX: Duration = Duration::from_millis(80);
const BYTES_MAX: usize = 20_000;
const OPENED_BYTES_MAX: usize = 1024 * 1024;

/// What is known of the topic.
#[derive(Default)]
pub(super) struct Early {
    /// The value at each offset, from 0 to the end.
    values: Vec<String>,
    /// A batch that was under way when the process died.
    unknown: Vec<String>,
    /// Everything below was seen to be durable.
    durable: usize,
    /// Records that were read before they were seen to be durable.
    read_early: usize,
    /// Records that crashes have taken.
    taken: usize,
}

impl Early {
    /// How many records were read before they were durable, and how many were gone after a crash.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.read_early, self.taken)
    }

    /// Takes over what a process shows that has just started.
    fn restarted(&mut self, left: Vec<String>) -> Result<(), String> {
        if left.len() < self.durable {
            return Err(format!("ends at {}, and was durable to {}", left.len(), self.durable));
        }
        let unknown = std::mem::take(&mut self.unknown);
        let before = self.values.iter().chain(&unknown);
        if let Some(at) = before.zip(&left).position(|(before, left)| before != left) {
            return Err(format!("offset {at} holds `{}` after a crash", left[at]));
        }
        if left.len() > self.values.len() + unknown.len() {
            return Err(format!("holds {} records, more than were sent", left.len()));
        }
        self.taken += self.values.len().saturating_sub(left.len());
        self.values = left;
        Ok(())
    }

    /// Compares what was read from an offset to the end.
    fn check(&mut self, from: usize, read: &[String]) -> Result<(), String> {
        if self.values[from..] != *read {
            let (there, found) = (self.values.len() - from, read.len());
            return Err(format!("from {from} on {found} records are shown, {there} are there"));
        }
        self.read_early += self.values.len() - self.durable.max(from);
        Ok(())
    }
}

impl Client {
    /// Sends and reads until the world stops.
    pub(super) async fn use_early(mut self) {
        while !self.world.is_stopped() {
            let session = self.session().await;
            if self.use_early_in(&session).await.is_none() {
                // Everybody else's turn, too.
                self.pause(PAUSE_MAX).await;
            }
        }
        self.check_early().await;
    }

    /// Compares all there is with what is known, after a start.
    pub(super) async fn check_early(&self) {
        let session = self.session().await;
        if let Ok(topic) = session.broker.topic(&super::client::topic_name(NAME)) {
            self.restarted_early(&session, &topic).await;
        }
    }

    /// One process's life; `None` when it is over, or the topic cannot be made.
    async fn use_early_in(&mut self, session: &Session) -> Option<()> {
        let settings = [("durability", "memory".to_owned())];
        let topic = self.own_topic(session, NAME, &settings).await?;
        self.restarted_early(session, &topic).await?;
        while !self.world.is_stopped() {
            self.pause(PAUSE_MAX).await;
            if self.random.one_in(3) {
                let known = self.world.early.lock().values.len();
                let from = self.random.index(known + 1);
                self.look_early(session, &topic, from).await?;
            } else {
                self.send_early(session, &topic).await?;
            }
            let partition = topic.partition(0).ok()?;
            let durable = session.call(async { partition.durable_end() }).await?;
            let mut early = self.world.early.lock();
            early.durable = usize::try_from(durable.get()).unwrap_or(usize::MAX);
        }
        Some(())
    }

    async fn restarted_early(&self, session: &Session, topic: &Arc<Topic>) -> Option<()> {
        let left = self.read_early(session, topic, 0).await?;
        let checked = self.world.early.lock().restarted(left);
        self.note_early(checked);
        Some(())
    }

    async fn look_early(&self, session: &Session, topic: &Arc<Topic>, from: usize) -> Option<()> {
        let read = self.read_early(session, topic, from).await?;
        let checked = self.world.early.lock().check(from, &read);
        self.note_early(checked);
        Some(())
    }

    fn note_early(&self, checked: Result<(), String>) {
        if let Err(problem) = checked {
            self.world.problem(format!("the topic that is acknowledged early {problem}"));
        }
    }

    async fn send_early(&mut self, session: &Session, topic: &Arc<Topic>) -> Option<()> {
        let count = 1 + self.random.index(3);
        let mut builder = BatchBuilder::new(Compression::None);
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            let value = format!("{}-{:x}", self.name, self.random.next_u64());
            let bytes = if self.random.one_in(12) { 5000 } else { 20 + self.random.index(200) };
            let body = payload::encode(&value, bytes);
            builder.push(&Message { value: Some(body), ..Message::default() }, self.clock.now());
            values.push(value);
        }
        self.world.early.lock().unknown.clone_from(&values);
        let batch = builder.build().expect("the batch has records and is small");
        let item = PublishItem { topic: Arc::clone(topic), partition: 0, batch };
        let publish = async { session.broker.publish(vec![item]).await.await };
        let answer = session.call(publish).await?.pop()?;
        let next = self.answered_early(&answer, values);
        match (answer, next) {
            (Ok(_), Some(next)) => self.look_early(session, topic, next).await,
            (Err(Error::StorageFull | Error::Closed), _) => Some(()),
            (answer, _) => {
                self.note_early(Err(format!("answered a send with {answer:?}")));
                None
            }
        }
    }

    /// Takes over what was acknowledged; gives its offset where that is the next one.
    fn answered_early(
        &self,
        answer: &Result<Published, Error>,
        values: Vec<String>,
    ) -> Option<usize> {
        let mut early = self.world.early.lock();
        early.unknown.clear();
        let next = early.values.len();
        let is_next = |published: &Published| published.base_offset.get() == next as u64;
        answer.as_ref().ok().filter(|published| is_next(published))?;
        early.values.extend(values);
        Some(next)
    }

    /// The values from an offset to the end, each at its own; `None` when the process died.
    async fn read_early(
        &self,
        session: &Session,
        topic: &Arc<Topic>,
        from: usize,
    ) -> Option<Vec<String>> {
        let mut values = Vec::new();
        loop {
            let offset = i64::try_from(from + values.len()).unwrap_or(i64::MAX);
            let item =
                FetchItem { topic: Arc::clone(topic), partition: 0, offset, bytes_max: BYTES_MAX };
            let request = FetchRequest {
                items: vec![item],
                bytes_min: 0,
                bytes_max: BYTES_MAX,
                wait_max: Duration::ZERO,
            };
            let pieces = match session.call(session.broker.fetch(request)).await?.pop()? {
                Ok(fetched) => fetched.pieces,
                Err(error) => {
                    if error != Error::Closed {
                        self.note_early(Err(format!("cannot be read at {offset}: {error}")));
                    }
                    return None;
                }
            };
            if pieces.is_empty() {
                return Some(values);
            }
            let before = values.len();
            for mut piece in pieces {
                while let Ok(Some(batch)) = Batch::decode_first(&mut piece) {
                    let records = batch.records(OPENED_BYTES_MAX).unwrap_or_default();
                    let base = batch.header().base_offset;
                    for record in records {
                        let at = base + i64::from(record.offset_delta);
                        if at < offset {
                            continue;
                        }
                        let next = i64::try_from(from + values.len()).unwrap_or(i64::MAX);
                        if at != next {
                            self.note_early(Err(format!("shows {at} where {next} is next")));
                            return None;
                        }
                        values.push(payload::decode(record.value.as_deref()));
                    }
                }
            }
            if values.len() == before {
                self.note_early(Err(format!("shows nothing at {offset}, and not the end")));
                return None;
            }
        }
    }
}
