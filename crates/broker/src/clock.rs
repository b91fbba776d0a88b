//! The system's clocks.

use std::{future::Future, pin::Pin};
use tramline_types::{Clock, Monotonic, Timestamp};

/// Time as the machine has it.
pub struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero.
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is where wall-clock time comes from")]
        let now = std::time::SystemTime::now();
        let since_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
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
