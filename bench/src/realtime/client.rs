//! One client for all of them: raw sockets, requests made beforehand, and publications that end
//! with a byte that nothing else on the wire has, so that counting it counts publications.

use anyhow::{Context, ensure};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Ends every publication. Not `~`, by which a WebSocket's frame says that its length follows.
pub(super) const MARK: u8 = b'^';
const ANSWER_MAX: Duration = Duration::from_secs(60);
const CHANNEL: &str = "bench/one";

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    WebSocket,
    /// Server-Sent Events for those who listen; publishers use a WebSocket.
    Events,
    Redis,
    Nats,
}

fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

/// Reads until `wanted` has come.
fn expect(stream: &mut TcpStream, wanted: &str) -> anyhow::Result<()> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the server hung up before `{wanted}`");
        text.extend_from_slice(&buffer[..count]);
        if String::from_utf8_lossy(&text).contains(wanted) {
            return Ok(());
        }
    }
}

/// A text as a client sends it; its mask is zero, which changes nothing.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ ..=125) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

fn web_socket(address: &str) -> anyhow::Result<TcpStream> {
    let mut stream = connect(address)?;
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    expect(&mut stream, "\r\n\r\n").context("opening a WebSocket")?;
    Ok(stream)
}

fn nats(address: &str, more: &str) -> anyhow::Result<TcpStream> {
    let mut stream = connect(address)?;
    let request = format!("CONNECT {{\"verbose\":false}}\r\n{more}PING\r\n");
    stream.write_all(request.as_bytes())?;
    expect(&mut stream, "PONG\r\n")?;
    Ok(stream)
}

/// A connection that gets what is published.
pub(super) fn subscriber(address: &str, speaks: Speaks) -> anyhow::Result<TcpStream> {
    match speaks {
        Speaks::WebSocket => {
            let mut stream = web_socket(address)?;
            let request = format!("{{\"type\":\"subscribe\",\"id\":1,\"channel\":\"{CHANNEL}\"}}");
            stream.write_all(&frame(&request))?;
            expect(&mut stream, "subscribed")?;
            Ok(stream)
        }
        Speaks::Events => events(address, &format!("/v1/channels/{CHANNEL}"), "\n\n\r\n"),
        Speaks::Redis => {
            let mut stream = connect(address)?;
            stream.write_all(format!("SUBSCRIBE {CHANNEL}\r\n").as_bytes())?;
            expect(&mut stream, ":1\r\n")?;
            Ok(stream)
        }
        Speaks::Nats => nats(address, &format!("SUB {CHANNEL} 1\r\n")),
    }
}

/// A stream of events, once `until` has come.
pub(super) fn events(address: &str, path: &str, until: &str) -> anyhow::Result<TcpStream> {
    let mut stream = connect(address)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    expect(&mut stream, until).with_context(|| format!("events of `{path}`"))?;
    Ok(stream)
}

/// A connection that changes a value of the configuration push, and what it sends for that. The
/// answer is to be taken by [`take_revision`].
pub(super) fn changer(
    address: &str,
    key: &str,
    value_bytes: usize,
) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let mut value = "x".repeat(value_bytes.saturating_sub(1));
    value.push(char::from(MARK));
    let request = format!(
        "PUT /v1/config/{key} HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/plain\r\n\
         content-length: {value_bytes}\r\n\r\n{value}"
    );
    Ok((connect(address)?, request.into_bytes()))
}

/// Takes the answer to a change.
pub(super) fn take_revision(stream: &mut TcpStream) -> anyhow::Result<()> {
    expect(stream, "\"revision\"")
}

/// A connection that publishes, and what it sends for one publication of this size.
pub(super) fn publisher(
    address: &str,
    speaks: Speaks,
    body_bytes: usize,
) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let mut body = "x".repeat(body_bytes.saturating_sub(1));
    body.push(char::from(MARK));
    match speaks {
        Speaks::WebSocket | Speaks::Events => {
            let request =
                format!("{{\"type\":\"publish\",\"channel\":\"{CHANNEL}\",\"data\":\"{body}\"}}");
            Ok((web_socket(address)?, frame(&request)))
        }
        Speaks::Redis => {
            let channel_bytes = CHANNEL.len();
            let request = format!(
                "*3\r\n$7\r\nPUBLISH\r\n${channel_bytes}\r\n{CHANNEL}\r\n${body_bytes}\r\n{body}\r\n"
            );
            Ok((connect(address)?, request.into_bytes()))
        }
        Speaks::Nats => {
            let request = format!("PUB {CHANNEL} {body_bytes}\r\n{body}\r\n");
            Ok((nats(address, "")?, request.into_bytes()))
        }
    }
}

/// Waits for the next publication.
pub(super) fn receive(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the server hung up on a subscriber");
        if buffer[..count].contains(&MARK) {
            return Ok(());
        }
    }
}

/// Takes what the server answers to a publication, where it does.
pub(super) fn take_answer(stream: &mut TcpStream, speaks: Speaks) -> anyhow::Result<()> {
    if speaks == Speaks::Redis {
        expect(stream, "\r\n")?;
    }
    Ok(())
}
