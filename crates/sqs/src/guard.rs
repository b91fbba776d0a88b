//! What every request passes first: no web page of another origin may call, and a listener on the
//! loopback address answers only to names that cannot have been pointed at it by somebody else
//! (DNS rebinding). The Query protocol changes things by GET, too, so no method is exempt.

use crate::{
    Context,
    error::{Code, Error},
};
use axum::http::{HeaderMap, HeaderName, header};
use std::net::{Ipv4Addr, Ipv6Addr};

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
    let allowed = |name: &String| name.eq_ignore_ascii_case(self::name(host));
    if !cx.is_loopback || is_local(host) || cx.options.hosts_allowed.iter().any(allowed) {
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
    let origin = origin.to_str().ok().and_then(|origin| {
        origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"))
    });
    !matches!((origin, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host))
}

/// The host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether the host is an address, or a name that always means this machine.
fn is_local(host: &str) -> bool {
    let name = name(host);
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    v6.is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok())
        || name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
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

    #[test]
    fn local_hosts_are_addresses_and_localhost() {
        for local in ["127.0.0.1:9324", "[::1]:9324", "localhost", "sqs.eu-west-1.localhost:1"] {
            assert!(is_local(local), "{local}");
        }
        for foreign in ["evil.example:9324", "localhost.evil.example", "127.0.0.1.evil", ""] {
            assert!(!is_local(foreign), "{foreign}");
        }
    }
}
