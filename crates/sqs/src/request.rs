//! One request: which protocol, which action, and the answer in the protocol's words.

use crate::{
    Context, api,
    body::{Received, receive},
    caller::Caller,
    error::{Code, Error},
    from_wire::{Input, query},
    guard, reset, signature,
    to_wire::{Output, Render},
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use bytes::Bytes;
use tramline_types::limits;
use uuid::Uuid;

const TARGET: &str = "x-amz-target";
/// What `X-Amz-Target` says before the action.
const TARGET_PREFIX: &str = "AmazonSQS.";

/// Answers one request.
pub(crate) async fn handle(State(cx): State<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut render = Render::of(&parts.headers);
    let id = Uuid::new_v4().to_string();
    let (action, result) = match guard::check(&parts.headers, &cx) {
        Ok(()) => run(&cx, &parts, body, &mut render).await,
        Err(error) => (None, Err(error)),
    };
    let mut response = answer(&cx, render, (action, result), &id);
    cx.metrics.answered(action, response.status().as_u16());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert("x-amzn-requestid", id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn run(
    cx: &Context,
    parts: &Parts,
    body: Body,
    render: &mut Render,
) -> (Option<&'static str>, Result<Output, Error>) {
    let received = match received(cx, parts, body).await {
        Ok(received) => received,
        Err(error) => return (None, Err(error)),
    };
    let caller = Caller::of(parts, &cx.options);
    if parts.uri.path() == reset::PATH {
        *render = reset::RENDER;
        return (Some(reset::ACTION), reset::run(cx, &caller, parts).await);
    }
    let (name, input) = match read(parts, &received.bytes) {
        Ok(read) => read,
        Err(error) => return (None, Err(error)),
    };
    let Some(action) = api::find(&name) else {
        let message = format!("The action {name} is not valid for this endpoint.");
        return (None, Err(Error::new(Code::UnknownOperation, message)));
    };
    if action == api::CALLER_IDENTITY {
        *render = Render::Xml { namespace: "https://sts.amazonaws.com/doc/2011-06-15/" };
    }
    let mut result = api::call(cx, &caller, (action, &input, *render)).await;
    if matches!(&result, Err(error) if error.code == Code::QueueDoesNotExist)
        && api::create_missing(cx, &caller, (action, &input)).await
    {
        result = api::call(cx, &caller, (action, &input, *render)).await;
    }
    (Some(action), result)
}

/// The whole body of a request by who may make one.
async fn received(cx: &Context, parts: &Parts, body: Body) -> Result<Received, Error> {
    // Before anything is read: who has no key sends no body.
    let signed = signature::claim(parts, &cx.options, cx.broker.clock().now())?;
    let received = receive(body, cx).await?;
    if let Some(signed) = signed {
        signature::verify(parts, &received.bytes, &cx.options, &signed)?;
    }
    Ok(received)
}

/// The action and what comes with it.
fn read<'a>(parts: &Parts, body: &'a [u8]) -> Result<(String, Input<'a>), Error> {
    if let Some(target) = parts.headers.get(TARGET) {
        let target = target.to_str().unwrap_or_default();
        let action = target.strip_prefix(TARGET_PREFIX).unwrap_or(target);
        return Ok((action.to_owned(), Input::Json(body)));
    }
    if parts.method != Method::GET && parts.method != Method::POST {
        let message = format!("The method {} is not valid for this endpoint.", parts.method);
        return Err(Error::new(Code::UnknownOperation, message));
    }
    let form = if is_form(&parts.headers) { body } else { &[] };
    let (action, tree) = query::read(parts.uri.path(), parts.uri.query(), form)?;
    Ok((action, Input::Tree(tree)))
}

/// Whether the body holds parameters: clients that name no content type send nothing else.
fn is_form(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    kind.to_str().is_ok_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

fn answer(
    cx: &Context,
    render: Render,
    (action, result): (Option<&'static str>, Result<Output, Error>),
    id: &str,
) -> Response {
    let (status, body, told) = match result {
        Ok(output) => (StatusCode::OK, render.output(action.unwrap_or_default(), output, id), None),
        Err(error) => {
            let spelling = error.code.spelling();
            let fault = if error.code.is_senders() { "Sender" } else { "Receiver" };
            let told = format!("{};{fault}", spelling.code);
            (spelling.status, render.error(&error, id), Some(told))
        }
    };
    let mut body = Bytes::from(body);
    if body.len() > limits::CONNECTION_BYTES_FREE {
        // Counted until the client has taken it.
        let mut share = cx.broker.budgets().answers.share();
        share.charge(body.len());
        body = share.hold(body);
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(render.content_type()));
    if let Some(told) = told.and_then(|told| HeaderValue::from_str(&told).ok()) {
        headers.insert("x-amzn-query-error", told);
    }
    response
}
