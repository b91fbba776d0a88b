//! A clock that only moves when the test moves it.
//!
//! Invariant: every sleeper that is registered has a deadline in the future; moving the clock
//! wakes, in order of their deadlines, all whose deadline is reached.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tramline_types::{Clock, Monotonic, Steady, Timestamp};

/// A clock moved by hand. A clone is a handle to the same clock.
#[derive(Clone)]
pub struct FakeClock {
    state: Arc<Mutex<State>>,
}

struct State {
    wall: Timestamp,
    below_millis: Duration,
    monotonic: Monotonic,
    steady: Steady,
    sleepers: BTreeMap<(Monotonic, u64), Waker>,
    sleeper_next: u64,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeClock {
    /// A clock that stands at 2023-11-14 22:13:20 UTC, with its monotonic time at zero.
    pub fn new() -> Self {
        Self::at(Timestamp::from_millis(1_700_000_000_000))
    }

    /// A clock that stands at this wall-clock time, with its monotonic time at zero.
    pub fn at(wall: Timestamp) -> Self {
        let state = State {
            wall,
            below_millis: Duration::ZERO,
            monotonic: Monotonic::default(),
            steady: Steady::new(wall, Monotonic::default()),
            sleepers: BTreeMap::new(),
            sleeper_next: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Moves both times on and wakes every sleeper whose deadline is reached. Who waits in
    /// steps sees one big step: see [`FakeClock::deadline_next`] for small ones.
    pub fn advance(&self, span: Duration) {
        let due = {
            let mut state = self.state.lock();
            // Wall-clock time is told in milliseconds, and keeps what is below one.
            let passed = state.below_millis.saturating_add(span);
            let millis = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
            state.below_millis = Duration::from_nanos(u64::from(passed.subsec_nanos() % 1_000_000));
            state.wall = state.wall.plus_millis(millis);
            state.monotonic = state.monotonic.plus(span);
            let now = state.monotonic;
            let later = state.sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// Sets the wall clock alone, forwards or backwards, as an operator or NTP does. Wakes
    /// nobody.
    pub fn set_wall(&self, wall: Timestamp) {
        self.state.lock().wall = wall;
    }

    /// When the next sleeper wants to wake.
    pub fn deadline_next(&self) -> Option<Monotonic> {
        self.state.lock().sleepers.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// How many sleep with a deadline.
    pub fn sleepers(&self) -> usize {
        self.state.lock().sleepers.len()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.state.lock().wall
    }

    fn steady(&self) -> Timestamp {
        let mut state = self.state.lock();
        let (wall, monotonic) = (state.wall, state.monotonic);
        state.steady.advance(wall, monotonic)
    }

    fn monotonic(&self) -> Monotonic {
        self.state.lock().monotonic
    }

    fn sleep_until(
        &self,
        deadline: Option<Monotonic>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        match deadline {
            Some(deadline) => Box::pin(Sleep { clock: self, deadline, id: None }),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// One sleeper; takes itself off the clock when it is dropped.
struct Sleep<'a> {
    clock: &'a FakeClock,
    deadline: Monotonic,
    id: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.state.lock();
        if state.monotonic >= self.deadline {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or(state.sleeper_next);
        state.sleeper_next = state.sleeper_next.max(id + 1);
        state.sleepers.insert((self.deadline, id), cx.waker().clone());
        drop(state);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.state.lock().sleepers.remove(&(self.deadline, id));
        }
    }
}

#[cfg(test)]
mod tests;
