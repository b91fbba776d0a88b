//! Changing keys: one revision at a time, durable when it is answered.

use super::{
    ConfigError, ConfigKey, ConfigPush, add, record,
    rollout::PLACES,
    state::{Limits, Proposal},
};
use crate::Error;
use bytes::Bytes;
use std::sync::{Arc, atomic::Ordering};
use tokio::sync::oneshot;
use tramline_types::Timestamp;

/// A change of one key.
#[derive(Clone, Debug)]
pub struct Change {
    /// The key.
    pub key: ConfigKey,
    /// What the key has to be like, or nothing is changed.
    pub expected: Expected,
    /// What to do.
    pub operation: Operation,
    /// Kept with the revision, for people.
    pub note: Option<Arc<str>>,
}

/// What a key has to be like for a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// As it is.
    #[default]
    Anything,
    /// It has no value.
    Nothing,
    /// It has a value.
    Something,
    /// Its newest revision is this one.
    Revision(u64),
}

/// What to do with a key.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Give it a value.
    Put {
        /// The value's type.
        content_type: Arc<str>,
        /// The value.
        value: Bytes,
        /// Not everybody gets it yet.
        stage: Option<Stage>,
    },
    /// Take its value away.
    Delete,
}

/// Who gets a value that is rolled out in stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Hundredths of a percent of all subscribers; 10,000 is everybody.
    pub share: u16,
    /// Another seed chooses other subscribers.
    pub seed: Arc<str>,
}

impl ConfigPush {
    /// Makes one revision of these changes; gives it when it is durable and shown. All of them
    /// are made, or none.
    pub async fn change(&self, changes: Vec<Change>) -> Result<u64, ConfigError> {
        let made = self.make(changes).await;
        if made.is_err() {
            self.shared.counted.refused.fetch_add(1, Ordering::Relaxed);
        }
        made
    }

    async fn make(&self, mut changes: Vec<Change>) -> Result<u64, ConfigError> {
        for change in &mut changes {
            let Operation::Put { content_type, value, stage } = &mut change.operation else {
                continue;
            };
            if content_type.chars().any(char::is_control) {
                let detail = "a content type has no control characters".to_owned();
                return Err(ConfigError::InvalidChange(detail));
            }
            // What everybody gets is in no stage any more.
            stage.take_if(|stage| stage.share >= PLACES);
            if value.len() <= self.shared.options.value_bytes_max {
                self.shared.rules.check(&change.key, value)?;
            }
        }
        let writer = self.shared.writer.lock().await;
        let now = self.shared.clock.now();
        let proposal = self.propose(changes, now)?;
        let revision = proposal.revision;
        let (batch, stored) = record::encode(&proposal.items)?;
        let base = self.shared.journal.append(batch, now, &self.shared.durable).await?;
        let (done, durable) = oneshot::channel();
        {
            let mut owner = self.shared.owner.lock();
            owner.state.handle_submitted(proposal, base, &stored);
            owner.waiting.push_back((revision, done));
        }
        drop(writer);
        // It may have become durable before it was known to wait.
        self.shared.durable.notify_one();
        durable.await.map_err(|_| Error::Closed)?;
        Ok(revision)
    }

    fn propose(&self, changes: Vec<Change>, now: Timestamp) -> Result<Proposal, ConfigError> {
        let options = &self.shared.options;
        let history = |key: &ConfigKey| self.shared.rules.history(key, options.history);
        let limits = Limits {
            bytes_max: options.bytes_max,
            value_bytes_max: options.value_bytes_max,
            history: &history,
        };
        self.shared.owner.lock().state.propose(changes, now, &limits)
    }

    /// Gives a key the value of an earlier revision again, as a new one.
    pub async fn roll_back(
        &self,
        key: &ConfigKey,
        revision: u64,
        (expected, note): (Expected, Option<Arc<str>>),
    ) -> Result<u64, ConfigError> {
        let earlier = self.at_revision(key, revision).await?;
        let operation = Operation::Put {
            content_type: earlier.content_type.clone(),
            value: earlier.value.clone(),
            stage: None,
        };
        self.change(vec![Change { key: key.clone(), expected, operation, note }]).await
    }

    /// Gives the newest value of a key to another share of its subscribers, as a new revision.
    pub async fn roll_out(
        &self,
        key: &ConfigKey,
        stage: Stage,
        note: Option<Arc<str>>,
    ) -> Result<u64, ConfigError> {
        let newest = self.shared.owner.lock().state.newest(key);
        let newest = newest.ok_or_else(|| ConfigError::UnknownKey(key.clone()))?;
        let operation = Operation::Put {
            content_type: newest.content_type.clone(),
            value: newest.value.clone(),
            stage: Some(stage),
        };
        let expected = Expected::Revision(newest.revision);
        self.change(vec![Change { key: key.clone(), expected, operation, note }]).await
    }

    pub(super) fn told(&self, n: usize) {
        add(&self.shared.counted.told, n);
    }
}
