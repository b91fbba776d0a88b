//! TagQueue, UntagQueue, ListQueueTags.

use super::{Found, find_queue, queue::OfQueue};
use crate::{
    Context,
    caller::Caller,
    error::{Error, required},
    from_wire::bounded::{List, Map},
    profile::Annotation,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tramline_broker::QueueSettings;

/// Tags of one queue.
const TAGS_MAX: usize = 50;
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Add {
    queue_url: Option<String>,
    tags: Option<Map<String>>,
}

/// Refuses tags that are too long or too many.
pub(crate) fn check(tags: &BTreeMap<String, String>, queue: &str) -> Result<(), Error> {
    if tags.len() > TAGS_MAX {
        return Err(Error::invalid(format!("Too many tags added for queue {queue}.")));
    }
    let letters = |text: &str| text.chars().count();
    for (key, value) in tags {
        if !(1..=KEY_MAX).contains(&letters(key)) || letters(value) > VALUE_MAX {
            return Err(Error::invalid(format!(
                "Tag keys must be between 1 and {KEY_MAX} characters in length, and values at most \
                 {VALUE_MAX}."
            )));
        }
    }
    Ok(())
}

pub(crate) async fn add(cx: &Context, caller: &Caller, request: Add) -> Result<(), Error> {
    let Found { queue, address, .. } = find_queue(cx, caller, request.queue_url)?;
    let tags = request.tags.map(|tags| tags.0).filter(|tags| !tags.is_empty());
    let tags = required(tags, "Tags")?;
    let mut result = Ok(());
    let change = |settings: &mut QueueSettings| {
        let mut annotation = Annotation::of(settings);
        annotation.tags.extend(tags);
        result = check(&annotation.tags, &address.name);
        if result.is_ok() {
            annotation.put(settings);
        }
    };
    cx.broker.alter_queue(&queue, change).await?;
    result
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Remove {
    queue_url: Option<String>,
    tag_keys: Option<List<String>>,
}

pub(crate) async fn remove(cx: &Context, caller: &Caller, request: Remove) -> Result<(), Error> {
    let queue = find_queue(cx, caller, request.queue_url)?.queue;
    let keys = request.tag_keys.map(|keys| keys.0).unwrap_or_default();
    if keys.is_empty() {
        return Err(Error::invalid(format!(
            "Tag keys must be between 1 and {KEY_MAX} characters in length."
        )));
    }
    let change = |settings: &mut QueueSettings| {
        let mut annotation = Annotation::of(settings);
        annotation.tags.retain(|key, _| !keys.contains(key));
        annotation.put(settings);
    };
    Ok(cx.broker.alter_queue(&queue, change).await?)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tags {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

pub(crate) async fn list(cx: &Context, caller: &Caller, request: OfQueue) -> Result<Tags, Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    Ok(Tags { tags: found.profile.annotation.tags.clone() })
}
