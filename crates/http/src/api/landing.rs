//! GET `/`: a plain page that says what answers here and where to go on.

use crate::Context;
use axum::{extract::State, response::Html};

pub(crate) async fn handle(State(cx): State<Context>) -> Html<String> {
    Html(include_str!("landing.html").replace("{version}", cx.options.version))
}
