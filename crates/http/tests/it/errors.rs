//! Requests that are wrong say what would be right.

use crate::server::Server;
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
};
use tramline_broker::{MemoryOptions, Options as BrokerOptions};
use tramline_http::Options;

#[test]
fn wrong_requests_are_told_what_is_wrong() {
    let server = Server::start();
    server.create("t", 1);
    let messages = "/v1/topics/t/messages";
    let post = |path: &str, body: &str| {
        let call = server.request("POST", path).header("content-type", "application/json");
        call.send(body.as_bytes())
    };
    for (answer, status, part) in [
        (server.get("/v1/nothing"), 404, "/v1/nothing"),
        (server.request("DELETE", "/v1/topics").send(b""), 405, "/v1/topics"),
        (post("/v1/topics", "{"), 400, "EOF"),
        (post("/v1/topics", "{}"), 400, "name"),
        (post("/v1/topics", "[]"), 400, "body"),
        (post("/v1/topics", r#"{"name": "a b"}"#), 400, "a b"),
        (post("/v1/topics", r#"{"name": "a", "partition": 1}"#), 400, "partition"),
        (
            post("/v1/topics", r#"{"name": "a", "settings": {"retention.sm": 1}}"#),
            400,
            "retention.sm",
        ),
        (post("/v1/topics", r#"{"name": "a", "settings": {"retention.ms": [1]}}"#), 400, "string"),
        (post("/v1/topics", r#"{"name": "a", "replication_factor": 3}"#), 400, "3"),
        (post("/v1/topics", r#"{"name": "a", "partitions": 0}"#), 400, "partition"),
        (post(messages, r#"{"messages": []}"#), 400, "empty"),
        (post(messages, r#"{"messages": [{"value": {"a": 1}}]}"#), 400, "string"),
        (post(messages, r#"{"messages": [{"key": "a", "key_base64": "YQ=="}]}"#), 400, "both"),
        (post(messages, r#"{"messages": [{"value_base64": "%"}]}"#), 400, "value_base64"),
        (post(messages, r#"{"messages": [{"headers": [{"value": "x"}]}]}"#), 400, "name"),
        (post(&format!("{messages}?key=k"), r#"{"messages": [{}]}"#), 400, "raw"),
        (server.get(&format!("{messages}?ofset=1")), 400, "ofset"),
        (server.get(&format!("{messages}?offset=x")), 400, "digit"),
        (server.get(&format!("{messages}?offset=1&time=2")), 400, "more than one"),
        (server.get(&format!("{messages}?time=noon")), 400, "noon"),
        (server.get(&format!("{messages}?partition=4")), 404, "4"),
        (server.get("/v1/topics/%FF"), 400, "path"),
        (server.get("/v1/groups/nobody"), 404, "nobody"),
        (post("/v1/groups/g/offsets", "{}"), 400, "where to"),
        (post("/v1/groups/g/offsets", r#"{"to": "latest"}"#), 404, "g"),
        (post("/v1/groups/g/offsets", r#"{"topic": "t", "offset": 9}"#), 400, "9"),
    ] {
        let (found, _, message) = answer.error();
        assert_eq!(found, status, "{message}");
        assert!(message.contains(part), "`{message}` does not mention `{part}`");
    }
}

#[test]
fn bodies_above_the_limit_are_refused() {
    let options = Options { body_bytes_max: 1_000, ..Options::default() };
    let server = Server::start_with(BrokerOptions::default(), options);
    let publish = |bytes: usize| {
        server.request("POST", "/v1/topics/t/messages").send(&vec![b'x'; bytes]).status
    };
    assert_eq!(publish(1_000), 200);
    assert_eq!(publish(1_001), 413);
}

/// Sends the head and a part of a body, and waits until the part is accounted for.
fn half_sent(server: &Server, of: usize, part: usize) -> TcpStream {
    let budget = &server.memory.broker.budgets().received;
    let before = budget.used();
    let mut socket = TcpStream::connect(server.address).unwrap();
    let head = format!(
        "POST /v1/topics/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {of}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&vec![b'x'; part]).unwrap();
    while budget.used() < before + part {
        std::thread::yield_now();
    }
    socket
}

#[test]
fn bodies_wait_for_room_in_the_budget_and_are_refused_only_when_their_time_is_over() {
    let memory = MemoryOptions { received_bytes: 150_000, ..MemoryOptions::default() };
    let broker = BrokerOptions { memory, ..BrokerOptions::default() };
    let server = Server::start_with(broker, Options::default());
    let publish =
        |bytes: usize| server.request("POST", "/v1/topics/t/messages").send(&vec![b'x'; bytes]);
    // One half body fits, the next one may be finished beyond the capacity.
    let mut one = half_sent(&server, 120_000, 100_000);
    let mut two = half_sent(&server, 120_000, 100_000);
    assert_eq!(publish(50_000).status, 200, "small bodies need no room");
    let third = server.while_waiting(
        || publish(100_000),
        || {
            one.write_all(&[b'x'; 20_000]).unwrap();
            two.write_all(&[b'x'; 20_000]).unwrap();
        },
    );
    assert_eq!(third.status, 200);
    for mut socket in [one, two] {
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
    let budget = &server.memory.broker.budgets().received;
    assert_eq!(budget.used(), 0);
    let (mut held, mut privileged) = (budget.share(), budget.share());
    held.charge(150_000);
    server.runtime.block_on(privileged.grow(1, 1));
    let refused = std::thread::scope(|scope| {
        let sent = scope.spawn(|| publish(100_000));
        // Its time is over while it waits for room, not while it is still on its way.
        while !budget.has_waiters() {
            std::thread::yield_now();
        }
        server.while_time_passes(|| sent.join().unwrap())
    });
    assert_eq!((refused.error().0, refused.error().1), (503, "UNAVAILABLE"));
    assert_eq!(refused.headers["retry-after"], "1");
}

#[test]
fn a_body_without_end_is_cut_off_by_the_clock() {
    let server = Server::start();
    let mut socket = TcpStream::connect(server.address).unwrap();
    let head =
        "POST /v1/topics/t/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\nx";
    socket.write_all(head.as_bytes()).unwrap();
    let answer = server.while_time_passes(|| {
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).map(|()| answer).unwrap()
    });
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn requests_are_counted_by_route_and_status() {
    let server = Server::start();
    for name in ["a", "b"] {
        server.get(&format!("/v1/topics/{name}"));
    }
    let text = server.get("/metrics").text;
    let line = r#"http_requests_total{method="GET",route="/v1/topics/{topic}",status="404"} 2"#;
    assert!(text.contains(line), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn a_running_server_is_alive_and_ready() {
    let server = Server::start();
    assert_eq!(server.get("/readyz").body, json!({ "status": "ready" }));
    assert_eq!(server.get("/healthz").body, json!({ "status": "ok" }));
}
