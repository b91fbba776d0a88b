//! Wakes the upkeep thread.

use parking_lot::{Condvar, Mutex};
use std::time::Duration;

#[derive(Default)]
pub(super) struct Upkeep {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: bool,
    stop: bool,
}

impl Upkeep {
    /// Something may be to do.
    pub(super) fn wake(&self) {
        let mut state = self.state.lock();
        if !state.wanted {
            state.wanted = true;
            self.changed.notify_one();
        }
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_one();
    }

    /// Waits until woken, or until the time is up; false when the thread is to end.
    pub(super) fn wait(&self, patience: Option<Duration>) -> bool {
        let mut state = self.state.lock();
        if !state.wanted && !state.stop {
            match patience {
                Some(patience) => {
                    self.changed.wait_for(&mut state, patience);
                }
                None => self.changed.wait(&mut state),
            }
        }
        state.wanted = false;
        !state.stop
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.lock().stop
    }
}
