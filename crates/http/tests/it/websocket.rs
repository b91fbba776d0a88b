//! WebSockets, with a client that can be as wrong as it likes.

use crate::server::Server;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

struct Client(TcpStream);

/// A frame as it came: opcode and payload.
type Frame = (u8, Vec<u8>);

fn handshake(server: &Server, more: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let request = format!(
        "GET /v1/ws?client=test HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n{more}\r\n"
    );
    // Whoever is refused in the middle of it cannot write the rest, and has his answer.
    let _refused_perhaps = socket.write_all(request.as_bytes());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (socket, String::from_utf8(head).unwrap())
}

impl Client {
    fn open(server: &Server) -> Self {
        let (socket, head) = handshake(server, "");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self(socket)
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            length @ 126..=65_535 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        // A mask of zeros changes nothing.
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        self.0.write_all(&bytes).unwrap();
    }

    fn send(&mut self, request: &Value) {
        self.frame(0x81, request.to_string().as_bytes());
    }

    fn next_frame(&mut self) -> Frame {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.0.read_exact(&mut length).unwrap();
                usize::try_from(u64::from_be_bytes(length)).unwrap()
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        (head[0] & 0x0f, payload)
    }

    fn next(&mut self) -> Value {
        let (opcode, payload) = self.next_frame();
        assert_eq!(opcode, 1, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// Asks, and gives the answer.
    fn ask(&mut self, request: &Value) -> Value {
        self.send(request);
        self.next()
    }

    /// The code of the close that comes next.
    fn closed(&mut self) -> u16 {
        let (opcode, payload) = self.next_frame();
        assert_eq!(opcode, 8, "{payload:?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

#[test]
fn requests_are_answered_by_their_id() {
    let server = Server::start();
    let settings = json!({ "prefix": "a", "settings": { "history_size": 9, "presence": true } });
    assert_eq!(server.json("PUT", "/v1/channel-settings", &settings).status, 200);
    let mut client = Client::open(&server);
    let subscribed = client.ask(&json!({ "type": "subscribe", "id": 1, "channel": "a/b" }));
    assert_eq!((&subscribed["type"], &subscribed["id"]), (&json!("subscribed"), &json!(1)));
    let publish = json!({ "type": "publish", "id": "p", "channel": "a/b", "data": { "n": [1] } });
    client.send(&publish);
    let message = client.next();
    assert_eq!((&message["type"], &message["data"]), (&json!("message"), &json!({ "n": [1] })));
    let published = client.next();
    assert_eq!((&published["type"], &published["id"]), (&json!("published"), &json!("p")));
    assert_eq!((&published["delivered"], &published["stored"]), (&json!(1), &json!(0)));
    assert_eq!(published["position"], message["position"]);

    let members = client.ask(&json!({ "type": "presence", "id": 2, "channel": "a/b" }));
    assert_eq!((&members["count"], &members["members"][0]["client"]), (&json!(1), &json!("test")));
    let history = client.ask(&json!({ "type": "history", "id": 3, "channel": "a/b" }));
    assert_eq!(history["messages"][0]["data"], json!({ "n": [1] }));
    let recover = json!({
        "type": "recover", "id": 4, "channel": "a/b", "position": subscribed["position"]
    });
    assert_eq!(client.ask(&recover)["recovered"], true);
    assert_eq!(client.next()["data"], json!({ "n": [1] }));
    assert_eq!(client.ask(&json!({ "type": "ping", "id": 5 }))["type"], "pong");

    let mut other = Client::open(&server);
    other.ask(&json!({ "type": "subscribe", "id": 1, "channel": "a/b" }));
    assert_eq!(client.next()["type"], "joined");
    drop(other);
    assert_eq!(client.next()["type"], "left");
    let unsubscribe = json!({ "type": "unsubscribe", "id": 6, "channel": "a/b" });
    assert_eq!(client.ask(&unsubscribe)["subscribed"], true);
    assert_eq!(client.ask(&unsubscribe)["subscribed"], false);
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_goes_on() {
    let server = Server::start();
    let mut client = Client::open(&server);
    for wrong in [
        json!({ "type": "subscribe", "id": 7 }),
        json!({ "type": "subscribe", "id": 7, "channel": "a/*b" }),
        json!({ "type": "recover", "id": 7, "channel": "a" }),
        json!({ "type": "publish", "id": 7, "channel": "a/*", "data": 1 }),
        json!({ "type": "publish", "id": 7, "channel": "$jobs/1", "data": 1 }),
        json!({ "type": "publish", "id": 7, "channel": "a" }),
        json!({ "type": "publish", "id": 7, "channel": "a", "base64": "?" }),
        json!({ "type": "subscribe", "id": 7, "channel": "a", "position": "x" }),
        json!({ "type": "subscribe", "id": 7, "channel": "a", "more": 1 }),
        json!({ "type": "none", "id": 7 }),
    ] {
        let answer = client.ask(&wrong);
        assert_eq!((&answer["type"], &answer["id"]), (&json!("error"), &json!(7)), "{wrong}");
        assert_eq!(answer["error"]["kind"], "INVALID_ARGUMENT", "{wrong}");
    }
    for wrong in ["", "{", "[]", &format!("{{\"id\":{}}}", "[".repeat(100_000))] {
        client.frame(0x81, wrong.as_bytes());
        assert_eq!(client.next()["type"], "error");
    }
    assert_eq!(client.ask(&json!({ "type": "ping", "id": 1 }))["type"], "pong");
}

#[test]
fn frames_in_pieces_and_pings_between_them_are_one_request() {
    let server = Server::start();
    let mut client = Client::open(&server);
    client.frame(0x01, b"{\"type\":");
    client.frame(0x89, b"alive?");
    assert_eq!(client.next_frame(), (10, b"alive?".to_vec()));
    client.frame(0x00, b"\"ping\",");
    client.frame(0x80, b"\"id\":1}");
    assert_eq!(client.next()["type"], "pong");
    client.frame(0x88, &[0x03, 0xe8]);
    assert_eq!(client.closed(), 1000);
}

#[test]
fn what_the_protocol_forbids_ends_the_connection_with_its_code() {
    let server = Server::start();
    for (first, payload, code) in [
        (0xc1, b"x".to_vec(), 1002),
        (0x81, b"\xff".to_vec(), 1007),
        (0x82, b"x".to_vec(), 1003),
        (0x83, Vec::new(), 1002),
    ] {
        let mut client = Client::open(&server);
        client.frame(first, &payload);
        assert_eq!(client.closed(), code, "{first:x}");
    }
    let mut client = Client::open(&server);
    // 16 EiB are announced, and nothing of it is waited for.
    client.0.write_all(&[0x82, 0xff, 0x0f, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(client.closed(), 1009);

    // Whoever sends it whole is told why as well, and his connection is not reset before that.
    let mut client = Client::open(&server);
    client.frame(0x81, &vec![b'x'; 3_000_000]);
    assert_eq!(client.closed(), 1009);
}

#[test]
fn a_client_that_is_too_slow_is_cut_off_where_that_is_set() {
    let server = Server::start();
    let settings = json!({ "slow_consumer": "disconnect", "buffer_bytes": 65_536 });
    let body = json!({ "prefix": "c", "settings": settings });
    assert_eq!(server.json("PUT", "/v1/channel-settings", &body).status, 200);
    let mut client = Client::open(&server);
    client.ask(&json!({ "type": "subscribe", "id": 1, "channel": "c" }));
    let body = "x".repeat(100_000);
    loop {
        let receipt = server.request("POST", "/v1/broadcast/c").send(body.as_bytes()).body;
        if receipt["dropped"] == 1 {
            break;
        }
    }
    let last = std::iter::repeat_with(|| client.next_frame()).find(|(opcode, _)| *opcode != 1);
    let (opcode, payload) = last.unwrap();
    assert_eq!((opcode, &payload[..2]), (8, &1008_u16.to_be_bytes()[..]));
}

/// What a counter of this listener says.
fn counted(server: &Server, name: &str) -> u64 {
    let metrics = server.get("/metrics").text;
    let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name));
    lines.find_map(|value| value.trim().parse().ok()).unwrap()
}

#[test]
fn what_goes_over_websockets_is_counted_as_bytes_of_the_listener() {
    const BYTES: usize = 100_000;
    let server = Server::start();
    let counts = || {
        ["tramline_http_received_bytes_total ", "tramline_http_sent_bytes_total "]
            .map(|name| counted(&server, name))
    };
    let mut client = Client::open(&server);
    client.ask(&json!({ "type": "subscribe", "id": 1, "channel": "c" }));
    let before = counts();
    let data = "x".repeat(BYTES);
    client.send(&json!({ "type": "publish", "channel": "c", "data": data }));
    assert_eq!(client.next()["data"], data);
    for (before, after) in before.into_iter().zip(counts()) {
        assert!(after >= before + BYTES as u64, "{before} {after}");
    }
}

#[test]
fn a_head_above_the_limits_is_refused() {
    let server = Server::start();
    let many: String = (0..200).map(|number| format!("x-header-{number}: 1\r\n")).collect();
    // Twice the limit: a piece may come before the limit is looked at.
    for more in [format!("x: {}\r\n", "x".repeat(128 * 1024)), many] {
        let (_, head) = handshake(&server, &more);
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
    }
}

#[test]
fn a_page_of_another_origin_gets_no_websocket() {
    let server = Server::start();
    for origin in ["http://evil.example", "http://localhost:3000", "null"] {
        let (_, head) = handshake(&server, &format!("origin: {origin}\r\n"));
        assert!(head.starts_with("HTTP/1.1 403 "), "{origin}: {head}");
    }
    let (_, head) = handshake(&server, "origin: http://localhost\r\n");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(server.get("/v1/ws").error().0, 400);
}

#[test]
fn a_silent_client_is_asked_and_then_given_up() {
    let server = Server::start();
    let mut client = Client::open(&server);
    let frames = std::thread::scope(|scope| {
        let frames = scope.spawn(|| {
            let mut frames = vec![client.next_frame()];
            while frames.last().unwrap().0 == 9 {
                frames.push(client.next_frame());
            }
            frames
        });
        while !frames.is_finished() {
            server.memory.clock.advance(Duration::from_secs(1));
            // The server is to come to its ping before its patience ends.
            std::thread::park_timeout(Duration::from_millis(10));
        }
        frames.join().unwrap()
    });
    assert_eq!(frames.first().unwrap().0, 9, "a ping comes first");
    let (opcode, payload) = frames.last().unwrap();
    assert_eq!((*opcode, &payload[..2]), (8, &1008_u16.to_be_bytes()[..]));
}

#[test]
fn the_end_of_the_server_is_told() {
    let server = Server::start();
    let mut client = Client::open(&server);
    client.ask(&json!({ "type": "subscribe", "id": 1, "channel": "a" }));
    server.shutdown.send_replace(true);
    assert_eq!(client.closed(), 1001);
}
