//! Keeping the log short: what still means something at its beginning is written again at its
//! end, and the beginning goes. Done when less than half of the log means something, so that
//! every version is written twice on average at most.
//!
//! Cut short anywhere nothing is lost: a version that the log has twice counts once.

use super::{ConfigPush, record};
use crate::Error;
use std::time::Duration;

/// How often it is looked whether there is something to do.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// How often it is looked for deletions to forget: every key is looked at.
pub(super) const FORGET_INTERVAL: Duration = Duration::from_secs(60);
/// Read and written again at once.
const STEP_BYTES: usize = 1024 * 1024;
/// Steps of one look, so that changes get their turn.
const STEPS_MAX: usize = 16;
/// Keys forgotten while the state is locked.
const FORGET_MAX: usize = 256;

impl ConfigPush {
    pub(super) async fn clean_or_say_why_not(&self) {
        if let Err(error) = self.clean().await {
            tracing::warn!(%error, "the log of pushed configuration is not cleaned");
        }
    }

    /// Forgets deletions that are old enough.
    pub(super) fn forget(&self) {
        let retention = self.shared.options.deleted_retention.as_millis();
        let retention = i64::try_from(retention).unwrap_or(i64::MAX);
        let before = self.shared.clock.now().minus_millis(retention);
        let start = self.shared.journal.start();
        while self.shared.owner.lock().state.forget(before, start, FORGET_MAX) {}
    }

    /// Cleans the log where more of it means nothing than may, and more than half.
    async fn clean(&self) -> Result<(), Error> {
        for _ in 0..STEPS_MAX {
            let (log, live) = {
                let owner = self.shared.owner.lock();
                (owner.state.log_bytes(), owner.state.live_bytes())
            };
            let dead = log.saturating_sub(live);
            if dead <= self.shared.options.dead_bytes_free.max(live) || !self.clean_step().await? {
                break;
            }
        }
        Ok(())
    }

    /// Cleans the first part of the log; `false`: there is none.
    async fn clean_step(&self) -> Result<bool, Error> {
        let _writer = self.shared.writer.lock().await;
        // What is durable is known to the state, or it would seem to mean nothing.
        self.take_up();
        let journal = &self.shared.journal;
        let (start, Some(durable)) = (journal.start(), journal.durable()) else { return Ok(false) };
        if start >= durable {
            return Ok(false);
        }
        let records = journal.read(start, STEP_BYTES).await?;
        let bytes = records.versions.iter().map(|(_, version)| version.stored).sum();
        let live: Vec<_> = {
            let owner = self.shared.owner.lock();
            let is_live = |item: &(_, super::state::Version)| {
                owner.state.is_live(&item.0, item.1.revision, item.1.offset)
            };
            records.versions.into_iter().filter(is_live).collect()
        };
        if !live.is_empty() {
            let (batch, _) = record::encode(&live)?;
            let base = journal.copy(batch, self.shared.clock.now()).await?;
            let mut owner = self.shared.owner.lock();
            for (offset, (key, version)) in (base..).zip(&live) {
                owner.state.handle_moved(key, version.revision, offset);
            }
        }
        let floor = self.shared.owner.lock().state.floor();
        journal.trim(records.next, floor).await?;
        self.shared.owner.lock().state.handle_trimmed(bytes);
        Ok(true)
    }
}
