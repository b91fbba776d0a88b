//! Events as JSON, and that JSON as a WebSocket frame, as a server-sent event, and as one in a
//! chunk of HTTP/1.1. Spelt once for all receivers.

use super::position;
use crate::{sse::RETRY_MILLIS, websocket::frame};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use std::fmt::Write;
use tramline_broker::{ChannelEvent, ChannelForm, ChannelMember, Content, Publication};

/// For receivers behind a WebSocket.
pub(crate) static WEBSOCKET: ChannelForm =
    ChannelForm { slot: 0, encode: |event| frame::text(json(event).as_bytes()) };

/// For server-sent events over HTTP/1.1.
pub(crate) static CHUNKED: ChannelForm =
    ChannelForm { slot: 1, encode: |event| chunk(sse(event).as_bytes()) };

/// For server-sent events over HTTP/1.0, which has no chunks.
pub(crate) static PLAIN: ChannelForm =
    ChannelForm { slot: 2, encode: |event| sse(event).into_bytes().into() };

/// One chunk of a body.
pub(crate) fn chunk(bytes: &[u8]) -> Bytes {
    let mut chunk = Vec::with_capacity(bytes.len() + 12);
    chunk.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk.into()
}

fn sse(event: &ChannelEvent<'_>) -> String {
    let json = json(event);
    let mut text = String::with_capacity(json.len() + 64);
    match event {
        // The id is that of what came last in order: a last value came long before.
        ChannelEvent::Message { publication, retained: false } => {
            let id = position::to_text(publication.position);
            write!(text, "id: {id}\ndata: {json}\n\n").expect("a string takes all");
        }
        ChannelEvent::Message { retained: true, .. } => {
            write!(text, "data: {json}\n\n").expect("a string takes all");
        }
        ChannelEvent::Subscribed { subscribed, .. } => {
            let id = position::to_text(subscribed.position);
            write!(text, "retry: {RETRY_MILLIS}\nid: {id}\nevent: subscribed\ndata: {json}\n\n")
                .expect("a string takes all");
        }
        ChannelEvent::Dropped(_) => {
            write!(text, "event: dropped\ndata: {json}\n\n").expect("a string takes all");
        }
        ChannelEvent::Joined(..) => {
            write!(text, "event: joined\ndata: {json}\n\n").expect("a string takes all");
        }
        ChannelEvent::Left(..) => {
            write!(text, "event: left\ndata: {json}\n\n").expect("a string takes all");
        }
    }
    text
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text is JSON")
}

fn json(event: &ChannelEvent<'_>) -> String {
    match event {
        ChannelEvent::Message { publication, retained } => message(publication, *retained),
        ChannelEvent::Subscribed { pattern, subscribed, request } => {
            let mut json = String::from(r#"{"type":"subscribed""#);
            if let Some(request) = request {
                write!(json, r#","id":{request}"#).expect("a string takes all");
            }
            let (channel, at) = (quoted(pattern.as_str()), position::to_text(subscribed.position));
            write!(json, r#","channel":{channel},"position":"{at}""#).expect("a string takes all");
            if let Some(recovered) = subscribed.recovered {
                write!(json, r#","recovered":{recovered}"#).expect("a string takes all");
            }
            json.push('}');
            json
        }
        ChannelEvent::Dropped(count) => format!(r#"{{"type":"dropped","count":{count}}}"#),
        ChannelEvent::Joined(channel, of) => moved("joined", channel.as_str(), of),
        ChannelEvent::Left(channel, of) => moved("left", channel.as_str(), of),
    }
}

fn moved(what: &str, channel: &str, of: &ChannelMember) -> String {
    format!(r#"{{"type":"{what}","channel":{},"member":{}}}"#, quoted(channel), member(of))
}

/// Who listens.
pub(crate) fn member(of: &ChannelMember) -> String {
    match &of.client {
        Some(client) => format!(r#"{{"id":{},"client":{}}}"#, of.receiver, quoted(client)),
        None => format!(r#"{{"id":{}}}"#, of.receiver),
    }
}

/// A publication.
pub(crate) fn message(publication: &Publication, retained: bool) -> String {
    let mut json = String::with_capacity(publication.data.len() + 128);
    let channel = quoted(publication.channel.as_str());
    write!(json, r#"{{"type":"message","channel":{channel}"#).expect("a string takes all");
    if retained {
        json.push_str(r#","retained":true"#);
    } else {
        let at = position::to_text(publication.position);
        write!(json, r#","position":"{at}""#).expect("a string takes all");
    }
    let at = publication.at.as_millis();
    write!(json, r#","at":{at}"#).expect("a string takes all");
    if let Some(key) = &publication.key {
        write!(json, r#","key":{}"#, quoted(key)).expect("a string takes all");
    }
    match (publication.content, std::str::from_utf8(&publication.data)) {
        (Content::Json, Ok(data)) if !data.is_empty() => {
            json.push_str(r#","data":"#);
            // Outside of strings a line break in JSON means nothing; it would end an event's line.
            json.extend(data.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
        }
        (Content::Json | Content::Text, Ok(text)) => {
            write!(json, r#","data":{}"#, quoted(text)).expect("a string takes all");
        }
        _ => {
            let data = STANDARD.encode(&publication.data);
            write!(json, r#","base64":"{data}""#).expect("a string takes all");
        }
    }
    json.push('}');
    json
}
