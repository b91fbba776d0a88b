//! `/v1/connections`: lists open client connections and closes them.

use crate::{
    Context,
    error::Error,
    extract::{Json as Body, Names},
};
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tramline_broker::ConnectionInfo;
use tramline_types::ConnectionId;

/// The answer of GET `/v1/connections`.
#[derive(Serialize)]
pub(crate) struct ConnectionList {
    connections: Vec<Connection>,
}

#[derive(Serialize)]
struct Connection {
    id: u64,
    protocol: &'static str,
    peer: String,
    /// Milliseconds since the Unix epoch.
    opened: i64,
    client: Option<String>,
    user: Option<String>,
}

/// GET `/v1/connections`.
pub(crate) async fn list(State(cx): State<Context>) -> Json<ConnectionList> {
    let connection = |info: ConnectionInfo| Connection {
        id: info.id.0,
        protocol: info.protocol,
        peer: info.peer.to_string(),
        opened: info.opened.as_millis(),
        client: info.client,
        user: info.user,
    };
    let connections = cx.broker.connections().list().into_iter().map(connection).collect();
    Json(ConnectionList { connections })
}

/// The body of DELETE `/v1/connections/{connection}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseConnection {
    reason: Option<String>,
}

/// DELETE `/v1/connections/{connection}`. The client is told why, where its protocol can say so.
pub(crate) async fn close(
    State(cx): State<Context>,
    Names(id): Names<u64>,
    Body(request): Body<CloseConnection>,
) -> Result<StatusCode, Error> {
    let reason = request.reason.as_deref().unwrap_or("closed by the operator");
    if cx.broker.connections().close(ConnectionId(id), reason) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Error::UnknownConnection(id))
    }
}
