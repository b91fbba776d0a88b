//! From a stored message to what is delivered.
//!
//! A message of an AMQP 0-9-1 client goes out with the very bytes that it came with, unless
//! something was added to it meanwhile: its deaths, or its count of deliveries. A message of
//! another protocol gets properties from its text headers.

use crate::from_wire::{COMPACT, RESERVED};
use serde::Deserialize;
use std::borrow::Cow;
use tramline_types::{Header, Message};
use tramline_wire_amqp091::{Properties, Table, Value, Writer, hot::Origin};

/// The header in which a queue says where and why a message died before.
const DEAD_LETTER: &[u8] = b"dead-letter";

/// A message as it goes out.
pub(crate) struct Outgoing<'a> {
    exchange: Cow<'a, [u8]>,
    routing_key: Cow<'a, [u8]>,
    pub(crate) properties: Cow<'a, [u8]>,
}

impl Outgoing<'_> {
    /// Where it came from.
    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin { exchange: &self.exchange, routing_key: &self.routing_key }
    }
}

/// What of a delivery its message does not say.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    /// The count that the queue shows.
    pub(crate) deliveries: Option<u32>,
    /// Whether another protocol's client may have written the message.
    pub(crate) is_foreign: bool,
}

/// What is sent for a stored message.
pub(crate) fn outgoing(message: &Message, shown: Shown) -> Outgoing<'_> {
    let Shown { deliveries, is_foreign } = shown;
    let key = message.key.as_deref().unwrap_or_default();
    let routing_key = if is_foreign { text_key(key) } else { Cow::Borrowed(key) };
    let deaths = message.headers.iter().find(|header| header.name == DEAD_LETTER);
    // What is sent must be well-formed: a client that cannot read it would get it again and again.
    let is_sound = |(exchange, properties): &(&[u8], &[u8])| {
        !is_foreign || str::from_utf8(exchange).is_ok() && Properties::check(properties).is_ok()
    };
    let (exchange, properties) = match compact(message).filter(is_sound) {
        Some((exchange, properties)) => (exchange, Cow::Borrowed(properties)),
        None => (&[][..], Cow::Owned(from_text(message))),
    };
    if deaths.is_none() && deliveries.is_none() {
        return Outgoing { exchange: Cow::Borrowed(exchange), routing_key, properties };
    }
    let deaths = deaths.and_then(|header| header.value.as_deref()).map(read_deaths);
    let to = deaths.as_ref().and_then(|deaths| deaths.first()?.to.clone());
    let exchange = to.map_or(Cow::Borrowed(exchange), |to| Cow::Owned(to.into_bytes()));
    let properties = added(&properties, deaths.as_deref(), deliveries);
    Outgoing { exchange, routing_key, properties: Cow::Owned(properties) }
}

/// A key of another protocol's, which may be any bytes, as a routing key.
fn text_key(key: &[u8]) -> Cow<'_, [u8]> {
    match str::from_utf8(key) {
        Ok(text) => Cow::Borrowed(&text.as_bytes()[..text.floor_char_boundary(255)]),
        Err(_) => {
            let text = String::from_utf8_lossy(key);
            Cow::Owned(text.as_bytes()[..text.floor_char_boundary(255)].to_vec())
        }
    }
}

/// The exchange and the properties as they came.
fn compact(message: &Message) -> Option<(&[u8], &[u8])> {
    let header = message.headers.iter().find(|header| header.name == COMPACT)?;
    let (length, rest) = header.value.as_deref()?.split_first()?;
    rest.split_at_checked(usize::from(*length)).filter(|(_, properties)| properties.len() >= 2)
}

/// The properties with deaths and deliveries among the headers. Damaged properties are dropped:
/// what is sent must be well-formed.
fn added(properties: &[u8], deaths: Option<&[Death]>, deliveries: Option<u32>) -> Vec<u8> {
    let mut properties = Properties::decode(properties).unwrap_or_default();
    let mut table = properties.table().unwrap_or_default();
    if let Some(deaths) = deaths.filter(|deaths| !deaths.is_empty()) {
        // Its time to live was for the queue that it died in.
        properties.expiration = None;
        add_deaths(&mut table, deaths);
    }
    if let Some(deliveries) = deliveries {
        table.set("x-delivery-count", Value::I64(deliveries.into()));
    }
    let mut headers = Writer::new();
    table.encode_into(&mut headers);
    properties.headers = Some(headers.as_slice());
    properties.to_bytes()
}

/// One entry of the header `dead-letter`: newest first, one for each queue and reason.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Death {
    queue: String,
    reason: String,
    count: i64,
    #[serde(default)]
    exchange: String,
    #[serde(default)]
    routing_keys: Vec<String>,
    /// Seconds since the epoch.
    #[serde(default)]
    time: u64,
    #[serde(default)]
    original_expiration: Option<String>,
    /// Whether the message died here first of all.
    #[serde(default)]
    first: bool,
    /// The exchange that it was sent to after this.
    #[serde(default)]
    to: Option<String>,
}

fn read_deaths(json: &[u8]) -> Vec<Death> {
    serde_json::from_slice(json).unwrap_or_default()
}

/// `x-death` and the texts about the first and the last death, as RabbitMQ writes them.
fn add_deaths(table: &mut Table, deaths: &[Death]) {
    let first = deaths.iter().find(|death| death.first).or(deaths.last());
    for (which, death) in [("first", first), ("last", deaths.first())] {
        let Some(death) = death else { continue };
        for (what, text) in
            [("exchange", &death.exchange), ("queue", &death.queue), ("reason", &death.reason)]
        {
            table.set(&format!("x-{which}-death-{what}"), Value::text(text));
        }
    }
    let entries = deaths.iter().map(|death| Value::Table(entry(death))).collect();
    table.set("x-death", Value::Array(entries));
}

fn entry(death: &Death) -> Table {
    let keys = death.routing_keys.iter().map(|key| Value::text(key)).collect();
    let mut fields = vec![
        ("count".to_owned(), Value::I64(death.count)),
        ("reason".to_owned(), Value::text(&death.reason)),
        ("queue".to_owned(), Value::text(&death.queue)),
        ("time".to_owned(), Value::Timestamp(death.time)),
        ("exchange".to_owned(), Value::text(&death.exchange)),
        ("routing-keys".to_owned(), Value::Array(keys)),
    ];
    if let Some(expiration) = &death.original_expiration {
        fields.push(("original-expiration".to_owned(), Value::text(expiration)));
    }
    Table(fields)
}

/// Properties for a message that no AMQP 0-9-1 client sent.
fn from_text(message: &Message) -> Vec<u8> {
    let text = |name: &str| {
        let is_it = |header: &&Header| header.name == name.as_bytes();
        let value = message.headers.iter().find(is_it)?.value.as_deref()?;
        (value.len() <= 255).then_some(value)
    };
    let mut table = Table::new();
    for header in &message.headers {
        let Ok(name) = str::from_utf8(&header.name) else { continue };
        if RESERVED.contains(&name) || name.len() > 255 {
            continue;
        }
        let value = header.value.as_ref();
        let value = value.map_or(Value::Void, |value| Value::Text(value.to_vec()));
        table.0.push((name.to_owned(), value));
    }
    let mut headers = Writer::new();
    table.encode_into(&mut headers);
    let properties = Properties {
        content_type: text("content-type"),
        content_encoding: text("content-encoding"),
        headers: (!table.is_empty()).then(|| headers.as_slice()),
        // Whatever lies in a queue of another protocol's was meant to last.
        delivery_mode: Some(2),
        priority: text("priority").and_then(|text| str::from_utf8(text).ok()?.parse().ok()),
        correlation_id: text("correlation-id"),
        reply_to: text("reply-to"),
        message_id: text("message-id"),
        kind: text("type"),
        app_id: text("app-id"),
        user_id: text("user-id"),
        timestamp: message.timestamp.and_then(|at| u64::try_from(at.as_millis() / 1000).ok()),
        ..Properties::default()
    };
    properties.to_bytes()
}

#[cfg(test)]
mod tests;
