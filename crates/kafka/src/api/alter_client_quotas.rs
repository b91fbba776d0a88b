//! AlterClientQuotas (key 49, v0-1): changes the limits of users and client ids, all of an entity
//! or none; durable when it is answered.
//!
//! v1 is flexible. Addresses (`ip`) and `controller_mutation_rate` have no limits here.

use super::incremental_alter_configs::{Refusal, invalid, told};
use crate::{
    context::{Call, Context},
    error::ErrorCode,
    from_wire::{CLIENT_ID, USER},
    to_wire,
};
use tramline_broker::{Mode, QuotaEntity, QuotaKind, QuotaName};
use tramline_wire::kafka::{
    VersionRange,
    alter_client_quotas::{
        AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryData, OpData,
        response,
    },
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 1);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: AlterClientQuotasRequest,
) -> AlterClientQuotasResponse {
    let mode = if request.validate_only { Mode::ValidateOnly } else { Mode::Apply };
    let mut entries = Vec::with_capacity(request.entries.len());
    for entry in request.entries {
        let (error_code, error_message) = told(cx, call, alter(cx, &entry, mode).await);
        entries.push(response::EntryData { error_code, error_message, entity: entry.entity });
    }
    AlterClientQuotasResponse { throttle_time_ms: 0, entries }
}

async fn alter(cx: &Context, entry: &EntryData, mode: Mode) -> Result<(), Refusal> {
    let entity = entity(&entry.entity)?;
    let changes = entry.ops.iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let altered = cx.broker().alter_quotas(entity, &changes, mode).await;
    altered.map_err(|error| (ErrorCode::from(&error), to_wire::message(&error)))
}

fn entity(parts: &[EntityData]) -> Result<QuotaEntity, Refusal> {
    let mut entity = QuotaEntity::default();
    for part in parts {
        let place = match part.entity_type.as_str() {
            USER => &mut entity.user,
            CLIENT_ID => &mut entity.client_id,
            _ => return Err(invalid("only users and client ids have limits here")),
        };
        let name = match part.entity_name.as_deref() {
            None => QuotaName::Default,
            Some("") => return Err(invalid("a name cannot be empty")),
            Some(name) => QuotaName::Named(name.to_owned()),
        };
        if place.replace(name).is_some() {
            return Err(invalid("an entity type is in the request twice"));
        }
    }
    if parts.is_empty() {
        return Err(invalid("an entity needs a user or a client id"));
    }
    Ok(entity)
}

fn change(op: &OpData) -> Result<(QuotaKind, Option<f64>), Refusal> {
    let kind = QuotaKind::ALL.into_iter().find(|kind| op.key == to_wire::quota_key(*kind));
    let kind = kind.ok_or_else(|| invalid("the limit is not known here"))?;
    if op.remove {
        return Ok((kind, None));
    }
    let is_whole = op.value.fract() == 0.0 || kind == QuotaKind::RequestTime;
    if !op.value.is_finite() || op.value <= 0.0 {
        return Err(invalid("a limit must be above 0"));
    }
    if !is_whole {
        return Err(invalid("a limit of bytes must be a whole number"));
    }
    Ok((kind, Some(op.value)))
}
