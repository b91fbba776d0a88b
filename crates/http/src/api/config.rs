//! `/v1/config`: values by key, with revisions as entity tags.

pub(crate) mod adoption;
pub(crate) mod change;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod rule;
pub(crate) mod watch;

use crate::{Context, error::Error};
use axum::http::{HeaderMap, HeaderValue, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::time::Duration;
use tramline_broker::{
    ConfigEvent, ConfigExpected, ConfigKey, ConfigScope, ConfigValue, ConfigVersion, Rollout,
};

/// A change that was made.
#[derive(Serialize)]
pub(crate) struct Changed {
    pub(crate) revision: u64,
}

/// A value with its key.
pub(crate) struct Value<'a>(pub(crate) &'a ConfigValue);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", self.0.key.as_str())?;
        map.serialize_entry("revision", &self.0.revision)?;
        map.serialize_entry("time", &self.0.time.as_millis())?;
        map.serialize_entry("content_type", &*self.0.content_type)?;
        match std::str::from_utf8(&self.0.value) {
            Ok(text) => map.serialize_entry("value", text)?,
            Err(_) => map.serialize_entry("value_base64", &STANDARD.encode(&self.0.value))?,
        }
        map.end()
    }
}

/// Who gets a value that is rolled out in stages.
#[derive(Serialize)]
pub(crate) struct Staged {
    percent: f64,
    seed: String,
    /// What the others get; `null`: no value.
    base: Option<u64>,
}

impl From<&Rollout> for Staged {
    fn from(rollout: &Rollout) -> Self {
        let percent = f64::from(rollout.share) / 100.0;
        Self { percent, seed: rollout.seed.to_string(), base: rollout.base }
    }
}

/// A version without its value.
#[derive(Serialize)]
pub(crate) struct Version {
    revision: u64,
    time: i64,
    deleted: bool,
    bytes: Option<usize>,
    content_type: String,
    rollout: Option<Staged>,
    note: Option<String>,
}

impl From<ConfigVersion> for Version {
    fn from(version: ConfigVersion) -> Self {
        Self {
            revision: version.revision,
            time: version.time.as_millis(),
            deleted: version.bytes.is_none(),
            bytes: version.bytes,
            content_type: version.content_type.to_string(),
            rollout: version.rollout.as_ref().map(Staged::from),
            note: version.note.map(|note| note.to_string()),
        }
    }
}

/// What a follower is told of one key.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Told<'a> {
    Put {
        #[serde(flatten)]
        value: Value<'a>,
    },
    Delete {
        key: &'a str,
        revision: u64,
    },
}

impl<'a> Told<'a> {
    fn of(event: &'a ConfigEvent) -> Option<Self> {
        match event {
            ConfigEvent::Put { value, .. } => Some(Self::Put { value: Value(value) }),
            ConfigEvent::Delete { at, key } => {
                Some(Self::Delete { key: key.as_str(), revision: *at })
            }
            ConfigEvent::Synced { .. } | ConfigEvent::Resync => None,
        }
    }
}

pub(crate) fn key(text: &str) -> Result<ConfigKey, Error> {
    Ok(ConfigKey::parse(text)?)
}

pub(crate) fn scope(text: &str) -> Result<ConfigScope, Error> {
    Ok(ConfigScope::parse(text)?)
}

/// A revision as an entity tag.
pub(crate) fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("digits and quotes are a header")
}

/// The revisions that a header names, with or without quotes; `None` in place of `*`.
fn tags(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<Vec<Option<u64>>>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let one = |text: &str| {
        let text = text.trim();
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        if text == "*" { Some(None) } else { text.parse().ok().map(Some) }
    };
    let all = value.to_str().ok().and_then(|text| text.split(',').map(one).collect());
    all.map(Some).ok_or_else(|| {
        Error::malformed(
            format!("`{name}` names no revisions"),
            "send the `ETag` of an answer, such as \"41\", or `*`",
        )
    })
}

/// What a change expects of its key, by `If-Match` and `If-None-Match`.
pub(crate) fn expected(headers: &HeaderMap) -> Result<ConfigExpected, Error> {
    let matching = tags(headers, &header::IF_MATCH)?;
    let other = tags(headers, &header::IF_NONE_MATCH)?;
    match (matching.as_deref(), other.as_deref()) {
        (None, None) => Ok(ConfigExpected::Anything),
        (Some([Some(revision)]), None) => Ok(ConfigExpected::Revision(*revision)),
        (Some([None]), None) => Ok(ConfigExpected::Something),
        (None, Some([None])) => Ok(ConfigExpected::Nothing),
        _ => Err(Error::malformed(
            "the conditions cannot be followed",
            "send `If-Match` with one revision or `*`, or `If-None-Match: *`",
        )),
    }
}

/// How long to wait: `30s`, `500ms`, `1m`; as long as the server allows at most.
pub(crate) fn wait(cx: &Context, text: Option<&str>) -> Result<Option<Duration>, Error> {
    let Some(text) = text else { return Ok(None) };
    let millis = crate::time::parse_span(text).and_then(|millis| u64::try_from(millis).ok());
    let span = millis.map(Duration::from_millis).ok_or_else(|| {
        Error::malformed(format!("`{text}` is no span"), "write it as `30s`, `500ms` or `1m`")
    })?;
    Ok(Some(span.min(cx.options.wait_max)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (header::HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn conditions_are_entity_tags() {
        for (sent, wanted) in [
            (vec![], ConfigExpected::Anything),
            (vec![("if-match", "\"41\"")], ConfigExpected::Revision(41)),
            (vec![("if-match", "W/\"41\"")], ConfigExpected::Revision(41)),
            (vec![("if-match", "41")], ConfigExpected::Revision(41)),
            (vec![("if-match", "*")], ConfigExpected::Something),
            (vec![("if-none-match", "*")], ConfigExpected::Nothing),
        ] {
            assert_eq!(expected(&headers(&sent)).ok(), Some(wanted), "{sent:?}");
        }
        for wrong in [
            vec![("if-match", "abc")],
            vec![("if-match", "")],
            vec![("if-match", "\"1\", \"2\"")],
            vec![("if-none-match", "\"1\"")],
            vec![("if-match", "*"), ("if-none-match", "*")],
        ] {
            assert!(expected(&headers(&wrong)).is_err(), "{wrong:?}");
        }
    }
}
