//! Exchanges and bindings as stored. Only durable ones are.

use crate::Error;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tramline_routing::{
    Arguments, Binding, Destination, Exchange, ExchangeKind, ExchangeSettings, Value,
};
use tramline_types::{ExchangeName, QueueName};

const EXCHANGE_PREFIX: &str = "exchange/";
const BINDING_PREFIX: &str = "binding/";

/// An exchange as stored under `exchange/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExchangeRecord {
    kind: ExchangeKind,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    auto_delete: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    internal: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alternate: Option<String>,
}

impl ExchangeRecord {
    /// An exchange's key.
    pub fn key(name: &ExchangeName) -> Bytes {
        Bytes::from(format!("{EXCHANGE_PREFIX}{name}"))
    }

    /// What all exchanges' keys start with.
    pub const fn prefix() -> &'static [u8] {
        EXCHANGE_PREFIX.as_bytes()
    }

    /// The stored form of a durable exchange.
    pub fn encode(settings: &ExchangeSettings) -> Bytes {
        let record = Self {
            kind: settings.kind,
            auto_delete: settings.auto_delete,
            internal: settings.internal,
            alternate: settings.alternate.as_ref().map(ToString::to_string),
        };
        Bytes::from(serde_json::to_vec(&record).expect("text and truth values are JSON"))
    }

    /// Reads a stored pair.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Exchange, Error> {
        let name = std::str::from_utf8(key)
            .ok()
            .and_then(|key| ExchangeName::parse(key.strip_prefix(EXCHANGE_PREFIX)?).ok())
            .ok_or_else(|| damaged(key, "not an exchange's name"))?;
        let record: Self = serde_json::from_slice(value).map_err(|e| damaged(key, e))?;
        let alternate = record.alternate.as_deref().map(ExchangeName::parse).transpose();
        let settings = ExchangeSettings {
            kind: record.kind,
            durable: true,
            auto_delete: record.auto_delete,
            internal: record.internal,
            alternate: alternate.map_err(|e| damaged(key, e))?,
        };
        Ok(Exchange { name, settings, predeclared: false })
    }
}

/// A binding as stored: `binding/<JSON of all of it>`, with no value.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingRecord {
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange: Option<String>,
    /// Text where it is one; `key_bytes` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_bytes: Option<Vec<u8>>,
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<(String, Value)>,
}

impl BindingRecord {
    /// A binding's key, which says all.
    pub fn key(binding: &Binding) -> Bytes {
        let (queue, exchange) = match &binding.destination {
            Destination::Queue(name) => (Some(name.to_string()), None),
            Destination::Exchange(name) => (None, Some(name.to_string())),
        };
        let text = std::str::from_utf8(&binding.key).ok().map(ToOwned::to_owned);
        let mut arguments = binding.arguments.0.clone();
        let json = |value: &Value| serde_json::to_string(value).unwrap_or_default();
        arguments.sort_by_cached_key(|(name, value)| (name.clone(), json(value)));
        let record = Self {
            source: binding.source.to_string(),
            queue,
            exchange,
            key_bytes: text.is_none().then(|| binding.key.to_vec()),
            key: text,
            arguments,
        };
        let json = serde_json::to_string(&record).expect("text, numbers and lists are JSON");
        Bytes::from(format!("{BINDING_PREFIX}{json}"))
    }

    /// What all bindings' keys start with.
    pub const fn prefix() -> &'static [u8] {
        BINDING_PREFIX.as_bytes()
    }

    /// Reads a stored key.
    pub fn decode(key: &[u8]) -> Result<Binding, Error> {
        let json = key.get(BINDING_PREFIX.len()..).unwrap_or_default();
        let record: Self = serde_json::from_slice(json).map_err(|e| damaged(key, e))?;
        let destination = match (record.queue, record.exchange) {
            (Some(name), None) => {
                Destination::Queue(QueueName::parse(&name).map_err(|e| damaged(key, e))?)
            }
            (None, Some(name)) => {
                Destination::Exchange(ExchangeName::parse(&name).map_err(|e| damaged(key, e))?)
            }
            _ => return Err(damaged(key, "not one destination")),
        };
        Ok(Binding {
            source: ExchangeName::parse(&record.source).map_err(|e| damaged(key, e))?,
            destination,
            key: record.key.map(String::into_bytes).or(record.key_bytes).unwrap_or_default().into(),
            arguments: Arguments(record.arguments),
        })
    }
}

fn damaged(key: &[u8], detail: impl ToString) -> Error {
    Error::Damaged { key: String::from_utf8_lossy(key).into_owned(), detail: detail.to_string() }
}

#[cfg(test)]
mod tests;
