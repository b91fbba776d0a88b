//! How the commits of a group move: noted as they come, judged when somebody asks.

use super::{Cell, Committed, Group, Groups, Place, Shared};
use crate::lag::{Age, Standing, Window, lag};
use std::{collections::hash_map::Entry, sync::Arc};
use tramline_types::{GroupId, Offset};

/// A commit, with the lag that it leaves.
pub(super) type Move = (Place, Offset, u64);

impl Groups {
    /// Judges partitions by how the group's commits for them moved.
    pub(crate) fn judge(&self, group: &GroupId, standings: &mut [Standing]) {
        let Some(group) = self.shared.group(group) else { return };
        let lags: Vec<Option<u64>> = standings.iter().map(Standing::lag).collect();
        let now = self.shared.clock.monotonic();
        let mut cell = group.cell.lock();
        for (standing, lag) in standings.iter_mut().zip(lags) {
            let place = (standing.topic.clone(), standing.partition);
            let (Some(window), Some(lag)) = (cell.windows.get_mut(&place), lag) else { continue };
            if lag == 0 {
                window.handle_caught_up(now);
            }
            standing.state = Some(window.state(now, lag));
            standing.steps = window.len();
            standing.age = window.age.filter(|age| age.committed == standing.committed.offset);
        }
    }

    /// Keeps how far behind in time a group is, for the metrics.
    pub(crate) fn note_ages(&self, group: &GroupId, ages: Vec<(Place, Age)>) {
        let Some(group) = self.shared.group(group) else { return };
        let mut cell = group.cell.lock();
        for (place, age) in ages {
            if let Some(window) = cell.windows.get_mut(&place) {
                window.age = Some(age);
            }
        }
    }
}

impl Shared {
    /// What is about to be committed, with the lag that it leaves. Takes no lock of a group.
    pub(super) fn moves(&self, entries: &[(Place, Committed)]) -> Vec<Move> {
        let moved = |(place, committed): &(Place, Committed)| {
            let topic = self.topics.read().get(&place.0).ok()?;
            let partition = topic.partition(place.1).ok()?;
            Some((place.clone(), committed.offset, lag(&partition, committed.offset)))
        };
        entries.iter().filter_map(moved).collect()
    }

    pub(super) fn note_moves(&self, cell: &mut Cell, moves: Vec<Move>) {
        let now = self.clock.monotonic();
        for (place, offset, lag) in moves {
            let window = match cell.windows.entry(place) {
                Entry::Occupied(window) => window.into_mut(),
                Entry::Vacant(place) => match Window::new(&self.windows) {
                    Some(window) => place.insert(window),
                    None => continue,
                },
            };
            window.handle_commit(now, offset, lag);
        }
    }

    /// A start begins the windows with what is committed, so that a reader that does not come
    /// back is found to have stopped.
    pub(super) fn begin_windows(&self, group: &Arc<Group>) {
        let kept = group.cell.lock().offsets.all();
        let entries: Vec<(Place, Committed)> = kept
            .into_iter()
            .filter_map(|kept| Some(((kept.topic, kept.partition), kept.committed?)))
            .collect();
        let moves = self.moves(&entries);
        self.note_moves(&mut group.cell.lock(), moves);
    }
}
