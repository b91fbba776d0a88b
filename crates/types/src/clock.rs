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

    /// This time and a span more, saturating at the representable maximum.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
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

/// Wall-clock time without its jumps: what is stored expires by it, so that a clock that is set
/// wrong for a while expires nothing early, and nothing twice.
///
/// It starts at wall-clock time, goes on with monotonic time, and is steered towards wall-clock
/// time by at most a tenth of the time that passes. It never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    nanos: i128,
    seen: Monotonic,
}

impl Steady {
    /// How much faster or slower than monotonic time it goes at most, as a divisor.
    const STEER: i128 = 10;
    const NANOS_PER_MILLI: i128 = 1_000_000;

    /// Starts at this wall-clock time.
    pub const fn new(wall: Timestamp, seen: Monotonic) -> Self {
        Self { nanos: wall.0 as i128 * Self::NANOS_PER_MILLI, seen }
    }

    /// What time it is, given what the two clocks say.
    pub fn advance(&mut self, wall: Timestamp, now: Monotonic) -> Timestamp {
        let elapsed = i128::try_from(now.since(self.seen).as_nanos()).unwrap_or(i128::MAX);
        let unsteered = self.nanos.saturating_add(elapsed);
        let behind = i128::from(wall.0) * Self::NANOS_PER_MILLI - unsteered;
        let steer = elapsed / Self::STEER;
        self.nanos = unsteered.saturating_add(behind.clamp(-steer, steer));
        self.seen = self.seen.max(now);
        let millis = self.nanos / Self::NANOS_PER_MILLI;
        Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
    }
}

/// Wall-clock time with what it may really be after a jump: nobody's records expire, and nobody's
/// are refused, because an operator or NTP set the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// As the clock says: what is stored.
    pub wall: Timestamp,
    /// It is at least this: what ages are reckoned by. Never above `wall`.
    pub earliest: Timestamp,
    /// It is at most this. Never below `wall`.
    pub latest: Timestamp,
}

impl Times {
    /// Out of what both clocks say: one of them is right.
    pub fn new(wall: Timestamp, steady: Timestamp) -> Self {
        Self { wall, earliest: wall.min(steady), latest: wall.max(steady) }
    }
}

/// Where time comes from: the system's clocks, or a test's.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time, for stored timestamps only.
    fn now(&self) -> Timestamp;

    /// Wall-clock time without its jumps, for the expiry of what is stored (see [`Steady`]).
    fn steady(&self) -> Timestamp {
        self.now()
    }

    /// Monotonic time, for every wait and expiry.
    fn monotonic(&self) -> Monotonic;

    /// Resolves when monotonic time reaches `deadline`; never, when there is none.
    fn sleep_until(
        &self,
        deadline: Option<Monotonic>,
    ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn wall(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    fn after(millis: u64) -> Monotonic {
        Monotonic::from_origin(Duration::from_millis(millis))
    }

    #[test]
    fn a_jump_of_the_wall_clock_is_followed_by_a_tenth_of_the_time_that_passes() {
        let mut steady = Steady::new(wall(0), after(0));
        assert_eq!(steady.advance(wall(1000), after(1000)), wall(1000));
        assert_eq!(steady.advance(wall(HOUR_MS), after(2000)), wall(2100));
        assert_eq!(steady.advance(wall(-24 * HOUR_MS), after(3000)), wall(3000));
        assert_eq!(steady.advance(wall(4000), after(4000)), wall(4000));
    }

    #[test]
    fn it_comes_to_where_the_wall_clock_stays_however_often_it_is_asked() {
        let mut steady = Steady::new(wall(0), after(0));
        for milli in 1..=10 * 500 {
            steady.advance(wall(milli + 500), after(milli.cast_unsigned()));
        }
        assert_eq!(steady.advance(wall(5600), after(5100)), wall(5600));
    }

    #[test]
    fn it_never_goes_back() {
        let mut steady = Steady::new(wall(0), after(50));
        let mut last = wall(0);
        for (at, monotonic) in [(5000, 60), (-5000, 60), (-HOUR_MS, 55), (0, 70), (-1, 80)] {
            let now = steady.advance(wall(at), after(monotonic));
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
    }
}
