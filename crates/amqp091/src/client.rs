//! One connected client: its channels and consumers, what it waits for, and what it is sent.
//!
//! Frames come in one by one; what cannot be answered at once becomes a [`Wait`], and until that
//! is over no further frame is handled. Deliveries, confirms and heartbeats go on meanwhile.

mod consume;
mod holding;
mod publish;
mod queues;
mod settle;

pub(crate) use consume::{ConsumerKey, Subscriber, Subscribers, shown};
pub(crate) use publish::Publishes;
pub(crate) use settle::{Settles, outcome};

use crate::{
    api,
    channel::{self, Channel},
    context::Shared,
    error::Refusal,
    outbox::Outbox,
    reply_to::Mailbox,
    room::{Holding, Room},
    session::{Agreement, Phase, Session},
    wakes::Wakes,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{net::SocketAddr, sync::Arc, task::Poll, time::Duration};
use tramline_broker::{Broker, Queue, Registration};
use tramline_types::{ConnectionId, Monotonic, limits::ANSWERS_UNSENT_BYTES_MAX};
use tramline_wire_amqp091::{
    Frame, FrameKind, Method, ReplyCode,
    hot::{self, Hot},
    method::{channel as channel_class, connection as connection_class},
};

/// What is done with a client when something that it waited for is over.
pub(crate) type Completion = Box<dyn FnOnce(&mut Client) -> Result<(), Refusal> + Send>;

/// Something that a client waits for.
pub(crate) type Wait = BoxFuture<'static, Completion>;

/// What handling a frame came to.
pub(crate) enum Step {
    /// It is done.
    Done,
    /// It is done when this is.
    Wait(Wait),
    /// It comes again when the publishes before it are in their queues.
    Flush,
    /// It comes again when the publishes before it are durable, and so can be seen.
    Settled,
}

/// What frames are to wait for, and whose it is.
struct Current {
    place: Place,
    wait: Wait,
}

/// The method that is handled: a refusal names it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) channel: u16,
    pub(crate) class: u16,
    pub(crate) method: u16,
}

impl Place {
    /// The place of a frame: content belongs to basic.publish.
    fn of(frame: &Frame<'_>) -> Self {
        let id = |at: usize| {
            let bytes = frame.payload.get(at..at + 2);
            bytes.map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let (class, method) = match frame.kind {
            FrameKind::Method => (id(0), id(2)),
            FrameKind::Header | FrameKind::Body => (60, 40),
            FrameKind::Heartbeat => (0, 0),
        };
        Self { channel: frame.channel, class, method }
    }
}

/// What the client's library can do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) cancel_notify: bool,
    pub(crate) blocked: bool,
    pub(crate) authentication_failure_close: bool,
}

/// One connected client.
pub(crate) struct Client {
    pub(crate) cx: Arc<Shared>,
    pub(crate) id: ConnectionId,
    pub(crate) registration: Arc<Registration>,
    pub(crate) peer: SocketAddr,
    pub(crate) session: Session,
    pub(crate) outbox: Outbox,
    pub(crate) user: String,
    pub(crate) capabilities: Capabilities,
    /// By number; they are few and the numbers small.
    channels: Vec<Option<Box<Channel>>>,
    openings: u64,
    pub(crate) subscribers: Subscribers,
    pub(crate) publishes: Publishes,
    /// Channels with a content that goes on in later frames.
    unfinished: Vec<u16>,
    /// What uncommitted transactions publish, in all channels.
    pub(crate) uncommitted_bytes: usize,
    holding: Holding,
    room: Room,
    pub(crate) settles: Settles,
    pub(crate) wakes: Arc<Wakes>,
    pub(crate) mailbox: Arc<Mailbox>,
    current: Option<Current>,
    pub(crate) now: Monotonic,
    /// The disk is full, and clients that can be told are told: when to look again.
    pub(crate) blocked_until: Option<Monotonic>,
}

impl Client {
    pub(crate) fn new(cx: Arc<Shared>, registration: Arc<Registration>, peer: SocketAddr) -> Self {
        let now = cx.broker.clock().monotonic();
        let offered = Agreement {
            channels_max: cx.options.channels_max,
            frame_bytes_max: cx.options.frame_bytes_max,
            heartbeat: cx.options.heartbeat,
        };
        let wakes = Arc::new(Wakes::default());
        Self {
            id: registration.id(),
            registration,
            session: Session::new(now, offered),
            mailbox: Mailbox::new(&wakes),
            wakes,
            peer,
            outbox: Outbox::default(),
            user: String::new(),
            capabilities: Capabilities::default(),
            channels: Vec::new(),
            openings: 0,
            subscribers: Subscribers::default(),
            publishes: Publishes::default(),
            unfinished: Vec::new(),
            uncommitted_bytes: 0,
            holding: Holding::default(),
            room: Room::new(Arc::clone(&cx.broker.budgets().received)),
            settles: Settles::default(),
            current: None,
            now,
            blocked_until: None,
            cx,
        }
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.cx.broker
    }

    /// Sends a method.
    pub(crate) fn send(&mut self, channel: u16, method: impl Into<Method>) {
        method.into().encode_into(self.outbox.writer(), channel);
    }

    /// Answers on a channel, unless it was closed or opened again meanwhile.
    pub(crate) fn answer(&mut self, channel: u16, opening: u64, method: impl Into<Method>) {
        if self.open_channel(channel, opening).is_some() {
            self.send(channel, method);
        }
    }

    /// An open channel.
    pub(crate) fn channel(&mut self, number: u16) -> Result<&mut Channel, Refusal> {
        let channel = self.channels.get_mut(usize::from(number)).and_then(Option::as_deref_mut);
        channel.filter(|channel| channel.phase == channel::Phase::Open).ok_or_else(not_open)
    }

    /// A channel, if it is open and is that one still.
    pub(crate) fn open_channel(&mut self, number: u16, opening: u64) -> Option<&mut Channel> {
        self.channel(number).ok().filter(|channel| channel.opening == opening)
    }

    /// Whether anything is waited for.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the client leaves so much unread that nothing more is done for it.
    pub(crate) fn is_unread(&self) -> bool {
        self.outbox.len() >= 2 * ANSWERS_UNSENT_BYTES_MAX
    }

    /// Handles one frame of `frames`.
    pub(crate) fn handle_frame(&mut self, frames: &Bytes, frame: &Frame<'_>) -> Step {
        let place = Place::of(frame);
        let step = match frame.kind {
            _ if self.session.phase() == Phase::Closed => return Step::Done,
            FrameKind::Heartbeat if frame.channel == 0 => return Step::Done,
            FrameKind::Heartbeat => {
                Err(Refusal::new(ReplyCode::FrameError, "a heartbeat belongs to channel 0"))
            }
            FrameKind::Method => self.handle_method(frames, frame),
            FrameKind::Header | FrameKind::Body => {
                self.handle_content(frames, frame).map(|()| Step::Done)
            }
        };
        match step {
            Ok(Step::Wait(wait)) => {
                self.current = Some(Current { place, wait });
                Step::Done
            }
            Ok(step) => step,
            Err(refusal) => {
                self.refuse(place, &refusal);
                Step::Done
            }
        }
    }

    fn handle_method(&mut self, frames: &Bytes, frame: &Frame<'_>) -> Result<Step, Refusal> {
        if frame.channel == 0 || self.session.phase() != Phase::Open {
            return api::handle_connection(self, frame);
        }
        match self.channel_phase(frame.channel) {
            Some(channel::Phase::Open) => {}
            Some(channel::Phase::Closing) => return Ok(self.handle_while_closing(frame)),
            None => return api::handle_unopened(self, frame),
        }
        let hot = hot::decode(frame.payload)?;
        if self.channel(frame.channel)?.content.is_some() {
            let text = "expected content header for class 60, got a method frame instead";
            return Err(Refusal::new(ReplyCode::UnexpectedFrame, text));
        }
        match hot {
            Hot::Publish(publish) => self.handle_publish(frame.channel, frames, &publish)?,
            Hot::Settle(settle) => self.handle_settle(frame.channel, &settle)?,
            Hot::Other => {
                if self.publishes.is_unflushed() {
                    return Ok(Step::Flush);
                }
                self.flush_settles();
                return api::handle(self, frame.channel, Method::decode(frame.payload)?);
            }
        }
        Ok(Step::Done)
    }

    fn channel_phase(&self, number: u16) -> Option<channel::Phase> {
        let channel = self.channels.get(usize::from(number)).and_then(Option::as_deref);
        channel.map(|channel| channel.phase)
    }

    /// A frame for a channel that was told to close.
    fn handle_while_closing(&mut self, frame: &Frame<'_>) -> Step {
        match Method::decode(frame.payload) {
            Ok(Method::ChannelCloseOk(_)) => self.remove_channel(frame.channel),
            Ok(Method::ChannelClose(_)) => {
                self.send(frame.channel, channel_class::CloseOk {});
                self.remove_channel(frame.channel);
            }
            // Sent before the client saw the close.
            Ok(_) | Err(_) => {}
        }
        Step::Done
    }

    fn handle_content(&mut self, frames: &Bytes, frame: &Frame<'_>) -> Result<(), Refusal> {
        if self.session.phase() == Phase::Closing {
            return Ok(());
        }
        match self.channel_phase(frame.channel) {
            Some(channel::Phase::Closing) => return Ok(()),
            Some(channel::Phase::Open) => {}
            None => return Err(not_open()),
        }
        match frame.kind {
            FrameKind::Header => self.handle_header(frame.channel, frames, frame.payload),
            _ => self.handle_body(frame.channel, frames.slice_ref(frame.payload)),
        }
    }

    /// Opens a channel.
    pub(crate) fn insert_channel(&mut self, number: u16) -> Result<(), Refusal> {
        let limit = self.session.agreed().channels_max;
        if number > limit {
            let text = format!(
                "number of channels opened ({number}) has reached the negotiated channel_max \
                 ({limit})"
            );
            return Err(Refusal::new(ReplyCode::NotAllowed, text));
        }
        let index = usize::from(number);
        if self.channels.len() <= index {
            self.channels.resize_with(index + 1, || None);
        }
        self.openings += 1;
        self.channels[index] = Some(Box::new(Channel::new(self.openings)));
        self.cx.metrics.channels.inc();
        Ok(())
    }

    /// Forgets a channel; what was out returns to its queues.
    pub(crate) fn remove_channel(&mut self, number: u16) {
        self.release_channel(number);
        if self.channels[usize::from(number)].take().is_some() {
            self.cx.metrics.channels.dec();
        }
    }

    /// The numbers of the channels.
    pub(crate) fn channel_numbers(&self) -> Vec<u16> {
        let taken = self.channels.iter().enumerate().filter(|(_, channel)| channel.is_some());
        taken.filter_map(|(number, _)| u16::try_from(number).ok()).collect()
    }

    /// Ends a channel's consumers and gives back what is out.
    fn release_channel(&mut self, number: u16) {
        let Some(Some(channel)) = self.channels.get_mut(usize::from(number)) else { return };
        channel.content = None;
        let consumers = std::mem::take(&mut channel.consumers);
        if let Some((_, address)) = channel.reply_consumer.take() {
            self.cx.reply_to.remove(&address);
        }
        // What waited for a commit that never came is out still.
        if let channel::Mode::Transaction(left) =
            std::mem::replace(&mut channel.mode, channel::Mode::Plain)
        {
            self.uncommitted_bytes -= left.bytes;
            channel.unacked.put_back(left.settles.into_iter().map(|(tag, out, _)| (tag, out)));
        }
        for (_, index) in consumers {
            self.subscribers.remove(index);
        }
        self.requeue_all(number);
        self.flush_settles();
    }

    /// Closes the channel, or the connection, as the code demands.
    pub(crate) fn refuse(&mut self, place: Place, refusal: &Refusal) {
        if self.session.phase() >= Phase::Closing {
            return;
        }
        self.cx.metrics.errors.inc();
        tracing::debug!(
            peer = %self.peer, channel = place.channel, text = refusal.reply_text(), "refused"
        );
        if refusal.code.is_hard() || place.channel == 0 {
            self.close(place, refusal);
            return;
        }
        self.send(
            place.channel,
            channel_class::Close {
                reply_code: refusal.code.code(),
                reply_text: refusal.reply_text(),
                class_id: place.class,
                method_id: place.method,
            },
        );
        self.release_channel(place.channel);
        if let Some(Some(channel)) = self.channels.get_mut(usize::from(place.channel)) {
            channel.phase = channel::Phase::Closing;
        }
    }

    /// Closes the connection with a reason.
    pub(crate) fn close(&mut self, place: Place, refusal: &Refusal) {
        if self.session.phase() >= Phase::Closing {
            return;
        }
        self.send(
            0,
            connection_class::Close {
                reply_code: refusal.code.code(),
                reply_text: refusal.reply_text(),
                class_id: place.class,
                method_id: place.method,
            },
        );
        self.session.enter(Phase::Closing, self.now);
        self.release();
    }

    /// Ends every channel.
    pub(crate) fn release(&mut self) {
        for number in self.channel_numbers() {
            self.remove_channel(number);
        }
        self.flush_settles();
    }

    /// Goes on with what is waited for.
    pub(crate) fn poll_current(&mut self, task: &mut std::task::Context<'_>) -> bool {
        let Some(current) = &mut self.current else { return false };
        let Poll::Ready(completion) = current.wait.as_mut().poll(task) else { return false };
        let place = current.place;
        self.current = None;
        if let Err(refusal) = completion(self) {
            let is_there = place.channel == 0 || self.channel(place.channel).is_ok();
            if is_there {
                self.refuse(place, &refusal);
            }
        }
        true
    }

    /// Starts to put the publishes that came into their queues.
    pub(crate) fn flush_publishes(&mut self) {
        debug_assert!(self.current.is_none(), "frames wait for what is under way");
        if let Some(wait) = self.publishes.flush(&self.cx.broker) {
            self.current = Some(Current { place: Place::default(), wait });
        }
    }

    /// When [`Client::handle_timeout`] has something to do.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        let channels = self.channels.iter().flatten();
        let due = channels.filter_map(|channel| channel.unacked.poll_due());
        due.chain(self.blocked_until).min()
    }

    /// How long a delivery of a queue may be out.
    pub(crate) fn consumer_timeout(&self, queue: &Queue) -> Option<Duration> {
        let timeout = match queue.settings().consumer_timeout_ms {
            0 => self.cx.options.consumer_timeout,
            of_queue => Duration::from_millis(of_queue),
        };
        (!timeout.is_zero()).then_some(timeout)
    }

    /// Closes the channels whose deliveries were not settled in time, and tells the client when
    /// the disk has space again; says whether anything was sent.
    pub(crate) fn handle_timeout(&mut self, now: Monotonic) -> bool {
        let mut sent = self.blocked_until.is_some_and(|at| at <= now) && self.look_for_space();
        for index in 0..self.channels.len() {
            let Some(channel) = self.channels[index].as_deref_mut() else { continue };
            let Some(late) = channel.unacked.late(now) else { continue };
            let queue = usize::try_from(late.queue).ok().and_then(|at| channel.queues.get(at));
            let Some((queue, number)) = queue.cloned().zip(u16::try_from(index).ok()) else {
                continue;
            };
            let text = format!(
                "delivery acknowledgement on channel {number} timed out. Timeout value used: {} \
                 ms. This timeout value can be configured, see consumers doc guide to learn more",
                self.consumer_timeout(&queue).unwrap_or_default().as_millis()
            );
            let place = Place { channel: number, ..Place::default() };
            self.refuse(place, &Refusal::precondition(text));
            sent = true;
        }
        sent
    }

    /// Ends what is waited for, when the client is gone.
    pub(crate) async fn finish_current(&mut self) {
        let Some(current) = self.current.take() else { return };
        let completion = current.wait.await;
        // Whoever would be told of a refusal is gone.
        drop(completion(self));
        self.release();
    }
}

pub(crate) fn not_open() -> Refusal {
    Refusal::new(ReplyCode::ChannelError, "expected 'channel.open'")
}
