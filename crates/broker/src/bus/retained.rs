//! The last values of channels. Pure but for the loading.

use super::publication::{ChannelPosition, NewPublication, Publication};
use crate::Error;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};
use tramline_catalog::RetainedRecord;
use tramline_routing::ChannelPattern;
use tramline_store::LogStore;
use tramline_types::{
    ChannelName,
    limits::{RETAINED_BYTES_MAX, RETAINED_MAX},
};

/// The last value of each channel that has one.
#[derive(Debug, Default)]
pub(super) struct Retained {
    values: BTreeMap<ChannelName, Arc<Publication>>,
    bytes: usize,
}

impl Retained {
    /// Takes up what is stored. A damaged value is left out, and the rest is served.
    pub(super) fn load(store: &dyn LogStore) -> Self {
        let mut retained = Self::default();
        for (key, value) in store.scan(RetainedRecord::prefix()) {
            match RetainedRecord::decode(&key, &value) {
                Ok((channel, record)) => retained.set(Arc::new(Publication {
                    channel,
                    // Before everything that this start of the broker publishes.
                    position: ChannelPosition { epoch: 0, offset: 0 },
                    key: record.key.map(Into::into),
                    content: record.content,
                    data: record.data,
                    at: record.at,
                    forms: Default::default(),
                })),
                Err(error) => tracing::warn!(%error, "a retained value is left out"),
            }
        }
        retained
    }

    pub(super) fn set(&mut self, publication: Arc<Publication>) {
        self.bytes += publication.bytes();
        let before = self.values.insert(publication.channel.clone(), publication);
        self.bytes -= before.map_or(0, |before| before.bytes());
    }

    pub(super) fn remove(&mut self, channel: &ChannelName) {
        let before = self.values.remove(channel);
        self.bytes -= before.map_or(0, |before| before.bytes());
    }

    pub(super) fn get(&self, channel: &ChannelName) -> Option<&Arc<Publication>> {
        self.values.get(channel)
    }

    /// Refuses a value for which there is no room.
    pub(super) fn check_room(&self, new: &NewPublication) -> Result<(), Error> {
        let is_more = !self.values.contains_key(&new.channel) && !new.data.is_empty();
        if is_more && self.values.len() >= RETAINED_MAX {
            let text = format!("{RETAINED_MAX} channels have a retained value, which is the limit");
            return Err(Error::LimitExceeded(text));
        }
        if self.bytes + new.data.len() > RETAINED_BYTES_MAX {
            let text = format!("retained values take {RETAINED_BYTES_MAX} bytes, the limit");
            return Err(Error::LimitExceeded(text));
        }
        Ok(())
    }

    /// Every value of the channels that are meant.
    pub(super) fn matching(
        &self,
        pattern: &ChannelPattern,
    ) -> impl Iterator<Item = &Arc<Publication>> {
        below(&self.values, pattern).map(|(_, publication)| publication)
    }

    /// Every channel that has a value.
    pub(super) fn channels(&self) -> impl Iterator<Item = &ChannelName> {
        self.values.keys()
    }

    /// How many there are, and their bytes.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.values.len(), self.bytes)
    }
}

/// Every entry of the channels that are meant, without looking at all others.
pub(super) fn below<'a, V>(
    map: &'a BTreeMap<ChannelName, V>,
    pattern: &ChannelPattern,
) -> impl Iterator<Item = (&'a ChannelName, &'a V)> {
    let prefix = pattern.literal_prefix().to_owned();
    let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
    let range = map.range::<str, _>(from);
    let (pattern, end) = (pattern.clone(), prefix.clone());
    range
        .take_while(move |(name, _)| name.as_str().starts_with(&end))
        .filter(move |(name, _)| pattern.matches(name))
}
