//! Producers: bursts of batches in flight, idempotent ones with retries of what has no known
//! outcome.

use super::{
    client::{Client, Session},
    topics::Known,
};
use crate::{Step, payload};
use futures_util::future::join_all;
use std::{collections::HashMap, time::Duration};
use tramline_broker::{Error, PublishItem, Published};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_types::{Clock, Message, ProducerId};

/// What a broker remembers per producer and partition, and so the most that may be in flight.
const IN_FLIGHT_MAX: u64 = 5;
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// A batch and the operations that its records are in the history.
struct Sending {
    known: Known,
    partition: u32,
    batch: Batch,
    ops: Vec<u64>,
    /// The answer to the first attempt gets lost, and the batch is sent again.
    repeats: bool,
}

/// An idempotent producer's identity.
struct Identity {
    id: ProducerId,
    epoch: i16,
    sequences: HashMap<(String, u32), i32>,
}

/// How a batch fared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Appended,
    Refused,
    Unknown,
}

impl Client {
    /// Produces until the world stops.
    pub(super) async fn produce(mut self, idempotent: bool) {
        self.note(Step::Client { ordered: idempotent, may_duplicate: false });
        let mut identity: Option<Identity> = None;
        let mut unsettled: Vec<Sending> = Vec::new();
        while !self.world.is_stopped() || !unsettled.is_empty() {
            self.pause(PAUSE_MAX).await;
            let session = self.session().await;
            if !unsettled.is_empty() {
                if !self.retry(&session, &mut unsettled).await {
                    identity = None;
                }
                continue;
            }
            if idempotent && identity.is_none() {
                identity = self.identify(&session).await;
                continue;
            }
            let sendings = self.prepare(&session, identity.as_mut());
            let fates = join_all(sendings.iter().map(|s| self.send(&session, s))).await;
            if fates.contains(&Fate::Refused) {
                // The sequence has a hole: what follows would be refused for ever.
                identity = None;
            }
            if idempotent {
                let unknown = |(sending, fate)| (fate == Fate::Unknown).then_some(sending);
                unsettled.extend(sendings.into_iter().zip(fates).filter_map(unknown));
            } else {
                sendings
                    .iter()
                    .zip(fates)
                    .filter(|(_, fate)| *fate == Fate::Unknown)
                    .for_each(|(sending, _)| sending.ops.iter().for_each(|op| self.unknown(*op)));
            }
        }
    }

    async fn identify(&self, session: &Session) -> Option<Identity> {
        match session.call(session.broker.allocate_producer_id()).await? {
            Ok(id) => Some(Identity { id, epoch: 0, sequences: HashMap::new() }),
            Err(Error::StorageFull) => None,
            Err(error) => {
                self.world.problem(format!("no producer id: {error}"));
                None
            }
        }
    }

    /// A burst of batches, mostly to one partition, invoked in the history.
    fn prepare(&mut self, session: &Session, mut identity: Option<&mut Identity>) -> Vec<Sending> {
        let picked = self.world.topics.lock().pick(&session.broker, &mut self.random);
        let Some(known) = picked else { return Vec::new() };
        let partitions = u64::from(known.topic.partition_count());
        let mut partition = self.random.below(partitions);
        let count = 1 + self.random.below(IN_FLIGHT_MAX);
        let mut sendings = Vec::new();
        for _ in 0..count {
            if self.random.one_in(6) {
                partition = self.random.below(partitions);
            }
            let place = u32::try_from(partition).expect("a partition's index is a u32");
            sendings.push(self.prepare_one(&known, place, identity.as_deref_mut()));
        }
        sendings
    }

    fn prepare_one(
        &mut self,
        known: &Known,
        partition: u32,
        identity: Option<&mut Identity>,
    ) -> Sending {
        let compression = match self.random.below(10) {
            0 => Compression::Lz4,
            1 => Compression::Zstd,
            _ => Compression::None,
        };
        let mut builder = BatchBuilder::new(compression);
        let records = 1 + self.random.below(4);
        let repeats = identity.is_some() && self.random.one_in(8);
        if let Some(Identity { id, epoch, sequences }) = identity {
            let sequence = sequences.entry((known.label.clone(), partition)).or_default();
            builder = builder.with_producer(*id, *epoch, *sequence);
            *sequence += i32::try_from(records).expect("a handful");
        }
        let mut ops = Vec::new();
        for _ in 0..records {
            let value = format!("{}-{:x}", self.name, self.random.next_u64());
            let bytes = match self.random.below(20) {
                0 => 4096 + self.random.index(12 * 1024),
                1..4 => 500 + self.random.index(1500),
                _ => 10 + self.random.index(100),
            };
            let body = payload::encode(&value, bytes);
            builder.push(&Message { value: Some(body), ..Message::default() }, self.clock.now());
            let topic = known.label.clone();
            ops.push(self.invoke(Step::Send { topic, partition: Some(partition), value }));
        }
        let batch = builder.build().expect("the batch has records and is small");
        Sending { known: known.clone(), partition, batch, ops, repeats }
    }

    async fn send(&self, session: &Session, sending: &Sending) -> Fate {
        let mut answer = attempt(session, sending).await;
        if sending.repeats && matches!(answer, Some(Ok(_))) {
            answer = attempt(session, sending).await;
        }
        match answer {
            None => Fate::Unknown,
            Some(Ok(published)) => {
                self.sent(sending, &published);
                Fate::Appended
            }
            Some(Err(error)) => {
                self.check_refusal(&error);
                for op in &sending.ops {
                    // Where this was the second attempt, the first one was appended.
                    if sending.repeats { self.unknown(*op) } else { self.fail(*op, &error) }
                }
                Fate::Refused
            }
        }
    }

    fn sent(&self, sending: &Sending, published: &Published) {
        for (op, i) in sending.ops.iter().zip(0..) {
            let offset = Some(published.base_offset.get() + i);
            self.complete(*op, Step::SendOk { partition: sending.partition, offset });
        }
    }

    /// Sends again what has no known outcome, in order. False when the producer has to start
    /// anew.
    async fn retry(&self, session: &Session, unsettled: &mut Vec<Sending>) -> bool {
        let mut kept = true;
        while let Some(sending) = unsettled.first_mut() {
            // The topic as the dead process had it is dead too.
            let label = &sending.known.label;
            match self.world.topics.lock().find(&session.broker, label) {
                Some(known) => sending.known = known,
                None => {
                    sending.ops.iter().for_each(|op| self.unknown(*op));
                    unsettled.remove(0);
                    kept = false;
                    continue;
                }
            }
            match attempt(session, sending).await {
                None => return kept,
                Some(Ok(published)) => self.sent(sending, &published),
                // The first attempt may have been appended all the same.
                Some(Err(error)) => {
                    self.check_refusal(&error);
                    kept = false;
                    let reason = error.to_string();
                    for op in &sending.ops {
                        self.complete(*op, Step::Unknown { reason: reason.clone() });
                    }
                }
            }
            unsettled.remove(0);
        }
        kept
    }

    fn check_refusal(&self, error: &Error) {
        let expected = matches!(
            error,
            Error::StorageFull
                | Error::UnknownTopic(_)
                | Error::OutOfOrderSequence(_)
                | Error::MessageTooLarge { .. }
        );
        if !expected {
            self.world.problem(format!("a send was refused: {error}"));
        }
    }
}

async fn attempt(session: &Session, sending: &Sending) -> Option<Result<Published, Error>> {
    let item = PublishItem {
        topic: std::sync::Arc::clone(&sending.known.topic),
        partition: sending.partition,
        batch: sending.batch.clone(),
    };
    let publish = async { session.broker.publish(vec![item]).await.await };
    let mut results = session.call(publish).await?;
    Some(results.pop().expect("one result per item"))
}
