//! A blocking socket with a buffer of what has come and was not looked at.

use anyhow::bail;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// The socket and its buffer.
pub(super) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Wire {
    /// Connects; a read that nothing comes to ends after this time.
    pub(super) fn connect(address: &str, read_max: Duration) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(read_max))?;
        Ok(Self { stream, buffer: vec![0; 512 * 1024], start: 0, end: 0 })
    }

    /// Changes how long a read waits.
    pub(super) fn set_read_timeout(&self, time: Duration) -> anyhow::Result<()> {
        Ok(self.stream.set_read_timeout(Some(time))?)
    }

    /// The socket, for another thread to write to.
    pub(super) fn writer(&self) -> anyhow::Result<TcpStream> {
        Ok(self.stream.try_clone()?)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// What has come.
    pub(super) fn have(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The next bytes that have come: they are looked at.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start += count;
        &self.buffer[from..self.start]
    }

    /// Waits for more bytes; none when the read timed out.
    pub(super) fn read(&mut self) -> anyhow::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => bail!("the broker closed the connection"),
            Ok(n) => {
                self.end += n;
                Ok(n)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(0)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what has come without waiting.
    pub(super) fn try_read(&mut self) -> anyhow::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let read = self.read();
        self.stream.set_nonblocking(false)?;
        read
    }
}
