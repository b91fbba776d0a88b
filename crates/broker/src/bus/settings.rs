//! Settings of channels: stored, and changed while everything runs.

use super::rules::Rules;
use crate::{Broker, Error, broker::submit};
use smallvec::smallvec;
use std::{collections::BTreeMap, sync::Arc};
use tramline_catalog::ChannelSettings;
use tramline_store::{LogStore, Op, Purpose};
use tramline_types::{ChannelName, limits::CHANNEL_SETTINGS_MAX};

/// Takes up what is stored. Damaged settings are left out, and the rest is served.
pub(super) fn load(store: &dyn LogStore) -> Rules {
    let mut all = BTreeMap::new();
    for (key, value) in store.scan(ChannelSettings::prefix()) {
        match ChannelSettings::decode(&key, &value) {
            Ok((prefix, settings)) => drop(all.insert(prefix, settings)),
            Err(error) => tracing::warn!(%error, "settings of channels are left out"),
        }
    }
    Rules::new(all)
}

impl Broker {
    /// The settings of every prefix that has its own; the empty one is for all others.
    pub fn channel_settings(&self) -> BTreeMap<String, ChannelSettings> {
        let rules = self.bus().rules();
        rules.all().map(|(prefix, rule)| (prefix.to_owned(), rule.settings.clone())).collect()
    }

    /// Sets what holds for all channels at and below a prefix, or for all that have no nearer
    /// one when it is empty; `None` takes its own settings away. It holds at once, and is durable
    /// on return.
    ///
    /// # Errors
    /// [`Error::InvalidTopicName`] for a prefix that is no channel's name;
    /// [`Error::InvalidSetting`]; [`Error::LimitExceeded`].
    pub async fn set_channel_settings(
        &self,
        prefix: &str,
        settings: Option<ChannelSettings>,
    ) -> Result<(), Error> {
        if !prefix.is_empty() {
            ChannelName::parse(prefix)?;
        }
        if let Some(settings) = &settings {
            settings.check()?;
        }
        let value = settings.as_ref().map(ChannelSettings::encode);
        let bytes = value.as_ref().map_or(0, bytes::Bytes::len) + prefix.len();
        let reservation = self.store().reserve(Purpose::Upkeep, bytes, 1).wait().await?;
        let durable = {
            let bus = self.bus();
            let state = bus.state.lock();
            let mut rules = bus.rules.write();
            if settings.is_some() && rules.len() >= CHANNEL_SETTINGS_MAX {
                let text = format!("{CHANNEL_SETTINGS_MAX} prefixes have settings, the limit");
                return Err(Error::LimitExceeded(text));
            }
            *rules = Arc::new(rules.with(prefix, settings, state.offset));
            let key = ChannelSettings::key(prefix);
            let op = match value {
                Some(value) => Op::Put(key, value),
                None => Op::Remove(key),
            };
            submit(&**self.store(), smallvec![op], reservation)
        };
        durable.await.map_err(|_| Error::Closed)?;
        self.bus().expire();
        Ok(())
    }
}
