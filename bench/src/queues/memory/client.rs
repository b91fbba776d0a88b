//! The HTTP API of queues, as far as a load needs it: one connection that is kept open, and of
//! the answers only the tokens are read.

use super::BATCH;
use anyhow::{Context, ensure};
use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// One connection.
pub(super) struct Http {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Http {
    pub(super) fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Declares a queue with these settings.
    pub(super) fn declare(&mut self, queue: &str, settings: &str) -> anyhow::Result<()> {
        let body = format!(r#"{{"name":"{queue}","settings":{settings}}}"#);
        self.post("/v1/queues", &body).map(|_| ())
    }

    /// Publishes this many messages, each as JSON.
    pub(super) fn publish(
        &mut self,
        queue: &str,
        count: u64,
        message: impl Fn(u64) -> String,
    ) -> anyhow::Result<()> {
        let path = format!("/v1/queues/{queue}/messages");
        let mut sent = 0;
        while sent < count {
            let to = count.min(sent + BATCH);
            let messages: Vec<String> = (sent..to).map(&message).collect();
            self.post(&path, &format!(r#"{{"messages":[{}]}}"#, messages.join(",")))?;
            sent = to;
        }
        Ok(())
    }

    /// Receives so many messages; fewer where there are no more. Gives their tokens.
    pub(super) fn receive(
        &mut self,
        queue: &str,
        count: u64,
        lock_ms: u64,
    ) -> anyhow::Result<Vec<String>> {
        let path = format!("/v1/queues/{queue}/receive");
        let mut tokens = Vec::new();
        while u64::try_from(tokens.len())? < count {
            let limit = BATCH.min(count - u64::try_from(tokens.len())?);
            let body = format!(r#"{{"limit":{limit},"wait_ms":2000,"lock_ms":{lock_ms}}}"#);
            let answer = self.post(&path, &body)?;
            let before = tokens.len();
            let mut rest = answer.as_str();
            while let Some((_, after)) = rest.split_once(r#""token":""#) {
                let (token, after) = after.split_once('"').context("a token without an end")?;
                tokens.push(token.to_owned());
                rest = after;
            }
            if tokens.len() == before {
                break;
            }
        }
        Ok(tokens)
    }

    /// Settles these deliveries.
    pub(super) fn settle(
        &mut self,
        queue: &str,
        tokens: &[String],
        outcome: &str,
    ) -> anyhow::Result<()> {
        let path = format!("/v1/queues/{queue}/settle");
        for tokens in tokens.chunks(usize::try_from(BATCH)?) {
            let mut body = String::from(r#"{"settles":["#);
            for (place, token) in tokens.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                write!(body, r#"{comma}{{"token":"{token}","outcome":"{outcome}"}}"#)?;
            }
            body.push_str("]}");
            let answer = self.post(&path, &body)?;
            ensure!(answer.contains(r#""failed":0"#), "not all of them were settled");
        }
        Ok(())
    }

    fn post(&mut self, path: &str, body: &str) -> anyhow::Result<String> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        let (status, answer) = self.answer().with_context(|| format!("POST {path}"))?;
        ensure!(status.contains(" 20"), "POST {path}: {status}: {answer}");
        Ok(answer)
    }

    /// The status line and the body.
    fn answer(&mut self) -> anyhow::Result<(String, String)> {
        self.buffer.clear();
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|at| at == b"\r\n\r\n") {
                break at + 4;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.buffer[..head_end].to_vec())?.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer without its length")?.trim().parse()?;
        while self.buffer.len() < head_end + length {
            self.more()?;
        }
        let body = String::from_utf8(self.buffer[head_end..].to_vec())?;
        Ok((head.lines().next().unwrap_or_default().to_owned(), body))
    }

    fn more(&mut self) -> anyhow::Result<()> {
        let mut piece = vec![0; 256 * 1024];
        let n = self.stream.read(&mut piece)?;
        ensure!(n > 0, "the broker closed the connection");
        self.buffer.extend_from_slice(&piece[..n]);
        Ok(())
    }
}
