//! Who may call, and by which name.

use crate::server::Server;
use tramline_broker::Options as BrokerOptions;
use tramline_http::Options;

#[test]
fn pages_of_other_origins_cannot_write() {
    let server = Server::start();
    let publish = || server.request("POST", "/v1/topics/t/messages");
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "http://localhost:3000"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let answer = publish().header(name, value).send(b"x");
        assert_eq!((answer.error().0, answer.error().1), (403, "PERMISSION_DENIED"), "{value}");
    }
    assert_eq!(server.get("/v1/topics/t").status, 404);
    let own = format!("http://{}", server.address);
    assert_eq!(publish().header("origin", &own).send(b"x").status, 200);
    assert_eq!(publish().header("sec-fetch-site", "same-origin").send(b"x").status, 200);
}

#[test]
fn no_answer_lets_another_origin_read_it() {
    let server = Server::start();
    let answer =
        server.request("GET", "/v1/topics").header("origin", "http://evil.example").send(b"");
    assert!(answer.headers.get("access-control-allow-origin").is_none());
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(server.request("OPTIONS", "/v1/topics").send(b"").status, 405);
}

#[test]
fn a_loopback_listener_answers_to_local_and_allowed_names_only() {
    let options =
        Options { hosts_allowed: vec!["broker.internal".to_owned()], ..Options::default() };
    let server = Server::start_with(BrokerOptions::default(), options);
    let by = |host: &str| server.request("GET", "/v1/topics").header("host", host).send(b"").status;
    for (host, status) in [
        ("localhost:8080", 200),
        ("127.0.0.1", 200),
        ("[::1]:1", 200),
        ("broker.internal:8080", 200),
        ("rebound.evil.example", 421),
        ("localhost.evil.example:8080", 421),
    ] {
        assert_eq!(by(host), status, "{host}");
    }
}
