//! GET `/v1/topics/{topic}/tail`: follows a topic as Server-Sent Events.
//!
//! The id of every event names the next offset of every partition (`0:13,1:7`), so that a reader
//! who comes back with `Last-Event-ID` misses nothing and gets nothing twice. Messages that
//! retention took before they could be sent are told as a `skipped` event, never passed over.

mod positions;

use crate::{
    Context,
    error::Error,
    extract::{Names, Params},
    from_wire::{Start, no_partition, one_partition, topic_to_read},
    sse::{self, LAST_EVENT_ID, RETRY_MILLIS, write_event},
    to_wire::{self, Limit},
};
use axum::{extract::State, http::HeaderMap, response::Response};
use bytes::Bytes;
use futures_util::stream;
use positions::Positions;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use tramline_broker::{self as broker, FetchItem, FetchRequest, Fetched, Position, Topic};
use tramline_types::limits::CONNECTION_BYTES_FREE;

/// Partitions that one tail may follow: each event's id names all of them.
const PARTITIONS_MAX: usize = 1_000;
/// Stored bytes of one round over all partitions.
const ROUND_BYTES_MAX: usize = 1024 * 1024;
/// Stored bytes of one partition in a round, so that none starves the others.
const PARTITION_BYTES_MAX: usize = 256 * 1024;
/// What the messages of one partition in a round may open to.
const EVENTS_MAX: Limit = Limit { messages: 1_000, bytes: 256 * 1024 };
/// While the answers of others take all the room there is.
const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    partition: Option<u32>,
    from: Option<String>,
    offset: Option<i64>,
    time: Option<String>,
    /// In the one order over all partitions, where the topic has it.
    #[serde(default)]
    ordered: bool,
}

pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<Query>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    no_partition(query.ordered, query.partition)?;
    let topic = topic_to_read(&cx, &name, query.ordered)?;
    let start = Start::parse(&cx, query.from, query.offset, query.time)?.unwrap_or(Start::LATEST);
    let only = match start {
        Start::Offset(_) => Some(one_partition(&topic, query.partition)?),
        Start::At(_) | Start::Time(_) => query.partition,
    };
    let mut positions = match headers.get(LAST_EVENT_ID) {
        Some(id) => Positions::parse(id.as_bytes())?,
        None => Positions::default(),
    };
    let resumed = !positions.is_empty();
    let wanted = wanted(&topic, only)?;
    positions.retain(&wanted);
    for partition in wanted {
        if !positions.contains(partition) {
            // A partition that the last event did not name has come since.
            let start = if resumed { Start::EARLIEST } else { start };
            positions.set(partition, start.offset(&cx, &topic, partition).await?);
        }
    }
    let tail = Tail { cx, topic, only, positions, round: 0, phase: Phase::Starting };
    let events = stream::unfold(tail, |mut tail| async move {
        let events = tail.next_events().await?;
        Some((events, tail))
    });
    Ok(sse::answer(events))
}

/// The partitions to follow.
fn wanted(topic: &Topic, only: Option<u32>) -> Result<Vec<u32>, Error> {
    let partitions: Vec<u32> = match only {
        Some(partition) => {
            topic.partition(partition)?;
            vec![partition]
        }
        None => (0..topic.partition_count()).collect(),
    };
    if partitions.len() > PARTITIONS_MAX {
        return Err(Error::malformed(
            format!("`{}` has more than {PARTITIONS_MAX} partitions", topic.name()),
            "follow one partition with `partition=`",
        ));
    }
    Ok(partitions)
}

enum Phase {
    Starting,
    Following,
    Ended,
}

/// One reader of one topic.
struct Tail {
    cx: Context,
    topic: Arc<Topic>,
    only: Option<u32>,
    positions: Positions,
    round: usize,
    phase: Phase,
}

impl Tail {
    /// The next events, or a comment when there was nothing for a while; `None` at the end.
    async fn next_events(&mut self) -> Option<Bytes> {
        match self.phase {
            Phase::Starting => {
                self.phase = Phase::Following;
                let id = self.positions.id();
                Some(format!("retry: {RETRY_MILLIS}\nid: {id}\n\n").into())
            }
            Phase::Following => self.follow().await,
            Phase::Ended => None,
        }
    }

    async fn follow(&mut self) -> Option<Bytes> {
        let answers = Arc::clone(&self.cx.broker.budgets().answers);
        if answers.is_used_up() {
            let clock = self.cx.broker.clock();
            let pause = clock.sleep_until(Some(clock.monotonic().plus(ROOM_PAUSE)));
            tokio::select! {
                () = pause => return Some(Bytes::from_static(b": waiting for memory\n\n")),
                () = self.cx.stopping() => return None,
            }
        }
        for partition in wanted(&self.topic, self.only).unwrap_or_default() {
            if !self.positions.contains(partition) {
                self.positions.set(partition, 0);
            }
        }
        let items = self.items();
        let asked: Vec<(u32, i64)> =
            items.iter().map(|item| (item.partition, item.offset)).collect();
        let request = FetchRequest {
            items,
            bytes_min: 1,
            bytes_max: ROUND_BYTES_MAX,
            wait_max: self.cx.options.heartbeat,
        };
        let results = tokio::select! {
            results = self.cx.broker.fetch(request) => results,
            () = self.cx.stopping() => return None,
        };
        let mut events = String::new();
        for ((partition, offset), result) in asked.into_iter().zip(results) {
            let written = match result {
                Ok(fetched) => self.write_messages(partition, offset, &fetched, &mut events),
                Err(broker::Error::OffsetOutOfRange { .. }) => {
                    self.write_skip(partition, offset, &mut events).await
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = written {
                write_event(&mut events, "error", None, &error.body());
                self.phase = Phase::Ended;
                break;
            }
        }
        if events.is_empty() {
            events.push_str(": nothing new\n\n");
        }
        let mut share = answers.share();
        if events.len() > CONNECTION_BYTES_FREE {
            share.charge(events.len());
            return Some(share.hold(events.into()));
        }
        Some(events.into())
    }

    /// One item per partition, beginning with another one in every round.
    fn items(&mut self) -> Vec<FetchItem> {
        let mut places: Vec<(u32, i64)> = self.positions.iter().collect();
        self.round = self.round.wrapping_add(1);
        let first = self.round % places.len().max(1);
        places.rotate_left(first);
        let item = |(partition, offset)| FetchItem {
            topic: Arc::clone(&self.topic),
            partition,
            offset,
            bytes_max: PARTITION_BYTES_MAX,
        };
        places.into_iter().map(item).collect()
    }

    fn write_messages(
        &mut self,
        partition: u32,
        offset: i64,
        fetched: &Fetched,
        events: &mut String,
    ) -> Result<(), Error> {
        let (messages, next) = to_wire::messages(fetched, partition, offset, EVENTS_MAX)?;
        for message in messages {
            self.positions.set(partition, message.offset + 1);
            write_event(events, "message", Some(&self.positions.id()), &message);
        }
        self.positions.set(partition, next);
        Ok(())
    }

    /// Retention overtook this reader: says so and goes on at the log's start.
    async fn write_skip(
        &mut self,
        partition: u32,
        offset: i64,
        events: &mut String,
    ) -> Result<(), Error> {
        let start = Start::At(Position::Earliest).offset(&self.cx, &self.topic, partition).await?;
        if offset >= start {
            let end = Start::LATEST.offset(&self.cx, &self.topic, partition).await?;
            return Err(Error::malformed(
                format!("offset {offset} of partition {partition} is above the end, {end}"),
                "start at an offset that exists, or leave it out to start at the end",
            ));
        }
        self.positions.set(partition, start);
        let skipped = serde_json::json!({ "partition": partition, "from": offset, "to": start });
        write_event(events, "skipped", Some(&self.positions.id()), &skipped);
        Ok(())
    }
}
