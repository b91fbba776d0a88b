//! GET `/v1/config/{key}` and `/v1/config-history/{key}`: a value now, then, or as soon as it is
//! another one.

use super::{Version, etag, key, tags, wait};
use crate::{
    Context,
    error::Error,
    extract::{Names, Params},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tramline_broker::{ConfigError, ConfigKey, ConfigScope, ConfigValue, WatchStart};

/// Tells of a newest value that not everybody gets.
const ROLLOUT: HeaderName = HeaderName::from_static("config-rollout");
/// A value may be a page: it must not act as one of this server's.
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// The query of GET `/v1/config/{key}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    revision: Option<u64>,
    client: Option<String>,
    after: Option<u64>,
    wait: Option<String>,
}

/// GET `/v1/config/{key}`.
pub(crate) async fn handle(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<Query>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let key = key(&name)?;
    let config = cx.broker.config_push();
    if let Some(revision) = query.revision {
        return Ok(answer(&cx, &*config.at_revision(&key, revision).await?));
    }
    let tagged = tags(&headers, &header::IF_NONE_MATCH)?;
    let known = query.after.map(Some).into_iter().chain(tagged.into_iter().flatten());
    let known: Vec<Option<u64>> = known.collect();
    let client = query.client.map(Arc::<str>::from);
    let value = match wait(&cx, query.wait.as_deref())? {
        None => config.get(&key, client.as_deref()),
        Some(wait) => {
            let known = known.iter().flatten().copied().max().unwrap_or(0);
            other_than(&cx, (&key, client), known, wait).await?
        }
    };
    let value = match value {
        Err(ConfigError::UnknownKey(_)) if config.newest(&key).is_some() => {
            // Told apart from a key that never was: its last revision can be waited for.
            let revision = config.newest(&key).map_or(0, |newest| newest.revision);
            let error = Error::from(ConfigError::UnknownKey(key));
            return Ok(([(header::ETAG, etag(revision))], error).into_response());
        }
        value => value?,
    };
    if known.iter().any(|known| known.is_none_or(|known| known == value.revision)) {
        let tag = [(header::ETAG, etag(value.revision))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok(answer(&cx, &value))
}

/// The value as soon as it is not that of the revision `known` (0: there is one), or as it is
/// when the time is over.
async fn other_than(
    cx: &Context,
    (key, client): (&ConfigKey, Option<Arc<str>>),
    known: u64,
    wait: Duration,
) -> Result<Result<Arc<ConfigValue>, ConfigError>, Error> {
    let config = cx.broker.config_push();
    let (scope, start) = (ConfigScope::Key(key.clone()), WatchStart::After(known));
    let mut watch = config.watch(scope, client.clone(), start)?;
    let clock = cx.broker.clock();
    let deadline = clock.monotonic().plus(wait);
    loop {
        let value = config.get(key, client.as_deref());
        let revision = match &value {
            Ok(value) => value.revision,
            Err(_) => 0,
        };
        // A value that is gone is another one than that which is known.
        let is_gone = revision == 0 && config.newest(key).is_some_and(|it| it.revision > known);
        if revision != known && revision != 0 || is_gone && known != 0 {
            return Ok(value);
        }
        tokio::select! {
            _ = watch.next() => {}
            () = clock.sleep_until(Some(deadline)) => return Ok(value),
            () = cx.stopping() => return Ok(value),
        }
    }
}

fn answer(cx: &Context, value: &ConfigValue) -> Response {
    let content_type = match &*value.content_type {
        "" => HeaderValue::from_static("application/octet-stream"),
        text => HeaderValue::from_str(text)
            .unwrap_or(HeaderValue::from_static("application/octet-stream")),
    };
    let mut response = value.value.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::ETAG, etag(value.revision));
    headers.insert(header::CONTENT_SECURITY_POLICY, NO_PAGE);
    let newest = cx.broker.config_push().newest(&value.key);
    if let Some(newest) = newest
        && let Some(rollout) = newest.rollout
    {
        let percent = f64::from(rollout.share) / 100.0;
        let text = format!("revision={}; percent={percent}", newest.revision);
        headers.extend(HeaderValue::from_str(&text).map(|text| (ROLLOUT, text)));
    }
    response
}

/// The answer of GET `/v1/config-history/{key}`.
#[derive(Serialize)]
pub(crate) struct History {
    key: String,
    /// The newest first.
    versions: Vec<Version>,
}

/// GET `/v1/config-history/{key}`.
pub(crate) async fn history(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<History>, Error> {
    let versions = cx.broker.config_push().history(&key(&name)?)?;
    Ok(Json(History { key: name, versions: versions.into_iter().map(Version::from).collect() }))
}
