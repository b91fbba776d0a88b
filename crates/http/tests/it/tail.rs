//! Following a topic.

use crate::server::Server;
use serde_json::json;
use std::time::Duration;

#[test]
fn a_tail_begins_with_its_position_and_shows_what_comes() {
    let server = Server::start();
    server.publish("t", &json!([{ "value": "old" }]));
    let mut events = server.request("GET", "/v1/topics/t/tail").events();
    let first = events.next().unwrap();
    assert_eq!((first.id.as_str(), first.data.is_null()), ("0:1", true));
    server.publish("t", &json!([{ "value": "new", "key": "k" }]));
    let event = events.next().unwrap();
    assert_eq!((event.id.as_str(), &event.data["offset"]), ("0:2", &json!(1)));
    assert_eq!((&event.data["key"], &event.data["value"]), (&json!("k"), &json!("new")));
}

#[test]
fn a_reader_who_comes_back_misses_nothing_and_gets_nothing_twice() {
    let server = Server::start();
    server.create("t", 3);
    let send = |partition: u32, value: &str| {
        server.publish("t", &json!([{ "value": value, "partition": partition }]));
    };
    for (partition, value) in [(0, "a0"), (1, "b0"), (0, "a1"), (2, "c0"), (1, "b1")] {
        send(partition, value);
    }
    let mut events = server.request("GET", "/v1/topics/t/tail?from=earliest").events();
    events.next().unwrap();
    let (first, _) = events.message();
    let (second, id) = events.message();
    drop(events);
    send(2, "c1");
    // What was asked for at first does not matter any more.
    let call = server.request("GET", "/v1/topics/t/tail?from=earliest");
    let mut events = call.header("last-event-id", &id).events();
    assert_eq!(events.next().unwrap().id, id);
    let mut all = vec![first, second];
    all.extend((0..4).map(|_| events.message().0));
    let of = |name: char| -> Vec<&str> {
        all.iter().map(String::as_str).filter(|value| value.starts_with(name)).collect()
    };
    assert_eq!((of('a'), of('b'), of('c')), (vec!["a0", "a1"], vec!["b0", "b1"], vec!["c0", "c1"]));
}

#[test]
fn a_resume_inside_a_batch_goes_on_behind_the_last_message() {
    let server = Server::start();
    server.publish("t", &json!([{ "value": "1" }, { "value": "2" }, { "value": "3" }]));
    let call = server.request("GET", "/v1/topics/t/tail").header("last-event-id", "0:1");
    let mut events = call.events();
    events.next().unwrap();
    assert_eq!(events.message(), ("2".to_owned(), "0:2".to_owned()));
    assert_eq!(events.message(), ("3".to_owned(), "0:3".to_owned()));
}

#[test]
fn a_resume_with_one_partition_leaves_the_others() {
    let server = Server::start();
    server.create("t", 2);
    let path = "/v1/topics/t/tail?partition=1";
    let call = server.request("GET", path).header("last-event-id", "0:0,1:0,9:4");
    let mut events = call.events();
    assert_eq!(events.next().unwrap().id, "1:0");
    server.publish("t", &json!([{ "value": "other", "partition": 0 }]));
    server.publish("t", &json!([{ "value": "wanted", "partition": 1 }]));
    assert_eq!(events.message(), ("wanted".to_owned(), "1:1".to_owned()));
}

#[test]
fn a_tail_starts_at_an_offset_or_a_time() {
    let server = Server::start();
    server.create("t", 2);
    let sent = |value: &str, timestamp: i64| {
        server.publish("t", &json!([{ "value": value, "timestamp": timestamp, "partition": 1 }]));
    };
    sent("a", 1_000);
    sent("b", 2_000);
    sent("c", 3_000);
    let first = |query: &str| {
        let mut events = server.request("GET", &format!("/v1/topics/t/tail?{query}")).events();
        let start = events.next().unwrap().id;
        (start, events.message().0)
    };
    assert_eq!(first("time=1500"), ("0:0,1:1".to_owned(), "b".to_owned()));
    assert_eq!(first("offset=2&partition=1"), ("1:2".to_owned(), "c".to_owned()));
    assert_eq!(server.get("/v1/topics/t/tail?offset=2").error().0, 400);
}

#[test]
fn silence_is_filled_with_comments() {
    let server = Server::start();
    server.create("t", 1);
    let mut events = server.request("GET", "/v1/topics/t/tail").events();
    events.next().unwrap();
    let event = server.while_time_passes(|| events.next().unwrap());
    assert_eq!((event.comment.is_empty(), event.data.is_null()), (false, true));
}

#[test]
fn partitions_that_are_added_are_followed() {
    let server = Server::start();
    server.create("t", 1);
    let mut events = server.request("GET", "/v1/topics/t/tail").events();
    events.next().unwrap();
    let more = json!({ "partitions": 2 });
    assert_eq!(server.json("PATCH", "/v1/topics/t", &more).status, 200);
    server.publish("t", &json!([{ "value": "added", "partition": 1 }]));
    server.publish("t", &json!([{ "value": "first", "partition": 0 }]));
    let mut values = [events.message().0, events.message().0];
    values.sort();
    assert_eq!(values, ["added", "first"]);
}

#[test]
fn a_tail_of_a_deleted_topic_ends_with_an_error() {
    let server = Server::start();
    server.create("t", 1);
    let mut events = server.request("GET", "/v1/topics/t/tail").events();
    events.next().unwrap();
    assert_eq!(server.request("DELETE", "/v1/topics/t").send(b"").status, 204);
    let last = server.while_time_passes(|| std::iter::from_fn(|| events.next()).last().unwrap());
    assert_eq!((last.name.as_str(), &last.data["kind"]), ("error", &json!("NOT_FOUND")));
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let server = Server::start();
    server.create("t", 1);
    assert_eq!(server.get("/v1/topics/unknown/tail").error().0, 404);
    assert_eq!(server.get("/v1/topics/t/tail?partition=1").error().0, 404);
    assert_eq!(server.get("/v1/topics/t/tail?from=middle").error().0, 400);
    let call = server.request("GET", "/v1/topics/t/tail").header("last-event-id", "seven");
    assert_eq!(call.send(b"").error().0, 400);
}

#[test]
fn stopping_ends_every_tail() {
    let mut server = Server::start();
    server.create("t", 1);
    let mut events = server.request("GET", "/v1/topics/t/tail").events();
    events.next().unwrap();
    server.shutdown.send_replace(true);
    assert_eq!(events.next(), None);
    let serving = server.serving.take().unwrap();
    let ended = async { tokio::time::timeout(Duration::from_secs(10), serving).await };
    server.runtime.block_on(ended).unwrap().unwrap().unwrap();
}

#[test]
fn what_retention_took_is_told_and_not_passed_over() {
    let server = Server::start();
    server.create("t", 1);
    let keep = json!({ "settings": { "retention.ms": "1000" } });
    assert_eq!(server.json("PATCH", "/v1/topics/t", &keep).status, 200);
    server.publish("t", &json!([{ "value": "gone" }]));
    server.publish("t", &json!([{ "value": "gone, too" }]));
    server.while_time_passes(|| {
        while server.get("/v1/topics/t").body["partition_list"][0]["log_start"] != 2 {}
    });
    server.publish("t", &json!([{ "value": "kept" }]));
    let call = server.request("GET", "/v1/topics/t/tail").header("last-event-id", "0:0");
    let mut events = call.events();
    events.next().unwrap();
    let skipped = events.next().unwrap();
    assert_eq!((skipped.name.as_str(), skipped.id.as_str()), ("skipped", "0:2"));
    assert_eq!(skipped.data, json!({ "partition": 0, "from": 0, "to": 2 }));
    assert_eq!(events.message(), ("kept".to_owned(), "0:3".to_owned()));
}

#[test]
fn a_tail_behind_the_end_is_an_error_that_says_where_the_end_is() {
    let server = Server::start();
    server.create("t", 1);
    let mut events = server.request("GET", "/v1/topics/t/tail?offset=9").events();
    events.next().unwrap();
    let error = events.next().unwrap();
    assert_eq!((error.name.as_str(), &error.data["kind"]), ("error", &json!("INVALID_ARGUMENT")));
    assert_eq!(events.next(), None);
}
