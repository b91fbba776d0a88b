//! CreateTopics (key 19, v2-7): new topics, each with its own result.
//!
//! v4 allows -1 for the defaults, v5 is flexible and returns the settings, v7 returns the id.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    to_wire::{self, text},
};
use std::{collections::HashSet, sync::Arc};
use tramline_broker::{Error, Mode, NewTopic, Topic};
use tramline_types::{
    TopicName,
    limits::{ANSWERS_UNSENT_BYTES_MAX, PARTITIONS_CREATED_TOGETHER_MAX, PARTITIONS_PER_TOPIC_MAX},
};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        create_topics::{
            CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
            CreateTopicsResponse,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(2, 7);

/// The real number of copies.
const COPIES: i16 = 1;

/// A code with words of its own.
struct Refusal(ErrorCode, Option<KafkaStr>);

impl Refusal {
    fn new(code: ErrorCode, message: &'static str) -> Self {
        Self(code, Some(KafkaStr::from_static(message)))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(ErrorCode::from(&error), to_wire::message(&error))
    }
}

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Apply };
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &request.topics {
        if !seen.insert(topic.name.clone()) {
            twice.insert(topic.name.clone());
        }
    }
    let partitions = request.topics.iter().map(|wanted| partitions(cx, wanted)).sum::<usize>();
    let mut shown_bytes = 0;
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in request.topics {
        let created = if partitions > PARTITIONS_CREATED_TOGETHER_MAX {
            let detail = format!("more than {PARTITIONS_CREATED_TOGETHER_MAX} partitions at once");
            Err(Error::LimitExceeded(detail).into())
        } else if twice.contains(&wanted.name) {
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, "the topic is in the request twice"))
        } else {
            create(cx, &wanted, mode).await
        };
        let mut topic = respond(cx, call, wanted.name, created);
        if shown_bytes > ANSWERS_UNSENT_BYTES_MAX && request.validate_only {
            topic.configs = None; // What costs nothing to ask for must not cost much to answer.
        }
        let configs = topic.configs.iter().flatten();
        let bytes = configs.map(|of| of.name.len() + of.value.as_ref().map_or(0, |v| v.len()) + 4);
        shown_bytes += bytes.sum::<usize>();
        topics.push(topic);
    }
    CreateTopicsResponse { throttle_time_ms: 0, topics }
}

/// How many partitions a topic would have, if it may have so many, and at least one.
fn partitions(cx: &Context, wanted: &CreatableTopic) -> usize {
    let default = usize::try_from(cx.broker().options().partitions_default).unwrap_or(usize::MAX);
    let number = usize::try_from(wanted.num_partitions).unwrap_or(default);
    let one_topic_max = usize::try_from(PARTITIONS_PER_TOPIC_MAX).unwrap_or(usize::MAX);
    number.max(wanted.assignments.len()).clamp(1, one_topic_max)
}

async fn create(cx: &Context, wanted: &CreatableTopic, mode: Mode) -> Result<Arc<Topic>, Refusal> {
    let (partitions, replication_factor) = size(cx, wanted)?;
    let mut settings = Vec::with_capacity(wanted.configs.len());
    for config in &wanted.configs {
        let value = config
            .value
            .as_ref()
            .ok_or_else(|| Refusal::new(ErrorCode::INVALID_CONFIG, "a setting cannot be null"))?;
        settings.push((config.name.to_string(), value.to_string()));
    }
    let name = TopicName::parse(&wanted.name).map_err(Error::from)?;
    let new = NewTopic { name, partitions, replication_factor, settings, mode };
    Ok(cx.broker().create_topic(new).await?)
}

/// The number of partitions and copies, given as such or by a manual assignment.
fn size(cx: &Context, wanted: &CreatableTopic) -> Result<(Option<u32>, Option<i16>), Refusal> {
    if wanted.assignments.is_empty() {
        let partitions = match wanted.num_partitions {
            -1 => None,
            number => Some(u32::try_from(number).map_err(|_| {
                Refusal::new(ErrorCode::INVALID_PARTITIONS, "a topic needs at least 1 partition")
            })?),
        };
        return Ok((partitions, Some(wanted.replication_factor)));
    }
    if wanted.num_partitions != -1 || wanted.replication_factor != -1 {
        return Err(Refusal::new(
            ErrorCode::INVALID_REQUEST,
            "with an assignment, partitions and replication factor must be -1",
        ));
    }
    let mut indexes: Vec<i32> = wanted.assignments.iter().map(|a| a.partition_index).collect();
    indexes.sort_unstable();
    let consecutive = indexes.iter().zip(0..).all(|(index, expected)| *index == expected);
    let here = wanted.assignments.iter().all(|a| a.broker_ids == [cx.controller_id()]);
    if !consecutive || !here {
        return Err(Refusal::new(
            ErrorCode::INVALID_REPLICA_ASSIGNMENT,
            "partitions must be numbered from 0, each with this broker as its one replica",
        ));
    }
    Ok((u32::try_from(wanted.assignments.len()).ok(), None))
}

fn respond(
    cx: &Context,
    call: &Call,
    name: KafkaStr,
    created: Result<Arc<Topic>, Refusal>,
) -> CreatableTopicResult {
    match created {
        Ok(topic) => CreatableTopicResult {
            name,
            topic_id: topic.id().0,
            num_partitions: to_wire::count(topic.partition_count()),
            replication_factor: COPIES,
            configs: Some(configs(cx, &topic)),
            ..CreatableTopicResult::default()
        },
        Err(Refusal(code, error_message)) => CreatableTopicResult {
            name,
            error_code: cx.refuse(call.api, code),
            error_message,
            configs: Some(Vec::new()),
            ..CreatableTopicResult::default()
        },
    }
}

fn configs(cx: &Context, topic: &Topic) -> Vec<CreatableTopicConfigs> {
    let settings = cx.broker().describe_topic_settings(Some(topic)).into_iter();
    let config = |setting: tramline_broker::SettingDescription| CreatableTopicConfigs {
        name: KafkaStr::from_static(setting.name),
        value: setting.value.as_deref().map(text),
        read_only: setting.read_only,
        config_source: to_wire::config_source(setting.source),
        is_sensitive: false,
    };
    settings.map(config).collect()
}
