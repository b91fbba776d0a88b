//! DescribeConfigs (key 32, v1-4): every setting of topics, the broker and groups, with its default,
//! its source and what it does.
//!
//! v1 adds synonyms, v3 adds types and documentation, v4 is flexible.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{self, distinct},
    to_wire,
};
use tramline_broker::{SettingDescription, SettingKind, SettingSynonym};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        describe_configs::{
            DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
            DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(1, 4);

/// `resource_type` of a topic.
pub(super) const TOPIC: i8 = 2;
/// `resource_type` of a broker.
pub(super) const BROKER: i8 = 4;
/// `resource_type` of a group.
pub(super) const GROUP: i8 = 32;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let detail =
        Detail { synonyms: request.include_synonyms, documentation: request.include_documentation };
    let describe = |wanted: DescribeConfigsResource| {
        let (configs, error_code, error_message) = match settings(cx, &wanted) {
            Ok(settings) => (configs(&wanted, settings, &detail), ErrorCode::NONE, None),
            Err((code, message)) => (Vec::new(), cx.refuse(call.api, code), message),
        };
        DescribeConfigsResult {
            error_code,
            error_message,
            resource_type: wanted.resource_type,
            resource_name: wanted.resource_name,
            configs,
        }
    };
    DescribeConfigsResponse {
        throttle_time_ms: 0,
        results: distinct(request.resources, resource).into_iter().map(describe).collect(),
    }
}

/// What is asked about: numbers of brokers may be spelled in many ways.
fn resource(wanted: &DescribeConfigsResource) -> (i8, Option<i32>, KafkaStr) {
    let number = match wanted.resource_type {
        BROKER => wanted.resource_name.parse().ok(),
        _ => None,
    };
    let name = if number.is_some() { KafkaStr::EMPTY } else { wanted.resource_name.clone() };
    (wanted.resource_type, number, name)
}

/// What the client wants to know beside the values.
struct Detail {
    synonyms: bool,
    documentation: bool,
}

fn settings(
    cx: &Context,
    wanted: &DescribeConfigsResource,
) -> Result<Vec<SettingDescription>, (ErrorCode, Option<KafkaStr>)> {
    let refuse = |message| Err((ErrorCode::INVALID_REQUEST, Some(KafkaStr::from_static(message))));
    match wanted.resource_type {
        TOPIC => match from_wire::topic(cx, &wanted.resource_name) {
            Ok(topic) => Ok(cx.broker().describe_topic_settings(Some(&topic))),
            Err(error) => Err((ErrorCode::from(&error), to_wire::message(&error))),
        },
        // What was set for all brokers while they ran, and nothing else.
        BROKER if wanted.resource_name.is_empty() => {
            Ok(cx.broker().describe_all_brokers_settings())
        }
        BROKER if wanted.resource_name.parse() == Ok(cx.node_id()) => {
            Ok(cx.broker().describe_broker_settings())
        }
        BROKER => refuse("no broker has this id"),
        GROUP if wanted.resource_name.is_empty() => refuse("a group has a name"),
        GROUP => Ok(cx.broker().describe_group_settings()),
        _ => refuse("only topics, brokers and groups have settings here"),
    }
}

fn configs(
    wanted: &DescribeConfigsResource,
    settings: Vec<SettingDescription>,
    detail: &Detail,
) -> Vec<DescribeConfigsResourceResult> {
    let keys = wanted.configuration_keys.as_deref().unwrap_or_default();
    let is_wanted = |setting: &SettingDescription| {
        keys.is_empty() || keys.iter().any(|key| *key == setting.name)
    };
    let config = |setting: SettingDescription| DescribeConfigsResourceResult {
        name: KafkaStr::from_static(setting.name),
        value: setting.value.as_deref().filter(|_| !is_secret(&setting)).map(to_wire::text),
        read_only: setting.read_only,
        config_source: to_wire::config_source(setting.source),
        is_sensitive: is_secret(&setting),
        synonyms: if detail.synonyms { synonyms(&setting) } else { Vec::new() },
        config_type: to_wire::config_type(setting.kind),
        documentation: detail.documentation.then(|| KafkaStr::from_static(setting.doc)),
    };
    settings.into_iter().filter(is_wanted).map(config).collect()
}

fn synonyms(setting: &SettingDescription) -> Vec<DescribeConfigsSynonym> {
    let synonym = |synonym: &SettingSynonym| DescribeConfigsSynonym {
        name: KafkaStr::from_static(synonym.name),
        value: synonym.value.as_deref().map(to_wire::text),
        source: to_wire::config_source(synonym.source),
    };
    setting.synonyms.iter().map(synonym).collect()
}

fn is_secret(setting: &SettingDescription) -> bool {
    setting.kind == SettingKind::Password
}
