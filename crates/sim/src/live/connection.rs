//! A bare Kafka connection: blocking, with several requests in flight where wanted.

use bytes::Bytes;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};
use tramline_wire::{
    KafkaStr,
    kafka::{ApiVersionsRequest, Request, decode_response, encode_request},
};

/// Longer than this, and an answer's outcome is unknown.
const ANSWER_MAX: Duration = Duration::from_secs(15);
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection to a broker's Kafka port.
pub struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    /// Connects and asks for the versions.
    pub fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let mut connection = Self { stream, correlation_id: 0 };
        // As every client begins; before it, only small frames are taken.
        connection.call(&ApiVersionsRequest::default(), 0)?;
        Ok(connection)
    }

    /// The socket, as it is.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Sends a request without waiting for its answer.
    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> io::Result<()> {
        self.correlation_id += 1;
        let name = Some(KafkaStr::from_static("crash"));
        let frame = encode_request(request, version, self.correlation_id, name);
        let frame = frame.map_err(io::Error::other)?;
        self.stream.write_all(&frame.concat())
    }

    /// The next answer.
    pub fn receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = usize::try_from(i32::from_be_bytes(size)).unwrap_or(usize::MAX);
        assert!(size <= FRAME_BYTES_MAX, "an answer of {size} bytes");
        let mut frame = vec![0; size];
        self.stream.read_exact(&mut frame)?;
        let (_, response) =
            decode_response::<R>(Bytes::from(frame), version).map_err(io::Error::other)?;
        Ok(response)
    }

    /// Sends a request and waits for its answer.
    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        self.send(request, version)?;
        self.receive::<R>(version)
    }
}
