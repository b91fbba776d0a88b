//! CreateQueue, GetQueueUrl, ListQueues, ListDeadLetterSourceQueues, DeleteQueue, PurgeQueue.

use super::{attribute, find_address, find_queue, tag};
use crate::{
    Context,
    caller::{Address, Caller, FIFO_SUFFIX, is_name},
    error::{Code, Error, required},
    from_wire::{
        Input,
        attributes::{self as names, Given},
        bounded::Map,
    },
    profile::{self, Annotation},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tramline_broker::{Created, DeleteOnly, Queue};

/// Queues of one answer.
const LISTED_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Create {
    queue_name: Option<String>,
    attributes: Option<Map<String>>,
    #[serde(alias = "tags")]
    tags: Option<Map<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Url {
    queue_url: String,
}

impl Create {
    /// A queue with these, a FIFO queue where its name says so.
    pub(crate) fn of(name: &str, mut attributes: Given, tags: BTreeMap<String, String>) -> Self {
        if name.ends_with(FIFO_SUFFIX) {
            attributes.insert(names::FIFO.to_owned(), true.to_string());
        }
        let (attributes, tags) = (Some(Map(attributes)), Some(Map(tags)));
        Self { queue_name: Some(name.to_owned()), attributes, tags }
    }
}

/// What names a queue in requests that create it where it does not exist.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    queue_url: Option<String>,
    queue_name: Option<String>,
}

/// Creates the queue that a request names; `false` where it cannot be, or the request is none
/// that does so.
pub(crate) async fn create_missing(
    cx: &Context,
    caller: &Caller,
    (action, input): (&str, &Input<'_>),
) -> bool {
    const ACTIONS: [&str; 5] =
        ["GetQueueAttributes", "GetQueueUrl", "ReceiveMessage", "SendMessage", "SendMessageBatch"];
    if !cx.options.auto_create || !ACTIONS.contains(&action) {
        return false;
    }
    let Ok(Named { queue_url, queue_name }) = input.read() else { return false };
    let address = queue_url.and_then(|url| caller.parse_url(&url).ok());
    let name = queue_name.or_else(|| Some(address.filter(|a| a.account == caller.account)?.name));
    let Some(name) = name else { return false };
    create(cx, caller, Create::of(&name, Given::new(), BTreeMap::new())).await.is_ok()
}

pub(crate) async fn create(cx: &Context, caller: &Caller, request: Create) -> Result<Url, Error> {
    let name = required(request.queue_name, "QueueName")?;
    let mut given = request.attributes.unwrap_or_default().0;
    let tags = request.tags.unwrap_or_default().0;
    let is_fifo = check_kind(&name, given.remove(names::FIFO).as_deref())?;
    names::check(&given, is_fifo)?;
    names::normalise(&mut given);
    tag::check(&tags, &name)?;
    let address = caller.address(&name);
    let in_broker = caller.broker_name(&address).ok_or_else(|| bad_name(false))?;
    let url = Url { queue_url: caller.url(&address) };
    if let Ok(queue) = cx.broker.queue(&in_broker) {
        check_same(cx, &queue, (&given, is_fifo))?;
        return Ok(url);
    }
    let now = cx.broker.clock();
    if cx.memory.deleted.lock().get(&in_broker, now.monotonic()).is_some() {
        let seconds = cx.options.deleted_window.as_secs();
        let message = format!(
            "You must wait {seconds} seconds after deleting a queue before you can create another \
             with the same name."
        );
        return Err(Error::new(Code::QueueDeletedRecently, message));
    }
    let mut settings = profile::settings(is_fifo);
    attribute::check_together(&Annotation::default(), &given)?;
    attribute::apply((cx, caller), &mut settings, &given, (&address, is_fifo))?;
    let modified = now.now().as_millis() / 1000;
    Annotation { attributes: given.clone(), tags, modified }.put(&mut settings);
    let (queue, created) = match cx.broker.declare_queue(&in_broker, settings).await {
        Ok(declared) => declared,
        // Somebody else was faster, with something else.
        Err(tramline_broker::Error::Queue(tramline_broker::QueueError::Inequivalent {
            setting,
            ..
        })) => return Err(different(setting)),
        Err(error) => return Err(error.into()),
    };
    if created == Created::No {
        check_same(cx, &queue, (&given, is_fifo))?;
    }
    Ok(url)
}

/// Whether it is to be a FIFO queue, by its name and its attribute.
fn check_kind(name: &str, attribute: Option<&str>) -> Result<bool, Error> {
    let is_fifo = match attribute {
        None => false,
        Some("true") => true,
        Some("false") => {
            return Err(Error::new(Code::InvalidAttributeName, "Unknown Attribute FifoQueue."));
        }
        Some(_) => return Err(names::wrong(names::FIFO)),
    };
    if !is_name(name) || name.ends_with(FIFO_SUFFIX) != is_fifo {
        return Err(bad_name(is_fifo));
    }
    Ok(is_fifo)
}

fn bad_name(is_fifo: bool) -> Error {
    Error::invalid(if is_fifo {
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
         underscores, must end with .fifo suffix and be 1 to 80 in length."
    } else {
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
    })
}

/// Whether a queue that exists is what is asked for.
fn check_same(cx: &Context, queue: &Queue, (given, is_fifo): (&Given, bool)) -> Result<(), Error> {
    queue.check_owner(None)?;
    let profile = cx.profiles.of(queue);
    if profile.fifo.is_some() != is_fifo {
        return Err(different(names::FIFO));
    }
    for (name, value) in given {
        let have = attribute::effective(&profile.annotation, name).unwrap_or_default();
        if !names::is_same(name, &have, value) {
            return Err(different(name));
        }
    }
    Ok(())
}

fn different(attribute: &str) -> Error {
    let message = format!(
        "A queue already exists with the same name and a different value for attribute {attribute}"
    );
    Error::new(Code::QueueNameExists, message)
}

#[derive(Deserialize)]
pub(crate) struct GetUrl {
    #[serde(rename = "QueueName")]
    name: Option<String>,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

pub(crate) async fn url(cx: &Context, caller: &Caller, request: GetUrl) -> Result<Url, Error> {
    let mut address = caller.address(&required(request.name, "QueueName")?);
    if let Some(owner) = request.owner {
        address.account = owner;
    }
    find_address(cx, caller, &address)?;
    Ok(Url { queue_url: caller.url(&address) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct List {
    queue_name_prefix: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

/// Which part of a list is asked for.
struct Page {
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Listed {
    #[serde(rename = "QueueUrls", skip_serializing_if = "Option::is_none")]
    queue_urls: Option<Vec<String>>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) async fn list(cx: &Context, caller: &Caller, request: List) -> Result<Listed, Error> {
    let prefix = request.queue_name_prefix.unwrap_or_default();
    let wanted = |_: &Queue, address: &Address| address.name.starts_with(&prefix);
    let part = Page { max_results: request.max_results, next_token: request.next_token };
    let (urls, next_token) = page(cx, caller, &part, wanted)?;
    Ok(Listed { queue_urls: (!urls.is_empty()).then_some(urls), next_token })
}

/// URLs of the account's queues, by name, and where to go on.
fn page(
    cx: &Context,
    caller: &Caller,
    page: &Page,
    wanted: impl Fn(&Queue, &Address) -> bool,
) -> Result<(Vec<String>, Option<String>), Error> {
    let most = i64::try_from(LISTED_MAX).unwrap_or(i64::MAX);
    if let Some(n) = page.max_results.filter(|n| !(1..=most).contains(n)) {
        let reason = format!("Value for parameter MaxResults must be between 1 and {most}");
        return Err(Error::value("MaxResults", n, reason));
    }
    let n_max = page.max_results.and_then(|n| usize::try_from(n).ok());
    let after = page.next_token.as_ref().map(|token| {
        let name = URL_SAFE_NO_PAD.decode(token).ok().and_then(|name| String::from_utf8(name).ok());
        name.ok_or_else(|| Error::invalid("Invalid or expired next token."))
    });
    let after = after.transpose()?;
    let mut found: Vec<Address> = Vec::new();
    for queue in cx.broker.queues() {
        let Some(address) = caller.address_of(queue.name().as_str()) else { continue };
        let is_after = after.as_ref().is_none_or(|after| address.name > *after);
        if is_after
            && address.account == caller.account
            && queue.settings().owner.is_none()
            && wanted(&queue, &address)
        {
            found.push(address);
        }
    }
    found.sort();
    let is_more = found.len() > n_max.unwrap_or(usize::MAX);
    found.truncate(n_max.unwrap_or(LISTED_MAX));
    let next = found.last().filter(|_| is_more);
    let next = next.map(|last| URL_SAFE_NO_PAD.encode(&last.name));
    Ok((found.iter().map(|address| caller.url(address)).collect(), next))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListSources {
    queue_url: Option<String>,
    max_results: Option<i64>,
    next_token: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Sources {
    #[serde(rename = "queueUrls")]
    queue_urls: Vec<String>,
    #[serde(rename = "NextToken", skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

pub(crate) async fn list_sources(
    cx: &Context,
    caller: &Caller,
    request: ListSources,
) -> Result<Sources, Error> {
    let target = find_queue(cx, caller, request.queue_url)?.queue;
    let wanted = |queue: &Queue, _: &Address| {
        let settings = queue.settings();
        settings.deliveries_max.is_some()
            && settings.dead_letter_exchange.as_ref().is_some_and(|name| name.is_default())
            && settings.dead_letter_routing_key.as_deref() == Some(target.name().as_str())
    };
    let part = Page { max_results: request.max_results, next_token: request.next_token };
    let (queue_urls, next_token) = page(cx, caller, &part, wanted)?;
    Ok(Sources { queue_urls, next_token })
}

/// A request that names a queue and nothing else.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OfQueue {
    pub(crate) queue_url: Option<String>,
}

pub(crate) async fn delete(cx: &Context, caller: &Caller, request: OfQueue) -> Result<(), Error> {
    let queue = find_queue(cx, caller, request.queue_url)?.queue;
    cx.broker.delete_queue(&queue, DeleteOnly::default()).await?;
    let now = cx.broker.clock().monotonic();
    cx.memory.deleted.lock().insert(queue.name().clone(), (), now);
    Ok(())
}

pub(crate) async fn purge(cx: &Context, caller: &Caller, request: OfQueue) -> Result<(), Error> {
    let found = find_queue(cx, caller, request.queue_url)?;
    let now = cx.broker.clock().monotonic();
    {
        let mut purged = cx.memory.purged.lock();
        if purged.get(&found.queue.id(), now).is_some() {
            let seconds = cx.options.purged_window.as_secs();
            let message = format!(
                "Only one PurgeQueue operation on {} is allowed every {seconds} seconds.",
                found.address.name
            );
            return Err(Error::new(Code::PurgeQueueInProgress, message));
        }
        purged.insert(found.queue.id(), (), now);
    }
    let purge = found.queue.purge_all().await;
    if purge.is_err() {
        cx.memory.purged.lock().remove(&found.queue.id());
    }
    purge?;
    Ok(())
}
