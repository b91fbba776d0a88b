//! `/v1/bindings`: lists, adds and removes what leads from exchanges to queues and exchanges.

use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Params},
    from_wire::{exchange_name, queue_name},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tramline_broker::{self as broker, Arguments, Destination, Value};

/// The answer of GET `/v1/bindings`.
#[derive(Serialize)]
pub(crate) struct BindingList {
    bindings: Vec<Binding>,
}

/// A binding: to a queue or to an exchange.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Binding {
    source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exchange: Option<String>,
    /// Bytes that are no UTF-8 are shown with replacement characters.
    #[serde(default)]
    key: String,
    /// What a headers exchange matches with.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    arguments: serde_json::Map<String, serde_json::Value>,
}

/// Bindings in the order of their texts.
pub(crate) fn sorted(bindings: Vec<broker::Binding>) -> Vec<Binding> {
    let mut bindings: Vec<Binding> = bindings.into_iter().map(to_wire).collect();
    let order = |binding: &Binding| {
        let to = binding.queue.clone().or_else(|| binding.exchange.clone());
        (binding.source.clone(), to, binding.key.clone())
    };
    bindings.sort_by_cached_key(order);
    bindings
}

fn to_wire(binding: broker::Binding) -> Binding {
    let (queue, exchange) = match binding.destination {
        Destination::Queue(name) => (Some(name.to_string()), None),
        Destination::Exchange(name) => (None, Some(name.to_string())),
    };
    let arguments = binding.arguments.0.into_iter();
    Binding {
        source: binding.source.to_string(),
        queue,
        exchange,
        key: String::from_utf8_lossy(&binding.key).into_owned(),
        arguments: arguments.map(|(name, value)| (name, argument_to_wire(value))).collect(),
    }
}

fn argument_to_wire(value: Value) -> serde_json::Value {
    match value {
        Value::Void => serde_json::Value::Null,
        Value::Bool(truth) => truth.into(),
        Value::Int(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Timestamp(seconds) => serde_json::json!({ "timestamp": seconds }),
        Value::Other(kind, _) => serde_json::json!({ "type": char::from(kind).to_string() }),
    }
}

fn argument_from_wire(name: &str, value: serde_json::Value) -> Result<Value, Error> {
    use serde_json::Value as Json;
    Ok(match value {
        Json::Null => Value::Void,
        Json::Bool(truth) => Value::Bool(truth),
        Json::String(text) => Value::Text(text),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Int(whole),
            (None, Some(double)) => Value::Double(double),
            (None, None) => return Err(no_argument(name)),
        },
        Json::Array(_) | Json::Object(_) => return Err(no_argument(name)),
    })
}

fn no_argument(name: &str) -> Error {
    Error::malformed(
        format!("the argument `{name}` is no text, number, truth value or null"),
        "headers are compared with simple values",
    )
}

impl Binding {
    fn into_domain(self) -> Result<broker::Binding, Error> {
        let destination = match (self.queue, self.exchange) {
            (Some(queue), None) => Destination::Queue(queue_name(&queue)?),
            (None, Some(exchange)) => Destination::Exchange(exchange_name(&exchange)?),
            _ => {
                return Err(Error::malformed(
                    "a binding leads to a `queue` or to an `exchange`",
                    "give one of the two",
                ));
            }
        };
        let arguments = self.arguments.into_iter().map(|(name, value)| {
            let value = argument_from_wire(&name, value)?;
            Ok((name, value))
        });
        Ok(broker::Binding {
            source: exchange_name(&self.source)?,
            destination,
            key: self.key.into_bytes().into(),
            arguments: Arguments(arguments.collect::<Result<_, Error>>()?),
        })
    }
}

/// The query of GET `/v1/bindings`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    source: Option<String>,
    queue: Option<String>,
    exchange: Option<String>,
}

/// GET `/v1/bindings`: all, or those from a source, to a queue or to an exchange. Those of the
/// default exchange, one per queue, are not listed.
pub(crate) async fn list(
    State(cx): State<Context>,
    Params(query): Params<Query>,
) -> Result<Json<BindingList>, Error> {
    let mut found = match (query.queue.as_deref(), query.exchange.as_deref()) {
        (Some(queue), None) => cx.broker.bindings_to(&Destination::Queue(queue_name(queue)?)),
        (None, Some(to)) => cx.broker.bindings_to(&Destination::Exchange(exchange_name(to)?)),
        (None, None) => {
            let exchanges = cx.broker.list_exchanges().into_iter();
            exchanges.flat_map(|exchange| cx.broker.bindings_from(&exchange.name)).collect()
        }
        (Some(_), Some(_)) => {
            return Err(Error::malformed("two destinations are given", "give one of the two"));
        }
    };
    if let Some(source) = &query.source {
        found.retain(|binding| binding.source.as_str() == source);
    }
    Ok(Json(BindingList { bindings: sorted(found) }))
}

/// POST `/v1/bindings`. A binding that is there already is fine.
pub(crate) async fn bind(
    State(cx): State<Context>,
    Body(binding): Body<Binding>,
) -> Result<(StatusCode, Json<Binding>), Error> {
    let binding = binding.into_domain()?;
    cx.broker.bind(binding.clone()).await?;
    Ok((StatusCode::CREATED, Json(to_wire(binding))))
}

/// DELETE `/v1/bindings`, with the binding as the body. One that is gone already is fine.
pub(crate) async fn unbind(
    State(cx): State<Context>,
    Body(binding): Body<Binding>,
) -> Result<StatusCode, Error> {
    cx.broker.unbind(&binding.into_domain()?).await?;
    Ok(StatusCode::NO_CONTENT)
}
