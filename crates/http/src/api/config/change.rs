//! PUT and DELETE `/v1/config/{key}`, POST `/v1/config` (several keys in one revision), POST
//! `/v1/config-rollback/{key}`, POST `/v1/config-rollout/{key}`.

use super::{Changed, etag, expected, key};
use crate::{
    Context,
    error::Error,
    extract::{FORM, Json as Body, Names, Params, receive},
    from_wire::bytes,
};
use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
};
use serde::Deserialize;
use std::sync::Arc;
use tramline_broker::{ConfigChange, ConfigExpected, ConfigOperation, ConfigStage};

type Answer = ([(header::HeaderName, HeaderValue); 1], Json<Changed>);

fn answer(revision: u64) -> Answer {
    ([(header::ETAG, etag(revision))], Json(Changed { revision }))
}

/// The query of PUT `/v1/config/{key}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutQuery {
    rollout: Option<f64>,
    seed: Option<String>,
    note: Option<String>,
}

/// A stage of so many percent.
fn stage(percent: Option<f64>, seed: Option<String>) -> Result<Option<ConfigStage>, Error> {
    let Some(percent) = percent else {
        return match seed {
            None => Ok(None),
            Some(_) => Err(Error::malformed("`seed` goes with a roll-out", "give the percentage")),
        };
    };
    let hundredths = (percent * 100.0).round();
    // The only whole numbers that match are the allowed ones.
    let share = (0..=10_000_u16).find(|share| f64::from(*share) == hundredths);
    let share = share.ok_or_else(|| {
        Error::malformed(format!("{percent} percent"), "0 to 100 are possible, in steps of 0.01")
    })?;
    Ok(Some(ConfigStage { share, seed: seed.unwrap_or_default().into() }))
}

/// PUT `/v1/config/{key}`: the body is the value.
pub(crate) async fn put(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<PutQuery>,
    request: Request,
) -> Result<Answer, Error> {
    let key = key(&name)?;
    let (parts, body) = request.into_parts();
    let expected = expected(&parts.headers)?;
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = if content_type == FORM { "" } else { content_type };
    let stage = stage(query.rollout, query.seed)?;
    let body = receive(body, &cx).await?;
    let value = bytes::Bytes::copy_from_slice(&body.bytes);
    let operation = ConfigOperation::Put { content_type: content_type.into(), value, stage };
    let note = query.note.map(Arc::from);
    let change = ConfigChange { key, expected, operation, note };
    Ok(answer(cx.broker.config_push().change(vec![change]).await?))
}

/// The query of DELETE `/v1/config/{key}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    note: Option<String>,
}

/// DELETE `/v1/config/{key}`: a revision without a value.
pub(crate) async fn delete(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<DeleteQuery>,
    headers: HeaderMap,
) -> Result<Answer, Error> {
    let (expected, note) = (expected(&headers)?, query.note.map(Arc::from));
    let operation = ConfigOperation::Delete;
    let change = ConfigChange { key: key(&name)?, expected, operation, note };
    Ok(answer(cx.broker.config_push().change(vec![change]).await?))
}

/// The body of POST `/v1/config`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    changes: Vec<OneChange>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneChange {
    key: String,
    value: Option<String>,
    value_base64: Option<String>,
    json: Option<serde_json::Value>,
    content_type: Option<String>,
    #[serde(default)]
    delete: bool,
    /// The revision that the key must have; 0: no value.
    if_revision: Option<u64>,
    rollout: Option<f64>,
    seed: Option<String>,
    note: Option<String>,
}

impl OneChange {
    fn into_domain(self) -> Result<ConfigChange, Error> {
        let value = bytes("value", self.value, self.value_base64)?;
        let json = self.json.map(|json| bytes::Bytes::from(json.to_string()));
        let stage = stage(self.rollout, self.seed)?;
        let content_type = match (self.content_type, &json) {
            (Some(given), _) => given,
            (None, Some(_)) => "application/json".to_owned(),
            (None, None) => String::new(),
        };
        let operation = match (value, json, self.delete) {
            (Some(value), None, false) | (None, Some(value), false) => {
                ConfigOperation::Put { content_type: content_type.into(), value, stage }
            }
            (None, None, true) if stage.is_none() => ConfigOperation::Delete,
            _ => {
                return Err(Error::malformed(
                    format!("the change of `{}` is not clear", self.key),
                    "give one of `value`, `value_base64`, `json`, and `delete: true`",
                ));
            }
        };
        let expected = match self.if_revision {
            None => ConfigExpected::Anything,
            Some(0) => ConfigExpected::Nothing,
            Some(revision) => ConfigExpected::Revision(revision),
        };
        Ok(ConfigChange {
            key: key(&self.key)?,
            expected,
            operation,
            note: self.note.map(Arc::from),
        })
    }
}

/// POST `/v1/config`: all changes are made, in one revision, or none.
pub(crate) async fn batch(
    State(cx): State<Context>,
    Body(request): Body<Batch>,
) -> Result<Answer, Error> {
    let changes = request.changes.into_iter().map(OneChange::into_domain);
    let changes = changes.collect::<Result<Vec<_>, Error>>()?;
    Ok(answer(cx.broker.config_push().change(changes).await?))
}

/// The body of POST `/v1/config-rollback/{key}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollBack {
    revision: u64,
    note: Option<String>,
}

/// POST `/v1/config-rollback/{key}`: the value of an earlier revision again, as a new one.
pub(crate) async fn roll_back(
    State(cx): State<Context>,
    Names(name): Names<String>,
    headers: HeaderMap,
    Body(request): Body<RollBack>,
) -> Result<Answer, Error> {
    let (expected, note) = (expected(&headers)?, request.note.map(Arc::from));
    let config = cx.broker.config_push();
    let made = config.roll_back(&key(&name)?, request.revision, (expected, note)).await?;
    Ok(answer(made))
}

/// The body of POST `/v1/config-rollout/{key}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollOut {
    percent: f64,
    seed: Option<String>,
    note: Option<String>,
}

/// POST `/v1/config-rollout/{key}`: the newest value for another share, as a new revision.
pub(crate) async fn roll_out(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Body(request): Body<RollOut>,
) -> Result<Answer, Error> {
    let key = key(&name)?;
    let config = cx.broker.config_push();
    // The same subscribers first, and more, unless another seed is wanted.
    let newest = config.newest(&key).and_then(|newest| newest.rollout);
    let seed = request.seed.or_else(|| newest.map(|rollout| rollout.seed.to_string()));
    let Some(stage) = stage(Some(request.percent), seed)? else { return Ok(answer(0)) };
    let made = config.roll_out(&key, stage, request.note.map(Arc::from)).await?;
    Ok(answer(made))
}
