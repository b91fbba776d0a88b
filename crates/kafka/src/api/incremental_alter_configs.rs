//! IncrementalAlterConfigs (key 44, v0-1): changes settings of topics, all of a topic or none.
//!
//! v1 is flexible. The broker's own settings live in its configuration file.

use super::describe_configs::{BROKER, TOPIC};
use crate::{
    context::{Call, Context},
    error::ErrorCode,
    to_wire,
};
use std::collections::HashSet;
use tramline_broker::{Change, Error, Mode, SettingChange};
use tramline_types::TopicName;
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        incremental_alter_configs::{
            AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
            IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 1);

pub(super) type Refusal = (ErrorCode, Option<KafkaStr>);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Apply };
    let mut responses = Vec::with_capacity(request.resources.len());
    for wanted in request.resources {
        let (error_code, error_message) = match alter(cx, &wanted, mode).await {
            Ok(()) => (ErrorCode::NONE, None),
            Err((code, message)) => (cx.refuse(call.api, code), message),
        };
        responses.push(AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: wanted.resource_type,
            resource_name: wanted.resource_name,
        });
    }
    IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses }
}

async fn alter(cx: &Context, wanted: &AlterConfigsResource, mode: Mode) -> Result<(), Refusal> {
    check_resource(wanted.resource_type)?;
    let mut names = HashSet::new();
    if !wanted.configs.iter().all(|config| names.insert(config.name.as_str())) {
        return Err(invalid("a setting is in the request twice"));
    }
    let changes = wanted.configs.iter().map(change).collect::<Result<_, _>>()?;
    apply(cx, &wanted.resource_name, (changes, mode)).await
}

/// Whether a resource's settings can be changed here.
pub(super) fn check_resource(resource_type: i8) -> Result<(), Refusal> {
    match resource_type {
        TOPIC => Ok(()),
        BROKER => Err(invalid("the broker's settings live in its configuration file")),
        _ => Err(invalid("only topics have settings that can be changed")),
    }
}

/// Changes a topic's settings, all or none.
pub(super) async fn apply(
    cx: &Context,
    topic: &str,
    (changes, mode): (Vec<SettingChange>, Mode),
) -> Result<(), Refusal> {
    let refuse = |error: Error| (ErrorCode::from(&error), to_wire::message(&error));
    let name = TopicName::parse(topic).map_err(|error| refuse(error.into()))?;
    cx.broker().alter_topic(&name, changes, mode).await.map_err(refuse)
}

fn change(config: &AlterableConfig) -> Result<SettingChange, Refusal> {
    let value = || {
        let missing = KafkaStr::from_static("a setting cannot be null");
        let value = config.value.as_ref().map(KafkaStr::to_string);
        value.ok_or((ErrorCode::INVALID_CONFIG, Some(missing)))
    };
    let change = match config.config_operation {
        0 => Change::Set(value()?),
        1 => Change::Reset,
        2 => Change::Append(value()?),
        3 => Change::Subtract(value()?),
        _ => return Err(invalid("the operation is not known")),
    };
    Ok(SettingChange { name: config.name.to_string(), change })
}

pub(super) fn invalid(message: &'static str) -> Refusal {
    (ErrorCode::INVALID_REQUEST, Some(KafkaStr::from_static(message)))
}
