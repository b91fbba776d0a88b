//! The system's clocks.

use parking_lot::Mutex;
use std::{future::Future, pin::Pin};
use tramline_types::{Clock, Monotonic, Steady, Timestamp};

/// Time as the machine has it.
pub struct SystemClock {
    origin: tokio::time::Instant,
    steady: Mutex<Steady>,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero.
    pub fn new() -> Self {
        let steady = Mutex::new(Steady::new(wall_clock(), Monotonic::default()));
        Self { origin: tokio::time::Instant::now(), steady }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        wall_clock()
    }

    fn steady(&self) -> Timestamp {
        self.steady.lock().advance(wall_clock(), self.monotonic())
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic::from_origin(self.origin.elapsed())
    }

    fn sleep_until(
        &self,
        deadline: Option<Monotonic>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        match deadline {
            Some(deadline) => {
                Box::pin(tokio::time::sleep_until(self.origin + deadline.since_origin()))
            }
            None => Box::pin(std::future::pending()),
        }
    }
}

fn wall_clock() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is where wall-clock time comes from")]
    let now = std::time::SystemTime::now();
    let since_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
