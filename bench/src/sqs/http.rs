//! A bare HTTP connection for load: requests of AWS JSON as bytes made beforehand, one at a time.

use crate::load::pause;
use anyhow::{Context, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use serde_json::{Value, json};
use std::{io, net, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A whole request. The signature is not looked at by any of the brokers, on their defaults.
pub(super) fn request(action: &str, body: &Value) -> Bytes {
    let body = body.to_string();
    let text = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: AmazonSQS.{action}\r\nX-Amz-Date: 20260101T000000Z\r\n\
         Authorization: AWS4-HMAC-SHA256 \
         Credential=bench/20260101/us-east-1/sqs/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Bytes::from(text)
}

/// Whether a broker is there.
pub(super) fn answers(address: &str) -> bool {
    let ask = || -> io::Result<bool> {
        use io::{Read, Write};
        let mut stream = net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&request("ListQueues", &json!({})))?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// One connection.
pub(super) struct Connection {
    address: String,
    stream: TcpStream,
    received: BytesMut,
}

/// What the head of an answer says.
struct Head {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

impl Connection {
    pub(super) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { address: address.to_owned(), stream, received: BytesMut::new() })
    }

    /// Sends a request without waiting for its answer.
    pub(super) async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Sends a request and gives the body of its answer.
    pub(super) async fn call(&mut self, request: &[u8]) -> anyhow::Result<Bytes> {
        self.send(request).await?;
        self.receive().await
    }

    /// Calls with a body that need not be made beforehand.
    pub(super) async fn ask(&mut self, action: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.call(&request(action, body)).await?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer)? })
    }

    /// The body of the next answer.
    pub(super) async fn receive(&mut self) -> anyhow::Result<Bytes> {
        let head = self.head().await?;
        let body = match head.length {
            Some(length) => {
                self.fill(length).await?;
                self.received.split_to(length).freeze()
            }
            None if head.chunked => self.chunks().await?,
            None => {
                while self.stream.read_buf(&mut self.received).await? > 0 {}
                self.received.split().freeze()
            }
        };
        if head.close || (head.length.is_none() && !head.chunked) {
            *self = Self::connect(&self.address).await?;
        }
        ensure!(
            head.status == 200,
            "status {}: {}",
            head.status,
            String::from_utf8_lossy(&body).chars().take(300).collect::<String>()
        );
        Ok(body)
    }

    async fn head(&mut self) -> anyhow::Result<Head> {
        let mut seen = 0;
        let end = loop {
            let from = seen.max(3) - 3;
            if let Some(at) = self.received[from..].windows(4).position(|w| w == b"\r\n\r\n") {
                break from + at + 4;
            }
            seen = self.received.len();
            self.more().await?;
        };
        let text = self.received.split_to(end);
        let text = std::str::from_utf8(&text)?;
        let status = text.get(9..12).and_then(|digits| digits.parse().ok());
        let mut head = Head {
            status: status.context("no status")?,
            length: None,
            chunked: false,
            close: text.starts_with("HTTP/1.0"),
        };
        for line in text.lines().skip(1) {
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                head.length = Some(value.parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case("chunked");
            } else if name.eq_ignore_ascii_case("connection") {
                head.close = value.eq_ignore_ascii_case("close");
            }
        }
        Ok(head)
    }

    async fn chunks(&mut self) -> anyhow::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let end = loop {
                if let Some(at) = self.received.windows(2).position(|w| w == b"\r\n") {
                    break at;
                }
                self.more().await?;
            };
            let line = self.received.split_to(end);
            self.received.advance(2);
            let length = usize::from_str_radix(std::str::from_utf8(&line)?.trim(), 16)?;
            self.fill(length + 2).await?;
            body.extend_from_slice(&self.received.split_to(length));
            self.received.advance(2);
            if length == 0 {
                return Ok(body.freeze());
            }
        }
    }

    async fn fill(&mut self, length: usize) -> anyhow::Result<()> {
        while self.received.len() < length {
            self.received.reserve(length - self.received.len());
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        self.received.reserve(4096);
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the broker closed the connection");
        }
        Ok(())
    }
}

/// Many connections. A broker may take them slowly.
pub(super) async fn connect_all(address: &str, count: usize) -> anyhow::Result<Vec<Connection>> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        all.push(Connection::connect(address).await?);
        if all.len().is_multiple_of(500) {
            pause(Duration::from_millis(20)).await;
        }
    }
    Ok(all)
}
