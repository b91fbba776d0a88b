//! Topics with `order=total`, read in their one order.

use crate::server::Server;
use serde_json::{Value, json};

/// A topic with eight messages over three partitions, one request each.
fn server() -> Server {
    let server = Server::start();
    let new = json!({ "name": "t", "partitions": 3, "settings": { "order": "total" } });
    let topic = server.json("POST", "/v1/topics", &new);
    assert_eq!(topic.status, 201, "{}", topic.text);
    for number in 0..8 {
        let partition = [2, 0, 1, 1, 2, 0, 0, 1][number];
        let value = format!("m{number}");
        server.publish("t", &json!([{ "value": value, "partition": partition }]));
    }
    server
}

fn values(run: &Value) -> Vec<&str> {
    let messages = run["messages"].as_array().unwrap();
    messages.iter().map(|message| message["value"].as_str().unwrap()).collect()
}

#[test]
fn everything_is_fetched_in_one_order_and_in_pieces() {
    let server = server();
    let all = server.get("/v1/topics/t/messages?ordered=true").body;
    assert_eq!(values(&all), ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"]);
    assert_eq!((&all["topic"], &all["high_watermark"]), (&json!("t.ordered"), &json!(8)));
    assert_eq!(all["messages"][5]["offset"], 5);
    let some = server.get("/v1/topics/t/messages?ordered=true&offset=3&limit=2").body;
    assert_eq!((values(&some), &some["next_offset"]), (vec!["m3", "m4"], &json!(5)));
    let by_name = server.get("/v1/topics/t.ordered/messages").body;
    assert_eq!(by_name["messages"], all["messages"]);
}

#[test]
fn a_tail_follows_the_one_order_and_resumes_in_it() {
    let server = server();
    let path = "/v1/topics/t/tail?ordered=true&from=earliest";
    let mut events = server.request("GET", path).events();
    events.next().unwrap();
    for number in 0..5 {
        assert_eq!(events.message(), (format!("m{number}"), format!("0:{}", number + 1)));
    }
    drop(events);
    let mut events = server.request("GET", path).header("last-event-id", "0:5").events();
    events.next().unwrap();
    for number in 5..8 {
        assert_eq!(events.message().0, format!("m{number}"));
    }
    server.publish("t", &json!([{ "value": "new", "partition": 1 }]));
    assert_eq!(events.message(), ("new".to_owned(), "0:9".to_owned()));
}

#[test]
fn what_has_no_one_order_or_names_a_partition_is_told_so() {
    let server = server();
    server.create("plain", 2);
    for path in [
        "/v1/topics/plain/messages?ordered=true",
        "/v1/topics/plain/tail?ordered=true",
        "/v1/topics/t/messages?ordered=true&partition=0",
        "/v1/topics/t/tail?ordered=true&partition=0",
    ] {
        assert_eq!(server.get(path).status, 400, "{path}");
    }
    assert_eq!(server.get("/v1/topics/none/messages?ordered=true").status, 404);
}

#[test]
fn the_view_is_shown_and_changed_by_nobody() {
    let server = server();
    let topic = server.get("/v1/topics/t").body;
    let order = (&topic["order"], &topic["ordered_view"], &topic["view_of"]);
    assert_eq!(order, (&json!("total"), &json!("t.ordered"), &Value::Null));
    let view = server.get("/v1/topics/t.ordered").body;
    let order = (&view["partitions"], &view["ordered_view"], &view["view_of"]);
    assert_eq!(order, (&json!(1), &Value::Null, &json!("t")));

    let publish = json!({ "messages": [{ "value": "x" }] });
    let refused = server.json("POST", "/v1/topics/t.ordered/messages", &publish);
    assert_eq!(
        (refused.status, &refused.body["error"]["kind"]),
        (409, &json!("FAILED_PRECONDITION"))
    );
    let change = json!({ "settings": { "retention.ms": "5" } });
    assert_eq!(server.json("PATCH", "/v1/topics/t.ordered", &change).status, 409);
    assert_eq!(server.request("DELETE", "/v1/topics/t.ordered").send(b"").status, 409);
    assert_eq!(server.get("/v1/topics/t.ordered/messages").body["high_watermark"], 8);

    assert_eq!(server.request("DELETE", "/v1/topics/t").send(b"").status, 204);
    assert_eq!(server.get("/v1/topics/t.ordered").status, 404);
}
