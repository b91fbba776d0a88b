//! `/v1/channels`: follows channels as Server-Sent Events, describes and lists them; and what
//! else belongs to the realtime bus over plain HTTP.

pub(crate) mod binding;
pub(crate) mod broadcast;
pub(crate) mod settings;

use crate::{
    Context,
    channel::{
        self,
        event::{self, chunk},
        outflow::{End, Outflow, until_gone},
        position,
    },
    error::Error,
    extract::{Names, Params},
    sse::{self, LAST_EVENT_ID},
    takeover::Takeover,
    websocket,
};
use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, Method, Version, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use tramline_broker::{
    self as broker, ChannelPattern, ChannelSettings, NewReceiver, ReceiverDescription, Subscribe,
};
use tramline_types::ChannelName;

/// Of a channel's history in its description.
const HISTORY_SHOWN: usize = 10;

/// The query of a stream.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    client: Option<String>,
    position: Option<String>,
}

/// GET `/v1/channels/{channel}`: a stream of events, or a description for those who want JSON.
pub(crate) async fn get(
    State(cx): State<Context>,
    Extension(takeover): Extension<Takeover>,
    Names(channel): Names<String>,
    Params(query): Params<Query>,
    request: axum::extract::Request,
) -> Result<Response, Error> {
    let headers = request.headers();
    if wants_json(headers) {
        return describe(&cx, &ChannelName::parse(&channel)?);
    }
    let pattern = ChannelPattern::parse(&channel)?;
    if *request.method() == Method::HEAD {
        return Ok([(header::CONTENT_TYPE, sse::CONTENT_TYPE)].into_response());
    }
    let after = match headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or("?")) {
        // What a browser sends before the first event.
        Some("") => None,
        Some(id) => Some(id.to_owned()),
        None => query.position,
    };
    let after = after.as_deref().map(position::parse).transpose()?;
    let client = channel::client(query.client)?;
    let has_chunks = request.version() >= Version::HTTP_11;
    let form = if has_chunks { &event::CHUNKED } else { &event::PLAIN };
    let registration =
        cx.broker.connections().register("sse", takeover.peer(), cx.broker.clock().now());
    registration.identify(client.as_deref().map(ToOwned::to_owned), None);
    let connection = Some(registration.id());
    let handle = cx.broker.receiver(NewReceiver { form, client, connection })?;
    // Everything from here on is in the stream, also what comes before its head is out.
    handle.subscribe(Subscribe { pattern: &pattern, after, request: None })?;
    takeover.set(Box::new(move |socket| {
        Box::pin(async move {
            let heartbeat = Bytes::from_static(b":\n\n");
            let heartbeat = if has_chunks { chunk(&heartbeat) } else { heartbeat };
            let (reader, bytes) = (Arc::clone(&socket), cx.metrics.bytes.clone());
            let handle = Arc::new(handle);
            let outflow = Outflow { cx, socket, handle, registration, heartbeat };
            let goodbye = move |end: &End| goodbye(end, has_chunks);
            outflow.run(async move { until_gone(&reader, &bytes).await }, goodbye).await;
        })
    }));
    let content_type = [(header::CONTENT_TYPE, sse::CONTENT_TYPE)];
    // Proxies that gather answers would hold events back.
    let unbuffered = [("x-accel-buffering", "no")];
    Ok((content_type, unbuffered, takeover.body()).into_response())
}

/// The end of a stream that the client did not end.
fn goodbye(end: &End, has_chunks: bool) -> Option<Bytes> {
    let mut last = match end {
        End::CutOff => chunk(b"event: cut_off\ndata: {\"type\":\"cut_off\"}\n\n").to_vec(),
        _ => Vec::new(),
    };
    last.extend_from_slice(b"0\r\n\r\n");
    has_chunks.then(|| last.into())
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| {
        accept.contains("application/json") && !accept.contains("text/event-stream")
    })
}

/// A description of GET `/v1/channels/{channel}`.
#[derive(Serialize)]
struct Description {
    channel: String,
    /// The bus's last place.
    position: String,
    settings: ChannelSettings,
    members: Vec<Box<RawValue>>,
    /// How many listen by the channel's name; those by patterns aside.
    member_count: usize,
    /// The last publications that are kept.
    history: Vec<Box<RawValue>>,
    retained: Option<Box<RawValue>>,
}

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("what is spelt here is JSON")
}

fn describe(cx: &Context, name: &ChannelName) -> Result<Response, Error> {
    let (members, member_count) = cx.broker.channel_members(name);
    let (history, at) = cx.broker.channel_history(name, HISTORY_SHOWN);
    let retained = cx.broker.channel_retained(name);
    let description = Description {
        channel: name.to_string(),
        position: position::to_text(at),
        settings: cx.broker.channel_settings_of(name),
        members: members.iter().map(|member| raw(event::member(member))).collect(),
        member_count,
        history: history.iter().map(|of| raw(event::message(of, false))).collect(),
        retained: retained.map(|of| raw(event::message(&of, true))),
    };
    Ok(Json(description).into_response())
}

/// The answer of GET `/v1/channels`.
#[derive(Serialize)]
pub(crate) struct ChannelList {
    channels: Vec<ChannelSummary>,
}

#[derive(Serialize)]
struct ChannelSummary {
    /// Or the pattern that is listened to.
    channel: String,
    receivers: usize,
    history: usize,
    retained: bool,
}

/// GET `/v1/channels`.
pub(crate) async fn list(State(cx): State<Context>) -> Json<ChannelList> {
    let summary = |of: broker::ChannelDescription| ChannelSummary {
        channel: of.name,
        receivers: of.receivers,
        history: of.history,
        retained: of.retained,
    };
    Json(ChannelList { channels: cx.broker.list_channels().into_iter().map(summary).collect() })
}

/// The answer of GET `/v1/receivers`.
#[derive(Serialize)]
pub(crate) struct ReceiverList {
    receivers: Vec<ReceiverSummary>,
}

#[derive(Serialize)]
struct ReceiverSummary {
    id: u32,
    client: Option<String>,
    connection: Option<u64>,
    /// Milliseconds since the Unix epoch.
    opened: i64,
    channels: Vec<String>,
    bytes_waiting: usize,
    dropped: u64,
    conflated: u64,
}

/// GET `/v1/receivers`.
pub(crate) async fn receivers(State(cx): State<Context>) -> Json<ReceiverList> {
    let summary = |of: ReceiverDescription| ReceiverSummary {
        id: of.number,
        client: of.client,
        connection: of.connection.map(|connection| connection.0),
        opened: of.opened.as_millis(),
        channels: of.patterns.iter().map(ToString::to_string).collect(),
        bytes_waiting: of.figures.bytes_waiting,
        dropped: of.figures.dropped,
        conflated: of.figures.conflated,
    };
    Json(ReceiverList { receivers: cx.broker.list_receivers().into_iter().map(summary).collect() })
}

/// The query of a WebSocket.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SocketQuery {
    client: Option<String>,
}

/// GET `/v1/ws`: a WebSocket.
pub(crate) async fn socket(
    State(cx): State<Context>,
    Extension(takeover): Extension<Takeover>,
    Params(query): Params<SocketQuery>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    websocket::upgrade(&cx, &takeover, &headers, channel::client(query.client)?)
}

/// GET `/v1/client.js`: the client for browsers.
pub(crate) async fn client_file() -> impl IntoResponse {
    let content_type = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (content_type, include_str!("../client.js"))
}
