//! Who waits for a partition's high watermark to move.

use std::sync::{Arc, Weak};

/// Someone who waits for records. Called from the committer's thread: must only wake a task.
pub trait Watcher: Send + Sync {
    /// The high watermark moved.
    fn moved(&self);
}

/// One-shot watchers. A watcher whose owner gave up is dead weight until the next sweep, which
/// comes when the list has doubled: the list stays within twice the living.
#[derive(Default)]
pub(crate) struct Watchers {
    waiting: Vec<Weak<dyn Watcher>>,
    sweep_at: usize,
}

const SWEEP_AT_MIN: usize = 16;

impl Watchers {
    pub(crate) fn add(&mut self, watcher: &Arc<dyn Watcher>) {
        if self.waiting.len() >= self.sweep_at.max(SWEEP_AT_MIN) {
            self.waiting.retain(|waiting| waiting.strong_count() > 0);
            self.sweep_at = self.waiting.len() * 2;
        }
        self.waiting.push(Arc::downgrade(watcher));
    }

    pub(crate) fn take(&mut self) -> Vec<Weak<dyn Watcher>> {
        std::mem::take(&mut self.waiting)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;
    impl Watcher for Nobody {
        fn moved(&self) {}
    }

    #[test]
    fn abandoned_watchers_do_not_pile_up() {
        let mut watchers = Watchers::default();
        let living: Vec<Arc<dyn Watcher>> = (0..10).map(|_| Arc::new(Nobody) as _).collect();
        for watcher in &living {
            watchers.add(watcher);
        }
        for _ in 0..10_000 {
            let abandoned: Arc<dyn Watcher> = Arc::new(Nobody);
            watchers.add(&abandoned);
        }
        assert!(watchers.waiting.len() <= 40, "{}", watchers.waiting.len());
        let alive = watchers.take().iter().filter(|weak| weak.strong_count() > 0).count();
        assert_eq!(alive, 10);
    }
}
