//! Settings as they are shown, and those of the broker as they are changed while it runs.
//!
//! A broker setting has its value from the strongest of: set for this broker while it ran, set
//! for all brokers while they ran, the configuration file, the built-in default. What was set
//! while it ran is stored under `settings/this` and `settings/all` as JSON and takes effect at
//! once, in every topic and group that does not say otherwise.

mod live;
mod named;

use crate::{Broker, Error, Mode, SettingChange, Topic};
use bytes::Bytes;
pub(crate) use live::Live;
use live::{Dynamic, key};
use smallvec::smallvec;
use std::{collections::BTreeMap, sync::Arc};
pub use tramline_catalog::SettingKind;
use tramline_catalog::{
    BROKER_SETTINGS, GROUP_SETTINGS, Layer, Setting, TOPIC_SETTINGS, TopicDefaults, TopicSettings,
    find_broker_setting, find_group_setting, find_topic_setting,
};
use tramline_store::Op;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// The topic sets it.
    Topic,
    /// It was set for this broker while it ran.
    ThisBroker,
    /// It was set for all brokers while they ran.
    AllBrokers,
    /// The broker's configuration sets it.
    Broker,
    /// Nobody set it.
    Default,
}

/// A value of a setting at one of the places that may give it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingSynonym {
    /// Kafka's name for it there.
    pub name: &'static str,
    /// The place.
    pub source: SettingSource,
    /// The value; `None` is Kafka's null.
    pub value: Option<String>,
}

/// One setting with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingDescription {
    /// Its name.
    pub name: &'static str,
    /// The value in force; `None` is Kafka's null.
    pub value: Option<String>,
    /// The built-in default.
    pub default: Option<&'static str>,
    /// Where the value comes from.
    pub source: SettingSource,
    /// Every place that gives it a value, the strongest first.
    pub synonyms: Vec<SettingSynonym>,
    /// The value's type.
    pub kind: SettingKind,
    /// It cannot be changed while the broker runs.
    pub read_only: bool,
    /// What it does.
    pub doc: &'static str,
}

/// Whose setting is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingScope {
    /// All brokers'.
    AllBrokers,
    /// This broker's alone.
    ThisBroker,
}

impl Broker {
    /// Every topic setting as it stands for this topic, or for one without overrides.
    pub fn describe_topic_settings(&self, topic: Option<&Topic>) -> Vec<SettingDescription> {
        let settings = topic.map(Topic::settings);
        let overrides = settings.as_deref().map(TopicSettings::overrides);
        let options = self.options();
        let describe = |setting: &'static Setting| {
            let of_topic = overrides.and_then(|overrides| overrides.get(setting.name));
            let of_topic = of_topic.map(|value| SettingSynonym {
                name: setting.name,
                source: SettingSource::Topic,
                value: Some(value.clone()),
            });
            let of_broker = of_brokers(setting, &options.topic_defaults);
            let read_only = setting.is_read_only() || setting.is_fixed();
            described(setting, of_topic.into_iter().chain(of_broker).collect(), read_only)
        };
        TOPIC_SETTINGS.iter().map(describe).collect()
    }

    /// Every broker setting as it stands.
    pub fn describe_broker_settings(&self) -> Vec<SettingDescription> {
        let (options, dynamic) = self.live().state();
        let describe = |setting: &'static Setting| {
            let of_topics = TOPIC_SETTINGS.iter().find(|of| of.broker_name == Some(setting.name));
            let synonyms = match of_topics {
                Some(of_topics) => of_brokers(of_topics, &options.topic_defaults).collect(),
                None => self.own_synonyms(setting, &dynamic),
            };
            described(setting, synonyms, setting.is_read_only())
        };
        BROKER_SETTINGS.iter().map(describe).collect()
    }

    /// What was set for all brokers while they ran.
    pub fn describe_all_brokers_settings(&self) -> Vec<SettingDescription> {
        let (_, dynamic) = self.live().state();
        let describe = |(name, value): (&String, &String)| {
            let setting = find_broker_setting(name).ok()?;
            let source = SettingSource::AllBrokers;
            let value = Some(value.clone());
            let synonym = SettingSynonym { name: setting.name, source, value };
            Some(described(setting, vec![synonym], setting.is_read_only()))
        };
        dynamic.all.iter().filter_map(describe).collect()
    }

    /// Every group setting: they belong to kinds of group that are not here.
    pub fn describe_group_settings(&self) -> Vec<SettingDescription> {
        let describe = |setting: &'static Setting| described(setting, Vec::new(), true);
        GROUP_SETTINGS.iter().map(describe).collect()
    }

    /// The settings that a topic has, a broker sets and a group may set, by name.
    ///
    /// # Errors
    /// Where a change of a group setting is none: only defaults are taken.
    pub fn check_group_settings(&self, changes: &[SettingChange]) -> Result<(), Error> {
        for change in changes {
            let setting = find_group_setting(&change.name)?;
            let mut values = BTreeMap::new();
            setting.apply(&mut values, &change.change, setting.default.unwrap_or_default())?;
            values.values().try_for_each(|value| setting.check(value))?;
        }
        Ok(())
    }

    fn own_synonyms(&self, setting: &'static Setting, dynamic: &Dynamic) -> Vec<SettingSynonym> {
        let synonym = |source, value: &String| SettingSynonym {
            name: setting.name,
            source,
            value: Some(value.clone()),
        };
        let this = dynamic.this.get(setting.name);
        let all = dynamic.all.get(setting.name);
        let configured = self.live().configured();
        let file = named::value(configured, setting.name)
            .or_else(|| configured.shown.get(setting.name).cloned())
            .filter(|value| !setting.is_default(value));
        [
            this.map(|value| synonym(SettingSource::ThisBroker, value)),
            all.map(|value| synonym(SettingSource::AllBrokers, value)),
            file.map(|value| synonym(SettingSource::Broker, &value)),
        ]
        .into_iter()
        .flatten()
        .chain(default_synonym(setting, setting.name))
        .collect()
    }

    /// Changes broker settings, all or none. Durable, and in effect, on return.
    pub async fn alter_broker(
        &self,
        scope: SettingScope,
        changes: Vec<SettingChange>,
        mode: Mode,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.admin().await;
        let (_, mut dynamic) = self.live().state();
        for SettingChange { name, change } in &changes {
            let setting = find_broker_setting(name)?;
            let current = self.describe_broker_settings().into_iter().find(|of| of.name == name);
            let current = current.and_then(|current| current.value).unwrap_or_default();
            let values = dynamic.layer_mut(scope);
            setting.apply(values, change, &current)?;
            if let Some(value) = values.get(setting.name) {
                setting.check(value)?;
            }
        }
        let options = dynamic.in_force(self.live().configured())?;
        let before = self.options();
        let mut settings = Vec::new();
        for topic in self.topics() {
            let of_topic =
                |defaults| TopicSettings::stored(topic.settings().overrides().clone(), defaults);
            let (changed, contradiction) = of_topic(&options.topic_defaults)?;
            // A contradiction from before is no reason to refuse another change.
            if let Some(error) = contradiction
                && of_topic(&before.topic_defaults)?.1.is_none()
            {
                return Err(error.into());
            }
            settings.push((topic, changed));
        }
        if mode == Mode::ValidateOnly {
            return Ok(());
        }
        let values = Bytes::from(dynamic.encode(scope));
        let bytes = values.len();
        self.commit(smallvec![Op::Put(key(scope), values)], bytes).await?;
        self.groups().set_options(options.groups.clone());
        self.live().set(Arc::new(options), dynamic);
        for (topic, settings) in settings {
            topic.set_settings(settings);
        }
        Ok(())
    }
}

/// The values that the broker gives to a topic setting, the strongest first.
fn of_brokers(
    setting: &'static Setting,
    defaults: &TopicDefaults,
) -> impl Iterator<Item = SettingSynonym> {
    let name = setting.broker_name.unwrap_or(setting.name);
    let synonym = move |(layer, value): (Layer, &str)| SettingSynonym {
        name,
        source: match layer {
            Layer::File => SettingSource::Broker,
            Layer::AllBrokers => SettingSource::AllBrokers,
            Layer::ThisBroker => SettingSource::ThisBroker,
        },
        value: Some(value.to_owned()),
    };
    let layers: Vec<_> = defaults.layers(setting.name).map(synonym).collect();
    layers.into_iter().chain(default_synonym(setting, name))
}

fn default_synonym(setting: &Setting, name: &'static str) -> Option<SettingSynonym> {
    let value = Some(setting.default?.to_owned());
    Some(SettingSynonym { name, source: SettingSource::Default, value })
}

fn described(
    setting: &'static Setting,
    synonyms: Vec<SettingSynonym>,
    read_only: bool,
) -> SettingDescription {
    let strongest = synonyms.first();
    SettingDescription {
        name: setting.name,
        value: strongest
            .map_or_else(|| setting.default.map(str::to_owned), |first| first.value.clone()),
        default: setting.default,
        source: strongest.map_or(SettingSource::Default, |first| first.source),
        synonyms,
        kind: setting.kind,
        read_only,
        doc: setting.doc,
    }
}

/// What a topic calls a broker setting that is its default.
fn topic_name(broker_name: &str) -> Option<&'static str> {
    TOPIC_SETTINGS
        .iter()
        .find(|setting| setting.broker_name == Some(broker_name))
        .map(|setting| setting.name)
        .filter(|name| find_topic_setting(name).is_ok())
}
