//! GET `/metrics`: the broker's counters and gauges in Prometheus' text form.

use crate::Context;
use axum::{extract::State, http::header, response::IntoResponse};

/// OpenMetrics, which Prometheus reads as its own.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn handle(State(cx): State<Context>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], cx.broker.metrics().encode())
}
