//! The topics that the clients know of. A name that is used again gets another label in the
//! history: one label, one incarnation.

use std::sync::Arc;
use tramline_broker::{Broker, Topic};
use tramline_store::fs::sim::Random;
use tramline_types::{TopicId, TopicName};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its creation is under way, or was when the process died.
    Creating,
    /// It exists.
    Live,
    /// Its deletion is under way, or was when the process died.
    Deleting,
    /// It does not exist and never will again.
    Gone,
}

/// One incarnation of a name.
#[derive(Clone, Debug)]
pub(super) struct Incarnation {
    pub(super) name: TopicName,
    pub(super) label: String,
    pub(super) id: Option<TopicId>,
    pub(super) phase: Phase,
}

/// A topic as a client uses it.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) label: String,
    pub(super) topic: Arc<Topic>,
}

#[derive(Default)]
pub(super) struct Topics {
    all: Vec<Incarnation>,
}

impl Topics {
    /// A new incarnation, about to be created.
    pub(super) fn begin(&mut self, name: &TopicName) -> String {
        let label = format!("{name}#{}", self.all.len());
        self.all.push(Incarnation {
            name: name.clone(),
            label: label.clone(),
            id: None,
            phase: Phase::Creating,
        });
        label
    }

    pub(super) fn set(&mut self, label: &str, phase: Phase, id: Option<TopicId>) {
        if let Some(incarnation) = self.all.iter_mut().find(|i| i.label == label) {
            incarnation.phase = phase;
            incarnation.id = id.or(incarnation.id);
        }
    }

    /// Whether the name is free, as far as known.
    pub(super) fn is_free(&self, name: &TopicName) -> bool {
        !self.all.iter().any(|i| i.name == *name && i.phase != Phase::Gone)
    }

    /// Looks up what became of creations and deletions whose outcome a crash hid. Must not be
    /// called while any is under way.
    pub(super) fn resolve(&mut self, broker: &Broker) {
        for incarnation in &mut self.all {
            let found = broker.topic(&incarnation.name).ok().map(|topic| topic.id());
            incarnation.phase = match (incarnation.phase, found) {
                (Phase::Creating, Some(id)) => {
                    incarnation.id = Some(id);
                    Phase::Live
                }
                (Phase::Deleting, Some(id)) if incarnation.id == Some(id) => Phase::Live,
                (Phase::Creating | Phase::Deleting, _) => Phase::Gone,
                (phase, _) => phase,
            };
        }
    }

    /// The label of a topic that exists; of one that is being created, by its name.
    pub(super) fn label(&self, topic: &Topic) -> Option<&str> {
        let by_id = self.all.iter().find(|i| i.id == Some(topic.id()));
        let creating =
            || self.all.iter().find(|i| i.phase == Phase::Creating && i.name == *topic.name());
        by_id.or_else(creating).map(|i| i.label.as_str())
    }

    /// The topics that exist, as the broker knows them.
    pub(super) fn live(&self, broker: &Broker) -> Vec<Known> {
        self.all
            .iter()
            .filter(|i| i.phase == Phase::Live)
            .filter_map(|i| {
                let topic = broker.topic(&i.name).ok()?;
                (Some(topic.id()) == i.id).then(|| Known { label: i.label.clone(), topic })
            })
            .collect()
    }

    /// The one of this label, as the broker knows it.
    pub(super) fn find(&self, broker: &Broker, label: &str) -> Option<Known> {
        self.live(broker).into_iter().find(|known| known.label == label)
    }

    /// One of them.
    pub(super) fn pick(&self, broker: &Broker, random: &mut Random) -> Option<Known> {
        let mut live = self.live(broker);
        if live.is_empty() { None } else { Some(live.swap_remove(random.index(live.len()))) }
    }
}
