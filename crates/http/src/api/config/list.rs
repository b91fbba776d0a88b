//! GET `/v1/config`: the values of a scope, or what has changed in it.

use super::{Told, Value, key, scope, wait};
use crate::{Context, error::Error, extract::Params};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tramline_broker::{ConfigEvent, ConfigScope, WatchStart};

/// Bytes of values in one answer, about.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// The query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    #[serde(default)]
    scope: String,
    client: Option<String>,
    /// Behind this key.
    from: Option<String>,
    /// What has changed behind this revision.
    after: Option<u64>,
    wait: Option<String>,
}

/// Some values.
#[derive(Serialize)]
struct Page<'a> {
    revision: u64,
    values: Vec<Value<'a>>,
    next: Option<String>,
}

/// What has changed.
#[derive(Serialize)]
struct Changes<'a> {
    revision: u64,
    /// What changed behind the revision is not known any more: list the values.
    resync: bool,
    changes: Vec<Told<'a>>,
}

pub(crate) async fn handle(
    State(cx): State<Context>,
    Params(query): Params<Query>,
) -> Result<Response, Error> {
    let scope = scope(&query.scope)?;
    let client = query.client.map(Arc::<str>::from);
    if let Some(after) = query.after {
        let wait = wait(&cx, query.wait.as_deref())?.unwrap_or_default();
        return changes(&cx, (scope, client), after, wait).await;
    }
    if query.wait.is_some() {
        return Err(Error::malformed("`wait` goes with `after`", "give the revision you know"));
    }
    let from = query.from.as_deref().map(key).transpose()?;
    let page = cx.broker.config_push().list(&scope, from.as_ref(), client.as_deref());
    let values = page.values.iter().map(|value| Value(value)).collect();
    let next = page.next.map(|key| key.to_string());
    Ok(Json(Page { revision: page.revision, values, next }).into_response())
}

async fn changes(
    cx: &Context,
    (scope, client): (ConfigScope, Option<Arc<str>>),
    after: u64,
    wait: Duration,
) -> Result<Response, Error> {
    let config = cx.broker.config_push();
    let mut watch = config.watch(scope, client, WatchStart::After(after))?;
    let clock = cx.broker.clock();
    let deadline = clock.monotonic().plus(wait);
    let (mut events, mut resync, mut synced) = (Vec::new(), false, false);
    let mut bytes = 0;
    while !(resync || synced && !events.is_empty() || bytes >= BYTES_MAX) {
        let told = tokio::select! {
            biased; // What is there comes before the end of the time.
            told = watch.next() => told.events,
            () = clock.sleep_until(Some(deadline)) => break,
            () = cx.stopping() => break,
        };
        for event in told {
            match &event {
                ConfigEvent::Resync => resync = true,
                ConfigEvent::Synced { .. } => synced = true,
                ConfigEvent::Put { value, .. } => bytes += value.value.len(),
                ConfigEvent::Delete { .. } => {}
            }
            events.push(event);
        }
        events.retain(|event| !matches!(event, ConfigEvent::Synced { .. }));
    }
    let changes = if resync { Vec::new() } else { events.iter().filter_map(Told::of).collect() };
    let revision = watch.position();
    Ok(Json(Changes { revision, resync, changes }).into_response())
}
