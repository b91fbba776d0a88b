//! A record's place in its partition.

use std::fmt;

/// A record's place in its partition, from 0; never above `i64::MAX`, Kafka's wire type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Self = Self(0);
    /// The largest offset.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// An offset, if it is within range.
    pub const fn new(value: u64) -> Option<Self> {
        if value <= i64::MAX as u64 { Some(Self(value)) } else { None }
    }

    /// Takes Kafka's wire form; negative values are no offsets.
    pub const fn from_i64(value: i64) -> Option<Self> {
        if value >= 0 { Some(Self(value.cast_unsigned())) } else { None }
    }

    /// The plain number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Kafka's wire form.
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// The offset this many records further on.
    ///
    /// # Panics
    /// Beyond [`Offset::MAX`], which no log reaches: that would be a broken invariant.
    #[must_use]
    pub const fn plus(self, records: u64) -> Self {
        match Self::new(self.0.saturating_add(records)) {
            Some(offset) => offset,
            None => panic!("an offset exceeds i64::MAX"),
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
