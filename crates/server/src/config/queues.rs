//! Queues that the configuration declares.

use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// How SQS writes queue URLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QueueUrls {
    #[default]
    Path,
    Host,
}

/// A queue in the words of SQS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SqsQueue {
    /// Numbers and booleans may be written as such.
    #[serde(deserialize_with = "texts")]
    attributes: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<SqsDeadLetter>,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqsDeadLetter {
    queue: String,
    receives_max: u32,
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, toml::Value>::deserialize(deserializer)?;
    let text = |value| match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// As the SQS front-end takes them.
pub(super) fn of_sqs(
    queues: &BTreeMap<String, SqsQueue>,
) -> BTreeMap<String, tramline_sqs::Declared> {
    let declared = |queue: &SqsQueue| tramline_sqs::Declared {
        attributes: queue.attributes.clone(),
        tags: queue.tags.clone(),
        dead_letter: queue.dead_letter.as_ref().map(|target| tramline_sqs::DeadLetter {
            queue: target.queue.clone(),
            receives_max: target.receives_max,
        }),
    };
    queues.iter().map(|(name, queue)| (name.clone(), declared(queue))).collect()
}
