//! Every route, once: the router and the test of the OpenAPI file both come from this list.

use crate::{
    Context,
    api::{
        binding, channel, config, connection, exchange, group, health, job, landing, message,
        metrics, offsets, queue, tail, topic,
    },
    error::Error,
    guard::guard,
};
use axum::{
    Router,
    extract::Request,
    handler::Handler,
    http::{Method, header},
    middleware,
    response::IntoResponse,
    routing::{MethodFilter, MethodRouter, on},
};

/// One method of one path.
struct Route {
    #[cfg(test)]
    method: Method,
    path: &'static str,
    handler: MethodRouter<Context>,
}

fn route<H, T>(method: Method, path: &'static str, handler: H) -> Route
where
    H: Handler<T, Context>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("only standard methods are listed");
    Route {
        #[cfg(test)]
        method,
        path,
        handler: on(filter, handler),
    }
}

fn routes() -> Vec<Route> {
    use Method as M;
    let mut all = vec![
        route(M::GET, "/", landing::handle),
        route(M::GET, "/healthz", health::alive),
        route(M::GET, "/readyz", health::ready),
        route(M::GET, "/metrics", metrics::handle),
        route(M::GET, "/v1/openapi.json", openapi_file),
        route(M::GET, "/v1/topics", topic::list),
        route(M::POST, "/v1/topics", topic::create),
        route(M::GET, "/v1/topics/{topic}", topic::describe),
        route(M::PATCH, "/v1/topics/{topic}", topic::alter),
        route(M::DELETE, "/v1/topics/{topic}", topic::delete),
        route(M::GET, "/v1/topics/{topic}/messages", message::fetch::handle),
        route(M::POST, "/v1/topics/{topic}/messages", message::publish::handle),
        route(M::GET, "/v1/topics/{topic}/tail", tail::handle),
        route(M::GET, "/v1/groups", group::list),
        route(M::GET, "/v1/groups/{group}", group::describe),
        route(M::DELETE, "/v1/groups/{group}", group::delete),
        route(M::GET, "/v1/groups/{group}/lag", group::lag::handle),
        route(M::POST, "/v1/groups/{group}/offsets", offsets::reset),
        route(M::GET, "/v1/queues", queue::list),
        route(M::POST, "/v1/queues", queue::declare),
        route(M::GET, "/v1/queues/{queue}", queue::describe),
        route(M::DELETE, "/v1/queues/{queue}", queue::delete),
        route(M::POST, "/v1/queues/{queue}/purge", queue::purge),
        route(M::GET, "/v1/queues/{queue}/messages", queue::peek::handle),
        route(M::POST, "/v1/queues/{queue}/messages", queue::message::enqueue),
        route(M::DELETE, "/v1/queues/{queue}/messages/{place}", queue::single::remove),
        route(M::POST, "/v1/queues/{queue}/messages/{place}/deliver", queue::single::deliver),
        route(M::POST, "/v1/queues/{queue}/receive", queue::message::receive),
        route(M::POST, "/v1/queues/{queue}/settle", queue::message::settle),
        route(M::GET, "/v1/queues/{queue}/redrives", queue::redrive::list),
        route(M::POST, "/v1/queues/{queue}/redrives", queue::redrive::start),
        route(M::DELETE, "/v1/queues/{queue}/redrives", queue::redrive::cancel),
        route(M::POST, "/v1/queues/{queue}/replay", queue::replay::handle),
        route(M::GET, "/v1/exchanges", exchange::list),
        route(M::POST, "/v1/exchanges", exchange::declare),
        route(M::GET, "/v1/exchanges/{exchange}", exchange::describe),
        route(M::DELETE, "/v1/exchanges/{exchange}", exchange::delete),
        route(M::GET, "/v1/bindings", binding::list),
        route(M::POST, "/v1/bindings", binding::bind),
        route(M::DELETE, "/v1/bindings", binding::unbind),
        route(M::POST, "/v1/queues/{queue}/track", job::track),
        route(M::GET, "/v1/jobs", job::list),
        route(M::GET, "/v1/jobs/{job}", job::get),
        route(M::POST, "/v1/jobs/{job}/progress", job::progress),
        route(M::POST, "/v1/jobs/{job}/result", job::result),
        route(M::POST, "/v1/jobs/{job}/fail", job::fail),
        route(M::POST, "/v1/jobs/{job}/cancel", job::cancel),
        route(M::POST, "/v1/jobs/{job}/token", job::token),
        route(M::GET, "/jobs", job::page::page),
        route(M::GET, "/jobs/{job}", job::page::page),
        route(M::GET, "/assets/{file}", job::page::asset),
        route(M::GET, "/v1/connections", connection::list),
        route(M::DELETE, "/v1/connections/{connection}", connection::close),
    ];
    all.extend(config_routes());
    all.extend(realtime_routes());
    all
}

/// Configuration push.
fn config_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::GET, "/v1/config", config::list::handle),
        route(M::POST, "/v1/config", config::change::batch),
        route(M::GET, "/v1/config/{*key}", config::get::handle),
        route(M::PUT, "/v1/config/{*key}", config::change::put),
        route(M::DELETE, "/v1/config/{*key}", config::change::delete),
        route(M::GET, "/v1/config-watch", config::watch::handle),
        route(M::GET, "/v1/config-history/{*key}", config::get::history),
        route(M::POST, "/v1/config-rollback/{*key}", config::change::roll_back),
        route(M::POST, "/v1/config-rollout/{*key}", config::change::roll_out),
        route(M::POST, "/v1/config-adoption", config::adoption::confirm),
        route(M::GET, "/v1/config-adoption/{*key}", config::adoption::describe),
        route(M::GET, "/v1/config-rules", config::rule::list),
        route(M::PUT, "/v1/config-rules", config::rule::put),
        route(M::DELETE, "/v1/config-rules", config::rule::delete),
    ]
}

/// The routes of the realtime bus.
fn realtime_routes() -> Vec<Route> {
    use Method as M;
    vec![
        route(M::GET, "/v1/channels", channel::list),
        route(M::GET, "/v1/channels/{*channel}", channel::get),
        route(M::POST, "/v1/broadcast/{*channel}", channel::broadcast::handle),
        route(M::GET, "/v1/channel-settings", channel::settings::list),
        route(M::PUT, "/v1/channel-settings", channel::settings::put),
        route(M::DELETE, "/v1/channel-settings", channel::settings::delete),
        route(M::GET, "/v1/channel-bindings", channel::binding::list),
        route(M::POST, "/v1/channel-bindings", channel::binding::bind),
        route(M::DELETE, "/v1/channel-bindings", channel::binding::unbind),
        route(M::GET, "/v1/receivers", channel::receivers),
        route(M::GET, "/v1/ws", channel::socket),
        route(M::GET, "/v1/client.js", channel::client_file),
    ]
}

/// The router over all routes, guarded.
pub(crate) fn router(cx: Context) -> Router {
    let all = routes().into_iter();
    all.fold(Router::new(), |router, route| router.route(route.path, route.handler))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_refused)
        .layer(middleware::from_fn_with_state(cx.clone(), guard))
        .with_state(cx)
}

async fn unknown_path(request: Request) -> Error {
    Error::UnknownPath(request.uri().path().to_owned())
}

async fn method_refused(request: Request) -> Error {
    Error::MethodRefused(request.uri().path().to_owned())
}

async fn openapi_file() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi())
}

/// The description of the API, in OpenAPI 3.1.
pub const fn openapi() -> &'static str {
    include_str!("../openapi.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A name that goes over several levels has no mark of that in OpenAPI.
    fn described_as(route: &Route) -> String {
        format!("{} {}", route.method, route.path.replace("{*", "{"))
    }

    #[test]
    fn openapi_file_and_router_have_the_same_routes() {
        let file: serde_json::Value = serde_json::from_str(openapi()).unwrap();
        let methods = ["get", "put", "post", "delete", "patch", "head", "options", "trace"];
        let mut described = BTreeSet::new();
        for (path, item) in file["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                if methods.contains(&method.as_str()) {
                    described.insert(format!("{} {path}", method.to_uppercase()));
                }
            }
        }
        let routed: BTreeSet<String> = routes().iter().map(described_as).collect();
        assert_eq!(described, routed);
    }
}
