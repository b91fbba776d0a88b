//! What SQS knows of a queue: the attributes that it was given and its tags, kept as an
//! annotation of the queue, and what they mean, read once for each change.

use crate::from_wire::attributes::{self as names, Given, default};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tramline_broker::{Queue, QueueSettings};

/// The annotation's name.
const NAME: &str = "sqs";
/// Queues whose profiles are kept read.
const KEPT_MAX: usize = 10_000;
/// How long repeats are told: five minutes, by the protocol.
const DEDUPLICATION_MS: u64 = 300_000;

/// The annotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Annotation {
    /// As clients gave them; `FifoQueue` is not among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) attributes: Given,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// Seconds since 1970; 0: never.
    pub(crate) modified: i64,
}

impl Annotation {
    pub(crate) fn of(settings: &QueueSettings) -> Self {
        let text = settings.annotations.get(NAME);
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Writes it, and what its attributes mean, into a queue's settings.
    pub(crate) fn put(&self, settings: &mut QueueSettings) {
        let text = serde_json::to_string(self).expect("text, numbers and maps of them are JSON");
        settings.annotations.insert(NAME.to_owned(), text);
    }

    /// The attribute's value: as given, or what a queue has that was given nothing.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let given = self.attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
        given.or_else(|| default(name))
    }

    fn number(&self, name: &str) -> u64 {
        self.value(name).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.value(name) == Some(value)
    }
}

/// What a queue is to SQS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) annotation: Annotation,
    pub(crate) visibility: Duration,
    pub(crate) wait: Duration,
    pub(crate) delay_ms: u64,
    pub(crate) message_bytes_max: usize,
    pub(crate) fifo: Option<Fifo>,
}

/// What a FIFO queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fifo {
    /// The body's digest tells repeats where the client names nothing.
    pub(crate) by_content: bool,
    /// Repeats are told within a group, not within the queue.
    pub(crate) per_group: bool,
}

impl Profile {
    fn of(settings: &QueueSettings) -> Self {
        let mut annotation = Annotation::of(settings);
        // A queue that another protocol declared says itself what SQS would ask.
        let set = |annotation: &mut Annotation, name: &str, value: u64| {
            let given = &mut annotation.attributes;
            given.entry(name.to_owned()).or_insert_with(|| value.to_string());
        };
        if settings.lock_duration_ms > 0 {
            set(&mut annotation, names::VISIBILITY, settings.lock_duration_ms / 1000);
        }
        if let Some(ttl) = settings.message_ttl_ms {
            set(&mut annotation, names::RETENTION, ttl / 1000);
        }
        let seconds = |name| Duration::from_secs(annotation.number(name));
        Self {
            visibility: seconds(names::VISIBILITY),
            wait: seconds(names::RECEIVE_WAIT),
            delay_ms: annotation.number(names::DELAY) * 1000,
            message_bytes_max: usize::try_from(annotation.number(names::MESSAGE_SIZE_MAX))
                .unwrap_or(usize::MAX),
            fifo: is_fifo(settings).then(|| Fifo {
                by_content: annotation.is(names::CONTENT_DEDUPLICATION, "true"),
                per_group: annotation.is(names::DEDUPLICATION_SCOPE, "messageGroup"),
            }),
            annotation,
        }
    }
}

/// Whether a queue keeps order and tells repeats.
fn is_fifo(settings: &QueueSettings) -> bool {
    settings.ordered_groups && settings.deduplication_ms.is_some()
}

/// The settings of a queue that SQS declares.
pub(crate) fn settings(is_fifo: bool) -> QueueSettings {
    QueueSettings {
        ordered_groups: is_fifo,
        fair_groups: !is_fifo,
        drop_expired: true,
        deduplication_ms: is_fifo.then_some(DEDUPLICATION_MS),
        message_ttl_ms: default(names::RETENTION)
            .and_then(|text| text.parse::<u64>().ok())
            .map(|seconds| seconds * 1000),
        ..QueueSettings::default()
    }
}

/// A profile, and the settings that it was read from.
type Read = (Arc<QueueSettings>, Arc<Profile>);

/// Profiles that were read, by the ids of their queues.
#[derive(Default)]
pub(crate) struct Profiles {
    read: RwLock<HashMap<u64, Read>>,
}

impl Profiles {
    /// The profile of a queue as it is now.
    pub(crate) fn of(&self, queue: &Queue) -> Arc<Profile> {
        let settings = queue.settings();
        if let Some((of, profile)) = self.read.read().get(&queue.id())
            && Arc::ptr_eq(of, &settings)
        {
            return Arc::clone(profile);
        }
        let profile = Arc::new(Profile::of(&settings));
        let mut read = self.read.write();
        if read.len() >= KEPT_MAX {
            read.clear();
        }
        read.insert(queue.id(), (settings, Arc::clone(&profile)));
        profile
    }
}
