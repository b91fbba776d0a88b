//! `/v1/config-rules`: schemas and history of the keys of a scope.

use super::scope;
use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Params},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tramline_broker::ConfigRule;

/// The query of PUT and DELETE: whose rule.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    scope: String,
}

/// A rule with its scope.
#[derive(Serialize)]
pub(crate) struct Rule {
    scope: String,
    schema: Option<serde_json::Value>,
    history: Option<u32>,
}

/// The answer of GET `/v1/config-rules`.
#[derive(Serialize)]
pub(crate) struct RuleList {
    rules: Vec<Rule>,
}

/// GET `/v1/config-rules`.
pub(crate) async fn list(State(cx): State<Context>) -> Json<RuleList> {
    let rules = cx.broker.config_push().rules().into_iter();
    let rule = |(scope, rule): (tramline_broker::ConfigScope, ConfigRule)| Rule {
        scope: scope.to_string(),
        schema: rule.schema,
        history: rule.history,
    };
    Json(RuleList { rules: rules.map(rule).collect() })
}

/// PUT `/v1/config-rules`.
pub(crate) async fn put(
    State(cx): State<Context>,
    Params(query): Params<Query>,
    Body(rule): Body<ConfigRule>,
) -> Result<StatusCode, Error> {
    cx.broker.config_push().set_rule(&scope(&query.scope)?, rule).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE `/v1/config-rules`.
pub(crate) async fn delete(
    State(cx): State<Context>,
    Params(query): Params<Query>,
) -> Result<StatusCode, Error> {
    cx.broker.config_push().remove_rule(&scope(&query.scope)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
