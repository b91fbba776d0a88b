//! What subscribers are shown.

use super::{Content, Keyed, State, Version};
use crate::config_push::{Before, ConfigKey, ConfigScope, Shown, Staged, Update};
use std::{
    ops::Bound,
    sync::{Arc, OnceLock},
};

/// Keys looked at while the state is locked.
const LOOKS_MAX: usize = 5_000;
/// Values in one page.
const PAGE_KEYS_MAX: usize = 256;
/// Bytes of values in one page; one value at least.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Some keys of a scope, in their order.
#[derive(Debug)]
pub(crate) struct Page {
    /// What the subscriber has to get.
    pub(crate) shown: Vec<Arc<Shown>>,
    /// Go on behind this one; `None` at the end.
    pub(crate) next: Option<ConfigKey>,
}

/// What changed in a scope, by revision.
#[derive(Debug)]
pub(crate) struct ChangesPage {
    pub(crate) updates: Vec<Arc<Update>>,
    /// Everything up to this revision has been looked at.
    pub(crate) up_to: u64,
}

impl Keyed {
    /// What a subscriber has to get; `None`: no value.
    fn effective(&self, client: Option<&str>) -> Option<&Version> {
        let newest = self.newest();
        let version = match &newest.rollout {
            Some(rollout) if !rollout.includes(client) => self.version(rollout.base?)?,
            _ => newest,
        };
        (version.content != Content::Deleted).then_some(version)
    }
}

fn shown(key: &ConfigKey, version: &Version) -> Option<Arc<Shown>> {
    let Content::Held(value) = &version.content else { return None };
    Some(Arc::new(Shown {
        key: key.clone(),
        revision: version.revision,
        time: version.time,
        content_type: version.content_type.clone(),
        value: value.clone(),
        form: OnceLock::new(),
    }))
}

impl State {
    /// What a subscriber has to get for a key; `None`: no value.
    pub(crate) fn shown(&self, key: &ConfigKey, client: Option<&str>) -> Option<Arc<Shown>> {
        shown(key, self.keys.get(key)?.effective(client)?)
    }

    /// The newest value of a key, also where it is rolled out in stages.
    pub(crate) fn newest(&self, key: &ConfigKey) -> Option<Arc<Shown>> {
        shown(key, self.keys.get(key)?.newest())
    }

    /// The revision of a key that a subscriber has to have, and the one that it had when the
    /// revision `at` was the last, as far as the history goes. 0: no value.
    pub(crate) fn wanted_and_held(&self, key: &ConfigKey, client: &str, at: u64) -> (u64, u64) {
        let Some(keyed) = self.keys.get(key) else { return (0, 0) };
        let wanted = keyed.effective(Some(client)).map_or(0, |version| version.revision);
        let then = keyed.versions.iter().rev().find(|version| version.revision <= at);
        let held = then.map_or(0, |then| match &then.rollout {
            Some(rollout) if !rollout.includes(Some(client)) => rollout.base.unwrap_or(0),
            _ if then.content == Content::Deleted => 0,
            _ => then.revision,
        });
        (wanted, held)
    }

    pub(super) fn before(&self, key: &ConfigKey) -> Before {
        let Some(keyed) = self.keys.get(key) else { return Before::Revision(0) };
        let newest = keyed.newest();
        match &newest.rollout {
            _ if newest.content == Content::Deleted => Before::Revision(0),
            None => Before::Revision(newest.revision),
            Some(rollout) => Before::Staged(newest.revision, rollout.clone()),
        }
    }

    pub(super) fn update(&self, key: &ConfigKey, before: Before) -> Update {
        let keyed = &self.keys[key];
        let newest = keyed.newest();
        let staged = newest.rollout.as_ref().map(|rollout| {
            let base = rollout.base.and_then(|base| keyed.version(base));
            Staged { rollout: rollout.clone(), base: base.and_then(|base| shown(key, base)) }
        });
        let value = shown(key, newest);
        Update { key: key.clone(), revision: newest.revision, value, staged, before }
    }

    /// The values of a scope behind the key `after`, as a subscriber has to get them; those that
    /// have changed since the revision `up_to` are left out.
    pub(crate) fn page(
        &self,
        scope: &ConfigScope,
        after: Option<&ConfigKey>,
        (up_to, client): (u64, Option<&str>),
    ) -> Page {
        if let ConfigScope::Key(key) = scope {
            let keyed = self.keys.get(key).filter(|keyed| keyed.newest().revision <= up_to);
            let version = keyed.and_then(|keyed| keyed.effective(client));
            let shown = version.and_then(|version| shown(key, version));
            return Page { shown: shown.into_iter().collect(), next: None };
        }
        let start = match after {
            Some(after) => Bound::Excluded(after.as_str()),
            None => Bound::Included(scope.as_str()),
        };
        let range = self.keys.range::<str, _>((start, Bound::Unbounded));
        let mut page = Page { shown: Vec::new(), next: None };
        let (mut looks, mut bytes) = (0, 0);
        for (key, keyed) in range.take_while(|(key, _)| scope.has(key)) {
            looks += 1;
            let wanted = keyed.newest().revision <= up_to;
            let version = keyed.effective(client).filter(|_| wanted);
            if let Some(shown) = version.and_then(|version| shown(key, version)) {
                bytes += shown.value.len();
                page.shown.push(shown);
            }
            if looks == LOOKS_MAX || page.shown.len() == PAGE_KEYS_MAX || bytes >= PAGE_BYTES_MAX {
                page.next = Some(key.clone());
                break;
            }
        }
        page
    }

    /// What changed in a scope since a revision, each key once, at its newest revision; what one
    /// revision changed comes together.
    pub(crate) fn changes(&self, scope: &ConfigScope, since: u64) -> ChangesPage {
        let mut page = ChangesPage { updates: Vec::new(), up_to: self.visible };
        let update = |key| Arc::new(self.update(key, Before::Unknown));
        if let ConfigScope::Key(key) = scope {
            let changed = self.keys.get(key).is_some_and(|it| it.newest().revision > since);
            page.updates.extend(changed.then(|| update(key)));
            return page;
        }
        let (mut looks, mut bytes) = (0, 0);
        let mut last = since;
        for (revision, keys) in self.by_revision.range((Bound::Excluded(since), Bound::Unbounded)) {
            let is_full = page.updates.len() >= PAGE_KEYS_MAX || bytes >= PAGE_BYTES_MAX;
            if is_full || looks >= LOOKS_MAX {
                page.up_to = last;
                break;
            }
            for key in keys {
                looks += 1;
                if scope.has(key) {
                    let update = update(key);
                    bytes += update.value.as_ref().map_or(0, |shown| shown.value.len());
                    page.updates.push(update);
                }
            }
            last = *revision;
        }
        page
    }
}
