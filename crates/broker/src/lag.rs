//! How a consumer group fares with one partition, judged by how its commits move.
//!
//! Pure state: a window over the last commits, with monotonic time passed in. No threshold of
//! messages is needed: a reader that keeps up reaches a lag of zero now and then, one that does
//! not shows how it fails by what its commits do. The rules are in `docs/consumer-lag.md`.
//!
//! Invariant: a window holds at most [`limits::LAG_WINDOW_COMMITS`] commits, in the order in which
//! they came.

mod report;

pub use report::{GroupLag, PartitionLag};
pub(crate) use report::{Standing, lag, refresh};

use std::{collections::VecDeque, sync::Arc, time::Duration};
use tramline_types::{Monotonic, Offset, limits};

/// Commits that come closer than this count as one step, so that a reader who commits every
/// message has a window of seconds, too.
pub(crate) const STEP: Duration = Duration::from_secs(1);
/// A silence shorter than this never counts as stopped.
pub(crate) const SILENCE_MIN: Duration = Duration::from_secs(10);
/// Fewer commits than this show no direction.
const JUDGED_FROM: usize = 3;

/// How a group fares with a partition; in the order of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LagState {
    /// It keeps up, or catches up.
    Ok,
    /// It commits and moves, but falls behind at every step.
    Warn,
    /// It commits and does not move, although there is something to read.
    Stall,
    /// It does not commit any more, although there is something to read.
    Stop,
    /// It went back.
    Rewind,
}

impl LagState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Warn, Self::Stall, Self::Stop, Self::Rewind];

    /// The name, as in Burrow.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Stall => "STALL",
            Self::Stop => "STOP",
            Self::Rewind => "REWIND",
        }
    }
}

/// One step of a window.
#[derive(Clone, Copy, Debug)]
struct Seen {
    offset: Offset,
    /// The least lag seen within the step.
    lag: u64,
    first: Monotonic,
    last: Monotonic,
}

/// The last commits of one group for one partition.
#[derive(Debug)]
pub(crate) struct Window {
    steps: VecDeque<Seen>,
    /// When there was last nothing to read.
    caught_up: Option<Monotonic>,
    /// What was found out about the records that are not committed.
    pub(crate) age: Option<Age>,
    _counted: Arc<()>,
}

/// How far behind in time, and for which commit that was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age {
    pub(crate) committed: Offset,
    /// The time of the first record that is not committed, where there is one and it has a time.
    pub(crate) from: Option<i64>,
    /// From that to the newest; `None` where records carry no time, or cannot be read.
    pub(crate) behind: Option<Duration>,
}

impl Window {
    /// An empty window; `None` when as many are kept as may be, which `counted` counts.
    pub(crate) fn new(counted: &Arc<()>) -> Option<Self> {
        (Arc::strong_count(counted) <= limits::LAG_WINDOWS_MAX).then(|| Self {
            steps: VecDeque::new(),
            caught_up: None,
            age: None,
            _counted: Arc::clone(counted),
        })
    }

    /// A commit, with the lag that it left.
    pub(crate) fn handle_commit(&mut self, now: Monotonic, offset: Offset, lag: u64) {
        if lag == 0 {
            self.caught_up = Some(now);
        }
        let step = self.steps.back_mut();
        if let Some(step) =
            step.filter(|step| offset >= step.offset && now.since(step.first) < STEP)
        {
            *step = Seen { offset, lag: step.lag.min(lag), last: now, ..*step };
            return;
        }
        if self.steps.len() == limits::LAG_WINDOW_COMMITS {
            self.steps.pop_front();
        }
        self.steps.push_back(Seen { offset, lag, first: now, last: now });
    }

    /// There was nothing to read at this time.
    pub(crate) fn handle_caught_up(&mut self, now: Monotonic) {
        self.caught_up = Some(now);
    }

    /// How many steps the judgement rests on.
    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The judgement, with the lag as it is at this time. The first rule that holds decides.
    pub(crate) fn state(&self, now: Monotonic, lag: u64) -> LagState {
        let (Some(first), Some(last)) = (self.steps.front(), self.steps.back()) else {
            return LagState::Ok;
        };
        if lag == 0 {
            return LagState::Ok;
        }
        let span = last.last.since(first.first).max(SILENCE_MIN);
        let heard = self.caught_up.map_or(last.last, |at| at.max(last.last));
        if now.since(heard) > span {
            return LagState::Stop;
        }
        if self.steps.iter().any(|step| step.lag == 0) {
            return LagState::Ok;
        }
        if self.pairs().any(|(before, after)| after.offset < before.offset) {
            return LagState::Rewind;
        }
        if self.steps.len() < JUDGED_FROM {
            return LagState::Ok;
        }
        if self.pairs().all(|(before, after)| after.offset == before.offset) {
            return LagState::Stall;
        }
        if self.pairs().all(|(before, after)| after.lag >= before.lag) {
            return LagState::Warn;
        }
        LagState::Ok
    }

    fn pairs(&self) -> impl Iterator<Item = (&Seen, &Seen)> {
        self.steps.iter().zip(self.steps.iter().skip(1))
    }
}

#[cfg(test)]
mod tests;
