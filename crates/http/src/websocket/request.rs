//! Requests over a WebSocket: one JSON object each, answered by one, or by none where it has no
//! `id`. What is wrong is always answered.

use crate::{
    Context,
    channel::{self, event, position},
    error::Error,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use tramline_broker::{
    ChannelPattern, Content, NewPublication, Publication, Receipt, ReceiverHandle, Subscribe,
};
use tramline_types::ChannelName;

/// A request's `id`, as it came.
const ID_BYTES_MAX: usize = 128;
/// Publications of one answer.
const HISTORY_DEFAULT: usize = 100;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Subscribe,
    Recover,
    Unsubscribe,
    Publish,
    Presence,
    History,
    Ping,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    channel: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    base64: Option<Cow<'a, str>>,
    key: Option<Cow<'a, str>>,
    #[serde(default)]
    retain: bool,
    position: Option<Cow<'a, str>>,
    limit: Option<usize>,
}

/// The `id` alone, of a request that is not understood otherwise.
#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// Does what is asked for; the answer, where there is one to be sent.
pub(super) async fn handle(cx: &Context, handle: &ReceiverHandle, text: &str) -> Option<String> {
    let parsed = parse(text);
    let id = match &parsed {
        Ok(request) => request.id,
        Err(_) => serde_json::from_str::<Identified<'_>>(text).ok().and_then(|of| of.id),
    };
    let id = id.map(RawValue::get).filter(|id| id.len() <= ID_BYTES_MAX);
    let answer = match parsed {
        Ok(request) => answer(cx, handle, request).await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(None) => None,
        Ok(Some((kind, fields))) => id.map(|id| of_type(kind, Some(id), &fields)),
        Err(error) => {
            let body = serde_json::to_string(&error.body()).expect("our own types have text keys");
            Some(of_type("error", id, &format!(r#","error":{body}"#)))
        }
    }
}

fn of_type(kind: &str, id: Option<&str>, fields: &str) -> String {
    match id {
        Some(id) => format!(r#"{{"type":"{kind}","id":{id}{fields}}}"#),
        None => format!(r#"{{"type":"{kind}"{fields}}}"#),
    }
}

fn parse(text: &str) -> Result<Request<'_>, Error> {
    let request: Request<'_> = serde_json::from_str(text).map_err(|error| {
        Error::malformed(format!("request: {error}"), "see `docs/realtime.md` for the requests")
    })?;
    match request.id.map(|id| id.get()) {
        Some(id)
            if id.len() > ID_BYTES_MAX
                || !id.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) =>
        {
            Err(Error::malformed("`id` is a number or a short text", "use a number"))
        }
        _ => Ok(request),
    }
}

/// Reads a request and what it names, for the fuzz target.
pub(crate) fn read(text: &str) {
    if let Ok(request) = parse(text) {
        let _ = (pattern(&request), publication(&request));
    }
}

type Answer = Option<(&'static str, String)>;

async fn answer(
    cx: &Context,
    handle: &ReceiverHandle,
    request: Request<'_>,
) -> Result<Answer, Error> {
    match request.kind {
        Kind::Subscribe | Kind::Recover => {
            let after = request.position.as_deref().map(position::parse).transpose()?;
            if after.is_none() && matches!(request.kind, Kind::Recover) {
                return Err(missing("position"));
            }
            let pattern = pattern(&request)?;
            let id = request.id.map(RawValue::get);
            // The answer comes from the bus, before whatever comes on the channel.
            handle.subscribe(Subscribe { pattern: &pattern, after, request: id })?;
            Ok(None)
        }
        Kind::Unsubscribe => {
            let removed = handle.unsubscribe(&pattern(&request)?);
            Ok(Some(("unsubscribed", format!(r#","subscribed":{removed}"#))))
        }
        Kind::Publish => {
            let receipt = cx.broker.publish_on_channel(publication(&request)?).await?;
            Ok(Some(("published", published(&receipt))))
        }
        Kind::Presence => {
            let (members, count) = cx.broker.channel_members(&name(&request)?);
            let members: Vec<String> = members.iter().map(event::member).collect();
            Ok(Some(("presence", format!(r#","count":{count},"members":[{}]"#, members.join(",")))))
        }
        Kind::History => {
            let limit = request.limit.unwrap_or(HISTORY_DEFAULT);
            let (last, position) = cx.broker.channel_history(&name(&request)?, limit);
            let of = |publication: &std::sync::Arc<Publication>| event::message(publication, false);
            let messages: Vec<String> = last.iter().map(of).collect();
            let at = position::to_text(position);
            let fields = format!(r#","position":"{at}","messages":[{}]"#, messages.join(","));
            Ok(Some(("history", fields)))
        }
        Kind::Ping => Ok(Some(("pong", String::new()))),
    }
}

/// What became of a publication, as further fields of an object.
pub(crate) fn published(receipt: &Receipt) -> String {
    let Receipt { position, delivered, waiting, dropped, stored } = receipt;
    let at = position::to_text(*position);
    format!(
        r#","position":"{at}","delivered":{delivered},"waiting":{waiting},"dropped":{dropped},"stored":{stored}"#
    )
}

fn missing(field: &str) -> Error {
    Error::malformed(format!("`{field}` is missing"), "see `docs/realtime.md` for the requests")
}

fn pattern(request: &Request<'_>) -> Result<ChannelPattern, Error> {
    let text = request.channel.as_deref().ok_or_else(|| missing("channel"))?;
    Ok(ChannelPattern::parse(text)?)
}

fn name(request: &Request<'_>) -> Result<ChannelName, Error> {
    let text = request.channel.as_deref().ok_or_else(|| missing("channel"))?;
    Ok(ChannelName::parse(text)?)
}

fn publication(request: &Request<'_>) -> Result<NewPublication, Error> {
    let channel = channel::to_publish(name(request)?)?;
    let (content, data) = match (request.data, &request.base64) {
        (Some(data), None) => (Content::Json, Bytes::copy_from_slice(data.get().as_bytes())),
        (None, Some(base64)) => {
            let data = STANDARD.decode(base64.as_bytes()).map_err(|error| {
                Error::malformed(format!("`base64`: {error}"), "send base64, or use `data`")
            })?;
            (Content::Binary, data.into())
        }
        (None, None) if request.retain => (Content::Binary, Bytes::new()),
        _ => return Err(missing("data")),
    };
    let key = request.key.as_deref().map(Into::into);
    Ok(NewPublication { channel, key, content, data, retain: request.retain })
}
