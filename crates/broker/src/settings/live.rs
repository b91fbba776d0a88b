//! The settings in force, and what they are made of.

use super::{SettingScope, named, topic_name};
use crate::{Error, Options};
use bytes::Bytes;
use parking_lot::RwLock;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Notify;
use tramline_catalog::find_broker_setting;
use tramline_store::LogStore;

/// What was set while the broker ran, by Kafka's names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dynamic {
    pub(super) all: BTreeMap<String, String>,
    pub(super) this: BTreeMap<String, String>,
}

/// The configuration, what was set over it, and the result.
pub(crate) struct Live {
    configured: Options,
    state: RwLock<(Arc<Options>, Dynamic)>,
    changed: Notify,
}

/// The key of what was set.
pub(super) const fn key(scope: SettingScope) -> Bytes {
    Bytes::from_static(match scope {
        SettingScope::AllBrokers => b"settings/all",
        SettingScope::ThisBroker => b"settings/this",
    })
}

impl Live {
    /// What the store has, over the configuration.
    pub(crate) fn load(store: &dyn LogStore, configured: Options) -> Self {
        let dynamic = Dynamic {
            all: load(store, SettingScope::AllBrokers),
            this: load(store, SettingScope::ThisBroker),
        };
        // A configuration file that no longer goes with what was set must not keep the broker
        // from starting.
        let (options, dynamic) = match dynamic.in_force(&configured) {
            Ok(options) => (options, dynamic),
            Err(error) => {
                tracing::warn!(%error, "the stored broker settings are not used");
                (configured.clone(), Dynamic::default())
            }
        };
        let state = RwLock::new((Arc::new(options), dynamic));
        Self { configured, state, changed: Notify::new() }
    }

    pub(crate) fn options(&self) -> Arc<Options> {
        Arc::clone(&self.state.read().0)
    }

    pub(super) fn state(&self) -> (Arc<Options>, Dynamic) {
        self.state.read().clone()
    }

    pub(super) const fn configured(&self) -> &Options {
        &self.configured
    }

    pub(super) fn set(&self, options: Arc<Options>, dynamic: Dynamic) {
        *self.state.write() = (options, dynamic);
        self.changed.notify_waiters();
    }

    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// What is stored and still a setting; the rest is told and left alone.
fn load(store: &dyn LogStore, scope: SettingScope) -> BTreeMap<String, String> {
    let stored = store.get(&key(scope));
    let values: BTreeMap<String, String> =
        stored.and_then(|stored| serde_json::from_slice(&stored).ok()).unwrap_or_default();
    let is_good = |name: &String, value: &mut String| {
        let checked = find_broker_setting(name).and_then(|setting| setting.check(value));
        if let Err(error) = &checked {
            tracing::warn!(%error, "a stored broker setting is not used");
        }
        checked.is_ok()
    };
    let mut values = values;
    values.retain(is_good);
    values
}

impl Dynamic {
    pub(super) const fn layer_mut(&mut self, scope: SettingScope) -> &mut BTreeMap<String, String> {
        match scope {
            SettingScope::AllBrokers => &mut self.all,
            SettingScope::ThisBroker => &mut self.this,
        }
    }

    pub(super) fn encode(&self, scope: SettingScope) -> Vec<u8> {
        let values = match scope {
            SettingScope::AllBrokers => &self.all,
            SettingScope::ThisBroker => &self.this,
        };
        serde_json::to_vec(values).expect("a map of text is JSON")
    }

    /// The configuration with what was set over it.
    pub(super) fn in_force(&self, configured: &Options) -> Result<Options, Error> {
        let of_topics = |values: &BTreeMap<String, String>| {
            values
                .iter()
                .filter_map(|(name, value)| Some((topic_name(name)?.to_owned(), value.clone())))
                .collect()
        };
        let mut options = configured.clone();
        options.topic_defaults =
            configured.topic_defaults.with_layers(of_topics(&self.all), of_topics(&self.this))?;
        for (name, value) in self.all.iter().chain(&self.this) {
            named::set(&mut options, name, value);
        }
        if options.groups.session_timeout_min > options.groups.session_timeout_max {
            return Err(Error::InvalidSetting {
                name: "group.min.session.timeout.ms".to_owned(),
                detail: "is above `group.max.session.timeout.ms`".to_owned(),
            });
        }
        Ok(options)
    }
}
