//! One lane's deliveries that are out, by offset.

use crate::by_offset::ByOffset;
use tramline_types::{ConnectionId, Timestamp};

/// One delivery that is out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) sequence: u64,
    /// The connection; of a timed lock its end, in milliseconds.
    by: u64,
    pub(crate) bytes: u32,
    is_timed: bool,
}

impl Held {
    /// A delivery that is held until a time.
    pub(crate) const fn timed(sequence: u64, until: Timestamp, bytes: u32) -> Self {
        Self { sequence, by: until.as_millis().cast_unsigned(), bytes, is_timed: true }
    }

    /// A delivery that a connection holds.
    pub(crate) const fn of_connection(sequence: u64, connection: ConnectionId, bytes: u32) -> Self {
        Self { sequence, by: connection.0, bytes, is_timed: false }
    }

    /// Who holds it.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        (!self.is_timed).then_some(ConnectionId(self.by))
    }

    /// When a timed lock ends.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.is_timed.then_some(Timestamp::from_millis(self.by.cast_signed()))
    }

    /// A timed lock ends at another time.
    pub(crate) const fn set_until(&mut self, until: Timestamp) {
        self.by = until.as_millis().cast_unsigned();
    }
}

/// Those of one lane.
pub(crate) type Locks = ByOffset<Held>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_takes_24_bytes() {
        assert_eq!(size_of::<Held>(), 24);
    }
}
