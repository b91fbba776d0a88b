//! `/v1/config-adoption`: which subscribers have confirmed which revision.

use super::{key, scope};
use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Names, Params},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use tramline_broker as broker;

/// Subscribers that are named, at most.
const BEHIND_MAX: usize = 1_000;

/// The query of GET `/v1/config-adoption/{key}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    limit: Option<usize>,
}

/// The answer of GET `/v1/config-adoption/{key}`.
#[derive(Serialize)]
pub(crate) struct Adoption {
    key: String,
    /// The newest; 0: no value.
    revision: u64,
    subscribers: u64,
    /// Have what they should have.
    adopted: u64,
    watching: u64,
    /// How many have which revision; `0`: none that is known.
    by_revision: BTreeMap<u64, u64>,
    behind: Vec<Subscriber>,
}

#[derive(Serialize)]
struct Subscriber {
    client: String,
    scope: String,
    revision: u64,
    wanted: u64,
    /// Milliseconds since the Unix epoch.
    since: i64,
    watching: bool,
}

fn to_wire(subscriber: broker::Subscriber) -> Subscriber {
    Subscriber {
        client: subscriber.client.to_string(),
        scope: subscriber.scope.to_string(),
        revision: subscriber.held,
        wanted: subscriber.wanted,
        since: subscriber.since.as_millis(),
        watching: subscriber.watching,
    }
}

/// GET `/v1/config-adoption/{key}`.
pub(crate) async fn describe(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<Query>,
) -> Result<Json<Adoption>, Error> {
    let limit = query.limit.unwrap_or(100).min(BEHIND_MAX);
    let adoption = cx.broker.config_push().adoption(&key(&name)?, limit);
    Ok(Json(Adoption {
        key: name,
        revision: adoption.revision,
        subscribers: adoption.subscribers,
        adopted: adoption.adopted,
        watching: adoption.watching,
        by_revision: adoption.by_revision,
        behind: adoption.behind.into_iter().map(to_wire).collect(),
    }))
}

/// The body of POST `/v1/config-adoption`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmation {
    scope: String,
    client: String,
    revision: u64,
}

/// POST `/v1/config-adoption`: a subscriber has taken over everything of a scope up to a revision.
pub(crate) async fn confirm(
    State(cx): State<Context>,
    Body(request): Body<Confirmation>,
) -> Result<StatusCode, Error> {
    let (scope, client) = (scope(&request.scope)?, Arc::from(request.client));
    cx.broker.config_push().confirm(&scope, &client, request.revision)?;
    Ok(StatusCode::NO_CONTENT)
}
