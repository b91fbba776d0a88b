//! `/v1/exchanges`: declares, lists, describes and deletes exchanges.

use crate::{
    Context,
    api::binding::{self, Binding},
    error::Error,
    extract::{Json as Body, Names, Params},
    from_wire::exchange_name,
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tramline_broker::{self as broker, Created, Destination, ExchangeKind, ExchangeSettings};

/// The answer of GET `/v1/exchanges`.
#[derive(Serialize)]
pub(crate) struct ExchangeList {
    exchanges: Vec<Exchange>,
}

#[derive(Serialize)]
pub(crate) struct Exchange {
    name: String,
    kind: ExchangeKind,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    alternate: Option<String>,
    predeclared: bool,
}

/// The answer of GET `/v1/exchanges/{exchange}`.
#[derive(Serialize)]
pub(crate) struct ExchangeDescription {
    #[serde(flatten)]
    exchange: Exchange,
    /// Where its messages go.
    bindings: Vec<Binding>,
    /// Which exchanges lead to it.
    sources: Vec<Binding>,
}

/// The body of POST `/v1/exchanges`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclareExchange {
    name: String,
    kind: ExchangeKind,
    #[serde(default = "yes")]
    durable: bool,
    #[serde(default)]
    auto_delete: bool,
    #[serde(default)]
    internal: bool,
    alternate: Option<String>,
}

const fn yes() -> bool {
    true
}

fn to_wire(exchange: &broker::Exchange) -> Exchange {
    let settings = &exchange.settings;
    Exchange {
        name: exchange.name.to_string(),
        kind: settings.kind,
        durable: settings.durable,
        auto_delete: settings.auto_delete,
        internal: settings.internal,
        alternate: settings.alternate.as_ref().map(ToString::to_string),
        predeclared: exchange.predeclared,
    }
}

/// POST `/v1/exchanges`: 201 when it is new, 200 when it was there, the same.
pub(crate) async fn declare(
    State(cx): State<Context>,
    Body(request): Body<DeclareExchange>,
) -> Result<(StatusCode, Json<Exchange>), Error> {
    let name = exchange_name(&request.name)?;
    let settings = ExchangeSettings {
        kind: request.kind,
        durable: request.durable,
        auto_delete: request.auto_delete,
        internal: request.internal,
        alternate: request.alternate.as_deref().map(exchange_name).transpose()?,
    };
    let created = cx.broker.declare_exchange(&name, settings).await?;
    let exchange = cx.broker.exchange(&name)?;
    Ok((created_status(created), Json(to_wire(&exchange))))
}

/// The status of a declaration.
pub(crate) const fn created_status(created: Created) -> StatusCode {
    match created {
        Created::Yes => StatusCode::CREATED,
        Created::No => StatusCode::OK,
    }
}

/// GET `/v1/exchanges`. The default exchange, which has no name, is not listed.
pub(crate) async fn list(State(cx): State<Context>) -> Json<ExchangeList> {
    let exchanges = cx.broker.list_exchanges();
    Json(ExchangeList { exchanges: exchanges.iter().map(to_wire).collect() })
}

/// GET `/v1/exchanges/{exchange}`.
pub(crate) async fn describe(
    State(cx): State<Context>,
    Names(name): Names<String>,
) -> Result<Json<ExchangeDescription>, Error> {
    let name = exchange_name(&name)?;
    let exchange = to_wire(&cx.broker.exchange(&name)?);
    let bindings = binding::sorted(cx.broker.bindings_from(&name));
    let sources = binding::sorted(cx.broker.bindings_to(&Destination::Exchange(name)));
    Ok(Json(ExchangeDescription { exchange, bindings, sources }))
}

/// The query of DELETE `/v1/exchanges/{exchange}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    #[serde(default)]
    if_unused: bool,
}

/// DELETE `/v1/exchanges/{exchange}`, with its bindings.
pub(crate) async fn delete(
    State(cx): State<Context>,
    Names(name): Names<String>,
    Params(query): Params<DeleteQuery>,
) -> Result<StatusCode, Error> {
    cx.broker.delete_exchange(&exchange_name(&name)?, query.if_unused).await?;
    Ok(StatusCode::NO_CONTENT)
}
