//! AlterConfigs (key 33, v0-2): sets all settings of a topic or of the broker at once; what is not
//! named goes back to its default.
//!
//! v2 is flexible. Kafka's clients prefer IncrementalAlterConfigs.

use super::{
    describe_configs::{BROKER, TOPIC},
    incremental_alter_configs::{Refusal, apply, invalid, told},
};
use crate::context::{Call, Context};
use std::collections::HashSet;
use tramline_broker::{
    Change, Mode, SettingChange, SettingDescription, SettingSource, TopicSettings,
};
use tramline_wire::kafka::{
    VersionRange,
    alter_configs::{
        AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse,
        AlterConfigsResponse,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 2);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: AlterConfigsRequest,
) -> AlterConfigsResponse {
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
    AlterConfigsResponse { throttle_time_ms: 0, responses }
}

async fn alter(cx: &Context, wanted: &AlterConfigsResource, mode: Mode) -> Result<(), Refusal> {
    let mut names = HashSet::new();
    let mut changes = Vec::with_capacity(wanted.configs.len());
    for config in &wanted.configs {
        if !names.insert(config.name.as_str()) {
            return Err(invalid("a setting is in the request twice"));
        }
        let Some(value) = &config.value else {
            return Err(invalid("a setting cannot be null"));
        };
        let change = Change::Set(value.to_string());
        changes.push(SettingChange { name: config.name.to_string(), change });
    }
    let others = set(cx, wanted).into_iter().filter(|name| !names.contains(name.as_str()));
    changes.extend(others.map(|name| SettingChange { name, change: Change::Reset }));
    apply(cx, (wanted.resource_type, &wanted.resource_name), (changes, mode)).await
}

/// What is set for a resource.
fn set(cx: &Context, wanted: &AlterConfigsResource) -> Vec<String> {
    let of_broker = |settings: Vec<SettingDescription>, source| {
        let is_set = |setting: &SettingDescription| {
            setting.synonyms.iter().any(|synonym| synonym.source == source)
        };
        settings.into_iter().filter(is_set).map(|setting| setting.name.to_owned()).collect()
    };
    match wanted.resource_type {
        TOPIC => crate::from_wire::topic(cx, &wanted.resource_name)
            .map(|topic| {
                // What is set at creation stays, or no topic that has such could be altered so.
                let settings = topic.settings();
                let set = settings.overrides().keys().filter(|name| !TopicSettings::is_fixed(name));
                set.cloned().collect()
            })
            .unwrap_or_default(),
        BROKER if wanted.resource_name.is_empty() => {
            of_broker(cx.broker().describe_all_brokers_settings(), SettingSource::AllBrokers)
        }
        BROKER => of_broker(cx.broker().describe_broker_settings(), SettingSource::ThisBroker),
        _ => Vec::new(),
    }
}
