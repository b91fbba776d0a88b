//! GET `/healthz` and `/readyz`: whether the process lives, and whether it takes requests.

use crate::Context;
use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

/// What a probe is told.
#[derive(Serialize)]
pub(crate) struct Health {
    status: &'static str,
}

/// The process answers.
pub(crate) async fn alive() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The broker takes requests: from the end of its recovery until it is told to stop.
pub(crate) async fn ready(State(cx): State<Context>) -> (StatusCode, Json<Health>) {
    if cx.is_stopping() {
        (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "stopping" }))
    } else {
        (StatusCode::OK, Json(Health { status: "ready" }))
    }
}
