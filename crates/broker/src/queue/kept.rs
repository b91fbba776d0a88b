//! How long a log's settled messages are kept, where a queue keeps them for a while.
//!
//! Pure: marks say up to where everything was settled by when. They are in memory only, and rough:
//! a message may be kept longer by a part of the time, and by a restart, never shorter.

use std::collections::VecDeque;
use tramline_types::Timestamp;

/// Marks of one log, at most.
const MARKS_MAX: u64 = 64;

/// By when everything below an offset was settled, in order.
#[derive(Default)]
pub(super) struct Marks(VecDeque<(Timestamp, u64)>);

fn plus(time: Timestamp, millis: u64) -> Timestamp {
    time.plus_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// Between two marks.
fn step(keep_ms: u64) -> u64 {
    (keep_ms / MARKS_MAX).max(1)
}

impl Marks {
    /// Everything below `floor` is settled by now, and everything below `trimmed` is gone. Gives
    /// up to where nothing is to be kept any more.
    pub(super) fn handle_floor(
        &mut self,
        (floor, trimmed): (u64, u64),
        keep_ms: u64,
        now: Timestamp,
    ) -> Option<u64> {
        let known = self.0.back().map_or(trimmed, |(_, known)| *known);
        let is_time = self.0.back().is_none_or(|(at, _)| plus(*at, step(keep_ms)) <= now);
        if floor > known && is_time {
            self.0.push_back((now, floor));
        }
        let mut to = None;
        while let Some((at, floor)) = self.0.front()
            && plus(*at, keep_ms) <= now
        {
            to = Some(*floor);
            self.0.pop_front();
        }
        to
    }

    /// When [`Marks::handle_floor`] has something to do.
    pub(super) fn poll_timeout(&self, floor: u64, keep_ms: u64) -> Option<Timestamp> {
        let (last, known) = self.0.back()?;
        let next = (floor > *known).then(|| plus(*last, step(keep_ms)));
        let first = self.0.front().map(|(at, _)| plus(*at, keep_ms));
        first.into_iter().chain(next).min()
    }

    /// Nothing is kept.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn nothing_goes_before_its_time_and_everything_soon_after() {
        let mut marks = Marks::default();
        let (mut trimmed, mut floors) = (0, Vec::new());
        for now in 0..20_000 {
            let floor = u64::try_from(now.min(10_000)).unwrap();
            floors.push(floor);
            if let Some(to) = marks.handle_floor((floor, trimmed), 6400, at(now)) {
                let settled = floors.iter().position(|floor| *floor >= to).unwrap();
                assert!(now - i64::try_from(settled).unwrap() >= 6400, "{to} at {now}");
                trimmed = to;
            }
            assert!(marks.0.len() <= 66);
            let late = u64::try_from((now - 6400 - 200).clamp(0, 10_000)).unwrap();
            assert!(trimmed >= late, "{trimmed} at {now}");
            let due = marks.poll_timeout(floor, 6400);
            assert_eq!(due.is_none(), marks.0.is_empty());
        }
        assert_eq!(trimmed, 10_000);
    }
}
