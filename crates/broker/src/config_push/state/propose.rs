//! What a change would make, and why it may not.

use super::{Content, Head, State, Version};
use crate::config_push::{Change, ConfigError, ConfigKey, Expected, Operation, Rollout};
use std::collections::HashSet;
use tramline_types::{Timestamp, limits};

/// What holds for a change.
pub(crate) struct Limits<'a> {
    /// All values in memory.
    pub(crate) bytes_max: usize,
    /// One value.
    pub(crate) value_bytes_max: usize,
    /// How many earlier versions a key keeps.
    pub(crate) history: &'a dyn Fn(&ConfigKey) -> u32,
}

/// A revision that could be.
#[derive(Debug)]
pub(crate) struct Proposal {
    pub(crate) revision: u64,
    pub(crate) items: Vec<(ConfigKey, Version)>,
}

impl State {
    /// The newest version of a key, as proposed last.
    fn head(&self, key: &ConfigKey) -> Option<Head> {
        self.heads.get(key).cloned().or_else(|| {
            let newest = self.keys.get(key)?.newest();
            let deleted = newest.content == Content::Deleted;
            Some(Head { revision: newest.revision, deleted, rollout: newest.rollout.clone() })
        })
    }

    /// The revision that these changes make together, or why there is none. Changes nothing.
    pub(crate) fn propose(
        &self,
        changes: Vec<Change>,
        now: Timestamp,
        limits: &Limits<'_>,
    ) -> Result<Proposal, ConfigError> {
        check_together(&changes)?;
        let revision = self.given + 1;
        let waiting = self.pending.iter().flat_map(|pending| &pending.items);
        let mut bytes =
            self.held_bytes + waiting.map(|(_, version)| version.content.held()).sum::<usize>();
        let mut keys = self.keys.len() + self.heads.len();
        let mut items = Vec::with_capacity(changes.len());
        for change in changes {
            let head = self.head(&change.key);
            check_expected(&change, head.as_ref())?;
            keys += usize::from(head.is_none());
            let version = version_of(&change, head.as_ref(), (revision, now), limits)?;
            bytes += version.content.held();
            // The value that this one takes the place of goes, unless it is what others get.
            if version.rollout.is_none()
                && let Some(keyed) = self.keys.get(&change.key)
            {
                bytes -= keyed.versions.iter().map(|it| it.content.held()).sum::<usize>();
            }
            items.push((change.key, version));
        }
        if keys > limits::CONFIG_KEYS_MAX {
            let detail = format!("there may be {} keys at most", limits::CONFIG_KEYS_MAX);
            return Err(ConfigError::LimitExceeded(detail));
        }
        if bytes > limits.bytes_max {
            let detail = format!("all values together may have {} bytes at most", limits.bytes_max);
            return Err(ConfigError::LimitExceeded(detail));
        }
        Ok(Proposal { revision, items })
    }
}

fn check_together(changes: &[Change]) -> Result<(), ConfigError> {
    if changes.is_empty() {
        return Err(ConfigError::InvalidChange("nothing is to be changed".to_owned()));
    }
    if changes.len() > limits::CONFIG_CHANGES_MAX {
        let (n, most) = (changes.len(), limits::CONFIG_CHANGES_MAX);
        return Err(ConfigError::LimitExceeded(format!("{n} changes are more than {most}")));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = changes.iter().find(|change| !seen.insert(&change.key)) {
        let detail = format!("key `{}` is changed twice", twice.key);
        return Err(ConfigError::InvalidChange(detail));
    }
    let value = |change: &Change| match &change.operation {
        Operation::Put { value, .. } => value.len(),
        Operation::Delete => 0,
    };
    let bytes = changes.iter().map(value).sum();
    if bytes > limits::CONFIG_REVISION_BYTES_MAX {
        return Err(ConfigError::TooLarge { bytes, limit: limits::CONFIG_REVISION_BYTES_MAX });
    }
    Ok(())
}

fn check_expected(change: &Change, head: Option<&Head>) -> Result<(), ConfigError> {
    let newest = head.filter(|head| !head.deleted).map(|head| head.revision);
    let as_expected = match change.expected {
        Expected::Anything => true,
        Expected::Nothing => newest.is_none(),
        Expected::Something => newest.is_some(),
        Expected::Revision(revision) => newest == Some(revision),
    };
    match (&change.operation, newest) {
        _ if !as_expected => Err(ConfigError::Conflict { key: change.key.clone(), newest }),
        (Operation::Delete, None) => Err(ConfigError::UnknownKey(change.key.clone())),
        _ => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), ConfigError> {
    let (bytes, limit) = (text.len(), limits::CONFIG_TEXT_BYTES_MAX);
    if bytes > limit { Err(ConfigError::TooLarge { bytes, limit }) } else { Ok(()) }
}

fn version_of(
    change: &Change,
    head: Option<&Head>,
    (revision, time): (u64, Timestamp),
    limits: &Limits<'_>,
) -> Result<Version, ConfigError> {
    check_text(change.note.as_deref().unwrap_or_default())?;
    let mut version = Version {
        revision,
        time,
        offset: 0,
        stored: 0,
        kept: (limits.history)(&change.key).min(limits::CONFIG_HISTORY_MAX),
        rollout: None,
        note: change.note.clone(),
        content_type: "".into(),
        content: Content::Deleted,
    };
    let Operation::Put { content_type, value, stage } = &change.operation else {
        return Ok(version);
    };
    check_text(content_type)?;
    let (bytes, limit) = (value.len(), limits.value_bytes_max);
    if bytes > limit {
        return Err(ConfigError::TooLarge { bytes, limit });
    }
    version.content_type = content_type.clone();
    version.content = Content::Held(value.clone());
    if let Some(stage) = stage {
        check_text(&stage.seed)?;
        let base = head.and_then(|head| match &head.rollout {
            Some(rollout) => rollout.base,
            None => (!head.deleted).then_some(head.revision),
        });
        version.rollout = Some(Rollout { share: stage.share, base, seed: stage.seed.clone() });
    }
    Ok(version)
}
