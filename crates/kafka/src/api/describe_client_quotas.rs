//! DescribeClientQuotas (key 48, v0-1): the limits of users and client ids.
//!
//! v1 is flexible.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{CLIENT_ID, USER},
    to_wire::{self, text},
};
use tramline_broker::{QuotaEntity, QuotaFilter, QuotaMatch, QuotaName, QuotaRates};
use tramline_wire::{
    KafkaStr,
    kafka::{
        VersionRange,
        describe_client_quotas::{
            ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData,
            EntryData, ValueData,
        },
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 1);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: DescribeClientQuotasRequest,
) -> DescribeClientQuotasResponse {
    let filters = match filters(&request.components) {
        Ok(filters) => filters,
        Err((code, message)) => {
            return DescribeClientQuotasResponse {
                error_code: cx.refuse(call.api, code),
                error_message: Some(KafkaStr::from_static(message)),
                entries: None,
                throttle_time_ms: 0,
            };
        }
    };
    let found = match filters {
        Some(filters) => cx.broker().describe_quotas(&filters, request.strict),
        None => Vec::new(),
    };
    DescribeClientQuotasResponse {
        entries: Some(found.into_iter().map(entry).collect()),
        ..DescribeClientQuotasResponse::default()
    }
}

/// What to look for; `None` where nothing can be found.
fn filters(
    components: &[ComponentData],
) -> Result<Option<Vec<QuotaFilter>>, (ErrorCode, &'static str)> {
    let refuse = |message| Err((ErrorCode::INVALID_REQUEST, message));
    let mut filters = Vec::with_capacity(components.len());
    let mut is_possible = true;
    for (n, component) in components.iter().enumerate() {
        if components[..n].iter().any(|other| other.entity_type == component.entity_type) {
            return refuse("an entity type is in the request twice");
        }
        let wanted = match (component.match_type, &component.r#match) {
            (0, Some(name)) => QuotaMatch::Named(name.to_string()),
            (1, None) => QuotaMatch::Default,
            (2, None) => QuotaMatch::Any,
            (0, None) => return refuse("an exact match needs a name"),
            (1 | 2, Some(_)) => return refuse("a name is for exact matches"),
            _ => return refuse("the kind of match is not known"),
        };
        match component.entity_type.as_str() {
            USER => filters.push(QuotaFilter::User(wanted)),
            CLIENT_ID => filters.push(QuotaFilter::ClientId(wanted)),
            // A type that Kafka has; no address has limits here.
            "ip" => is_possible = false,
            _ => return Err((ErrorCode::UNSUPPORTED_VERSION, "the entity type is not known")),
        }
    }
    Ok(is_possible.then_some(filters))
}

fn entry((entity, rates): (QuotaEntity, QuotaRates)) -> EntryData {
    let part = |kind: &'static str, name: QuotaName| EntityData {
        entity_type: KafkaStr::from_static(kind),
        entity_name: match name {
            QuotaName::Default => None,
            QuotaName::Named(name) => Some(text(&name)),
        },
    };
    let user = entity.user.map(|name| part(USER, name));
    let client_id = entity.client_id.map(|name| part(CLIENT_ID, name));
    let value =
        |(kind, value)| ValueData { key: KafkaStr::from_static(to_wire::quota_key(kind)), value };
    EntryData {
        entity: user.into_iter().chain(client_id).collect(),
        values: rates.into_iter().map(value).collect(),
    }
}
