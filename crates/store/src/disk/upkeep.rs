//! The upkeep thread: prepares files, retires, and watches the space.

use super::inner::Inner;
use super::retire::Retirer;
use super::spares::Prewrite;
use super::writer::Stop;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often the space is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Prepared files beyond the current one. It is also the reserve for a full disk.
const SPARES_MIN: usize = 1;

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

impl Inner {
    /// Sees to it that files are ready before they are needed.
    pub(super) fn prepare_spares(&self) {
        if self.spares.ready().0 < SPARES_MIN {
            let is_threaded = self.readers.is_threaded();
            self.prepare_spare(if is_threaded { Prewrite::Whole } else { Prewrite::Header });
        }
    }

    /// Makes one more file ready.
    pub(super) fn prepare_spare(&self, prewrite: Prewrite) {
        if self.has_failed() {
            return;
        }
        if let Err(stop) = self.spares.make(prewrite, None) {
            self.stopped(stop, "no write-ahead file can be prepared");
        }
    }

    /// Ends the process where a write or a sync failed; otherwise says what waits.
    pub(super) fn stopped(&self, stop: Stop, what: &'static str) {
        match stop {
            Stop::Later(error) => tracing::warn!(error = %error, "{what}"),
            Stop::Failed(error) => self.fail(&error.to_string()),
        }
    }

    /// The work of the upkeep thread.
    pub(super) fn run_upkeep(&self, mut retirer: Retirer) {
        loop {
            self.prepare_spares();
            retirer.step(false);
            self.refresh_space();
            if !self.upkeep.wait(Some(PERIOD)) {
                return;
            }
        }
    }

    /// Tells what may be set aside: what the prepared files hold and what the file system has
    /// beyond the headroom, up to the bound of the unretired log.
    pub(super) fn refresh_space(&self) {
        let Ok(free) = self.files.free_bytes(&self.paths.dir) else { return };
        let (room, prepared) = (self.counters.room.load(Relaxed), self.prepared());
        let bound = (self.options.wal_bytes_max + room).saturating_sub(self.wal_bytes());
        let possible = prepared.saturating_add(free.saturating_sub(self.headroom)).min(bound);
        self.space.set_limits(prepared, possible, (free < self.headroom).then_some(free));
    }

    /// What the current file and the spares still hold.
    pub(super) fn prepared(&self) -> u64 {
        self.counters.room.load(Relaxed) + self.spares.ready().1
    }

    /// Write-ahead files in use.
    pub(super) fn wal_bytes(&self) -> u64 {
        self.wal.lock().values().map(|wal| wal.bytes).sum()
    }
}
