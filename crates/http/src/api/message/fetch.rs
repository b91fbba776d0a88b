//! GET `/v1/topics/{topic}/messages`: reads one partition from an offset or a time, and may wait
//! for messages to come.

use crate::{
    Context,
    error::Error,
    extract::{Names, Params},
    from_wire::{self, Start},
    to_wire::{self, Limit, MessageRun},
};
use axum::{extract::State, response::Response};
use serde::Deserialize;
use std::time::Duration;
use tramline_broker::{FetchItem, FetchRequest};

const MESSAGES_DEFAULT: usize = 100;
/// Messages of one answer.
const MESSAGES_MAX: usize = 10_000;
/// Stored bytes that one answer is made from, and what it may grow to; one message at least.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// What needs no room that others may have taken, as a rule.
const LITTLE: Limit = Limit { messages: 100, bytes: 8 * 1024 };

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    partition: Option<u32>,
    from: Option<String>,
    offset: Option<i64>,
    time: Option<String>,
    limit: Option<usize>,
    wait_ms: Option<u64>,
    /// In the one order over all partitions, where the topic has it.
    #[serde(default)]
    ordered: bool,
}

pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<Query>,
) -> Result<Response, Error> {
    from_wire::no_partition(query.ordered, query.partition)?;
    let topic = from_wire::topic_to_read(&cx, &name, query.ordered)?;
    let partition = from_wire::one_partition(&topic, query.partition)?;
    let start = Start::parse(&cx, query.from, query.offset, query.time)?;
    let offset = start.unwrap_or(Start::EARLIEST).offset(&cx, &topic, partition).await?;
    let messages = query.limit.unwrap_or(MESSAGES_DEFAULT).clamp(1, MESSAGES_MAX);
    let limit = Limit { messages, bytes: BYTES_MAX };
    let wait = Duration::from_millis(query.wait_ms.unwrap_or(0)).min(cx.options.wait_max);
    let request = |wait_max| FetchRequest {
        items: vec![FetchItem { topic: topic.clone(), partition, offset, bytes_max: BYTES_MAX }],
        bytes_min: 1,
        bytes_max: BYTES_MAX,
        wait_max,
    };
    let results = tokio::select! {
        results = cx.broker.fetch(request(wait)) => results,
        // Answer with what is there now.
        () = cx.stopping() => cx.broker.fetch(request(Duration::ZERO)).await,
    };
    let fetched = results.into_iter().next().expect("one item has one result")?;
    let run = |limit: Limit| {
        let (messages, next_offset) = to_wire::messages(&fetched, partition, offset, limit)?;
        Ok::<_, Error>(MessageRun {
            topic: topic.name().to_string(),
            partition,
            messages,
            next_offset,
            log_start: fetched.log_start.as_i64(),
            high_watermark: fetched.high_watermark.as_i64(),
        })
    };
    // While other answers take all the room, every reader goes on with little at a time.
    let few = Limit { messages: messages.min(LITTLE.messages), ..LITTLE };
    to_wire::counted(&cx, &run(limit)?).or_else(|_| to_wire::counted(&cx, &run(few)?))
}
