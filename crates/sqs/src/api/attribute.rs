//! GetQueueAttributes and SetQueueAttributes.

use super::{find_address, find_queue};
use crate::{
    Context,
    caller::{Address, Caller, parse_arn},
    error::{Code, Error, required},
    from_wire::{
        attributes::{self as names, Given, Redrive},
        bounded::{List, Map},
    },
    profile::Annotation,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use tramline_broker::{Queue, QueueSettings};
use tramline_types::ExchangeName;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Get {
    queue_url: Option<String>,
    attribute_names: Option<List<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attributes {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
}

pub(crate) async fn get(cx: &Context, caller: &Caller, request: Get) -> Result<Attributes, Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let wanted = request.attribute_names.unwrap_or_default().0;
    if let Some(name) = wanted.iter().find(|name| *name != "All" && !names::is_known(name)) {
        let message = format!("Unknown Attribute {name}.");
        return Err(Error::new(Code::InvalidAttributeName, message));
    }
    if wanted.is_empty() {
        return Ok(Attributes { attributes: BTreeMap::new() });
    }
    let annotation = &found.profile.annotation;
    let is_fifo = found.profile.fifo.is_some();
    let mut all = of_service(caller, &found.queue, &found.address, annotation);
    for (name, value) in names::defaults(is_fifo) {
        all.insert(name.to_owned(), value.to_owned());
    }
    let given = annotation.attributes.iter().filter(|(_, value)| !value.is_empty());
    all.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    all.extend(effective(annotation, names::SSE).map(|sse| (names::SSE.to_owned(), sse)));
    if is_fifo {
        all.insert(names::FIFO.to_owned(), "true".to_owned());
    }
    if !wanted.iter().any(|name| name == "All") {
        all.retain(|name, _| wanted.contains(name));
    }
    Ok(Attributes { attributes: all })
}

/// What only the service sets.
fn of_service(
    caller: &Caller,
    queue: &Queue,
    address: &Address,
    annotation: &Annotation,
) -> BTreeMap<String, String> {
    let counts = queue.counts();
    let created = queue.created().as_millis() / 1000;
    let modified = annotation.modified.max(created);
    let values = [
        (counts.ready + counts.blocked).to_string(),
        counts.delayed.to_string(),
        counts.locked.to_string(),
        created.to_string(),
        modified.to_string(),
        caller.arn(address),
    ];
    let named = names::READ_ONLY.iter().zip(values);
    named.map(|(name, value)| ((*name).to_owned(), value)).collect()
}

/// The value of an attribute that is in force, given or not.
pub(crate) fn effective(annotation: &Annotation, name: &str) -> Option<String> {
    if name == names::SSE {
        let given = annotation.attributes.get(names::SSE).cloned();
        let has_key = annotation.value(names::KMS_KEY).is_some();
        return Some(given.unwrap_or_else(|| (!has_key).to_string()));
    }
    annotation.value(name).map(str::to_owned)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Set {
    queue_url: Option<String>,
    attributes: Option<Map<String>>,
}

pub(crate) async fn set(cx: &Context, caller: &Caller, request: Set) -> Result<(), Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let mut given = required(request.attributes, "Attributes")?.0;
    let is_fifo = found.profile.fifo.is_some();
    if let Some(kind) = given.remove(names::FIFO)
        && kind != is_fifo.to_string()
    {
        let message = "Modifying queue type is not supported.";
        return Err(Error::new(Code::InvalidAttributeValue, message));
    }
    names::check(&given, is_fifo)?;
    names::normalise(&mut given);
    let now = cx.broker.clock().now().as_millis() / 1000;
    let mut result = Ok(());
    let change = |settings: &mut QueueSettings| {
        let mut annotation = Annotation::of(settings);
        result = check_together(&annotation, &given)
            .and_then(|()| apply((cx, caller), settings, &given, (&found.address, is_fifo)));
        if result.is_ok() {
            merge(&mut annotation, given);
            annotation.modified = now;
            annotation.put(settings);
        }
    };
    cx.broker.alter_queue(&found.queue, change).await?;
    result
}

fn merge(annotation: &mut Annotation, given: Given) {
    for (name, value) in given {
        // One kind of encryption goes out where the other comes in.
        if name == names::KMS_KEY && !value.is_empty() {
            annotation.attributes.insert(names::SSE.to_owned(), false.to_string());
        } else if name == names::SSE && value == "true" {
            annotation.attributes.remove(names::KMS_KEY);
        }
        if value.is_empty() {
            annotation.attributes.remove(&name);
        } else {
            annotation.attributes.insert(name, value);
        }
    }
}

/// Attributes that exclude each other, or ask for another.
pub(crate) fn check_together(annotation: &Annotation, given: &Given) -> Result<(), Error> {
    let is_set = |name: &str| given.get(name).is_some_and(|value| !value.is_empty());
    if is_set(names::KMS_KEY) && given.get(names::SSE).is_some_and(|sse| sse == "true") {
        let message = "You can use one type of server-side encryption (SSE) at one time. You can \
                       either enable KMS SSE or SQS SSE.";
        return Err(Error::new(Code::InvalidAttributeValue, message));
    }
    let in_force = |name: &str| {
        given.get(name).map(String::as_str).or_else(|| annotation.value(name)).map(str::to_owned)
    };
    let limit = "FifoThroughputLimit";
    let per_group = in_force(limit).as_deref() == Some("perMessageGroupId");
    if per_group && in_force(names::DEDUPLICATION_SCOPE).as_deref() != Some("messageGroup") {
        return Err(names::wrong(limit));
    }
    Ok(())
}

/// Makes the queue of this name, a FIFO queue or not, do what attributes say.
pub(crate) fn apply(
    (cx, caller): (&Context, &Caller),
    settings: &mut QueueSettings,
    given: &Given,
    of: (&Address, bool),
) -> Result<(), Error> {
    let number = |name: &str| given.get(name).and_then(|text| text.parse::<u64>().ok());
    if let Some(seconds) = number(names::VISIBILITY) {
        settings.lock_duration_ms = seconds * 1000;
    }
    if let Some(seconds) = number(names::RETENTION) {
        settings.message_ttl_ms = Some(seconds * 1000);
    }
    if let Some(policy) = given.get(names::REDRIVE) {
        let redrive = Redrive::parse(policy)?;
        let target = redrive.as_ref().map(|redrive| {
            target(cx, caller, redrive, of)
                .map_err(|reason| Error::value(names::REDRIVE, policy, reason))
        });
        settings.dead_letter_routing_key = target.transpose()?;
        settings.deliveries_max = redrive.map(|redrive| redrive.receives_max);
        settings.dead_letter_at_least_once = settings.deliveries_max.is_some();
        let default = ExchangeName::parse("").ok();
        settings.dead_letter_exchange = default.filter(|_| settings.deliveries_max.is_some());
    }
    if let Some(policy) = given.get(names::REDRIVE_ALLOW) {
        check_allow(policy)?;
    }
    Ok(())
}

/// The broker's name for a dead-letter queue, or why it cannot be one.
fn target(
    cx: &Context,
    caller: &Caller,
    redrive: &Redrive,
    (source, is_fifo): (&Address, bool),
) -> Result<String, &'static str> {
    let address = parse_arn(&redrive.target).ok_or("Invalid value for deadLetterTargetArn")?;
    let queue = find_address(cx, caller, &address);
    let queue = queue.map_err(|_| "Dead letter target does not exist")?;
    let profile = cx.profiles.of(&queue);
    if profile.fifo.is_some() != is_fifo {
        return Err("Dead-letter queue must be same type of queue as the source");
    }
    let allow = profile.annotation.attributes.get(names::REDRIVE_ALLOW);
    if allow.is_some_and(|policy| !admits(policy, source)) {
        return Err("Dead letter target does not allow this source queue");
    }
    Ok(queue.name().as_str().to_owned())
}

/// Whether a dead-letter queue with this policy may be one of this queue.
fn admits(policy: &str, source: &Address) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return true };
    match policy.get("redrivePermission").and_then(Value::as_str) {
        Some("denyAll") => false,
        Some("byQueue") => {
            let sources = policy.get("sourceQueueArns").and_then(Value::as_array);
            let mut sources = sources.into_iter().flatten().filter_map(Value::as_str);
            sources.any(|arn| parse_arn(arn).as_ref() == Some(source))
        }
        _ => true,
    }
}

fn check_allow(policy: &str) -> Result<(), Error> {
    if policy.is_empty() {
        return Ok(());
    }
    let refuse = |reason: &str| Error::value(names::REDRIVE_ALLOW, policy, reason);
    let read: Value = serde_json::from_str(policy).map_err(|_| refuse("It is no JSON map"))?;
    let sources = read.get("sourceQueueArns");
    match read.get("redrivePermission").and_then(Value::as_str) {
        Some("allowAll" | "denyAll") if sources.is_none() => Ok(()),
        Some("allowAll" | "denyAll") => {
            Err(refuse("sourceQueueArns is allowed only with redrivePermission byQueue"))
        }
        Some("byQueue") => {
            let sources = sources.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let good = (1..=10).contains(&sources.len())
                && sources.iter().all(|arn| arn.as_str().is_some_and(|a| parse_arn(a).is_some()));
            if good {
                Ok(())
            } else {
                Err(refuse("sourceQueueArns must be 1 to 10 ARNs of queues"))
            }
        }
        _ => Err(refuse("redrivePermission must be allowAll, denyAll or byQueue")),
    }
}
