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
fn queues_are_listed_by_prefix_and_in_pages() {
    let server = Server::start();
    for name in ["b-2", "a", "b-1", "b-3", "c"] {
        server.json("POST", "/v1/queues", &json!({ "name": name }));
    }
    let list = |query: &str| {
        let answer = server.get(&format!("/v1/queues{query}"));
        assert_eq!(answer.status, 200, "{}", answer.text);
        let queues = answer.body["queues"].as_array().unwrap();
        let names = queues.iter().map(|queue| queue["name"].as_str().unwrap().to_owned());
        (names.collect::<Vec<_>>(), answer.body.get("next").cloned())
    };
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(list(""), (of(&["a", "b-1", "b-2", "b-3", "c"]), None));
    assert_eq!(list("?prefix=b-&limit=2"), (of(&["b-1", "b-2"]), Some(json!("b-2"))));
    assert_eq!(list("?prefix=b-&limit=2&after=b-2"), (of(&["b-3"]), None));
    assert_eq!(list("?prefix=d"), (of(&[]), None));
    assert_eq!(server.get("/v1/queues?limit=none").status, 400);
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

#[test]
fn a_message_goes_there_and_back_without_json() {
    let server = Server::start();
    declare(&server, &json!({ "priority_max": 3, "deduplication_ms": 60_000 }));
    let post = |path: &str, content_type: &str, body: &[u8]| {
        let call = server.request("POST", &format!("/v1/queues/q/{path}"));
        call.header("content-type", content_type).header("x-header-source", "docs").send(body)
    };
    let path = "messages?key=k&priority=1&deduplication_id=d";
    assert_eq!(post(path, "image/png", b"one").status, 200);
    assert_eq!(post(path, "image/png", b"one again").status, 200);
    assert_eq!(post("messages?raw=true&priority=2", "application/json", b"[1]").status, 200);
    let refused = post("messages?priority=2", "application/json", b"{}");
    assert_eq!(refused.error().0, 400);
    let receive = || server.request("POST", "/v1/queues/q/receive?raw=true").send(b"");
    let first = receive();
    assert_eq!((first.status, first.text.as_str()), (200, "[1]"), "the higher priority first");
    let one = receive();
    let header = |name: &str| one.headers[name].to_str().unwrap();
    assert_eq!((one.text.as_str(), header("content-type")), ("one", "image/png"));
    assert_eq!((header("x-header-source"), header("message-key")), ("docs", "k"));
    assert_eq!((header("message-deliveries"), header("message-redelivered")), ("0", "false"));
    assert_eq!(receive().status, 204);
    let settle = |query: &str| {
        let path = format!("/v1/queues/q/settle?token={}&{query}", header("message-token"));
        server.request("POST", &path).send(b"")
    };
    let extended = settle("outcome=extend&delay_ms=60000");
    assert_eq!(extended.status, 204, "{}", extended.text);
    assert!(extended.headers["message-locked-until"] > one.headers["message-locked-until"]);
    assert_eq!(settle("outcome=none").status, 400);
    assert_eq!(settle("delay_ms=1").status, 400);
    assert_eq!(settle("outcome=release").status, 204);
    assert_eq!(settle("outcome=accept").error().0, 409, "the lock is gone");
    let again = server.request("POST", "/v1/queues/q/receive?raw=true&accept=true").send(b"");
    assert_eq!(again.headers["message-redelivered"], "true");
    assert!(!again.headers.contains_key("message-token"));
}

#[test]
fn one_message_is_taken_out_or_waits_no_longer_or_is_asked_for() {
    let server = Server::start();
    declare(&server, &json!({}));
    let late = json!({ "messages": [
        { "value": "a" }, { "value": "b", "delay_ms": 3_600_000 },
        { "value": "c", "delay_ms": 3_600_000 }, { "value": "d" },
    ] });
    assert_eq!(server.json("POST", "/v1/queues/q/messages", &late).status, 200);
    let path = |place: &str| format!("/v1/queues/q/messages/{place}");
    let remove = |place: &str| server.request("DELETE", &path(place)).send(b"");
    let first = server.json("POST", "/v1/queues/q/receive", &json!({}));
    let delivery = &first.body["messages"][0];
    assert_eq!((&delivery["value"], &delivery["place"]), (&json!("a"), &json!("0-0")));
    assert_eq!(remove("0-0").error().0, 409, "somebody has it");
    assert_eq!((remove("0-1").status, remove("0-1").error().0), (204, 404));
    assert_eq!((remove("9-1").error().0, remove("0-99").error().0), (404, 404));
    assert_eq!(remove("x").error().0, 400);
    let deliver =
        |place: &str| server.request("POST", &format!("{}/deliver", path(place))).send(b"");
    assert_eq!(
        (deliver("0-2").status, deliver("0-2").status, deliver("0-3").status),
        (204, 404, 404)
    );
    let defer = json!([{ "token": delivery["token"], "outcome": "defer" }]);
    assert_eq!(settle(&server, &defer).body["failed"], 0);
    let values = |request: &Value| {
        let answer = server.json("POST", "/v1/queues/q/receive", request);
        let messages = answer.body["messages"].as_array().unwrap().clone();
        messages.iter().map(|message| message["value"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(values(&json!({ "limit": 10 })), ["c", "d"]);
    assert_eq!(values(&json!({ "places": ["0-3", "0-0"], "accept": true })), ["a"]);
    assert!(values(&json!({ "places": ["0-0"] })).is_empty(), "it is done");
}

#[test]
fn some_messages_are_looked_for_by_key_header_time_and_death() {
    let server = Server::start();
    let dead = json!({ "name": "dead" });
    assert_eq!(server.json("POST", "/v1/queues", &dead).status, 201);
    declare(&server, &json!({ "dead_letter_exchange": "", "dead_letter_routing_key": "dead" }));
    let mut put_at = Vec::new();
    for (value, headers) in
        [("a", json!({ "n": "1" })), ("b", json!({ "n": "2" })), ("c", json!({}))]
    {
        let message = json!({ "value": value, "key": format!("key-{value}"), "headers": headers });
        let body = json!({ "messages": [message] });
        assert_eq!(server.json("POST", "/v1/queues/q/messages", &body).status, 200);
        let page = server.get("/v1/queues/q/messages").body;
        put_at.push(page["messages"].as_array().unwrap().last().unwrap()["enqueued_at"].clone());
        server.memory.clock.advance(std::time::Duration::from_millis(5));
    }
    let found = |queue: &str, query: &str| {
        let page = server.get(&format!("/v1/queues/{queue}/messages?{query}"));
        let messages = page.body["messages"].as_array().unwrap().clone();
        messages.iter().map(|it| it["value"].clone()).collect::<Vec<Value>>()
    };
    assert_eq!(found("q", "key=key-b"), ["b"]);
    assert_eq!(found("q", "header=n"), ["a", "b"]);
    assert_eq!((found("q", "header=n=2"), found("q", "header=n=3").len()), (vec![json!("b")], 0));
    assert_eq!(found("q", &format!("since={}", put_at[1])), ["b", "c"]);
    assert_eq!(found("q", &format!("before={}&header=n", put_at[1])), ["a"]);
    assert_eq!(found("q", "header=n&limit=1"), ["a"]);
    let next = server.get("/v1/queues/q/messages?header=n&limit=1").body["next"].clone();
    assert_eq!(found("q", &format!("header=n&from={}", next.as_str().unwrap())), ["b"]);
    let rejected = tokens(&server, 1);
    settle(&server, &json!([{ "token": rejected[0], "outcome": "reject" }]));
    let came = (0..1000).any(|_| {
        std::thread::yield_now();
        found("dead", "died_in=q&reason=rejected") == ["a"]
    });
    assert!(came, "the dead letter is not found");
    assert!(found("dead", "reason=expired").is_empty() && found("dead", "died_in=p").is_empty());
}

#[test]
fn the_metrics_tell_how_long_deliveries_were_out_and_what_went_through_the_sockets() {
    let server = Server::start();
    declare(&server, &json!({}));
    put(&server, &["a", "b"]);
    let token = &tokens(&server, 1)[0];
    server.memory.clock.advance(std::time::Duration::from_millis(700));
    settle(&server, &json!([{ "token": token, "outcome": "accept" }]));
    let metrics = server.get("/metrics").text;
    let value = |series: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{series} ")));
        let line = line.unwrap_or_else(|| panic!("no {series} in {metrics}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let times = "tramline_queue_processing_seconds";
    assert_eq!(value(&format!("{times}_count{{queue=\"q\"}}")), 1.0);
    assert_eq!(value(&format!("{times}_sum{{queue=\"q\"}}")), 0.7);
    assert_eq!(value(&format!("{times}_bucket{{le=\"0.5\",queue=\"q\"}}")), 0.0);
    assert_eq!(value(&format!("{times}_bucket{{le=\"1.0\",queue=\"q\"}}")), 1.0);
    assert!(value("tramline_http_received_bytes_total") > 300.0);
    assert!(value("tramline_http_sent_bytes_total") > 300.0);
}

#[test]
fn a_subscription_has_the_records_of_its_topic_and_takes_no_messages() {
    let server = Server::start();
    let settings = json!({ "topic": "orders", "start": "earliest" });
    let subscription = json!({ "name": "q", "settings": settings });
    let answer = server.json("POST", "/v1/queues", &subscription);
    assert_eq!(answer.status, 404, "{}", answer.text);
    server.create("orders", 2);
    server.publish("orders", &json!([{ "key": "k", "value": "a" }, { "value": "b" }]));
    assert_eq!(server.json("POST", "/v1/queues", &subscription).status, 201);
    assert_eq!(server.json("POST", "/v1/queues", &subscription).status, 200);
    let described = server.get("/v1/queues/q").body;
    assert_eq!((&described["topic"], &described["ready"]), (&json!("orders"), &json!(2)));
    assert_eq!(described["settings"]["start"], "earliest");
    let refused = put(&server, &["x"]);
    assert_eq!((refused.status, &refused.body["failed"]), (409, &json!(1)), "{}", refused.text);
    let tokens = tokens(&server, 10);
    assert_eq!(tokens.len(), 2);
    let accept = |token: &Value| json!({ "token": token, "outcome": "accept" });
    settle(&server, &tokens.iter().map(accept).collect());
    assert_eq!(server.get("/v1/queues/q").body["ready"], 0);
    for wrong in [json!({ "start": "earliest" }), json!({ "topic": "orders", "delay_ms": 5 })] {
        let body = json!({ "name": "other", "settings": wrong });
        assert_eq!(server.json("POST", "/v1/queues", &body).status, 400);
    }
}
