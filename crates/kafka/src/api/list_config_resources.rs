//! ListConfigResources (key 74, v0-1): what has settings: topics and this node.
//!
//! v0 lists resources of client metrics alone (there are none), v1 adds types. Groups have no
//! settings of their own here.

use super::describe_configs::{BROKER, TOPIC};
use crate::{
    context::{Call, Context},
    error::ErrorCode,
    to_wire::text,
};
use tramline_wire::kafka::{
    VersionRange,
    list_config_resources::{
        ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 1);

/// The other types that Kafka knows: a broker's loggers, client metrics, groups.
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let types = match call.version {
        0 => vec![CLIENT_METRICS],
        _ if request.resource_types.is_empty() => vec![TOPIC, BROKER],
        _ => request.resource_types,
    };
    let mut resources = Vec::new();
    for kind in [TOPIC, BROKER] {
        if types.contains(&kind) {
            list(cx, kind, &mut resources);
        }
    }
    let known = [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    if !types.iter().all(|kind| known.contains(kind)) {
        let error_code = cx.refuse(call.api, ErrorCode::UNSUPPORTED_VERSION);
        return ListConfigResourcesResponse { error_code, ..Default::default() };
    }
    ListConfigResourcesResponse { config_resources: resources, ..Default::default() }
}

fn list(cx: &Context, kind: i8, resources: &mut Vec<ConfigResource>) {
    let resource = |name: &str| ConfigResource { resource_name: text(name), resource_type: kind };
    match kind {
        TOPIC => {
            let topics = cx.broker().topics();
            resources.extend(topics.iter().map(|topic| resource(topic.name().as_str())));
        }
        _ => resources.extend(cx.nodes().all().map(|(id, _)| resource(&id.to_string()))),
    }
}
