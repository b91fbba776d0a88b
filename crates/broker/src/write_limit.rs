//! A socket that fails when its peer takes nothing for too long, so that a reader who went away
//! without closing holds no memory for ever.
//!
//! Invariant: `deadline` is set exactly while the last write was pending.

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tramline_types::Clock;

/// A socket with a limit on how long a write may be pending.
pub struct WriteLimit<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    pending_max: Duration,
    deadline: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    bytes: Option<BytesCounted>,
}

/// What went through the sockets of a listener. A clone counts into the same.
#[derive(Clone, Debug, Default)]
pub struct BytesCounted {
    received: Counter,
    sent: Counter,
}

impl BytesCounted {
    /// Registers both counters among a front-end's metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("received_bytes", "Bytes received", self.received.clone());
        registry.register("sent_bytes", "Bytes sent", self.sent.clone());
    }

    /// So many came in on a socket that is read without this.
    pub fn add_received(&self, bytes: usize) {
        add(&self.received, bytes);
    }

    /// So many went out through a socket that is written without this.
    pub fn add_sent(&self, bytes: usize) {
        add(&self.sent, bytes);
    }
}

fn add(counter: &Counter, bytes: usize) {
    counter.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
}

impl<S> WriteLimit<S> {
    /// Fails writes that are pending for longer than `pending_max`.
    pub fn new(stream: S, clock: Arc<dyn Clock>, pending_max: Duration) -> Self {
        Self { stream, clock, pending_max, deadline: None, bytes: None }
    }

    /// Counts what goes through.
    #[must_use]
    pub fn counting(self, bytes: &BytesCounted) -> Self {
        Self { bytes: Some(bytes.clone()), ..self }
    }

    fn sent(&self, poll: &Poll<io::Result<usize>>) {
        if let (Some(bytes), Poll::Ready(Ok(sent))) = (&self.bytes, poll) {
            bytes.add_sent(*sent);
        }
    }

    fn bound<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.deadline = None;
            return poll;
        }
        let deadline = self.deadline.get_or_insert_with(|| {
            let clock = Arc::clone(&self.clock);
            let at = clock.monotonic().plus(self.pending_max);
            Box::pin(async move { clock.sleep_until(Some(at)).await })
        });
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteLimit<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Some(bytes) = &this.bytes {
            bytes.add_received(buf.filled().len() - before);
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteLimit<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.sent(&poll);
        this.bound(cx, poll)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.sent(&poll);
        this.bound(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A TCP socket keeps nothing back, so this never waits.
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tramline_testkit::FakeClock;

    const LIMIT: Duration = Duration::from_secs(60);
    /// More than the pipe holds.
    const ANSWER: [u8; 20] = [7; 20];

    /// Moves the clock on as soon as the writer waits for it.
    async fn pass(clock: &FakeClock, span: Duration) {
        while clock.sleepers() == 0 {
            tokio::task::yield_now().await;
        }
        clock.advance(span);
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let clock = FakeClock::new();
        let (ours, theirs) = duplex(8);
        let mut socket = WriteLimit::new(ours, Arc::new(clock.clone()), LIMIT);
        let writing = tokio::spawn(async move { socket.write_all(&ANSWER).await });
        pass(&clock, LIMIT).await;
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }

    #[tokio::test]
    async fn a_peer_that_takes_a_little_has_its_time_again() {
        let clock = FakeClock::new();
        let (ours, mut theirs) = duplex(8);
        let mut socket = WriteLimit::new(ours, Arc::new(clock.clone()), LIMIT);
        let writing = tokio::spawn(async move { socket.write_all(&ANSWER).await });
        let almost = LIMIT - Duration::from_secs(1);
        let mut taken = [0; 8];
        for _ in 0..2 {
            pass(&clock, almost).await;
            theirs.read_exact(&mut taken).await.unwrap();
            // The wait is over once the writer went on.
            while clock.deadline_next().is_some_and(|at| at < clock.monotonic().plus(almost)) {
                tokio::task::yield_now().await;
            }
        }
        theirs.read_exact(&mut taken[..4]).await.unwrap();
        writing.await.unwrap().unwrap();
    }
}
