//! The life of a receiver's connection: writes what waits for it, keeps the connection alive,
//! and ends it with a word.

use crate::Context;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{
    future::Future,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpStream;
use tramline_broker::{BytesCounted, Flushed, Outlet, Receiver, ReceiverHandle, Registration};
use tramline_types::limits;

/// What the last word may take.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has gone, or takes nothing.
    Gone,
    /// The receiver was too slow, where that means the end.
    CutOff,
    /// The server stops.
    Stopping,
    /// The operator closed it.
    Closed(String),
    /// The client said goodbye: the answer, a whole frame.
    Over(Bytes),
    /// The client broke the protocol: code and reason of a WebSocket's close, whole frame.
    Refused(Bytes),
}

/// A receiver and its socket.
pub(crate) struct Outflow {
    pub(crate) cx: Context,
    pub(crate) socket: Arc<TcpStream>,
    pub(crate) handle: Arc<ReceiverHandle>,
    pub(crate) registration: Registration,
    /// Sent when nothing else was for a while.
    pub(crate) heartbeat: Bytes,
}

struct SocketOutlet {
    socket: Arc<TcpStream>,
    bytes: BytesCounted,
}

impl Outlet for SocketOutlet {
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match pieces {
            [piece] => self.socket.try_write(piece),
            pieces => self.socket.try_write_vectored(pieces),
        };
        self.bytes.add_sent(*written.as_ref().unwrap_or(&0));
        written
    }
}

impl Outflow {
    /// Runs until the connection ends, which `reader` may decide; says `goodbye` where there is
    /// one and the client listens.
    pub(crate) async fn run(
        self,
        reader: impl Future<Output = End>,
        goodbye: impl FnOnce(&End) -> Option<Bytes>,
    ) {
        let receiver = Arc::clone(self.handle.receiver());
        let (socket, bytes) = (Arc::clone(&self.socket), self.cx.metrics.bytes.clone());
        receiver.open(Box::new(SocketOutlet { socket, bytes }));
        let end = tokio::select! {
            end = self.write(&receiver) => end,
            end = reader => end,
            () = self.cx.stopping() => End::Stopping,
            reason = self.registration.closing() => End::Closed(reason),
        };
        tracing::debug!(client = receiver.client(), ?end, "receiver ended");
        let Some(word) = goodbye(&end).filter(|_| end != End::Gone) else { return };
        receiver.end(word);
        let clock = self.cx.broker.clock();
        let deadline = clock.sleep_until(Some(clock.monotonic().plus(GOODBYE_MAX)));
        let rest = async {
            while receiver.flush() == Flushed::Blocked && self.socket.writable().await.is_ok() {}
            if matches!(end, End::Refused(_)) {
                // What is still on its way here would reset the connection before the word is read.
                Box::pin(drain(&self.socket)).await;
            }
        };
        tokio::select! {
            () = rest => {}
            () = deadline => {}
        }
    }

    fn after(&self, span: Duration) -> BoxFuture<'_, ()> {
        let clock = self.cx.broker.clock();
        clock.sleep_until(Some(clock.monotonic().plus(span)))
    }

    async fn write(&self, receiver: &Receiver) -> End {
        let mut beat = self.after(self.cx.options.heartbeat);
        loop {
            match receiver.flush() {
                Flushed::Idle => tokio::select! {
                    () = receiver.woken() => {}
                    () = &mut beat => {
                        if receiver.beat() {
                            receiver.tell(self.heartbeat.clone());
                        }
                        beat = self.after(self.cx.options.heartbeat);
                    }
                },
                Flushed::Blocked => {
                    let stalled = self.after(limits::RESPONSE_WRITE_MAX);
                    tokio::select! {
                        writable = self.socket.writable() => {
                            if writable.is_err() {
                                return End::Gone;
                            }
                        }
                        // It was cut off.
                        () = receiver.woken() => {}
                        () = stalled => return End::Gone,
                    }
                }
                Flushed::Broken => return End::Gone,
                Flushed::CutOff => return End::CutOff,
            }
        }
    }
}

/// Throws away what comes until the client goes.
async fn drain(socket: &TcpStream) {
    let mut nothing = [0; 16 * 1024];
    while socket.readable().await.is_ok() {
        match socket.try_read(&mut nothing) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Waits until the client goes; what it sends meanwhile means nothing.
pub(crate) async fn until_gone(socket: &TcpStream, bytes: &BytesCounted) -> End {
    let mut nothing = [0; 64];
    loop {
        if socket.readable().await.is_err() {
            return End::Gone;
        }
        match socket.try_read(&mut nothing) {
            Ok(0) => return End::Gone,
            Ok(count) => bytes.add_received(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return End::Gone,
        }
    }
}
