//! Who may call a listener over HTTP: by host names that nobody else can have pointed at a loopback
//! address (DNS rebinding), and from web pages that came from there.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

/// The names by which a listener may be called.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Only then they are looked at: a web page could have its own name resolve to the loopback
    /// address, and so reach the broker through the browser.
    is_loopback: bool,
    allowed: Arc<[String]>,
}

impl Hosts {
    /// Those of a listener at this address: on a loopback address, addresses, `localhost` and
    /// these.
    pub fn new(address: SocketAddr, allowed: &[String]) -> Self {
        Self { is_loopback: address.ip().is_loopback(), allowed: allowed.into() }
    }

    /// Whether the listener may be called by this name, with or without a port.
    pub fn admit(&self, host: &str) -> bool {
        let is_allowed = |allowed: &String| allowed.eq_ignore_ascii_case(name(host));
        !self.is_loopback || is_local(host) || self.allowed.iter().any(is_allowed)
    }
}

/// Whether a web page of this origin came from this host.
pub fn is_origin_of(origin: &str, host: &str) -> bool {
    let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of.is_some_and(|of| of.eq_ignore_ascii_case(host))
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

    fn hosts(address: &str) -> Hosts {
        Hosts::new(address.parse().unwrap(), &["broker.internal".to_owned()])
    }

    #[test]
    fn a_loopback_listener_is_called_by_addresses_localhost_and_allowed_names() {
        for address in ["127.0.0.1:8080", "[::1]:8080"] {
            for good in [
                "127.0.0.1:8080",
                "[::1]:9324",
                "[::1]",
                "LOCALHOST:1",
                "sqs.eu-west-1.localhost:1",
                "Broker.internal:8080",
            ] {
                assert!(hosts(address).admit(good), "{good}");
            }
            for bad in [
                "evil.example:8080",
                "localhost.evil.example",
                "127.0.0.1.evil",
                "x.broker.internal",
                "",
                "?",
            ] {
                assert!(!hosts(address).admit(bad), "{bad}");
            }
        }
        assert!(hosts("10.0.0.1:8080").admit("whatever.example"));
    }

    #[test]
    fn an_origin_is_a_scheme_and_the_host() {
        assert!(is_origin_of("http://localhost:9324", "localhost:9324"));
        assert!(is_origin_of("https://Broker:1", "broker:1"));
        for other in ["http://localhost:1", "null", "localhost:9324", "ftp://localhost:9324"] {
            assert!(!is_origin_of(other, "localhost:9324"), "{other}");
        }
    }
}
