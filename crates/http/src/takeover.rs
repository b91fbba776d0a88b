//! How a connection goes on with a stream of its own when the answer's head is out: the handler
//! leaves what is to be run, the HTTP machinery and its buffers go, and the socket stays.
//!
//! A stream of events takes over when its head is written and its body has nothing to say (it
//! never has); a WebSocket when the HTTP connection ends with the upgrade. Between the two
//! nobody else writes to the socket.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use parking_lot::Mutex;
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};

/// What a connection goes on with.
pub(crate) type Next = Box<dyn FnOnce(Arc<TcpStream>) -> BoxFuture<'static, ()> + Send>;

/// The place on a connection where a handler leaves what it goes on with. A clone is the same.
#[derive(Clone)]
pub(crate) struct Takeover(Arc<Shared>);

struct Shared {
    peer: SocketAddr,
    next: Mutex<Option<Next>>,
    /// The body of the answer was asked for what it has: its head is written, or will be with the
    /// next flush.
    has_begun: AtomicBool,
    is_out: Notify,
}

impl Takeover {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        let next = Mutex::new(None);
        let (has_begun, is_out) = (AtomicBool::new(false), Notify::new());
        Self(Arc::new(Shared { peer, next, has_begun, is_out }))
    }

    /// Where the client is.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// Leaves what the connection goes on with.
    pub(crate) fn set(&self, next: Next) {
        *self.0.next.lock() = Some(next);
    }

    /// The body of an answer whose place is taken as soon as its head is out.
    pub(crate) fn body(&self) -> Body {
        let shared = Arc::clone(&self.0);
        Body::from_stream(stream::poll_fn(move |_| {
            shared.has_begun.store(true, Ordering::Relaxed);
            Poll::<Option<Result<Bytes, Infallible>>>::Pending
        }))
    }

    /// Everything that was written to the socket is out.
    fn flushed(&self) {
        if self.0.has_begun.load(Ordering::Relaxed) {
            self.0.is_out.notify_one();
        }
    }

    /// Resolves when the head of an answer with [`Takeover::body`] is out.
    pub(crate) async fn is_out(&self) {
        self.0.is_out.notified().await;
    }

    /// What was left.
    pub(crate) fn take(&self) -> Option<Next> {
        self.0.next.lock().take()
    }
}

/// A socket that can stay when the HTTP machinery goes.
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    takeover: Takeover,
}

impl Socket {
    pub(crate) fn new(stream: Arc<TcpStream>, takeover: Takeover) -> Self {
        Self { stream, takeover }
    }
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            let read = self.stream.try_read_buf(buf);
            if !would_block(&read) {
                return Poll::Ready(read.map(|_| ()));
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let written = self.stream.try_write(buf);
            if !would_block(&written) {
                return Poll::Ready(written);
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let written = self.stream.try_write_vectored(bufs);
            if !would_block(&written) {
                return Poll::Ready(written);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Called when the HTTP machinery has nothing left to write; a socket keeps nothing back.
        self.takeover.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The socket is closed when the last handle to it goes, which follows at once.
        Poll::Ready(Ok(()))
    }
}
