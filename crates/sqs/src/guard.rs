//! What every request passes first: no web page of another origin may call, and a listener on the
//! loopback address answers only to names that cannot have been pointed at it by somebody else
//! (DNS rebinding). The Query protocol changes things by GET, too, so no method is exempt.

use crate::{
    Context,
    error::{Code, Error},
};
use axum::http::{HeaderMap, HeaderName, header};
use tramline_broker::is_origin_of;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(crate) fn check(headers: &HeaderMap, cx: &Context) -> Result<(), Error> {
    if is_foreign(headers) {
        return Err(Error::new(
            Code::AccessDenied,
            "a page of another origin may not call this service",
        ));
    }
    let Some(host) = headers.get(header::HOST) else { return Ok(()) };
    let host = host.to_str().unwrap_or("?");
    if cx.hosts.admit(host) {
        return Ok(());
    }
    let message = format!(
        "host `{host}` is not served here: use an address or `localhost`, or add the name to \
         `sqs.hosts_allowed`"
    );
    Err(Error::new(Code::AccessDenied, message))
}

/// Whether a web page of another origin sent it.
fn is_foreign(headers: &HeaderMap) -> bool {
    // `same-site` is not enough: every port of `localhost` is the same site.
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return !matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    !matches!((origin.to_str(), host), (Ok(origin), Some(host)) if is_origin_of(origin, host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn pages_of_other_origins_are_told_from_programs() {
        for foreign in [
            headers(&[("sec-fetch-site", "cross-site")]),
            headers(&[("sec-fetch-site", "same-site")]),
            headers(&[("host", "localhost:9324"), ("origin", "http://evil.example")]),
            headers(&[("host", "localhost:9324"), ("origin", "null")]),
            headers(&[("origin", "http://localhost:9324")]),
        ] {
            assert!(is_foreign(&foreign), "{foreign:?}");
        }
        for own in [
            headers(&[("host", "localhost:9324")]),
            headers(&[("sec-fetch-site", "none")]),
            headers(&[("host", "localhost:9324"), ("origin", "http://localhost:9324")]),
        ] {
            assert!(!is_foreign(&own), "{own:?}");
        }
    }
}
