//! A WebSocket on `/v1/ws`: the handshake (RFC 6455, section 4), and what the client says.
//!
//! Two halves run side by side: one writes what waits for the receiver, one reads requests and
//! answers them in their order, so that a publish that waits for the disk holds up no delivery.

pub(crate) mod frame;
mod request;

pub(crate) use request::{published, read as read_request};

use crate::{
    Context,
    channel::{
        event,
        outflow::{End, Outflow},
    },
    error::Error,
    guard::is_own_origin,
    takeover::Takeover,
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use frame::{Decoder, Message, Refusal};
use sha1::{Digest, Sha1};
use std::{io, sync::Arc};
use tokio::net::TcpStream;
use tramline_broker::{NewReceiver, ReceiverHandle, Share};
use tramline_types::limits::{
    self, CONNECTION_BYTES_FREE, PUBLICATION_BYTES_MAX, RECEIVER_BYTES_MAX,
};

/// What a request may take besides the data of a publication.
const MESSAGE_BYTES_MAX: usize = PUBLICATION_BYTES_MAX / 3 * 4 + 64 * 1024;
/// A client that is not heard of for so many heartbeats is gone.
const BEATS_MAX: u32 = 3;
/// What the handshake's key is joined with (RFC 6455, section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Answers the handshake and leaves the connection to the WebSocket.
pub(crate) fn upgrade(
    cx: &Context,
    takeover: &Takeover,
    headers: &HeaderMap,
    client: Option<Arc<str>>,
) -> Result<Response, Error> {
    let accept = handshake(headers)?;
    if !is_own_origin(headers) {
        return Err(Error::CrossSite);
    }
    let registration =
        cx.broker.connections().register("websocket", takeover.peer(), cx.broker.clock().now());
    registration.identify(client.as_deref().map(ToOwned::to_owned), None);
    let form = &event::WEBSOCKET;
    let connection = Some(registration.id());
    let handle = cx.broker.receiver(NewReceiver { form, client, connection })?;
    let cx = cx.clone();
    takeover.set(Box::new(move |socket| {
        Box::pin(async move {
            let (heartbeat, handle) = (frame::ping(), Arc::new(handle));
            run(Outflow { cx, socket, handle, registration, heartbeat }).await;
        })
    }));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// The answer to the client's key.
fn handshake(headers: &HeaderMap) -> Result<HeaderValue, Error> {
    let has = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|v| v.split(',')).any(|v| v.trim().eq_ignore_ascii_case(wanted))
    };
    let refuse = |what: &str| {
        Err(Error::malformed(what, "open it as a WebSocket of version 13, over HTTP/1.1"))
    };
    if !has(header::CONNECTION, "upgrade") || !has(header::UPGRADE, "websocket") {
        return refuse("this is no WebSocket handshake");
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return refuse("this version of WebSocket is not spoken");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    match key {
        Some(key) if STANDARD.decode(key).is_ok_and(|key| key.len() == 16) => {
            let digest = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
            Ok(HeaderValue::try_from(STANDARD.encode(digest)).expect("base64 is ASCII"))
        }
        _ => refuse("the handshake has no key of 16 bytes"),
    }
}

async fn run(outflow: Outflow) {
    let (cx, socket) = (outflow.cx.clone(), Arc::clone(&outflow.socket));
    let reader = Reader {
        share: cx.broker.budgets().received.share(),
        decoder: Decoder::new(MESSAGE_BYTES_MAX),
        bytes: BytesMut::new(),
        cx,
        socket,
        handle: Arc::clone(&outflow.handle),
    };
    outflow.run(reader.run(), goodbye).await;
}

fn goodbye(end: &End) -> Option<Bytes> {
    match end {
        End::Gone => None,
        End::CutOff => Some(frame::close(1008, "too slow: publications would have been dropped")),
        End::Stopping => Some(frame::close(1001, "the broker is stopping")),
        End::Closed(reason) => Some(frame::close(1008, reason)),
        End::Over(close) | End::Refused(close) => Some(close.clone()),
    }
}

/// The reading half.
struct Reader {
    cx: Context,
    socket: Arc<TcpStream>,
    handle: Arc<ReceiverHandle>,
    decoder: Decoder,
    bytes: BytesMut,
    /// Of the budget for what is received.
    share: Share,
}

impl Reader {
    async fn run(mut self) -> End {
        loop {
            match self.decoder.next(&mut self.bytes) {
                Ok(Some(message)) => {
                    if let Some(end) = self.handle(message).await {
                        return end;
                    }
                }
                Ok(None) => {
                    if let Some(end) = self.read().await {
                        return end;
                    }
                }
                Err(refusal) => return refused(refusal),
            }
        }
    }

    async fn handle(&self, message: Message) -> Option<End> {
        let receiver = self.handle.receiver();
        match message {
            Message::Text(text) => {
                // In a box: what a request takes is not kept for every idle connection.
                let answer = Box::pin(request::handle(&self.cx, &self.handle, &text)).await;
                if let Some(answer) = answer {
                    receiver.tell(frame::text(answer.as_bytes()));
                }
            }
            Message::Binary(_) => {
                let reason = "requests are text";
                return Some(End::Refused(frame::close(1003, reason)));
            }
            Message::Ping(payload) => receiver.tell(frame::pong(&payload)),
            Message::Pong => {}
            Message::Close(code) => {
                return Some(End::Over(frame::close(code.unwrap_or(1000), "")));
            }
        }
        // Who does not take his answers is not asked for more requests.
        while receiver.bytes_waiting() > RECEIVER_BYTES_MAX {
            if self.socket.writable().await.is_err() {
                return Some(End::Gone);
            }
            tokio::task::yield_now().await;
        }
        None
    }

    /// Reads what has come; an end when the client has gone, silently or not.
    async fn read(&mut self) -> Option<End> {
        let clock = Arc::clone(self.cx.broker.clock());
        let is_inside = self.decoder.is_inside() || !self.bytes.is_empty();
        let span = self.cx.options.heartbeat.saturating_mul(BEATS_MAX);
        let span = if is_inside { span.min(limits::REQUEST_READ_MAX) } else { span };
        let deadline = clock.sleep_until(Some(clock.monotonic().plus(span)));
        tokio::select! {
            biased; // What has come counts, however late it is looked at.
            readable = self.socket.readable() => {
                if readable.is_err() {
                    return Some(End::Gone);
                }
            }
            () = deadline => {
                return Some(End::Refused(frame::close(1008, "not heard of for too long")));
            }
        }
        if self.bytes.is_empty() && self.bytes.capacity() > CONNECTION_BYTES_FREE {
            self.bytes = BytesMut::new();
        }
        self.bytes.reserve(1024);
        match self.socket.try_read_buf(&mut self.bytes) {
            Ok(0) => return Some(End::Gone),
            Ok(count) => self.cx.metrics.bytes.add_received(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Some(End::Gone),
        }
        let held = self.bytes.len() + self.decoder.held();
        if held > CONNECTION_BYTES_FREE.max(self.share.bytes()) {
            let missing = held - self.share.bytes();
            let whole = MESSAGE_BYTES_MAX.saturating_sub(self.share.bytes());
            self.share.grow(missing, whole.max(missing)).await;
        } else if held < CONNECTION_BYTES_FREE {
            self.share.shrink_to(0);
        }
        None
    }
}

fn refused(refusal: Refusal) -> End {
    let (code, reason) = refusal.code();
    End::Refused(frame::close(code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(version: &'static str, key: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(version));
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
        headers
    }

    #[test]
    fn the_key_is_answered_as_the_specification_says() {
        // RFC 6455, section 1.3.
        let accept = handshake(&headers("13", "dGhlIHNhbXBsZSBub25jZQ==")).unwrap();
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(handshake(&headers("8", "dGhlIHNhbXBsZSBub25jZQ==")).is_err());
        assert!(handshake(&headers("13", "short")).is_err());
        assert!(handshake(&HeaderMap::new()).is_err());
    }
}
