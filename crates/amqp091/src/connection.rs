//! The socket: read, split into frames, handle in order, deliver, write together.
//!
//! One task, one loop of polls. Each round reads what is there, handles its frames, puts what
//! was published into its queues, collects what became durable, delivers what may go out, and
//! writes all that with one call; it sleeps when a whole round moved nothing. A peer that takes
//! nothing is neither delivered to nor read from.

use crate::{
    api,
    client::{Client, Place, Step},
    context::Shared,
    error::Refusal,
    inbox::Inbox,
    outbox::SLICES_MAX,
    session::{Due, Phase, Violation},
};
use futures_util::future::BoxFuture;
use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as Task, Poll},
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tramline_broker::Registration;
use tramline_types::{Clock, Monotonic};
use tramline_wire_amqp091::{DecodeError, PROTOCOL_HEADER, ReplyCode, frame};

/// Why a connection ends without the closing words of its protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// One client's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    client: Client,
    inbox: Inbox,
    peer_closed: bool,
    /// A frame is handled again when the publishes before it are durable.
    awaits_durable: bool,
    /// Resolves to why the connection is to be closed.
    stopping: Option<BoxFuture<'static, String>>,
    timer: Option<(Monotonic, BoxFuture<'static, ()>)>,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
        shared: Arc<Shared>,
        peer: SocketAddr,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let broker = &shared.broker;
        let registered = broker.connections().register("amqp-0-9-1", peer, broker.clock().now());
        let registration = Arc::new(registered);
        let stopping = Some(stopping(Arc::clone(&registration), shutdown));
        Self {
            stream,
            client: Client::new(shared, registration, peer),
            inbox: Inbox::default(),
            peer_closed: false,
            awaits_durable: false,
            stopping,
            timer: None,
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let result = poll_fn(|task| self.poll(task)).await;
        let Self { stream, mut client, .. } = self;
        drop(stream);
        client.release();
        // A half-done change ends without its client, and before what belongs to the connection
        // goes: what it got or declared in that moment would be held for ever.
        client.finish_current().await;
        let (broker, id) = (client.broker().clone(), client.id);
        drop(client);
        broker.connection_closed(id).await;
        result
    }

    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        self.client.wakes.register(task.waker());
        loop {
            let now = self.client.broker().clock().monotonic();
            self.client.now = now;
            self.poll_stopping(task);
            let mut moved = self.poll_read(task, now)?;
            moved |= self.client.poll_current(task);
            if !moved {
                self.client.commit_now();
            }
            moved |= self.client.poll_confirms(task);
            moved |= self.poll_frames(task)?;
            if self.client.session.phase() == Phase::Open {
                moved |= self.client.poll_deliveries();
            }
            moved |= self.poll_write(task, now)?;
            if self.is_done() {
                return Poll::Ready(Ok(()));
            }
            if !moved && self.poll_deadline(task, now)?.is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_done(&self) -> bool {
        let is_written = self.client.outbox.is_empty();
        match self.client.session.phase() {
            Phase::Closed => is_written || self.peer_closed,
            _ => self.peer_closed && !self.client.is_waiting() && !self.inbox.has_frames(),
        }
    }

    /// The broker stops, or the operator closes the connection.
    fn poll_stopping(&mut self, task: &mut Task<'_>) {
        let Some(stopping) = &mut self.stopping else { return };
        let Poll::Ready(reason) = stopping.as_mut().poll(task) else { return };
        self.stopping = None;
        if self.client.session.phase() < Phase::Tuning {
            self.client.session.enter(Phase::Closed, self.client.now);
        } else {
            let refusal = Refusal::new(ReplyCode::ConnectionForced, reason);
            self.client.close(Place::default(), &refusal);
        }
    }

    /// Reading stops while frames wait for their turn, while too much is not durable, and while
    /// the peer does not take what it is sent: TCP holds the peer back then.
    fn wants_bytes(&self) -> bool {
        !self.peer_closed
            && self.client.session.phase() != Phase::Closed
            && !self.inbox.has_frames()
            && !self.client.is_waiting()
            && !self.client.publishes.is_full()
            && !self.client.is_unread()
    }

    fn poll_read(&mut self, task: &mut Task<'_>, now: Monotonic) -> Result<bool, Error> {
        if !self.wants_bytes() {
            self.client.leave_room();
            self.client.session.handle_unread(now);
            return Ok(false);
        }
        if self.client.poll_room(task).is_pending() {
            self.client.session.handle_unread(now);
            return Ok(false);
        }
        let (received, room) = self.inbox.room();
        let read = pin!(self.stream.read_buf(received)).poll(task);
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.peer_closed = true;
                Ok(true)
            }
            Poll::Ready(Ok(n)) => {
                self.inbox.handle_read(n, room);
                self.client.session.handle_received(now);
                let n = u64::try_from(n).expect("a read fits 64 bits");
                self.client.cx.metrics.bytes_received.inc_by(n);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    /// Handles the frames that are there.
    fn poll_frames(&mut self, task: &mut Task<'_>) -> Result<bool, Error> {
        if self.client.session.phase() == Phase::Greeting && !self.greet()? {
            return Ok(false);
        }
        if self.client.is_waiting() || self.client.session.phase() == Phase::Closed {
            return Ok(false);
        }
        if self.awaits_durable && !self.client.publishes.is_settled() {
            return Ok(false);
        }
        self.awaits_durable = false;
        let frame_max = self.client.session.frame_max();
        match self.inbox.split(frame_max) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => return self.malformed(error),
        }
        let handled = self.handle_frames(frame_max);
        if !self.client.is_waiting() {
            self.client.flush_publishes();
        }
        self.client.flush_settles();
        self.client.keep_unfinished();
        self.client.poll_current(task);
        handled
    }

    fn handle_frames(&mut self, frame_max: usize) -> Result<bool, Error> {
        let (frames, mut at) = self.inbox.frames();
        let mut moved = false;
        while at < frames.len() && !self.client.is_waiting() && !self.client.is_unread() {
            let frame = match frame::split(&frames[at..], frame_max) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return self.malformed(error),
            };
            match self.client.handle_frame(&frames, &frame) {
                Step::Done | Step::Wait(_) => at += frame.len(),
                Step::Flush => {
                    self.client.flush_publishes();
                    break;
                }
                Step::Settled => {
                    self.client.flush_publishes();
                    self.awaits_durable = true;
                    break;
                }
            }
            moved = true;
        }
        self.inbox.set_handled(at);
        Ok(moved)
    }

    /// Bytes that are no frames: what follows them means nothing.
    fn malformed(&mut self, error: DecodeError) -> Result<bool, Error> {
        self.inbox.clear();
        if self.client.session.phase() < Phase::Tuning {
            self.client.session.enter(Phase::Closed, self.client.now);
            return Ok(true);
        }
        if self.client.session.phase() >= Phase::Closing {
            self.peer_closed = true;
            return Ok(true);
        }
        self.client.refuse(Place::default(), &error.into());
        Ok(true)
    }

    /// The protocol header. A client that speaks something else is told what is spoken here.
    fn greet(&mut self) -> Result<bool, Error> {
        let Some(greeting) = self.inbox.greeting() else { return Ok(false) };
        if greeting != PROTOCOL_HEADER {
            self.client.outbox.writer().slice(&PROTOCOL_HEADER);
            self.client.session.enter(Phase::Closed, self.client.now);
            return Ok(true);
        }
        api::start(&mut self.client);
        Ok(true)
    }

    fn poll_write(&mut self, task: &mut Task<'_>, now: Monotonic) -> Result<bool, Error> {
        let mut moved = false;
        while !self.client.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let n_slices = self.client.outbox.fill(&mut slices);
            let stream = Pin::new(&mut self.stream);
            match stream.poll_write_vectored(task, &slices[..n_slices]) {
                Poll::Pending => {
                    self.client.session.handle_unsent(now);
                    break;
                }
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(Ok(n)) => {
                    self.client.outbox.advance(n);
                    self.client.session.handle_sent(now, !self.client.outbox.is_empty());
                    let n = u64::try_from(n).expect("a write fits 64 bits");
                    self.client.cx.metrics.bytes_sent.inc_by(n);
                    moved = true;
                }
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
        Ok(moved)
    }

    /// Sleeps until the next deadline. The timer is left alone while it is early enough.
    fn poll_deadline(
        &mut self,
        task: &mut Task<'_>,
        now: Monotonic,
    ) -> Result<Poll<()>, Violation> {
        let mut polled = Poll::Pending;
        if self.client.session.handle_timeout(now)? == Due::Heartbeat {
            self.client.outbox.shrink();
            self.client.outbox.writer().slice(&frame::HEARTBEAT);
            polled = Poll::Ready(());
        }
        let own = self.client.handle_timeout(now);
        polled = if own { Poll::Ready(()) } else { polled };
        self.client.look_at_room(now);
        let deadlines = [self.client.session.poll_timeout(), self.client.poll_timeout()];
        let Some(deadline) = deadlines.into_iter().flatten().min() else { return Ok(polled) };
        if self.timer.as_ref().is_none_or(|(armed_for, _)| deadline < *armed_for) {
            let clock: Arc<dyn Clock> = self.client.broker().clock().clone();
            let sleep = Box::pin(async move { clock.sleep_until(Some(deadline)).await });
            self.timer = Some((deadline, sleep));
        }
        let (_, sleep) = self.timer.as_mut().expect("it was just set");
        if sleep.as_mut().poll(task).is_ready() {
            self.timer = None;
            polled = Poll::Ready(());
        }
        Ok(polled)
    }
}

/// Why the connection is to be closed, once it is.
fn stopping(
    registration: Arc<Registration>,
    mut shutdown: watch::Receiver<bool>,
) -> BoxFuture<'static, String> {
    Box::pin(async move {
        let stops = async {
            // An error means that nobody can say "stop" any more, which is the same.
            drop(shutdown.wait_for(|stop| *stop).await);
        };
        tokio::select! {
            reason = registration.closing() => reason,
            () = stops => "the broker is stopping".to_owned(),
        }
    })
}
