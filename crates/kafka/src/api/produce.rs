//! Produce (key 0, v3-13): one batch per partition, passed on as it is unless a setting of
//! the topic asks for more.
//!
//! What goes to a queue goes in message by message, each with the partition as its priority.
//!
//! v5 adds `log_start_offset`, v7 allows zstd, v8 adds error messages and names
//! the records that are at fault, v9 is flexible, v13 names
//! topics by id. acks=1 waits for durability like acks=all; acks=0 has no answer.

use super::{Applied, Applying, Outcome, encode};
use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire, quota, to_wire,
};
use std::sync::Arc;
use tramline_broker::{
    EnqueueError, Enqueuing, Error, Placed, PublishItem, Published, Publishing, Queue, QuotaKind,
    RecordRule, Topic,
};
use tramline_record::{Batch, Compression};
use tramline_types::limits::RECORD_ERRORS_MAX;
use tramline_wire::{
    DecodeError, EncodeError, KafkaStr, Reader,
    kafka::{
        VersionRange,
        produce::{
            BatchIndexAndErrorMessage, PartitionProduceResponse, PartitionView, ProduceResponse,
            ProduceView, TopicProduceResponse,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(3, 13);

/// The first version whose clients promise to understand zstd.
const ZSTD_SINCE: i16 = 7;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 13;

/// Why one partition's records are refused.
struct Refusal {
    code: ErrorCode,
    message: Option<KafkaStr>,
    records: Vec<BatchIndexAndErrorMessage>,
}

impl Refusal {
    fn new(code: ErrorCode, message: &'static str) -> Self {
        Self { code, message: Some(KafkaStr::from_static(message)), records: Vec::new() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, records: Vec::new() }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let records = match &error {
            Error::InvalidRecords(errors) => errors.records.iter().map(record_error).collect(),
            _ => Vec::new(),
        };
        Self { code: ErrorCode::from(&error), message: to_wire::message(&error), records }
    }
}

fn record_error((batch_index, rule): &(i32, RecordRule)) -> BatchIndexAndErrorMessage {
    let message = KafkaStr::from_static(rule.as_str());
    BatchIndexAndErrorMessage {
        batch_index: *batch_index,
        batch_index_error_message: Some(message),
    }
}

impl From<tramline_record::Error> for Refusal {
    fn from(error: tramline_record::Error) -> Self {
        let (code, message) = (ErrorCode::from(&error), to_wire::message(&error));
        Self { code, message, records: Vec::new() }
    }
}

pub(super) fn start(
    cx: &Arc<Context>,
    call: Call,
    body: &mut Reader,
) -> Result<Applying, DecodeError> {
    let bytes = body.rest().len();
    let request = ProduceView::decode(body, call.version)?;
    let cx = Arc::clone(cx);
    Ok(Box::pin(async move {
        let acks = request.acks;
        let (pending, spent) = quota::timed(&cx, apply(&cx, &call, request)).await;
        let of_bytes = quota::charge_bytes(&cx, &call, QuotaKind::ProducedBytes, bytes);
        let millis = quota::charge_time(&cx, &call, spent).max(of_bytes);
        let outcome = match acks {
            0 if pending.fates.iter().any(|fate| matches!(fate, Fate::Refused(_))) => {
                Outcome::Close
            }
            0 => Outcome::Silent,
            _ => Outcome::Later(Box::pin(answer(cx, call, pending, millis))),
        };
        Ok(Applied { outcome, throttle: from_wire::millis(millis) })
    }))
}

/// A request that has its offsets and is not yet durable.
struct Pending {
    request: ProduceView,
    /// One per partition.
    fates: Vec<Fate>,
    /// One result per published partition.
    publishing: Publishing,
}

/// What becomes of one partition's records.
enum Fate {
    Refused(Refusal),
    Published,
    Enqueued(Enqueuing),
}

/// One partition's records on their way.
enum Item {
    Publish(PublishItem),
    Enqueue(Arc<Queue>, u32, Batch),
}

async fn apply(cx: &Context, call: &Call, mut request: ProduceView) -> Pending {
    let topics: Vec<_> = request
        .topics
        .iter()
        .map(|topic| {
            from_wire::topic_by(cx, call.version >= TOPIC_ID_SINCE, &topic.name, topic.topic_id)
        })
        .collect();
    let whole = check_request(&request);
    let mut items = Vec::with_capacity(request.partitions.len());
    let mut fates = Vec::with_capacity(request.partitions.len());
    for partition in &mut request.partitions {
        let item = match (&whole, &topics[partition.topic]) {
            (Some((code, message)), _) => Err(Refusal::new(*code, message)),
            (None, Err(error)) => Err(error.clone().into()),
            (None, Ok(topic)) => item(cx, call.version, topic, partition),
        };
        fates.push(match item {
            Ok(Item::Publish(item)) => {
                items.push(item);
                Fate::Published
            }
            Ok(Item::Enqueue(queue, level, batch)) => {
                match cx.broker().enqueue_batch(&queue, level, &batch).await {
                    Ok(enqueuing) => Fate::Enqueued(enqueuing),
                    Err(error) => Fate::Refused(error.into()),
                }
            }
            Err(refusal) => Fate::Refused(refusal),
        });
    }
    let publishing = cx.broker().publish(items).await;
    Pending { request, fates, publishing }
}

fn check_request(request: &ProduceView) -> Option<(ErrorCode, &'static str)> {
    if !(-1..=1).contains(&request.acks) {
        return Some((ErrorCode::INVALID_REQUIRED_ACKS, "acks must be -1, 0 or 1"));
    }
    request.transactional_id.is_some().then_some((
        ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        "this broker does not support transactions",
    ))
}

/// Takes the records out of the request: the frame is freed when the batch is stored.
fn item(
    cx: &Context,
    version: i16,
    topic: &Arc<Topic>,
    partition: &mut PartitionView,
) -> Result<Item, Refusal> {
    let index = from_wire::led_partition(cx, topic, partition.index)?;
    let records = partition.records.take().unwrap_or_default();
    if records.is_empty() {
        return Err(Refusal::new(ErrorCode::INVALID_RECORD, "a record batch is required"));
    }
    let batch = Batch::decode(records)?;
    batch.check_producer_batch()?;
    let attributes = batch.header().attributes;
    if attributes.is_transactional() {
        return Err(Refusal::new(
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            "this broker does not support transactions",
        ));
    }
    if version < ZSTD_SINCE && attributes.compression() == Ok(Compression::Zstd) {
        return Err(Refusal::new(
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE,
            "zstd needs Produce version 7",
        ));
    }
    Ok(match topic.queue() {
        Some(queue) => Item::Enqueue(Arc::clone(queue), index, batch),
        None => Item::Publish(PublishItem { topic: Arc::clone(topic), partition: index, batch }),
    })
}

async fn answer(
    cx: Arc<Context>,
    call: Call,
    Pending { request, fates, publishing }: Pending,
    throttle_time_ms: i32,
) -> Result<Vec<bytes::Bytes>, EncodeError> {
    let mut published = publishing.await.into_iter();
    let mut partitions = request.partitions.iter().zip(fates);
    let mut responses = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let mut partition_responses = Vec::with_capacity(topic.partition_count);
        for (partition, fate) in partitions.by_ref().take(topic.partition_count) {
            let index = partition.index;
            let result = match fate {
                Fate::Refused(refusal) => Err(refusal),
                Fate::Published => {
                    let next = published.next().expect("there is one result per item");
                    next.map(|published| appended(index, &published)).map_err(Refusal::from)
                }
                Fate::Enqueued(enqueuing) => {
                    let base_offset = place_of(index, enqueuing.placed());
                    enqueued((index, base_offset), enqueuing.await)
                }
            };
            partition_responses.push(result.unwrap_or_else(|refusal| PartitionProduceResponse {
                index,
                error_code: cx.refuse(call.api, refusal.code),
                base_offset: -1,
                record_errors: refusal.records,
                error_message: refusal.message,
                ..PartitionProduceResponse::default()
            }));
        }
        responses.push(TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses,
        });
    }
    let response = ProduceResponse { responses, throttle_time_ms, ..ProduceResponse::default() };
    encode(&call, &response)
}

fn appended(index: i32, published: &Published) -> PartitionProduceResponse {
    PartitionProduceResponse {
        index,
        base_offset: published.base_offset.as_i64(),
        log_append_time_ms: published.log_append_time.map_or(-1, |time| time.as_millis()),
        log_start_offset: published.log_start.as_i64(),
        ..PartitionProduceResponse::default()
    }
}

/// The offset of the first message, where the others lie behind it; else -1: clients count from
/// it.
fn place_of(index: i32, placed: &[Placed]) -> i64 {
    let offset = |placed: &Placed| i64::try_from(placed.place.offset).unwrap_or(-1);
    let Some(first) = placed.first().map(offset) else { return -1 };
    let in_a_row = (0_usize..).zip(first..).zip(placed).all(|((item, at), placed)| {
        let here = i32::from(placed.place.lane) == index && offset(placed) == at;
        placed.item == item && placed.first.is_none() && here
    });
    if in_a_row { first } else { -1 }
}

fn enqueued(
    (index, base_offset): (i32, i64),
    results: Vec<Result<(), EnqueueError>>,
) -> Result<PartitionProduceResponse, Refusal> {
    let failed = |(at, result): (i32, Result<(), EnqueueError>)| Some((at, result.err()?));
    let mut failed = (0..).zip(results).filter_map(failed);
    let Some((at, error)) = failed.next() else {
        let accepted = PartitionProduceResponse { index, base_offset, ..Default::default() };
        return Ok(accepted);
    };
    let record = |at: i32, error: &EnqueueError| BatchIndexAndErrorMessage {
        batch_index: at,
        batch_index_error_message: to_wire::message(error),
    };
    let mut records = vec![record(at, &error)];
    records.extend(failed.map(|(at, error)| record(at, &error)).take(RECORD_ERRORS_MAX - 1));
    Err(Refusal { code: ErrorCode::from(&error), message: to_wire::message(&error), records })
}
