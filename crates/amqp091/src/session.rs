//! One connection's phases and deadlines.
//!
//! ```text
//! Greeting -> Login -> Tuning -> Opening -> Open -> Closing (close sent) -> Closed
//! ```
//!
//! Pure state: time comes in as `now`. Until it is open a connection gets little room and little
//! time; then both sides say in every half of the agreed interval that they live, and one that is
//! silent for two intervals is gone.

use std::time::Duration;
use tramline_types::{
    Monotonic,
    limits::{
        AMQP_CLOSE_MAX, FIRST_REQUEST_BYTES_MAX, FIRST_REQUEST_MAX, REQUEST_READ_MAX,
        REQUEST_STALL_MAX, RESPONSE_WRITE_MAX,
    },
};

/// The smallest frame size that a client may ask for (AMQP 0-9-1 section 4.2.3).
pub(crate) const FRAME_BYTES_MIN: u32 = 4096;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The protocol header is awaited.
    Greeting,
    /// connection.start-ok is awaited.
    Login,
    /// connection.tune-ok is awaited.
    Tuning,
    /// connection.open is awaited.
    Opening,
    /// Methods are served.
    Open,
    /// connection.close is sent: everything but its answer is dropped.
    Closing,
    /// Over, as soon as everything is written.
    Closed,
}

/// Why a connection ends without a word of its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("not open within {} s", FIRST_REQUEST_MAX.as_secs())]
    OpenLate,
    #[error("no byte was taken within {} s", RESPONSE_WRITE_MAX.as_secs())]
    NotTaken,
    #[error("missed heartbeats from the client")]
    HeartbeatMissed,
    #[error("a message got no byte for {} s while others waited", REQUEST_STALL_MAX.as_secs())]
    Stalled,
    #[error("no room for a message within {} s", REQUEST_READ_MAX.as_secs())]
    NoRoom,
    #[error("no answer to the close within {} s", AMQP_CLOSE_MAX.as_secs())]
    CloseNotAnswered,
}

/// What a deadline asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing.
    Nothing,
    /// A heartbeat is to be sent.
    Heartbeat,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreement {
    pub(crate) channels_max: u16,
    pub(crate) frame_bytes_max: u32,
    pub(crate) heartbeat: Duration,
}

/// One connection's protocol state.
#[derive(Debug)]
pub(crate) struct Session {
    phase: Phase,
    agreed: Agreement,
    opened_at: Monotonic,
    received_at: Monotonic,
    sent_at: Monotonic,
    /// Since when bytes wait that the peer does not take.
    unsent_since: Option<Monotonic>,
    closing_since: Option<Monotonic>,
    /// It holds room for what it has not sent: when it was looked whether others wait for it.
    looked_at: Option<Monotonic>,
    /// Others wait for that room.
    room_wanted: bool,
    /// Since when it waits for room itself.
    waits_since: Option<Monotonic>,
}

impl Session {
    pub(crate) const fn new(now: Monotonic, offered: Agreement) -> Self {
        Self {
            phase: Phase::Greeting,
            agreed: offered,
            opened_at: now,
            received_at: now,
            sent_at: now,
            unsent_since: None,
            closing_since: None,
            looked_at: None,
            room_wanted: false,
            waits_since: None,
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// What is agreed, or offered before.
    pub(crate) const fn agreed(&self) -> Agreement {
        self.agreed
    }

    /// The largest frame, at this point.
    pub(crate) fn frame_max(&self) -> usize {
        if self.phase < Phase::Open {
            return FIRST_REQUEST_BYTES_MAX;
        }
        usize::try_from(self.agreed.frame_bytes_max).unwrap_or(usize::MAX)
    }

    /// The next step of the opening, or the end.
    pub(crate) fn enter(&mut self, phase: Phase, now: Monotonic) {
        debug_assert!(phase > self.phase, "phases go forward");
        self.phase = phase;
        if phase >= Phase::Closing {
            self.closing_since.get_or_insert(now);
        }
    }

    /// What the client makes of the offer. Zero means "no limit", which is ours. An error says
    /// which value cannot be.
    pub(crate) fn handle_tune(
        &mut self,
        channels_max: u16,
        frame_bytes_max: u32,
        heartbeat: u16,
    ) -> Result<(), String> {
        let or_offered = |wanted: u32, offered: u32| if wanted == 0 { offered } else { wanted };
        let refused = |name: &str, wanted: u32, bound: &str, limit: u32| {
            format!("negotiated {name} = {wanted} is {bound} allowed value ({limit})")
        };
        let offered = self.agreed;
        let frame = or_offered(frame_bytes_max, offered.frame_bytes_max);
        if frame < FRAME_BYTES_MIN {
            return Err(refused("frame_max", frame, "lower than the minimum", FRAME_BYTES_MIN));
        }
        if frame > offered.frame_bytes_max {
            let limit = offered.frame_bytes_max;
            return Err(refused("frame_max", frame, "higher than the maximum", limit));
        }
        let channels = or_offered(channels_max.into(), offered.channels_max.into());
        if channels > u32::from(offered.channels_max) {
            let limit = u32::from(offered.channels_max);
            return Err(refused("channel_max", channels, "higher than the maximum", limit));
        }
        self.agreed = Agreement {
            channels_max: u16::try_from(channels).unwrap_or(offered.channels_max),
            frame_bytes_max: frame,
            heartbeat: Duration::from_secs(heartbeat.into()),
        };
        Ok(())
    }

    /// Bytes came.
    pub(crate) const fn handle_received(&mut self, now: Monotonic) {
        self.received_at = now;
    }

    /// Nothing is read, which is not the peer's fault: it may say that it lives in what lies there.
    pub(crate) const fn handle_unread(&mut self, now: Monotonic) {
        self.received_at = now;
    }

    /// Whether it holds room for what it has yet to send, and whether others wait for that.
    pub(crate) fn handle_room(&mut self, now: Monotonic, held: bool, wanted: bool) {
        self.looked_at = held.then_some(now);
        self.room_wanted = wanted;
    }

    /// Whether it waits for room itself.
    pub(crate) fn handle_waiting(&mut self, now: Monotonic, waiting: bool) {
        self.waits_since = if waiting { self.waits_since.or(Some(now)) } else { None };
    }

    /// The peer took bytes; `left` says whether more wait.
    pub(crate) fn handle_sent(&mut self, now: Monotonic, left: bool) {
        self.sent_at = now;
        self.unsent_since = left.then_some(now);
    }

    /// Bytes wait for the peer to take them.
    pub(crate) fn handle_unsent(&mut self, now: Monotonic) {
        self.unsent_since.get_or_insert(now);
    }

    /// The first deadline of those that end the connection.
    fn first_violation(&self) -> Option<(Monotonic, Violation)> {
        let heartbeat = self.agreed.heartbeat;
        let beats = self.phase == Phase::Open && !heartbeat.is_zero();
        let deadlines = [
            (self.phase < Phase::Open)
                .then(|| (self.opened_at.plus(FIRST_REQUEST_MAX), Violation::OpenLate)),
            self.unsent_since.map(|since| (since.plus(RESPONSE_WRITE_MAX), Violation::NotTaken)),
            beats.then(|| (self.received_at.plus(2 * heartbeat), Violation::HeartbeatMissed)),
            self.room_wanted
                .then(|| (self.received_at.plus(REQUEST_STALL_MAX), Violation::Stalled)),
            self.waits_since.map(|since| (since.plus(REQUEST_READ_MAX), Violation::NoRoom)),
            self.closing_since
                .map(|since| (since.plus(AMQP_CLOSE_MAX), Violation::CloseNotAnswered)),
        ];
        deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When a heartbeat is to be sent, unless something else is. One that would wait behind other
    /// bytes says nothing.
    fn next_heartbeat(&self) -> Option<Monotonic> {
        let heartbeat = self.agreed.heartbeat;
        let beats = (Phase::Opening..Phase::Closed).contains(&self.phase) && !heartbeat.is_zero();
        (beats && self.unsent_since.is_none()).then(|| self.sent_at.plus(heartbeat / 2))
    }

    /// When [`Session::handle_timeout`] has something to say.
    pub(crate) fn poll_timeout(&self) -> Option<Monotonic> {
        let violation = self.first_violation().map(|(at, _)| at);
        // Nobody tells when others begin to wait: looking from time to time does.
        let look = self.looked_at.map(|at| at.plus(REQUEST_STALL_MAX));
        violation.into_iter().chain(self.next_heartbeat()).chain(look).min()
    }

    /// What is due; fails when a deadline has passed.
    pub(crate) fn handle_timeout(&self, now: Monotonic) -> Result<Due, Violation> {
        match self.first_violation() {
            Some((at, violation)) if at <= now => Err(violation),
            _ if self.next_heartbeat().is_some_and(|at| at <= now) => Ok(Due::Heartbeat),
            _ => Ok(Due::Nothing),
        }
    }
}

#[cfg(test)]
mod tests;
