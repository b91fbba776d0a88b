//! A bare Kafka connection for load: frames out, frames in, several in flight.

use anyhow::{Context, bail};
use bytes::{Buf, Bytes, BytesMut};
use std::{collections::VecDeque, io::IoSlice};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tramline_wire::{
    KafkaStr,
    kafka::{ApiVersionsRequest, Request, decode_response, encode_request},
};

/// One connection.
pub(crate) struct Connection {
    stream: TcpStream,
    received: BytesMut,
    correlation_id: i32,
    outstanding: VecDeque<i32>,
}

impl Connection {
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("to {address}"))?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            received: BytesMut::with_capacity(4 << 20),
            correlation_id: 0,
            outstanding: VecDeque::new(),
        };
        // As every client does: a broker may allow little before it knows who is there.
        connection.call(&ApiVersionsRequest::default(), 0).await?;
        Ok(connection)
    }

    /// A request frame as chunks; its correlation id is filled in when it is sent.
    pub(crate) fn frame<R: Request>(request: &R, version: i16) -> anyhow::Result<Vec<Bytes>> {
        Ok(encode_request(request, version, 0, Some(KafkaStr::from_static("bench")))?)
    }

    /// Sends a frame made by [`Connection::frame`], without waiting for its answer.
    pub(crate) async fn send(&mut self, frame: &[Bytes]) -> anyhow::Result<()> {
        self.correlation_id += 1;
        self.outstanding.push_back(self.correlation_id);
        let (first, rest) = frame.split_first().context("an empty frame")?;
        let mut head = BytesMut::from(&first[..]);
        head[8..12].copy_from_slice(&self.correlation_id.to_be_bytes());
        let mut chunks: VecDeque<Bytes> =
            std::iter::once(head.freeze()).chain(rest.iter().cloned()).collect();
        while !chunks.is_empty() {
            let slices: Vec<IoSlice<'_>> =
                chunks.iter().take(64).map(|chunk| IoSlice::new(chunk)).collect();
            let mut written = self.stream.write_vectored(&slices).await?;
            if written == 0 {
                bail!("the broker closed the connection");
            }
            while let Some(chunk) = chunks.front_mut() {
                if written < chunk.len() {
                    chunk.advance(written);
                    break;
                }
                written -= chunk.len();
                chunks.pop_front();
            }
        }
        Ok(())
    }

    /// How many answers are awaited.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The next answer's frame, without its size.
    pub(crate) async fn receive(&mut self) -> anyhow::Result<Bytes> {
        loop {
            if let Some((size, _)) = self.received.split_first_chunk::<4>() {
                let size = usize::try_from(i32::from_be_bytes(*size)).context("a negative size")?;
                if self.received.len() >= 4 + size {
                    self.received.advance(4);
                    self.outstanding.pop_front();
                    return Ok(self.received.split_to(size).freeze());
                }
                self.received.reserve(4 + size - self.received.len());
            } else {
                self.received.reserve(64 << 10);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the broker closed the connection");
            }
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> anyhow::Result<R::Response> {
        self.send(&Self::frame(request, version)?).await?;
        let frame = self.receive().await?;
        Ok(decode_response::<R>(frame, version)?.1)
    }
}
