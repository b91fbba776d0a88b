//! One connection's frames and deadlines.
//!
//! ```text
//! frame | size: i32, of what follows | api_key: i16 | api_version: i16 | correlation_id: i32 | ...
//! ```
//!
//! Pure state: time comes in as `now`. A declared size is checked against the limit and never
//! allocated. Until its first valid request a connection gets little room and little time.

use bytes::{Buf, Bytes, BytesMut};
use std::time::Duration;
use tramline_types::{
    Monotonic,
    limits::{
        CONNECTION_IDLE_MAX, FIRST_REQUEST_BYTES_MAX, FIRST_REQUEST_MAX, REQUEST_READ_MAX,
        REQUEST_STALL_MAX, RESPONSE_WRITE_MAX,
    },
};

/// How long a connection may go on with what it has when the broker stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why a connection is closed on a peer that broke the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a frame cannot have {0} bytes")]
    FrameSize(i32),
    #[error("a frame of {bytes} bytes is larger than the limit of {limit}")]
    FrameTooLarge { bytes: usize, limit: usize },
    #[error("no valid request within the first {} s", FIRST_REQUEST_MAX.as_secs())]
    FirstRequestLate,
    #[error("a request was not complete within {} s", REQUEST_READ_MAX.as_secs())]
    RequestLate,
    #[error("a request got no byte for {} s while others waited", REQUEST_STALL_MAX.as_secs())]
    RequestStalled,
    #[error("answers kept a request that others waited for from its turn for {} s",
        REQUEST_READ_MAX.as_secs())]
    RequestBlocked,
    #[error("no byte of an answer was taken within {} s", RESPONSE_WRITE_MAX.as_secs())]
    AnswerNotTaken,
    #[error("idle for {} s", CONNECTION_IDLE_MAX.as_secs())]
    Idle,
    #[error("not done within {} s of the broker's end", DRAIN_MAX.as_secs())]
    NotDrained,
}

/// What the connection is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Bytes of an incomplete frame are there, and more would be read.
    pub(crate) mid_frame: bool,
    /// What it has received is more than a connection has for itself.
    pub(crate) holds_room: bool,
    /// It is in the middle of a frame, and others wait for the room that this takes.
    pub(crate) room_wanted: bool,
    /// A whole request, whose room others wait for, is not begun because answers are not taken.
    pub(crate) blocked: bool,
    /// Answers wait for the peer to take them.
    pub(crate) unsent: bool,
    /// Requests are being worked on.
    pub(crate) working: bool,
}

/// One connection's protocol state.
#[derive(Debug)]
pub(crate) struct Session {
    request_bytes_max: usize,
    opened_at: Monotonic,
    /// The first valid request has come.
    established: bool,
    activity: Activity,
    mid_frame_since: Monotonic,
    blocked_since: Monotonic,
    unsent_since: Monotonic,
    active_at: Monotonic,
    received_at: Monotonic,
    looked_at: Monotonic,
    draining_since: Option<Monotonic>,
    /// Nothing is begun before this: the client is above its quota.
    muted_until: Option<Monotonic>,
}

impl Session {
    pub(crate) fn new(now: Monotonic, request_bytes_max: usize) -> Self {
        Self {
            request_bytes_max,
            opened_at: now,
            established: false,
            activity: Activity::default(),
            mid_frame_since: now,
            blocked_since: now,
            unsent_since: now,
            active_at: now,
            received_at: now,
            looked_at: now,
            draining_since: None,
            muted_until: None,
        }
    }

    /// The size of the first frame in the buffer, prefix excluded, as far as it is known.
    fn frame_size(&self, buf: &[u8]) -> Result<Option<usize>, Violation> {
        let Some(prefix) = buf.first_chunk() else { return Ok(None) };
        let size = i32::from_be_bytes(*prefix);
        let bytes = usize::try_from(size).map_err(|_| Violation::FrameSize(size))?;
        let limit = if self.established { self.request_bytes_max } else { FIRST_REQUEST_BYTES_MAX };
        if bytes > limit {
            return Err(Violation::FrameTooLarge { bytes, limit });
        }
        Ok(Some(bytes))
    }

    /// Whether a whole frame is in the buffer.
    pub(crate) fn has_frame(&self, buf: &[u8]) -> Result<bool, Violation> {
        Ok(self.frame_size(buf)?.is_some_and(|size| buf.len() - 4 >= size))
    }

    /// How many bytes the first frame still needs, as far as it is known.
    pub(crate) fn bytes_missing(&self, buf: &[u8]) -> Result<usize, Violation> {
        let size = self.frame_size(buf)?.unwrap_or(0);
        Ok((size + 4).saturating_sub(buf.len()))
    }

    /// Splits the first whole frame off, without its size, without copying.
    pub(crate) fn poll_frame(&self, buf: &mut BytesMut) -> Result<Option<Bytes>, Violation> {
        match self.frame_size(buf)? {
            Some(size) if buf.len() - 4 >= size => {
                buf.advance(4);
                Ok(Some(buf.split_to(size).freeze()))
            }
            _ => Ok(None),
        }
    }

    /// A request was understood.
    pub(crate) fn handle_valid_request(&mut self) {
        self.established = true;
    }

    /// Bytes came.
    pub(crate) fn handle_received(&mut self, now: Monotonic) {
        self.active_at = now;
        self.received_at = now;
    }

    /// The peer took bytes of an answer.
    pub(crate) fn handle_taken(&mut self, now: Monotonic) {
        self.active_at = now;
        self.unsent_since = now;
    }

    /// The connection's situation after a round of work.
    pub(crate) fn handle_activity(&mut self, now: Monotonic, activity: Activity) {
        self.looked_at = now;
        let before = std::mem::replace(&mut self.activity, activity);
        if activity.mid_frame && !before.mid_frame {
            self.mid_frame_since = now;
            // Nothing was read while it waited for room: that is no fault of the peer's.
            self.received_at = now;
        }
        if activity.blocked && !before.blocked {
            self.blocked_since = now;
        }
        if activity.unsent && !before.unsent {
            self.unsent_since = now;
        }
        if before.working && !activity.working {
            self.active_at = now;
        }
    }

    /// A frame was completed: the next one has its own time.
    pub(crate) fn handle_frame(&mut self) {
        self.activity.mid_frame = false;
        self.activity.blocked = false;
    }

    /// The client is above its quota: it is left alone for a while.
    pub(crate) fn handle_throttle(&mut self, now: Monotonic, span: Duration) {
        if !span.is_zero() {
            self.muted_until = self.muted_until.max(Some(now.plus(span)));
        }
    }

    /// Ends the client's time alone when it is over.
    pub(crate) fn handle_time(&mut self, now: Monotonic) {
        if self.muted_until.is_some_and(|until| until <= now) {
            self.muted_until = None;
        }
    }

    /// Whether no request is begun for now.
    pub(crate) const fn is_muted(&self) -> bool {
        self.muted_until.is_some()
    }

    /// The broker stops.
    pub(crate) fn handle_drain(&mut self, now: Monotonic) {
        self.draining_since.get_or_insert(now);
    }

    /// Whether no further request is taken.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining_since.is_some()
    }

    /// When [`Session::handle_timeout`] will fail, and why, unless something happens.
    fn first_deadline(&self) -> (Monotonic, Violation) {
        let Activity { mid_frame, unsent, working, room_wanted, blocked, .. } = self.activity;
        let idle = !unsent && !working;
        let deadlines = [
            (!self.established)
                .then(|| (self.opened_at.plus(FIRST_REQUEST_MAX), Violation::FirstRequestLate)),
            mid_frame
                .then(|| (self.mid_frame_since.plus(REQUEST_READ_MAX), Violation::RequestLate)),
            room_wanted
                .then(|| (self.received_at.plus(REQUEST_STALL_MAX), Violation::RequestStalled)),
            blocked.then(|| (self.blocked_since.plus(REQUEST_READ_MAX), Violation::RequestBlocked)),
            unsent.then(|| (self.unsent_since.plus(RESPONSE_WRITE_MAX), Violation::AnswerNotTaken)),
            idle.then(|| (self.active_at.plus(CONNECTION_IDLE_MAX), Violation::Idle)),
            self.draining_since.map(|since| (since.plus(DRAIN_MAX), Violation::NotDrained)),
        ];
        let never = (Monotonic::from_origin(Duration::MAX), Violation::Idle);
        deadlines.into_iter().flatten().min_by_key(|(at, _)| *at).unwrap_or(never)
    }

    /// When [`Session::handle_timeout`] has something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        let (at, _) = self.first_deadline();
        let at = self.muted_until.map_or(at, |muted| muted.min(at));
        // Nobody tells when others begin to wait: looking from time to time does.
        let look = self.activity.holds_room.then(|| self.looked_at.plus(REQUEST_STALL_MAX));
        let at = look.map_or(at, |look| look.min(at));
        (at.since_origin() < Duration::MAX).then_some(at)
    }

    /// Fails when a deadline has passed.
    pub(crate) fn handle_timeout(&self, now: Monotonic) -> Result<(), Violation> {
        match self.first_deadline() {
            (at, violation) if at <= now => Err(violation),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
