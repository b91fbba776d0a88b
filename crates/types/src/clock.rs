//! Time as a value. Wall-clock time is only stored and compared with stored time; every wait,
//! lease and time-out runs on monotonic time, so that a clock step expires nothing.

use std::time::Duration;

/// Wall-clock time in milliseconds since the Unix epoch, as Kafka stores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Takes milliseconds since the Unix epoch; negative values mean "none" in Kafka.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time less a span, saturating at the representable minimum.
    #[must_use]
    pub const fn minus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_sub(millis))
    }
}

/// A point on the monotonic clock: the time since the process's clock was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

impl Monotonic {
    /// A point this long after the clock's origin.
    pub const fn from_origin(since: Duration) -> Self {
        Self(since)
    }

    /// The time since the clock's origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// This point moved forward, saturating.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where time comes from: the system's clocks, or a test's.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time, for stored timestamps only.
    fn now(&self) -> Timestamp;

    /// Monotonic time, for every wait and expiry.
    fn monotonic(&self) -> Monotonic;

    /// Resolves when monotonic time reaches `deadline`; never, when there is none.
    fn sleep_until(
        &self,
        deadline: Option<Monotonic>,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}
