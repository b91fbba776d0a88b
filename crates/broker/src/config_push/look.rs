//! Looking at keys: their values now and before.

use super::{ConfigError, ConfigKey, ConfigPush, ConfigScope, Rollout, state::Content};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use tramline_types::Timestamp;

/// Read at once for one earlier value.
const READ_BYTES: usize = 64 * 1024;

/// A value as a subscriber gets it.
#[derive(Debug)]
pub struct Shown {
    /// The key.
    pub key: ConfigKey,
    /// The revision that brought the value.
    pub revision: u64,
    /// When that was.
    pub time: Timestamp,
    /// The value's type; empty where none was given.
    pub content_type: Arc<str>,
    /// The value.
    pub value: Bytes,
    /// What a front-end has made of it for everybody: made once, whoever is first.
    pub form: OnceLock<Bytes>,
}

/// A version of a key, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigVersion {
    /// The revision.
    pub revision: u64,
    /// When it was made.
    pub time: Timestamp,
    /// The value's length; `None`: a deletion.
    pub bytes: Option<usize>,
    /// The value's type.
    pub content_type: Arc<str>,
    /// Who gets it, where not everybody did.
    pub rollout: Option<Rollout>,
    /// What was said about it.
    pub note: Option<Arc<str>>,
}

/// Some keys of a scope, in their order.
#[derive(Clone, Debug)]
pub struct ConfigPage {
    /// What a subscriber gets.
    pub values: Vec<Arc<Shown>>,
    /// Go on behind this key; `None` at the end.
    pub next: Option<ConfigKey>,
    /// The last revision.
    pub revision: u64,
}

fn version_of(version: &super::state::Version) -> ConfigVersion {
    ConfigVersion {
        revision: version.revision,
        time: version.time,
        bytes: match &version.content {
            Content::Deleted => None,
            Content::Held(bytes) => Some(bytes.len()),
            Content::Stored(bytes) => Some(*bytes),
        },
        content_type: version.content_type.clone(),
        rollout: version.rollout.clone(),
        note: version.note.clone(),
    }
}

impl ConfigPush {
    /// The value that a subscriber gets; one without an id gets what everybody gets.
    pub fn get(&self, key: &ConfigKey, client: Option<&str>) -> Result<Arc<Shown>, ConfigError> {
        let shown = self.shared.owner.lock().state.shown(key, client);
        shown.ok_or_else(|| ConfigError::UnknownKey(key.clone()))
    }

    /// A key's newest version; `None`: it never had one, or that is forgotten.
    pub fn newest(&self, key: &ConfigKey) -> Option<ConfigVersion> {
        let owner = self.shared.owner.lock();
        Some(version_of(owner.state.key(key)?.newest()))
    }

    /// What is kept of a key, the newest first.
    pub fn history(&self, key: &ConfigKey) -> Result<Vec<ConfigVersion>, ConfigError> {
        let owner = self.shared.owner.lock();
        let keyed = owner.state.key(key).ok_or_else(|| ConfigError::UnknownKey(key.clone()))?;
        Ok(keyed.versions.iter().rev().map(version_of).collect())
    }

    /// Some values of a scope behind a key, as a subscriber gets them.
    pub fn list(
        &self,
        scope: &ConfigScope,
        after: Option<&ConfigKey>,
        client: Option<&str>,
    ) -> ConfigPage {
        let owner = self.shared.owner.lock();
        let page = owner.state.page(scope, after, (u64::MAX, client));
        ConfigPage { values: page.shown, next: page.next, revision: owner.state.visible() }
    }

    /// The value of a revision that is kept.
    pub async fn at_revision(
        &self,
        key: &ConfigKey,
        revision: u64,
    ) -> Result<Arc<Shown>, ConfigError> {
        let unknown = || ConfigError::UnknownRevision { key: key.clone(), revision };
        // A version that is moved meanwhile is found at its new place.
        for _ in 0..2 {
            let version = {
                let owner = self.shared.owner.lock();
                owner.state.key(key).and_then(|keyed| keyed.version(revision)).cloned()
            };
            let version = version.ok_or_else(unknown)?;
            let value = match version.content {
                Content::Deleted => return Err(unknown()),
                Content::Held(value) => value,
                Content::Stored(_) => match self.read(key, revision, version.offset).await? {
                    Some(value) => value,
                    None => continue,
                },
            };
            let (key, time, content_type) = (key.clone(), version.time, version.content_type);
            let form = OnceLock::new();
            return Ok(Arc::new(Shown { key, revision, time, content_type, value, form }));
        }
        Err(unknown())
    }

    async fn read(
        &self,
        key: &ConfigKey,
        revision: u64,
        offset: u64,
    ) -> Result<Option<Bytes>, ConfigError> {
        let records = match self.shared.journal.read(offset, READ_BYTES).await {
            Ok(records) => records,
            Err(crate::Error::OffsetOutOfRange { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = records
            .versions
            .into_iter()
            .find(|(of, version)| of == key && version.revision == revision);
        Ok(found.and_then(|(_, version)| match version.content {
            Content::Held(value) => Some(value),
            Content::Deleted | Content::Stored(_) => None,
        }))
    }
}
