//! IncrementalAlterConfigs (key 44, v0-1): changes settings of topics and of the broker,
//! all of one resource or none.
//!
//! v1 is flexible. Groups take defaults only: theirs belong to kinds of group that are not here.

use super::describe_configs::{BROKER, GROUP, TOPIC};
use crate::{
    context::{Call, Context},
    error::ErrorCode,
    to_wire,
};
use std::collections::HashSet;
use tramline_broker::{Change, Error, Mode, SettingChange, SettingScope};
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
        let (error_code, error_message) = told(cx, call, alter(cx, &wanted, mode).await);
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
    let mut names = HashSet::new();
    if !wanted.configs.iter().all(|config| names.insert(config.name.as_str())) {
        return Err(invalid("a setting is in the request twice"));
    }
    let changes = wanted.configs.iter().map(change).collect::<Result<_, _>>()?;
    apply(cx, (wanted.resource_type, &wanted.resource_name), (changes, mode)).await
}

/// What the answer says of one resource.
pub(super) fn told(
    cx: &Context,
    call: &Call,
    altered: Result<(), Refusal>,
) -> (i16, Option<KafkaStr>) {
    match altered {
        Ok(()) => (ErrorCode::NONE, None),
        Err((code, message)) => (cx.refuse(call.api, code), message),
    }
}

/// Changes the settings of one resource, all or none.
pub(super) async fn apply(
    cx: &Context,
    (resource_type, name): (i8, &str),
    (changes, mode): (Vec<SettingChange>, Mode),
) -> Result<(), Refusal> {
    let refuse = |error: Error| (ErrorCode::from(&error), to_wire::message(&error));
    match resource_type {
        TOPIC => {
            let name = TopicName::parse(name).map_err(|error| refuse(error.into()))?;
            cx.broker().alter_topic(&name, changes, mode).await.map_err(refuse)
        }
        BROKER => {
            let scope = broker_scope(cx, name)?;
            cx.broker().alter_broker(scope, changes, mode).await.map_err(refuse)
        }
        GROUP => cx.broker().check_group_settings(&changes).map_err(refuse),
        _ => Err(invalid("only topics, brokers and groups have settings here")),
    }
}

/// No name is all brokers.
fn broker_scope(cx: &Context, name: &str) -> Result<SettingScope, Refusal> {
    if name.is_empty() {
        Ok(SettingScope::AllBrokers)
    } else if name.parse() == Ok(cx.node_id()) {
        Ok(SettingScope::ThisBroker)
    } else {
        Err(invalid("no broker has this id"))
    }
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
