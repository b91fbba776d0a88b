//! The socket: read, split into frames, apply in order, answer in order, write together.
//!
//! One task, one loop of polls. Each round reads what is there, starts what can be started,
//! collects the answers that are ready from the front, and writes them with one call; it sleeps
//! when a whole round moved nothing. At most one request is being applied; Produce requests that
//! are applied wait among the answers for their durability.

use crate::{
    api::{self, HangUp, Outcome},
    context::Context,
    outbox::{Outbox, SLICES_MAX},
    session::{Activity, Session, Violation},
};
use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context as Task, Poll},
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tramline_types::{
    Clock, Monotonic,
    limits::{ANSWERS_UNSENT_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX},
};
use tramline_wire::{DecodeError, EncodeError};

/// What a read makes room for: grows while reads fill it, shrinks while they do not.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;

/// Why a connection ends before its peer closes it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error("malformed request: {0}")]
    Decode(#[from] DecodeError),
    #[error("an answer cannot be encoded: {0}")]
    Encode(#[from] EncodeError),
    #[error("a request without an answer failed")]
    SilentFailure,
}

/// An answer in its place in the order.
enum Answer {
    Ready(Vec<Bytes>),
    Pending(BoxFuture<'static, Result<Vec<Bytes>, EncodeError>>),
}

/// One client's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    cx: Arc<Context>,
    session: Session,
    received: BytesMut,
    read_bytes: usize,
    peer_closed: bool,
    current: Option<(HangUp, BoxFuture<'static, Result<Outcome, EncodeError>>)>,
    answers: VecDeque<Answer>,
    outbox: Outbox,
    /// What the peer did wrong: the connection ends when earlier requests are answered.
    failed: Option<Error>,
    stopping: BoxFuture<'static, ()>,
    timer: Option<(Monotonic, BoxFuture<'static, ()>)>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, cx: Context, mut shutdown: watch::Receiver<bool>) -> Self {
        let now = cx.broker().clock().monotonic();
        let stopping = Box::pin(async move {
            // An error means that nobody can say "stop" any more, which is the same.
            drop(shutdown.wait_for(|stop| *stop).await);
        });
        Self {
            session: Session::new(now, cx.options().request_bytes_max),
            stream,
            cx: Arc::new(cx),
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            peer_closed: false,
            current: None,
            answers: VecDeque::new(),
            outbox: Outbox::default(),
            failed: None,
            stopping,
            timer: None,
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let result = poll_fn(|task| self.poll(task)).await;
        if let Some((HangUp::Finishes, current)) = self.current.take() {
            // A half-done change must not be left: it ends without its client.
            tokio::spawn(current);
        }
        result
    }

    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        loop {
            let now = self.cx.broker().clock().monotonic();
            if !self.session.is_draining() && self.stopping.as_mut().poll(task).is_ready() {
                self.session.handle_drain(now);
            }
            let mut moved = self.poll_peer(task, now);
            moved |= self.poll_answers(task)?;
            moved |= self.poll_write(task, now)?;
            if self.is_done() {
                return Poll::Ready(self.failed.take().map_or(Ok(()), Err));
            }
            self.session.handle_activity(now, self.activity());
            if !moved && self.poll_deadline(task, now)?.is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_done(&self) -> bool {
        let finishing = matches!(self.current, Some((HangUp::Finishes, _)));
        if self.peer_closed {
            return !finishing;
        }
        (self.session.is_draining() || self.failed.is_some())
            && !finishing
            && self.answers.is_empty()
            && self.outbox.is_empty()
    }

    fn activity(&self) -> Activity {
        Activity {
            mid_frame: !self.received.is_empty() && self.wants_bytes().unwrap_or(false),
            unsent: !self.outbox.is_empty(),
            working: self.current.is_some() || !self.answers.is_empty(),
        }
    }

    /// Takes what the peer sends, until it does something wrong.
    fn poll_peer(&mut self, task: &mut Task<'_>, now: Monotonic) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let read = self.poll_read(task, now);
        let moved = read.and_then(|read| Ok(read | self.poll_requests(task)?));
        moved.unwrap_or_else(|error| {
            self.failed = Some(error);
            true
        })
    }

    /// Reading stops while a whole frame waits for its turn: TCP holds the peer back then.
    fn wants_bytes(&self) -> Result<bool, Violation> {
        let open = !self.peer_closed && !self.session.is_draining();
        Ok(open && !self.session.has_frame(&self.received)?)
    }

    fn poll_read(&mut self, task: &mut Task<'_>, now: Monotonic) -> Result<bool, Error> {
        if !self.wants_bytes()? {
            return Ok(false);
        }
        if self.received.capacity() - self.received.len() < self.read_bytes / 4 {
            self.received.reserve(self.read_bytes);
        }
        let room = self.received.capacity() - self.received.len();
        let read = pin!(self.stream.read_buf(&mut self.received)).poll(task);
        match read {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.peer_closed = true;
                Ok(true)
            }
            Poll::Ready(Ok(n)) => {
                if n == room {
                    self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
                } else if n < self.read_bytes / 4 {
                    self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
                }
                self.session.handle_transfer(now);
                let n = u64::try_from(n).expect("a read fits 64 bits");
                self.cx.metrics().bytes_received.inc_by(n);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    fn poll_requests(&mut self, task: &mut Task<'_>) -> Result<bool, Error> {
        let mut moved = false;
        loop {
            if let Some((_, current)) = &mut self.current {
                let Poll::Ready(outcome) = current.as_mut().poll(task) else { return Ok(moved) };
                self.current = None;
                moved = true;
                match outcome? {
                    Outcome::Answer(chunks) => self.answers.push_back(Answer::Ready(chunks)),
                    Outcome::Later(answer) => self.answers.push_back(Answer::Pending(answer)),
                    Outcome::Silent => {}
                    Outcome::Close => return Err(Error::SilentFailure),
                }
            }
            if self.session.is_draining()
                || self.answers.len() >= REQUESTS_IN_FLIGHT_MAX
                || self.outbox.len() >= ANSWERS_UNSENT_BYTES_MAX
            {
                return Ok(moved);
            }
            let Some(frame) = self.session.poll_frame(&mut self.received)? else {
                return Ok(moved);
            };
            self.session.handle_frame();
            self.current = Some(api::start(&self.cx, frame)?);
            self.session.handle_valid_request();
        }
    }

    fn poll_answers(&mut self, task: &mut Task<'_>) -> Result<bool, Error> {
        let mut moved = false;
        while let Some(front) = self.answers.front_mut() {
            let chunks = match front {
                Answer::Ready(chunks) => std::mem::take(chunks),
                Answer::Pending(answer) => match answer.as_mut().poll(task) {
                    Poll::Ready(chunks) => chunks?,
                    Poll::Pending => break,
                },
            };
            self.answers.pop_front();
            self.outbox.push(chunks);
            moved = true;
        }
        Ok(moved)
    }

    fn poll_write(&mut self, task: &mut Task<'_>, now: Monotonic) -> Result<bool, Error> {
        let mut moved = false;
        while !self.outbox.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let n_slices = self.outbox.fill(&mut slices);
            let stream = Pin::new(&mut self.stream);
            match stream.poll_write_vectored(task, &slices[..n_slices]) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Poll::Ready(Ok(n)) => {
                    self.outbox.advance(n);
                    self.session.handle_taken(now);
                    let n = u64::try_from(n).expect("a write fits 64 bits");
                    self.cx.metrics().bytes_sent.inc_by(n);
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
        self.session.handle_timeout(now)?;
        let Some(deadline) = self.session.poll_timeout() else { return Ok(Poll::Pending) };
        if self.timer.as_ref().is_none_or(|(armed_for, _)| deadline < *armed_for) {
            let clock: Arc<dyn Clock> = self.cx.broker().clock().clone();
            let sleep = Box::pin(async move { clock.sleep_until(Some(deadline)).await });
            self.timer = Some((deadline, sleep));
        }
        let (_, sleep) = self.timer.as_mut().expect("it was just set");
        let polled = sleep.as_mut().poll(task);
        if polled.is_ready() {
            self.timer = None;
        }
        Ok(polled)
    }
}
