//! What every request passes before its handler, and is counted by: no web page of another origin may change
//! anything, and a listener on the loopback address answers only to names that cannot have been
//! pointed at it by somebody else (DNS rebinding). There is no CORS: no answer allows another
//! origin to read it.

use crate::{Context, error::Error};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tramline_broker::is_origin_of;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses or passes on; marks every answer as neither to be cached nor to be guessed at, and
/// says when to come again where that helps.
pub(crate) async fn guard(State(cx): State<Context>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let allowed = check_host(request.headers(), &cx)
        .and_then(|()| check_site(request.method(), request.headers()));
    let mut response = match allowed {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let route = route.as_ref().map(MatchedPath::as_str);
    cx.metrics.answered(&method, route, response.status());
    let is_for_a_while = matches!(
        response.status(),
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::INSUFFICIENT_STORAGE
    );
    let headers = response.headers_mut();
    if is_for_a_while {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Only GET and HEAD are free of effects; anything else must not come from a foreign page.
fn check_site(method: &Method, headers: &HeaderMap) -> Result<(), Error> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    // `same-site` is not enough: every port of `localhost` is the same site.
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        let own = matches!(site.as_bytes(), b"same-origin" | b"none");
        return if own { Ok(()) } else { Err(Error::CrossSite) };
    }
    if is_own_origin(headers) { Ok(()) } else { Err(Error::CrossSite) }
}

/// Whether the page that asks, if a page does, comes from here. Of WebSockets this alone is told:
/// they are opened by GET, and no browser keeps their answers from a foreign page.
pub(crate) fn is_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    matches!((origin.to_str(), host), (Ok(origin), Some(host)) if is_origin_of(origin, host))
}

fn check_host(headers: &HeaderMap, cx: &Context) -> Result<(), Error> {
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or("?");
    if cx.hosts.admit(host) { Ok(()) } else { Err(Error::HostRefused(host.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn foreign_pages_cannot_write() {
        for foreign in [
            headers(&[("sec-fetch-site", "cross-site")]),
            headers(&[("sec-fetch-site", "same-site")]),
            headers(&[("host", "localhost:8080"), ("origin", "http://evil.example")]),
            headers(&[("host", "localhost:8080"), ("origin", "http://localhost:3000")]),
            headers(&[("host", "localhost:8080"), ("origin", "null")]),
            headers(&[("origin", "http://localhost:8080")]),
        ] {
            assert!(check_site(&Method::POST, &foreign).is_err(), "{foreign:?}");
            assert!(check_site(&Method::DELETE, &foreign).is_err(), "{foreign:?}");
            assert!(check_site(&Method::GET, &foreign).is_ok(), "{foreign:?}");
        }
    }

    #[test]
    fn own_pages_and_other_programs_write() {
        for own in [
            headers(&[]),
            headers(&[("host", "broker:8080")]),
            headers(&[("sec-fetch-site", "same-origin")]),
            headers(&[("host", "localhost:8080"), ("origin", "http://localhost:8080")]),
        ] {
            assert!(check_site(&Method::POST, &own).is_ok(), "{own:?}");
        }
    }
}
