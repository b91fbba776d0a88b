//! Realtime channels over Server-Sent Events and plain HTTP.

use crate::server::{Events, Server};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
};

fn follow(server: &Server, channel: &str) -> Events {
    let mut events = server.request("GET", &format!("/v1/channels/{channel}")).events();
    let first = events.next().unwrap();
    assert_eq!(first.name, "subscribed");
    assert_eq!(first.data["channel"], channel);
    events
}

fn broadcast(server: &Server, channel: &str, body: &str) -> Value {
    let answer = server.request("POST", &format!("/v1/broadcast/{channel}")).send(body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[test]
fn who_follows_a_channel_gets_what_is_published_on_it() {
    let server = Server::start();
    let mut by_name = follow(&server, "orders/eu");
    let mut by_pattern = follow(&server, "orders/**");
    let receipt = broadcast(&server, "orders/eu", "a \"text\"\nof two lines");
    assert_eq!((&receipt["delivered"], &receipt["waiting"]), (&json!(2), &json!(0)));
    for events in [&mut by_name, &mut by_pattern] {
        let event = events.next().unwrap();
        assert_eq!(event.data["channel"], "orders/eu");
        assert_eq!(event.data["data"], "a \"text\"\nof two lines");
        assert_eq!(
            (event.id.as_str(), event.name.as_str()),
            (receipt["position"].as_str().unwrap(), "")
        );
    }
    let json = server.request("POST", "/v1/broadcast/orders/eu?key=k");
    json.header("content-type", "application/json").send(b"{\"n\":\n[1,2]}");
    let event = by_name.next().unwrap();
    assert_eq!((&event.data["data"], &event.data["key"]), (&json!({"n": [1, 2]}), &json!("k")));
    server.request("POST", "/v1/broadcast/orders/eu").send(b"\xff\x00");
    assert_eq!(by_name.next().unwrap().data["base64"], "/wA=");
    let wrong = server.request("POST", "/v1/broadcast/orders/eu");
    assert_eq!(wrong.header("content-type", "application/json").send(b"{").error().0, 400);
    assert_eq!(server.get("/v1/channels/a/b*").error().0, 400);
    assert_eq!(server.request("POST", "/v1/broadcast/$jobs/1").send(b"x").error().0, 400);
}

#[test]
fn who_comes_back_with_the_last_id_gets_what_he_missed() {
    let server = Server::start();
    let settings = json!({ "prefix": "h", "settings": { "history_size": 2 } });
    assert_eq!(server.json("PUT", "/v1/channel-settings", &settings).status, 200);
    let mut events = follow(&server, "h/1");
    broadcast(&server, "h/1", "1");
    let id = events.next().unwrap().id;
    drop(events);
    broadcast(&server, "h/1", "2");
    let back = || server.request("GET", "/v1/channels/h/1").header("last-event-id", &id).events();
    let mut events = back();
    let first = events.next().unwrap();
    assert_eq!((&first.data["recovered"], first.id.as_str()), (&json!(true), id.as_str()));
    assert_eq!(events.next().unwrap().data["data"], "2");
    broadcast(&server, "h/1", "3");
    broadcast(&server, "h/1", "4");
    let mut events = back();
    assert_eq!(events.next().unwrap().data["recovered"], false, "2 is gone");
    assert_eq!(events.next().unwrap().data["data"], "3");
    let wrong = server.request("GET", "/v1/channels/h/1").header("last-event-id", "x").send(b"");
    assert_eq!(wrong.error().0, 400);
}

#[test]
fn a_retained_value_comes_first() {
    let server = Server::start();
    broadcast(&server, "r/1?retain=true", "kept");
    let mut events = follow(&server, "r/*");
    let event = events.next().unwrap();
    assert_eq!((&event.data["data"], &event.data["retained"]), (&json!("kept"), &json!(true)));
    assert_eq!(event.id, "", "it came before the subscription");
    broadcast(&server, "r/1?retain=true", "");
    let mut events = follow(&server, "r/*");
    broadcast(&server, "r/1", "live");
    assert_eq!(events.next().unwrap().data["data"], "live");
}

#[test]
fn silence_is_filled_with_comments_and_the_end_of_the_server_ends_streams() {
    let server = Server::start();
    let mut events = follow(&server, "c");
    let event = server.while_time_passes(|| events.next().unwrap());
    assert!(event.data.is_null() && event.name.is_empty(), "{event:?}");
    server.shutdown.send_replace(true);
    let rest = server.while_time_passes(|| {
        while events.next().is_some() {}
        true
    });
    assert!(rest);
}

/// Sends a request as it is and reads until `until` is there.
fn raw(server: &Server, request: &str, until: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(until) {
        let count = socket.read(&mut buffer).unwrap();
        assert!(count > 0, "the end came before `{until}`: {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    (socket, text)
}

#[test]
fn a_stream_has_chunks_in_http_1_1_and_none_in_http_1_0() {
    let server = Server::start();
    let request = "GET /v1/channels/c HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (_socket, text) = raw(&server, request, "\n\n\r\n");
    assert!(text.contains("transfer-encoding: chunked"), "{text}");
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let (length, body) = body.split_once("\r\n").unwrap();
    assert_eq!(usize::from_str_radix(length, 16).unwrap(), body.len() - 2);

    let request = "GET /v1/channels/c HTTP/1.0\r\n\r\n";
    let (_socket, text) = raw(&server, request, "\n\n");
    assert!(!text.contains("chunked"), "{text}");
    assert!(text.split_once("\r\n\r\n").unwrap().1.starts_with("retry: "), "{text}");
}

#[test]
fn a_head_of_a_stream_is_no_stream_and_the_connection_goes_on() {
    let server = Server::start();
    let request = "HEAD /v1/channels/c HTTP/1.1\r\nhost: localhost\r\n\r\n\
                   GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (_socket, text) = raw(&server, request, "\"status\"");
    assert_eq!(text.matches("200 OK").count(), 2, "{text}");
    assert_eq!(server.get("/v1/receivers").body["receivers"], json!([]));
}

#[test]
fn receivers_are_listed_and_closed_by_the_operator() {
    let server = Server::start();
    let mut events = follow_as(&server, "c", "ann");
    let of = server.get("/v1/receivers").body["receivers"][0].clone();
    assert_eq!((&of["client"], &of["channels"]), (&json!("ann"), &json!(["c"])));
    let describe = server.request("GET", "/v1/channels/c").header("accept", "application/json");
    assert_eq!(describe.send(b"").body["members"][0]["client"], "ann");
    let metrics = server.get("/metrics").text;
    assert!(metrics.contains("tramline_channel_receivers 1"), "{metrics}");
    assert!(metrics.contains("tramline_channel_published_messages_total{prefix=\"\"} 0"));
    let connection = &of["connection"];
    let path = format!("/v1/connections/{connection}");
    assert_eq!(server.request("DELETE", &path).send(b"").status, 204);
    assert_eq!(events.next(), None);
    // The receiver goes with its connection's task, which ends after its last word.
    while server.get("/v1/receivers").body["receivers"] != json!([]) {}
}

#[test]
fn a_reader_that_is_too_slow_is_cut_off_where_that_is_set_and_told_so() {
    let server = Server::start();
    let settings = json!({ "slow_consumer": "disconnect", "buffer_bytes": 65_536 });
    let body = json!({ "prefix": "c", "settings": settings });
    assert_eq!(server.json("PUT", "/v1/channel-settings", &body).status, 200);
    let request = "GET /v1/channels/c HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (mut slow, _) = raw(&server, request, "\n\n\r\n");
    let body = "x".repeat(100_000);
    while broadcast(&server, "c", &body)["dropped"] == 0 {}
    // The end does not wait for the clock, which stands still here.
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    let last = b"event: cut_off\ndata: {\"type\":\"cut_off\"}\n\n\r\n0\r\n\r\n";
    assert!(rest.ends_with(last), "{}", String::from_utf8_lossy(&rest[rest.len() - 100..]));
    let metrics = server.get("/metrics").text;
    let cut_off = "tramline_channel_cut_off_receivers_total{prefix=\"c\"} 1";
    assert!(metrics.contains(cut_off), "{metrics}");
}

fn follow_as(server: &Server, channel: &str, client: &str) -> Events {
    let path = format!("/v1/channels/{channel}?client={client}");
    let mut events = server.request("GET", &path).events();
    events.next().unwrap();
    events
}

#[test]
fn what_is_published_on_a_bound_channel_is_stored() {
    let server = Server::start();
    server.create("orders", 1);
    assert_eq!(server.json("POST", "/v1/queues", &json!({ "name": "jobs" })).status, 201);
    for end in [json!({ "topic": "orders" }), json!({ "queue": "jobs" })] {
        let binding = json!({ "channel": "orders/**", "to": end });
        assert_eq!(server.json("POST", "/v1/channel-bindings", &binding).status, 201);
    }
    let mut events = follow(&server, "orders/*");
    let receipt = broadcast(&server, "orders/eu?key=k", "one");
    assert_eq!((&receipt["stored"], &receipt["delivered"]), (&json!(2), &json!(1)));
    assert_eq!(events.next().unwrap().data["data"], "one");
    let stored = server.get("/v1/topics/orders/messages").body["messages"][0].clone();
    assert_eq!((&stored["value"], &stored["key"]), (&json!("one"), &json!("k")));
    assert_eq!(stored["headers"][0]["value"], "orders/eu");
    let received = server.json("POST", "/v1/queues/jobs/receive", &json!({ "limit": 2 }));
    assert_eq!(received.body["messages"][0]["value"], "one");
    let binding = json!({ "channel": "orders/**", "to": { "queue": "jobs" } });
    assert_eq!(server.json("DELETE", "/v1/channel-bindings", &binding).status, 204);
    assert_eq!(broadcast(&server, "orders/eu", "two")["stored"], 1);
}

#[test]
fn what_comes_into_a_topic_or_a_queue_is_shown_on_a_channel() {
    let server = Server::start();
    server.create("orders", 2);
    server.publish("orders", &json!([{ "value": "before", "partition": 1 }]));
    assert_eq!(server.json("POST", "/v1/queues", &json!({ "name": "jobs" })).status, 201);
    let mut events = follow(&server, "live/**");
    for (name, end) in
        [("orders", json!({ "topic": "orders" })), ("jobs", json!({ "queue": "jobs" }))]
    {
        let binding = json!({ "channel": format!("live/{name}"), "from": end });
        assert_eq!(server.json("POST", "/v1/channel-bindings", &binding).status, 201);
    }
    // Whatever comes after the answer is shown, and nothing of before.
    let message = json!([{ "value": "{\"n\":1}", "key": "k", "partition": 1 }]);
    server.publish("orders", &message);
    let shown = events.next().unwrap().data;
    assert_eq!((&shown["data"], &shown["key"]), (&json!({ "n": 1 }), &json!("k")));
    let message = json!({ "messages": [{ "value": "work" }] });
    assert_eq!(server.json("POST", "/v1/queues/jobs/messages", &message).status, 200);
    let shown = events.next().unwrap().data;
    assert_eq!((&shown["channel"], &shown["data"]), (&json!("live/jobs"), &json!("work")));
    assert_eq!(server.get("/v1/channel-bindings").body["bindings"].as_array().unwrap().len(), 2);
}
