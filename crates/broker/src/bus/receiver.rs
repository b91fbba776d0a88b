//! One receiver: what waits for it, and the way out.
//!
//! Whoever has something for an idle receiver writes it to the socket himself, on his own thread,
//! without waiting; what the socket does not take is left to the receiver's own task, which
//! alone waits for it to be writable.
//!
//! Invariant: while `is_blocked`, nobody but the receiver's task writes.

use super::{
    buffer::{Buffer, LatestKey, Pushed, SLICES_MAX, Treatment},
    publication::{ChannelEvent, ChannelForm, ChannelMember},
};
use crate::{Budget, Share};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    io::{self, IoSlice},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use tramline_catalog::SlowConsumer;
use tramline_types::{
    ConnectionId, Timestamp,
    limits::{CONNECTION_BYTES_FREE, RECEIVER_BYTES_MAX},
};

/// Where a receiver's bytes go.
pub trait Outlet: Send + Sync {
    /// Writes what can be written without waiting; `WouldBlock` when that is nothing.
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// What a receiver is made with.
#[derive(Clone, Debug)]
pub struct NewReceiver {
    /// How events are spelt for it.
    pub form: &'static ChannelForm,
    /// What its client calls itself.
    pub client: Option<Arc<str>>,
    /// Its connection.
    pub connection: Option<ConnectionId>,
}

/// What a receiver's task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing waits: wait for [`Receiver::woken`].
    Idle,
    /// The socket takes no more: wait until it does.
    Blocked,
    /// The socket is broken: end.
    Broken,
    /// The receiver was too slow, where that means the end.
    CutOff,
}

/// How far behind a receiver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverFigures {
    /// Bytes that wait for it.
    pub bytes_waiting: usize,
    /// Publications that were dropped.
    pub dropped: u64,
    /// Publications of which a later one took the place.
    pub conflated: u64,
}

/// One receiver of publications.
pub struct Receiver {
    pub(super) number: u32,
    pub(super) opened: Timestamp,
    options: NewReceiver,
    inner: Mutex<Inner>,
    wake: Notify,
    outlet: OnceLock<Box<dyn Outlet>>,
    /// What waits for receivers is answers that nobody has taken.
    answers: Arc<Budget>,
    /// The offset of the last publication that came: one that is found by several patterns comes
    /// once. Written under the bus's lock alone.
    seen: AtomicU64,
}

#[derive(Default)]
struct Inner {
    buffer: Buffer,
    is_blocked: bool,
    is_cut_off: bool,
    is_broken: bool,
    /// The last word is said.
    has_ended: bool,
    /// Something was written since [`Receiver::beat`] was called last.
    has_written: bool,
    /// What it has of the budget.
    share: Option<Share>,
}

impl Inner {
    /// Counts what waits, but for what every connection may have.
    fn charge(&mut self, answers: &Arc<Budget>) {
        let bytes = self.buffer.bytes().saturating_sub(CONNECTION_BYTES_FREE);
        match &mut self.share {
            Some(_) if bytes == 0 => self.share = None,
            Some(share) => share.charge(bytes),
            None if bytes == 0 => {}
            None => self.share.insert(answers.share()).charge(bytes),
        }
    }
}

impl Receiver {
    pub(super) fn new(
        number: u32,
        opened: Timestamp,
        options: NewReceiver,
        answers: Arc<Budget>,
    ) -> Self {
        Self {
            number,
            opened,
            options,
            inner: Mutex::default(),
            wake: Notify::new(),
            outlet: OnceLock::new(),
            answers,
            seen: AtomicU64::new(0),
        }
    }

    pub(super) fn form(&self) -> &'static ChannelForm {
        self.options.form
    }

    pub(super) fn member(&self) -> ChannelMember {
        ChannelMember { receiver: self.number, client: self.options.client.clone() }
    }

    /// Its connection.
    pub fn connection(&self) -> Option<ConnectionId> {
        self.options.connection
    }

    /// What its client calls itself.
    pub fn client(&self) -> Option<&str> {
        self.options.client.as_deref()
    }

    /// How far behind it is.
    pub fn figures(&self) -> ReceiverFigures {
        let inner = self.inner.lock();
        let (dropped, conflated) = inner.buffer.lost();
        ReceiverFigures { bytes_waiting: inner.buffer.bytes(), dropped, conflated }
    }

    /// Whether this is the first time that this publication comes.
    pub(super) fn sees(&self, offset: u64) -> bool {
        let is_first = self.seen.load(Ordering::Relaxed) != offset;
        self.seen.store(offset, Ordering::Relaxed);
        is_first
    }

    /// Opens the way out. What came before goes out with the next [`Receiver::flush`].
    pub fn open(&self, outlet: Box<dyn Outlet>) {
        // It is opened once; a second one would mix two streams.
        let _ = self.outlet.set(outlet);
    }

    /// Adds an answer or a notice, which is never dropped, and sends it.
    pub fn tell(&self, bytes: Bytes) {
        self.push_notice(bytes);
        self.deliver();
    }

    /// Adds the last word, behind which nothing comes. A receiver that was cut off gets nothing of
    /// what waits but the rest of what was begun. To be sent by [`Receiver::flush`].
    pub fn end(&self, word: Bytes) {
        let mut inner = self.inner.lock();
        if inner.is_cut_off {
            inner.buffer.clear();
            inner.is_cut_off = false;
        }
        inner.has_ended = true;
        inner.buffer.push_notice(word);
        inner.charge(&self.answers);
    }

    pub(super) fn push_notice(&self, bytes: Bytes) {
        let mut inner = self.inner.lock();
        if !inner.has_ended {
            inner.buffer.push_notice(bytes);
            inner.charge(&self.answers);
        }
    }

    pub(super) fn push(
        &self,
        bytes: Bytes,
        mut treatment: Treatment,
        key: impl FnOnce() -> LatestKey,
    ) -> Pushed {
        let mut inner = self.inner.lock();
        if inner.is_cut_off || inner.is_broken || inner.has_ended {
            return Pushed::default();
        }
        if inner.buffer.bytes() >= CONNECTION_BYTES_FREE && self.answers.is_used_up() {
            treatment.bytes_max = treatment.bytes_max.min(CONNECTION_BYTES_FREE);
        }
        let pushed = inner.buffer.push(bytes, treatment, key);
        inner.is_cut_off |= pushed.cut_off;
        inner.charge(&self.answers);
        pushed
    }

    /// Adds a last value; false where it is dropped. Who has just come is not slow: only where
    /// what nobody has taken takes all the memory that it may is there no room.
    pub(super) fn push_retained(&self, bytes: Bytes) -> bool {
        let mut inner = self.inner.lock();
        if inner.is_cut_off || inner.is_broken || inner.has_ended {
            return true;
        }
        let has_room = inner.buffer.bytes() < CONNECTION_BYTES_FREE || !self.answers.is_used_up();
        if has_room {
            inner.buffer.push_notice(bytes);
            inner.charge(&self.answers);
        } else {
            inner.buffer.drop_newest();
        }
        has_room
    }

    /// Adds what is told as far as there is room.
    pub(super) fn push_droppable(&self, bytes: Bytes) {
        let policy = SlowConsumer::DropNewest;
        let treatment = Treatment { policy, bytes_max: RECEIVER_BYTES_MAX };
        self.push(bytes, treatment, || unreachable!("only conflation asks for the key"));
    }

    /// Sends what waits, as far as the socket takes it at once; whether nothing is left. For
    /// whoever put something there.
    pub(super) fn deliver(&self) -> bool {
        let mut inner = self.inner.lock();
        if inner.is_blocked && !inner.is_cut_off {
            return false;
        }
        let flushed = self.write(&mut inner);
        drop(inner);
        if flushed != Flushed::Idle {
            self.wake.notify_one();
        }
        flushed == Flushed::Idle
    }

    /// Sends what waits, as far as the socket takes it. For the receiver's own task.
    pub fn flush(&self) -> Flushed {
        let mut inner = self.inner.lock();
        self.write(&mut inner)
    }

    fn write(&self, inner: &mut Inner) -> Flushed {
        if inner.is_cut_off {
            return Flushed::CutOff;
        }
        let Some(outlet) = self.outlet.get() else { return Flushed::Blocked };
        loop {
            if inner.buffer.is_empty() {
                inner.is_blocked = false;
                return Flushed::Idle;
            }
            let spell = |count| (self.options.form.encode)(&ChannelEvent::Dropped(count));
            if let Some(count) = inner.buffer.take_untold() {
                inner.buffer.push_notice_first(spell(count));
            }
            inner.buffer.tell_lost(spell);
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let count = inner.buffer.slices(&mut slices);
            if count == 0 {
                // Places of what was dropped are all there is.
                inner.buffer.advance(0);
                continue;
            }
            match outlet.try_write(&slices[..count]) {
                Ok(0) => break,
                Ok(bytes) => {
                    inner.buffer.advance(bytes);
                    inner.charge(&self.answers);
                    inner.has_written = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    inner.is_blocked = true;
                    return Flushed::Blocked;
                }
                Err(_) => break,
            }
        }
        inner.is_broken = true;
        Flushed::Broken
    }

    /// Bytes that wait.
    pub fn bytes_waiting(&self) -> usize {
        self.inner.lock().buffer.bytes()
    }

    /// Resolves when the receiver's task is to call [`Receiver::flush`].
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether nothing was written since this was called last.
    pub fn beat(&self) -> bool {
        let mut inner = self.inner.lock();
        !std::mem::take(&mut inner.has_written) && inner.buffer.is_empty()
    }
}
