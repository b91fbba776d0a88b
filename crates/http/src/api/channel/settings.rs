//! `/v1/channel-settings`: what holds for the channels at and below a prefix, changed live.

use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Params},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tramline_broker::ChannelSettings;

/// The settings of a prefix.
#[derive(Serialize)]
pub(crate) struct Prefixed {
    prefix: String,
    settings: ChannelSettings,
}

/// The answer of GET `/v1/channel-settings`.
#[derive(Serialize)]
pub(crate) struct SettingsList {
    settings: Vec<Prefixed>,
}

/// GET `/v1/channel-settings`.
pub(crate) async fn list(State(cx): State<Context>) -> Json<SettingsList> {
    let all = cx.broker.channel_settings().into_iter();
    let settings = all.map(|(prefix, settings)| Prefixed { prefix, settings }).collect();
    Json(SettingsList { settings })
}

/// PUT `/v1/channel-settings`.
pub(crate) async fn put(
    State(cx): State<Context>,
    Body(request): Body<Request>,
) -> Result<Json<Prefixed>, Error> {
    let Request { prefix, settings } = request;
    cx.broker.set_channel_settings(&prefix, Some(settings.clone())).await?;
    Ok(Json(Prefixed { prefix, settings }))
}

/// The body of PUT `/v1/channel-settings`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// Empty for all channels that have no nearer prefix.
    prefix: String,
    #[serde(default)]
    settings: ChannelSettings,
}

/// The query of DELETE `/v1/channel-settings`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    #[serde(default)]
    prefix: String,
}

/// DELETE `/v1/channel-settings`: the prefix has none of its own any more.
pub(crate) async fn delete(
    State(cx): State<Context>,
    Params(query): Params<Query>,
) -> Result<StatusCode, Error> {
    cx.broker.set_channel_settings(&query.prefix, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
