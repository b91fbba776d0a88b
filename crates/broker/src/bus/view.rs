//! What the operator, and those who ask, are shown of channels and receivers.

use super::{
    Bus,
    publication::{ChannelMember, ChannelPosition, Publication},
    receiver::ReceiverFigures,
    rules::ChannelFigures,
};
use crate::Broker;
use std::{collections::BTreeMap, sync::Arc};
use tramline_catalog::ChannelSettings;
use tramline_routing::ChannelPattern;
use tramline_types::{ChannelName, ConnectionId, Timestamp, limits::CHANNEL_LIST_MAX};

/// A channel as it is.
#[derive(Clone, Debug)]
pub struct ChannelDescription {
    /// Its name, or the pattern that is listened to.
    pub name: String,
    /// Those who listen by this very name or pattern.
    pub receivers: usize,
    /// Publications in its history.
    pub history: usize,
    /// Whether it has a last value.
    pub retained: bool,
}

/// A receiver as it is.
#[derive(Clone, Debug)]
pub struct ReceiverDescription {
    /// Its number, for as long as it lives.
    pub number: u32,
    /// What its client calls itself.
    pub client: Option<String>,
    /// Its connection.
    pub connection: Option<ConnectionId>,
    /// Since when it is there.
    pub opened: Timestamp,
    /// What it listens to.
    pub patterns: Vec<ChannelPattern>,
    /// How far behind it is.
    pub figures: ReceiverFigures,
}

/// The bus in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) receivers: usize,
    pub(super) subscriptions: usize,
    pub(super) bytes_waiting: usize,
    pub(super) retained: usize,
    pub(super) retained_bytes: usize,
    pub(super) histories: usize,
    pub(super) history_bytes: usize,
}

impl Bus {
    pub(super) fn totals(&self) -> Totals {
        let state = self.state.lock();
        let (retained, retained_bytes) = state.retained.extent();
        let mut totals = Totals {
            retained,
            retained_bytes,
            histories: state.histories.len(),
            history_bytes: state.history_bytes,
            ..Totals::default()
        };
        for listening in state.receivers.iter().flatten() {
            totals.receivers += 1;
            totals.subscriptions += listening.patterns.len();
            totals.bytes_waiting += listening.receiver.bytes_waiting();
        }
        totals
    }
}

impl Broker {
    /// Every channel and pattern that somebody listens to, that has a history or a last value,
    /// by name, up to a limit.
    pub fn list_channels(&self) -> Vec<ChannelDescription> {
        let state = self.bus().state.lock();
        let mut all: BTreeMap<&str, ChannelDescription> = BTreeMap::new();
        let entry = |name: &str| ChannelDescription {
            name: name.to_owned(),
            receivers: 0,
            history: 0,
            retained: false,
        };
        for listening in state.receivers.iter().flatten() {
            for pattern in &listening.patterns {
                let name = pattern.as_str();
                all.entry(name).or_insert_with(|| entry(name)).receivers += 1;
            }
        }
        for (name, history) in &state.histories {
            let name = name.as_str();
            all.entry(name).or_insert_with(|| entry(name)).history = history.len();
        }
        for name in state.retained.channels() {
            let name = name.as_str();
            all.entry(name).or_insert_with(|| entry(name)).retained = true;
        }
        all.into_values().take(CHANNEL_LIST_MAX).collect()
    }

    /// Every receiver, up to a limit.
    pub fn list_receivers(&self) -> Vec<ReceiverDescription> {
        let state = self.bus().state.lock();
        let describe = |listening: &super::Listening| {
            let receiver = &listening.receiver;
            ReceiverDescription {
                number: receiver.number,
                client: receiver.client().map(ToOwned::to_owned),
                connection: receiver.connection(),
                opened: receiver.opened,
                patterns: listening.patterns.iter().cloned().collect(),
                figures: receiver.figures(),
            }
        };
        state.receivers.iter().flatten().take(CHANNEL_LIST_MAX).map(describe).collect()
    }

    /// Who listens to a channel by its name, up to a limit, and how many they are.
    pub fn channel_members(&self, name: &ChannelName) -> (Vec<ChannelMember>, usize) {
        let state = self.bus().state.lock();
        let numbers = state.trie.named(name);
        let members = numbers.iter().take(CHANNEL_LIST_MAX);
        let members = members.filter_map(|number| state.receiver(*number)).map(|r| r.member());
        (members.collect(), numbers.len())
    }

    /// The last publications of a channel, up to `count`, in order, and where the bus is.
    pub fn channel_history(
        &self,
        name: &ChannelName,
        count: usize,
    ) -> (Vec<Arc<Publication>>, ChannelPosition) {
        self.bus().expire();
        let state = self.bus().state.lock();
        let history = state.histories.get(name);
        let last = history.map(|history| history.last(count).cloned().collect());
        (last.unwrap_or_default(), self.bus().position(state.offset))
    }

    /// A channel's last value, where it is retained.
    pub fn channel_retained(&self, name: &ChannelName) -> Option<Arc<Publication>> {
        self.bus().state.lock().retained.get(name).cloned()
    }

    /// The settings that hold for a channel.
    pub fn channel_settings_of(&self, name: &ChannelName) -> ChannelSettings {
        self.bus().rules().of(name.as_str()).settings.clone()
    }

    /// What was counted for the channels of each prefix that has settings.
    pub fn channel_figures(&self) -> Vec<(String, ChannelFigures)> {
        let rules = self.bus().rules();
        rules.all().map(|(prefix, rule)| (prefix.to_owned(), rule.counters.figures())).collect()
    }
}
