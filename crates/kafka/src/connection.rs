//! The socket: read, split into frames, apply in order, answer in order, write together.
//!
//! One task, one loop of polls. Each round reads what is there, starts what can be started,
//! collects the answers that are ready from the front, and writes them with one call; it sleeps
//! when a whole round moved nothing. At most one request is being applied; Produce requests that
//! are applied wait among the answers for their durability.

use crate::{
    api::{self, Applying, HangUp, Outcome},
    context::Context,
    outbox::{Outbox, SLICES_MAX},
    room::{Room, Wish},
    session::{Activity, Session, Violation},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as Task, Poll},
};
use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tramline_types::{
    Clock, Monotonic,
    limits::{ANSWERS_UNSENT_BYTES_MAX, CONNECTION_BYTES_FREE, REQUESTS_IN_FLIGHT_MAX},
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
    /// With the size of the request, whose bytes stay in memory until then.
    Pending(BoxFuture<'static, Result<Vec<Bytes>, EncodeError>>, usize),
}

/// The request that is being applied.
struct Current {
    hang_up: HangUp,
    applying: Applying,
    /// What is held of the request.
    bytes: usize,
    let_go: Option<Arc<AtomicBool>>,
}

impl Current {
    /// The bytes that are let go of since this was asked last.
    fn take_let_go(&mut self) -> usize {
        let let_go = self.let_go.take_if(|let_go| let_go.load(Ordering::Relaxed));
        if let_go.is_some() { std::mem::take(&mut self.bytes) } else { 0 }
    }
}

/// One client's connection.
pub(crate) struct Connection {
    stream: TcpStream,
    cx: Arc<Context>,
    session: Session,
    received: BytesMut,
    read_bytes: usize,
    peer_closed: bool,
    current: Option<Current>,
    answers: VecDeque<Answer>,
    room: Room,
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
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            peer_closed: false,
            current: None,
            answers: VecDeque::new(),
            room: Room::new(Arc::clone(&cx.broker().budgets().received)),
            outbox: Outbox::default(),
            failed: None,
            stopping,
            timer: None,
            cx: Arc::new(cx),
        }
    }

    /// Serves the connection to its end.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let result = poll_fn(|task| self.poll(task)).await;
        if let Some(current) = self.current.take()
            && current.hang_up == HangUp::Finishes
        {
            // A half-done change must not be left: it ends without its client.
            let mut room = self.room;
            room.stop_waiting();
            tokio::spawn(async move {
                drop(current.applying.await);
                drop(room);
            });
        }
        result
    }

    fn poll(&mut self, task: &mut Task<'_>) -> Poll<Result<(), Error>> {
        loop {
            let now = self.cx.broker().clock().monotonic();
            if !self.session.is_draining() && self.stopping.as_mut().poll(task).is_ready() {
                self.session.handle_drain(now);
            }
            self.session.handle_time(now);
            let mut moved = self.poll_peer(task, now);
            let has_more = moved && self.poll_peer(task, now);
            if !has_more && self.answers.len() == 1 {
                self.cx.broker().store().commit_now();
            }
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
        let finishing = self.is_finishing();
        if self.peer_closed {
            return !finishing;
        }
        (self.session.is_draining() || self.failed.is_some())
            && !finishing
            && self.answers.is_empty()
            && self.outbox.is_empty()
    }

    fn is_finishing(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.hang_up == HangUp::Finishes)
    }

    fn activity(&self) -> Activity {
        let begun = !self.received.is_empty() && !self.room.is_waiting();
        let wants_bytes = self.wants_bytes().unwrap_or(false);
        let mid_frame = begun && wants_bytes && !self.is_left_alone();
        let unsent = !self.outbox.is_empty();
        // A whole request, to be begun when the peer has taken answers.
        let blocked = begun && !wants_bytes && unsent && self.current.is_none();
        let room_wanted = (mid_frame || blocked) && self.room.is_wanted();
        Activity {
            mid_frame,
            holds_room: begun && self.room.is_held(),
            room_wanted: mid_frame && room_wanted,
            blocked: blocked && room_wanted,
            unsent,
            working: self.current.is_some() || !self.answers.is_empty(),
        }
    }

    /// Whether nothing is begun for the sake of a quota, and nothing is read beyond what each
    /// connection may have. Who holds what others wait for goes on: the next ones wait longer.
    fn is_left_alone(&self) -> bool {
        self.session.is_muted() && !self.room.is_wanted()
    }

    /// Takes what the peer sends, until it does something wrong.
    fn poll_peer(&mut self, task: &mut Task<'_>, now: Monotonic) -> bool {
        if self.failed.is_some() {
            self.room.stop_waiting();
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
            self.room.stop_waiting();
            return Ok(false);
        }
        self.make_space()?;
        let room = self.received.capacity() - self.received.len();
        let Poll::Ready(granted) = self.poll_room(task, room)? else { return Ok(false) };
        let mut limited = (&mut self.received).limit(granted);
        let read = pin!(self.stream.read_buf(&mut limited)).poll(task);
        match read {
            Poll::Pending => {
                if self.received.is_empty() && self.received.capacity() > CONNECTION_BYTES_FREE {
                    self.received = BytesMut::new(); // Whoever is idle keeps little.
                }
                Ok(false)
            }
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
                self.session.handle_received(now);
                let n = u64::try_from(n).expect("a read fits 64 bits");
                self.cx.metrics().bytes_received.inc_by(n);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    /// Space for the next read. The buffer grows twofold with what has come, and to no more than
    /// the end of a large request: what it takes is what its share of the budget says.
    fn make_space(&mut self) -> Result<(), Error> {
        let len = self.received.len();
        let space = self.received.capacity() - len;
        let missing = self.session.bytes_missing(&self.received)?;
        if len + missing <= CONNECTION_BYTES_FREE {
            if space < self.read_bytes / 4 {
                self.received.reserve(self.read_bytes);
            }
        } else if space < missing.min(self.read_bytes / 4) {
            let mut grown = BytesMut::with_capacity(len + missing.min(len.max(self.read_bytes)));
            grown.extend_from_slice(&self.received);
            self.received = grown;
        }
        Ok(())
    }

    /// How much may be read, where all that other connections have received leaves room.
    fn poll_room(&mut self, task: &mut Task<'_>, room: usize) -> Result<Poll<usize>, Error> {
        let received = self.received.len();
        if self.room.is_free(received + room) {
            self.room.stop_waiting();
            return Ok(Poll::Ready(room));
        }
        if self.is_left_alone() {
            self.room.stop_waiting();
            return Ok(Poll::Pending);
        }
        // Room is asked for bytes that are there, or who is silent would take it from others.
        if self.stream.poll_read_ready(task)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let needed = self.session.bytes_missing(&self.received)?;
        Ok(self.room.poll_read(task, received, Wish { wanted: room, needed }))
    }

    fn poll_requests(&mut self, task: &mut Task<'_>) -> Result<bool, Error> {
        let mut moved = false;
        loop {
            if let Some(current) = &mut self.current {
                let applied = current.applying.as_mut().poll(task);
                let Poll::Ready(outcome) = applied else {
                    let bytes = current.take_let_go();
                    if bytes > 0 {
                        self.give_back(bytes);
                    }
                    return Ok(moved);
                };
                let bytes = current.bytes;
                self.current = None;
                moved = true;
                let api::Applied { outcome, throttle } = outcome?;
                self.session.handle_throttle(self.cx.broker().clock().monotonic(), throttle);
                match outcome {
                    Outcome::Later(answer) => {
                        self.answers.push_back(Answer::Pending(answer, bytes));
                    }
                    outcome => {
                        self.give_back(bytes);
                        match outcome {
                            Outcome::Answer(chunks) => {
                                self.answers.push_back(Answer::Ready(chunks));
                            }
                            Outcome::Close => return Err(Error::SilentFailure),
                            Outcome::Silent | Outcome::Later(_) => {}
                        }
                    }
                }
            }
            if self.is_full() || self.is_left_alone() {
                return Ok(moved);
            }
            let Some(frame) = self.session.poll_frame(&mut self.received)? else {
                return Ok(moved);
            };
            self.session.handle_frame();
            let bytes = frame.len();
            let api::Started { hang_up, applying, let_go } = api::start(&self.cx, frame)?;
            self.room.handle_frame(bytes);
            self.current = Some(Current { hang_up, applying, bytes, let_go });
            self.session.handle_valid_request();
        }
    }

    /// The bytes of a request are no longer needed.
    fn give_back(&mut self, bytes: usize) {
        let missing = self.session.bytes_missing(&self.received).unwrap_or(0);
        self.room.handle_done(self.received.len(), missing, bytes);
    }

    /// Whether no further request is begun: too much waits to be answered or taken.
    fn is_full(&self) -> bool {
        let unsent = self.outbox.len();
        self.session.is_draining()
            || self.answers.len() >= REQUESTS_IN_FLIGHT_MAX
            || unsent >= ANSWERS_UNSENT_BYTES_MAX
            || unsent >= CONNECTION_BYTES_FREE && self.cx.broker().budgets().answers.is_used_up()
    }

    fn poll_answers(&mut self, task: &mut Task<'_>) -> Result<bool, Error> {
        let mut moved = false;
        while let Some(front) = self.answers.front_mut() {
            let chunks = match front {
                Answer::Ready(chunks) => std::mem::take(chunks),
                Answer::Pending(answer, bytes) => match answer.as_mut().poll(task) {
                    Poll::Ready(chunks) => {
                        let bytes = *bytes;
                        self.give_back(bytes);
                        chunks?
                    }
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
