//! What holds for the keys of a scope: the schema of their values, and how much history they
//! keep. Of several rules that a key falls under, the one with the narrowest scope counts, for
//! schema and history each.
//!
//! Catalog key: `config-rule/<scope>`; value: JSON with `schema` and `history`.

use super::{ConfigError, ConfigKey, ConfigPush, ConfigScope, schema::Schema};
use crate::Error;
use bytes::Bytes;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::oneshot;
use tramline_store::{Commit, LogStore, Op, Purpose};
use tramline_types::limits;

const PREFIX: &str = "config-rule/";

/// What holds for the keys of a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigRule {
    /// A JSON Schema that values must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    /// Earlier values that each key keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<u32>,
}

struct Ready {
    rule: ConfigRule,
    schema: Option<Schema>,
}

/// All rules.
pub(crate) struct Rules {
    by_scope: RwLock<BTreeMap<ConfigScope, Arc<Ready>>>,
}

fn prepare(rule: ConfigRule) -> Result<Ready, ConfigError> {
    let schema = rule.schema.as_ref().map(|schema| Schema::compile(schema.clone())).transpose()?;
    Ok(Ready { schema, rule })
}

impl Rules {
    pub(super) fn load(store: &dyn LogStore) -> Result<Self, Error> {
        let mut by_scope = BTreeMap::new();
        for (key, value) in store.scan(PREFIX.as_bytes()) {
            let text = std::str::from_utf8(&key).ok().and_then(|key| key.strip_prefix(PREFIX));
            let scope = text.and_then(|text| ConfigScope::parse(text).ok());
            let rule = serde_json::from_slice::<ConfigRule>(&value).ok();
            let ready = rule.and_then(|rule| prepare(rule).ok());
            let (Some(scope), Some(ready)) = (scope, ready) else {
                let key = String::from_utf8_lossy(&key);
                return Err(Error::DataDamaged(format!("`{key}` of the catalog is no rule")));
            };
            by_scope.insert(scope, Arc::new(ready));
        }
        Ok(Self { by_scope: RwLock::new(by_scope) })
    }

    fn find<T>(&self, key: &ConfigKey, wanted: impl Fn(&Arc<Ready>) -> Option<T>) -> Option<T> {
        let by_scope = self.by_scope.read();
        if by_scope.is_empty() {
            return None;
        }
        ConfigScope::of(key).find_map(|scope| by_scope.get(&scope).and_then(&wanted))
    }

    /// How many earlier values a key keeps.
    pub(super) fn history(&self, key: &ConfigKey, default: u32) -> u32 {
        self.find(key, |ready| ready.rule.history).unwrap_or(default)
    }

    /// Whether a value may be a key's.
    pub(super) fn check(&self, key: &ConfigKey, value: &[u8]) -> Result<(), ConfigError> {
        let ready = self.find(key, |ready| ready.schema.is_some().then(|| Arc::clone(ready)));
        let Some(ready) = ready else { return Ok(()) };
        let Some(schema) = &ready.schema else { return Ok(()) };
        schema.check(value).map_err(|detail| {
            let by_scope = self.by_scope.read();
            let scope = by_scope.iter().find(|(_, other)| Arc::ptr_eq(other, &ready));
            let scope = scope.map_or_else(String::new, |(scope, _)| scope.to_string());
            ConfigError::SchemaViolated { key: key.clone(), scope, detail }
        })
    }
}

impl ConfigPush {
    /// Every rule, by scope.
    pub fn rules(&self) -> Vec<(ConfigScope, ConfigRule)> {
        let by_scope = self.shared.rules.by_scope.read();
        by_scope.iter().map(|(scope, ready)| (scope.clone(), ready.rule.clone())).collect()
    }

    /// Sets the rule of a scope; durable on return. Values that are there stay as they are.
    pub async fn set_rule(&self, scope: &ConfigScope, rule: ConfigRule) -> Result<(), ConfigError> {
        let text = serde_json::to_vec(&rule).expect("a rule is JSON");
        if text.len() > limits::CONFIG_SCHEMA_BYTES_MAX {
            let (bytes, limit) = (text.len(), limits::CONFIG_SCHEMA_BYTES_MAX);
            return Err(ConfigError::TooLarge { bytes, limit });
        }
        if rule.history.is_some_and(|history| history > limits::CONFIG_HISTORY_MAX) {
            let most = limits::CONFIG_HISTORY_MAX;
            let detail = format!("`history` may be {most} at most");
            return Err(ConfigError::InvalidChange(detail));
        }
        let ready = Arc::new(prepare(rule)?);
        let _writer = self.shared.writer.lock().await;
        {
            let by_scope = self.shared.rules.by_scope.read();
            if by_scope.len() >= limits::CONFIG_RULES_MAX && !by_scope.contains_key(scope) {
                let most = limits::CONFIG_RULES_MAX;
                return Err(ConfigError::LimitExceeded(format!("there may be {most} rules")));
            }
        }
        let key = Bytes::from(format!("{PREFIX}{scope}"));
        self.commit_rule(smallvec![Op::Put(key, Bytes::from(text))]).await?;
        self.shared.rules.by_scope.write().insert(scope.clone(), ready);
        Ok(())
    }

    /// Removes the rule of a scope; durable on return.
    pub async fn remove_rule(&self, scope: &ConfigScope) -> Result<(), ConfigError> {
        let _writer = self.shared.writer.lock().await;
        if !self.shared.rules.by_scope.read().contains_key(scope) {
            return Err(ConfigError::UnknownRule(scope.to_string()));
        }
        let key = Bytes::from(format!("{PREFIX}{scope}"));
        self.commit_rule(smallvec![Op::Remove(key)]).await?;
        self.shared.rules.by_scope.write().remove(scope);
        Ok(())
    }

    async fn commit_rule(&self, ops: SmallVec<[Op; 1]>) -> Result<(), Error> {
        let store = self.shared.journal.store();
        let bytes = limits::CONFIG_SCHEMA_BYTES_MAX;
        let reservation = store.reserve(Purpose::Upkeep, bytes, ops.len()).wait().await?;
        let (done, durable) = oneshot::channel();
        let on_durable = Box::new(move || {
            let _caller_gave_up = done.send(());
        });
        store.submit(Commit { ops, on_durable }, reservation);
        durable.await.map_err(|_| Error::Closed)
    }
}
