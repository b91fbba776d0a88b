//! AlterConfigs (key 33, v0-2): sets all settings of topics at once; what is not named goes back
//! to its default.
//!
//! v2 is flexible. Kafka's clients prefer IncrementalAlterConfigs.

use super::{
    describe_configs::TOPIC,
    incremental_alter_configs::{Refusal, apply, check_resource, invalid},
};
use crate::context::{Call, Context};
use std::collections::HashSet;
use tramline_broker::{Change, Mode, SettingChange, TopicSettings};
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
        let (error_code, error_message) = match alter(cx, &wanted, mode).await {
            Ok(()) => (0, None),
            Err((code, message)) => (cx.refuse(call.api, code), message),
        };
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
    check_resource(wanted.resource_type)?;
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
    debug_assert_eq!(wanted.resource_type, TOPIC);
    if let Ok(topic) = crate::from_wire::topic(cx, &wanted.resource_name) {
        let settings = topic.settings();
        let others = settings.overrides().keys().filter(|name| {
            // What is set at creation stays, or no topic that has such could be altered so.
            !names.contains(name.as_str()) && !TopicSettings::is_fixed(name)
        });
        let reset = |name: &String| SettingChange { name: name.clone(), change: Change::Reset };
        changes.extend(others.map(reset));
    }
    apply(cx, &wanted.resource_name, (changes, mode)).await
}
