//! What the broker says, as JSON: the only conversions in that direction.

pub(crate) mod assignment;
mod counted;
pub(crate) mod job;
mod message;

use crate::error::{Error, ErrorBody};
use axum::{Json, http::StatusCode};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use tramline_broker::{self as broker, Broker, SettingKind, SettingSource, Topic};
use tramline_types::{Offset, TopicId};

pub(crate) use counted::counted;
pub(crate) use message::{Limit, Message, QueueMessage, messages};

/// The answer of GET `/v1/topics`.
#[derive(Serialize)]
pub(crate) struct TopicList {
    pub(crate) topics: Vec<TopicSummary>,
}

/// One topic in short.
#[derive(Serialize)]
pub(crate) struct TopicSummary {
    name: String,
    id: String,
    partitions: u32,
    /// How many copies there really are.
    copies: u32,
    internal: bool,
    /// `total` where there is one order over all partitions, else `partition`.
    order: &'static str,
    /// The read-only topic to read in that order.
    ordered_view: Option<String>,
    /// The topic that this is the ordered view of.
    view_of: Option<String>,
    /// Milliseconds since the Unix epoch.
    created: i64,
}

/// A topic with its partitions and settings.
#[derive(Serialize)]
pub(crate) struct TopicDescription {
    #[serde(flatten)]
    summary: TopicSummary,
    retention: RetentionDescription,
    /// The queues that have its records as their messages.
    subscriptions: Vec<String>,
    partition_list: Vec<PartitionDescription>,
    settings: Vec<SettingDescription>,
}

/// What becomes of old records, by the settings in force.
#[derive(Serialize)]
struct RetentionDescription {
    /// `delete`, `compact`, or both.
    cleanup_policy: &'static str,
    /// Records older than this go, in milliseconds; `null`: no limit.
    ms: Option<i64>,
    /// Above so many bytes the oldest of a partition go; `null`: no limit.
    bytes: Option<u64>,
}

#[derive(Serialize)]
struct PartitionDescription {
    partition: u32,
    log_start: i64,
    high_watermark: i64,
    bytes: u64,
    /// Of a compacted topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    compaction: Option<CompactionDescription>,
}

#[derive(Serialize)]
struct CompactionDescription {
    /// Everything below was compacted.
    compacted_to: i64,
    /// Passes since start.
    passes: u64,
    /// Records taken out since start.
    records_removed: u64,
    /// Batches that the last pass could not open, and kept.
    batches_unreadable: u64,
    /// When the next tombstone may go, in milliseconds since the Unix epoch.
    tombstones_from: Option<i64>,
}

#[derive(Serialize)]
struct SettingDescription {
    name: &'static str,
    value: String,
    default: &'static str,
    source: &'static str,
    kind: &'static str,
    read_only: bool,
    doc: &'static str,
}

/// A topic in short.
pub(crate) fn topic_summary(topic: &Topic) -> TopicSummary {
    TopicSummary {
        name: topic.name().to_string(),
        id: topic_id(topic.id()),
        partitions: topic.partition_count(),
        copies: 1,
        internal: topic.is_internal(),
        order: if topic.settings().is_total_order { "total" } else { "partition" },
        ordered_view: topic.ordered_view().map(|view| view.name().to_string()),
        view_of: topic.view_of().map(ToString::to_string),
        created: topic.created().as_millis(),
    }
}

/// Kafka's form of a topic id: 22 characters.
fn topic_id(id: TopicId) -> String {
    URL_SAFE_NO_PAD.encode(id.0)
}

/// A topic with its partitions and settings.
pub(crate) fn topic_description(broker: &Broker, topic: &Topic) -> Result<TopicDescription, Error> {
    let partitions = (0..topic.partition_count()).map(|partition| {
        let owner = topic.partition(partition)?;
        Ok(PartitionDescription {
            partition,
            log_start: owner.log_start().as_i64(),
            high_watermark: owner.high_watermark().as_i64(),
            bytes: owner.bytes().map_err(broker::Error::from)?,
            compaction: owner.settings().compaction.map(|_| compaction(owner.compaction_status())),
        })
    });
    let subscriptions = broker.subscriptions(topic);
    Ok(TopicDescription {
        retention: retention(topic),
        subscriptions: subscriptions.iter().map(|queue| queue.name().to_string()).collect(),
        partition_list: partitions.collect::<Result<_, Error>>()?,
        settings: broker.describe_topic_settings(Some(topic)).into_iter().map(setting).collect(),
        summary: topic_summary(topic),
    })
}

fn retention(topic: &Topic) -> RetentionDescription {
    let settings = topic.settings();
    RetentionDescription {
        cleanup_policy: match (settings.deletes_old, settings.compaction.is_some()) {
            (true, true) => "compact,delete",
            (false, true) => "compact",
            (_, false) => "delete",
        },
        ms: settings.retention_ms,
        bytes: settings.retention_bytes,
    }
}

fn compaction(status: broker::CompactionStatus) -> CompactionDescription {
    CompactionDescription {
        compacted_to: status.dirty_from.as_i64(),
        passes: status.passes,
        records_removed: status.records_removed,
        batches_unreadable: status.batches_unreadable,
        tombstones_from: status.horizon_next.map(tramline_types::Timestamp::as_millis),
    }
}

fn setting(setting: broker::SettingDescription) -> SettingDescription {
    SettingDescription {
        name: setting.name,
        value: setting.value.unwrap_or_default(),
        default: setting.default.unwrap_or_default(),
        source: match setting.source {
            SettingSource::Topic => "topic",
            // The same to who reads a topic: the broker's default, however it was set.
            SettingSource::ThisBroker | SettingSource::AllBrokers | SettingSource::Broker => {
                "broker"
            }
            SettingSource::Default => "default",
        },
        kind: match setting.kind {
            SettingKind::Boolean => "boolean",
            SettingKind::String => "string",
            SettingKind::Int => "int",
            SettingKind::Long => "long",
            SettingKind::List => "list",
            SettingKind::Double => "double",
            SettingKind::Short => "short",
            SettingKind::Class => "class",
            SettingKind::Password => "password",
        },
        read_only: setting.read_only,
        doc: setting.doc,
    }
}

/// The answer of GET `/v1/topics/{topic}/messages`.
#[derive(Serialize)]
pub(crate) struct MessageRun {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) messages: Vec<Message>,
    /// Where to read on.
    pub(crate) next_offset: i64,
    pub(crate) log_start: i64,
    pub(crate) high_watermark: i64,
}

/// The answer of POST `/v1/topics/{topic}/messages`.
#[derive(Serialize)]
pub(crate) struct PublishAnswer {
    /// One entry per message, in their order.
    messages: Vec<PublishResult>,
    failed: usize,
    /// The first failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PublishResult {
    Published { partition: u32, offset: i64 },
    Failed { error: ErrorBody },
}

/// The answer to a publish: the status is that of the first failure, if there is one.
pub(crate) fn publish_outcome(
    results: Vec<Result<(u32, Offset), broker::Error>>,
) -> (StatusCode, Json<PublishAnswer>) {
    let mut status = StatusCode::OK;
    let mut answer = PublishAnswer { messages: Vec::new(), failed: 0, error: None };
    for result in results {
        answer.messages.push(match result {
            Ok((partition, offset)) => {
                PublishResult::Published { partition, offset: offset.as_i64() }
            }
            Err(error) => {
                let error = Error::from(error);
                if answer.failed == 0 {
                    (status, _) = error.status_and_hint();
                    answer.error = Some(error.body());
                }
                answer.failed += 1;
                PublishResult::Failed { error: error.body() }
            }
        });
    }
    (status, Json(answer))
}
