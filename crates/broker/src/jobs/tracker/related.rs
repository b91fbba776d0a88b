//! Jobs that belong together: parents with their children, and those that wait for others.

use super::{Tracker, slots::Slot};
use crate::jobs::job::{Job, JobState};
use std::{collections::HashMap, sync::Arc};
use tramline_types::limits;

impl Tracker {
    /// Makes a job known to its parent, where there is such a job.
    pub(super) fn link(&mut self, slot: Slot) {
        let Some(child) = self.jobs.get(slot) else { return };
        let Some(parent) = child.details().parent.as_ref() else { return };
        let (id, parent) = (Arc::clone(&child.id), self.slot_of(parent));
        let Some(parent) = parent.and_then(|parent| self.jobs.get_mut(parent)) else { return };
        let children = &parent.details().children;
        if children.len() < limits::JOB_CHILDREN_MAX && !children.contains(&id) {
            let before = parent.size();
            parent.details_mut().children.push(id);
            self.bytes = (self.bytes + parent.size()).saturating_sub(before);
        }
    }

    /// Notes whom a job waits for.
    pub(super) fn wait(&mut self, slot: Slot) {
        let Some(job) = self.jobs.get(slot) else { return };
        if job.state.is_final() || job.details().after.is_empty() {
            return;
        }
        let (id, after) = (Arc::clone(&job.id), job.details().after.clone());
        for before in after {
            let waiters = self.waiting.entry(before).or_default();
            if !waiters.contains(&id) {
                waiters.push(Arc::clone(&id));
            }
        }
        // What it waits for may have ended meanwhile.
        self.applied.waiters.push(id);
    }

    /// Whether all that a job waits for is done; `Err` names one that ended otherwise.
    pub(crate) fn awaited(&self, after: &[Arc<str>]) -> Result<bool, Arc<str>> {
        let mut all = true;
        for id in after {
            match self.get(id).map(|job| job.state) {
                Some(JobState::Done) => {}
                Some(state) if state.is_final() => return Err(Arc::clone(id)),
                _ => all = false,
            }
        }
        Ok(all)
    }

    /// After a restart: who is whose child.
    pub(crate) fn link_all(&mut self) {
        self.those(|job| job.details().parent.is_some()).into_iter().for_each(|it| self.link(it));
    }

    /// After a restart: those who wait.
    pub(crate) fn wait_all(&mut self) -> Vec<Arc<str>> {
        self.those(|job| !job.details().after.is_empty()).into_iter().for_each(|it| self.wait(it));
        std::mem::take(&mut self.applied.waiters)
    }

    fn those(&self, are: impl Fn(&Job) -> bool) -> Vec<Slot> {
        let all = self.by_number.range(0..u64::MAX).map(|(_, slot)| slot);
        all.filter(|slot| self.jobs.get(*slot).is_some_and(&are)).collect()
    }
}

/// A job waits for no other any more.
pub(super) fn unwait(waiting: &mut HashMap<Arc<str>, Vec<Arc<str>>>, job: &Job) {
    for before in &job.details().after {
        if let Some(waiters) = waiting.get_mut(before) {
            waiters.retain(|waiter| *waiter != job.id);
            if waiters.is_empty() {
                waiting.remove(before);
            }
        }
    }
}
