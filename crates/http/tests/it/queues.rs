//! Queues over HTTP: what is told of each message of a request.

use crate::server::{Answer, Server};
use serde_json::{Value, json};

fn declare(server: &Server, settings: &Value) {
    let answer = server.json("POST", "/v1/queues", &json!({ "name": "q", "settings": settings }));
    assert_eq!(answer.status, 201, "{}", answer.text);
}

fn put(server: &Server, values: &[&str]) -> Answer {
    let messages: Vec<Value> = values.iter().map(|value| json!({ "value": value })).collect();
    server.json("POST", "/v1/queues/q/messages", &json!({ "messages": messages }))
}

fn tokens(server: &Server, limit: usize) -> Vec<Value> {
    let answer = server.json("POST", "/v1/queues/q/receive", &json!({ "limit": limit }));
    let messages = answer.body["messages"].as_array().unwrap();
    messages.iter().map(|message| message["token"].clone()).collect()
}

fn settle(server: &Server, settles: &Value) -> Answer {
    server.json("POST", "/v1/queues/q/settle", &json!({ "settles": settles }))
}

#[test]
fn a_refused_message_is_told_with_its_reason_and_the_status_of_the_first() {
    let server = Server::start();
    declare(&server, &json!({ "length_max": 2, "overflow": "reject-publish" }));
    let answer = put(&server, &["a", "b", "c"]);
    assert_eq!((answer.status, &answer.body["failed"]), (429, &json!(1)), "{}", answer.text);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.body["error"]["kind"], "RESOURCE_EXHAUSTED");
    assert_eq!(answer.body["messages"][1], json!({ "enqueued": true }));
    assert_eq!(answer.body["messages"][2]["error"], answer.body["error"]);
    let large = put(&server, &[&"x".repeat(15 << 20)]);
    assert_eq!((large.status, &large.body["failed"]), (413, &json!(1)), "{:.200}", large.text);
}

#[test]
fn a_delivery_that_is_settled_twice_in_one_request_is_settled_once() {
    let server = Server::start();
    declare(&server, &json!({}));
    put(&server, &["a"]);
    let token = &tokens(&server, 1)[0];
    let one = json!({ "token": token, "outcome": "accept" });
    let answer = settle(&server, &json!([one, one]));
    assert_eq!(answer.body["settles"][0], json!({ "settled": true }), "{}", answer.text);
    assert_eq!(answer.body["settles"][1]["error"]["kind"], "FAILED_PRECONDITION");
    assert_eq!(answer.body["failed"], 1);
}

#[test]
fn a_request_with_a_token_that_is_none_changes_nothing() {
    let server = Server::start();
    declare(&server, &json!({}));
    put(&server, &["a"]);
    let token = &tokens(&server, 1)[0];
    let extend = json!({ "token": token, "outcome": "extend", "delay_ms": 3_600_000 });
    let wrong = json!({ "token": "no token", "outcome": "accept" });
    assert_eq!(settle(&server, &json!([extend, wrong])).status, 400);
    server.memory.clock.advance(std::time::Duration::from_secs(31));
    // The end of a lock is noticed a moment later.
    let came = (0..1000).any(|_| {
        std::thread::yield_now();
        !tokens(&server, 1).is_empty()
    });
    assert!(came, "the lock was extended");
}

#[test]
fn too_many_at_once_are_refused() {
    let server = Server::start();
    declare(&server, &json!({}));
    let one = json!({ "token": "AAAAAAAAAAAAAAAAAAAAAAAA", "outcome": "accept" });
    let settles: Vec<&Value> = std::iter::repeat_n(&one, 10_001).collect();
    assert_eq!(settle(&server, &json!(settles)).status, 400);
    assert_eq!(put(&server, &vec!["x"; 10_001]).status, 400);
}
