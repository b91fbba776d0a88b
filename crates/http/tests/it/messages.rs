//! Publishing and fetching.

use crate::server::Server;
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tramline_broker::{MemoryOptions, Options as BrokerOptions};
use tramline_http::Options;
use tramline_record::{Batch, BatchBuilder, Compression, crc32c};
use tramline_types::{Message, Timestamp};

fn values(run: &Value) -> Vec<&str> {
    let messages = run["messages"].as_array().unwrap();
    messages.iter().map(|message| message["value"].as_str().unwrap()).collect()
}

#[test]
fn a_batch_comes_back_as_it_was_sent() {
    let server = Server::start();
    let answer = server.publish(
        "t",
        &json!([
            { "key": "k", "value": "hello", "headers": { "a": null, "z": "1" } },
            { "key_base64": "//8=", "value_base64": "gA==", "timestamp": 1_600_000_000_000_i64,
              "headers": [{ "name": "x", "value": "1" }, { "name": "x", "value_base64": "/w==" }] },
            { "value": null },
        ]),
    );
    let published = json!([
        { "partition": 0, "offset": 0 },
        { "partition": 0, "offset": 1 },
        { "partition": 0, "offset": 2 },
    ]);
    assert_eq!(answer, json!({ "messages": published, "failed": 0 }));
    let now = 1_700_000_000_000_i64;
    let expected = json!([
        { "partition": 0, "offset": 0, "timestamp": now, "key": "k", "value": "hello",
          "headers": [{ "name": "a", "value": null }, { "name": "z", "value": "1" }] },
        { "partition": 0, "offset": 1, "timestamp": 1_600_000_000_000_i64, "key_base64": "//8=",
          "value_base64": "gA==",
          "headers": [{ "name": "x", "value": "1" }, { "name": "x", "value_base64": "/w==" }] },
        { "partition": 0, "offset": 2, "timestamp": now, "key": null, "value": null, "headers": [] },
    ]);
    let run = server.get("/v1/topics/t/messages").body;
    assert_eq!(run["messages"], expected);
    assert_eq!((&run["next_offset"], &run["high_watermark"]), (&json!(3), &json!(3)));
}

#[test]
fn headers_given_as_an_object_keep_their_order() {
    let server = Server::start();
    let body = br#"{"messages": [{"headers": {"z": "1", "a": "2", "m": "3"}}]}"#;
    let call = server.request("POST", "/v1/topics/t/messages");
    assert_eq!(
        call.header("content-type", "application/json; charset=utf-8").send(body).status,
        200
    );
    let messages = server.get("/v1/topics/t/messages").body["messages"].clone();
    let headers = messages[0]["headers"].as_array().unwrap();
    let names: Vec<_> = headers.iter().map(|header| header["name"].clone()).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

#[test]
fn a_raw_body_is_one_message() {
    let server = Server::start();
    let path = "/v1/topics/t/messages?key=a%20b&timestamp=5";
    let call = server.request("POST", path).header("x-header-source", "test");
    assert_eq!(call.send(b"{\"not\": \"parsed\"}").status, 200);
    let call = server.request("POST", "/v1/topics/t/messages?raw=true");
    assert_eq!(call.header("content-type", "application/json").send(b"{}").status, 200);
    let messages = server.get("/v1/topics/t/messages").body["messages"].clone();
    assert_eq!(messages[0]["key"], "a b");
    assert_eq!(messages[0]["value"], "{\"not\": \"parsed\"}");
    assert_eq!(messages[0]["timestamp"], 5);
    assert_eq!(messages[0]["headers"], json!([{ "name": "source", "value": "test" }]));
    assert_eq!(messages[1]["value"], "{}");
}

#[test]
fn equal_keys_share_a_partition() {
    let server = Server::start();
    server.create("t", 8);
    let sent = json!([{ "key": "a", "value": "1" }, { "key": "d", "value": "2" },
                      { "key": "a", "value": "3" }]);
    let placed = server.publish("t", &sent)["messages"].clone();
    assert_eq!(placed[0]["partition"], placed[2]["partition"]);
    // Kafka's murmur2 of `a` and `d` over 8 partitions: other clients must agree.
    let partitions = (placed[0]["partition"].as_u64(), placed[1]["partition"].as_u64());
    assert_eq!(partitions, (Some(4), Some(1)));
}

#[test]
fn a_refused_message_does_not_hide_the_others() {
    let server = Server::start();
    server.create("t", 1);
    let sent = json!({ "messages": [{ "value": "a" }, { "value": "b", "partition": 7 }] });
    let answer = server.json("POST", "/v1/topics/t/messages", &sent);
    assert_eq!(answer.error().0, 404);
    assert_eq!(answer.body["messages"][0], json!({ "partition": 0, "offset": 0 }));
    assert_eq!(answer.body["messages"][1]["error"]["kind"], "NOT_FOUND");
    assert_eq!(answer.body["failed"], 1);
    assert_eq!(values(&server.get("/v1/topics/t/messages").body), ["a"]);
}

#[test]
fn many_messages_stay_in_order_over_several_batches() {
    let server = Server::start();
    let filler = "x".repeat(100_000);
    let sent: Vec<Value> = (0..30).map(|i| json!({ "value": format!("{i} {filler}") })).collect();
    server.publish("t", &sent.into());
    let mut offset = 0;
    let mut seen = Vec::new();
    while offset < 30 {
        let run = server.get(&format!("/v1/topics/t/messages?offset={offset}")).body;
        seen.extend(values(&run).iter().map(|value| value.split(' ').next().unwrap().to_owned()));
        offset = run["next_offset"].as_i64().unwrap();
    }
    assert_eq!(seen, (0..30).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn one_message_above_the_topics_limit_is_refused() {
    let server = Server::start();
    let sent = json!({ "messages": [{ "value": "x".repeat(1_100_000) }, { "value": "small" }] });
    let answer = server.json("POST", "/v1/topics/t/messages", &sent);
    assert_eq!(answer.error().0, 413);
    assert_eq!(answer.body["failed"], 1);
    assert_eq!(values(&server.get("/v1/topics/t/messages").body), ["small"]);
}

#[test]
fn reading_starts_where_it_is_told() {
    let server = Server::start();
    for (value, timestamp) in [("a", 1_000), ("b", 2_000), ("c", 3_000)] {
        server.publish("t", &json!([{ "value": value, "timestamp": timestamp }]));
    }
    let from = |query: &str| {
        let run = server.get(&format!("/v1/topics/t/messages?{query}")).body;
        values(&run).concat()
    };
    assert_eq!(from(""), "abc");
    assert_eq!(from("from=earliest&limit=2"), "ab");
    assert_eq!(from("offset=1"), "bc");
    assert_eq!(from("from=latest"), "");
    assert_eq!(from("time=1001"), "bc");
    assert_eq!(from("time=1970-01-01T00:00:03Z"), "c");
    assert_eq!(from("time=3001"), "");
    assert_eq!(server.get("/v1/topics/t/messages?offset=4").status, 416);
}

#[test]
fn a_limit_inside_a_batch_can_be_read_on_from() {
    let server = Server::start();
    let sent: Vec<Value> = (0..5).map(|i| json!({ "value": i.to_string() })).collect();
    server.publish("t", &sent.into());
    let run = server.get("/v1/topics/t/messages?offset=1&limit=2").body;
    assert_eq!((values(&run), &run["next_offset"]), (vec!["1", "2"], &json!(3)));
    let run = server.get("/v1/topics/t/messages?offset=3").body;
    assert_eq!((values(&run), &run["next_offset"]), (vec!["3", "4"], &json!(5)));
}

#[test]
fn an_answer_is_bounded_whatever_a_batch_opens_to() {
    let server = Server::start();
    server.create("t", 1);
    let mut builder = BatchBuilder::new(Compression::Zstd);
    let value = Bytes::from(vec![b'x'; 1_000_000]);
    for _ in 0..20 {
        let message = Message { value: Some(value.clone()), ..Message::default() };
        builder.push(&message, Timestamp::from_millis(0));
    }
    let batch = builder.build().unwrap();
    assert!(batch.bytes().len() < 100_000);
    server.publish_batch("t", batch);
    let (mut offset, mut answers) = (0, 0);
    while offset < 20 {
        let run = server.get(&format!("/v1/topics/t/messages?offset={offset}")).body;
        assert!(run["messages"].as_array().unwrap().len() <= 4);
        offset = run["next_offset"].as_i64().unwrap();
        answers += 1;
    }
    assert_eq!(answers, 5);
}

#[test]
fn a_fetch_waits_for_the_first_message() {
    let server = Server::start();
    server.create("t", 1);
    // The clock stands still, so nothing but the message ends the wait.
    let answer = server.while_waiting(
        || server.get("/v1/topics/t/messages?wait_ms=20000"),
        || _ = server.publish("t", &json!([{ "value": "here" }])),
    );
    assert_eq!(values(&answer.body), ["here"]);
}

#[test]
fn an_unknown_topic_is_made_only_where_that_is_allowed() {
    let broker = BrokerOptions { auto_create_topics: false, ..BrokerOptions::default() };
    let server = Server::start_with(broker, Options::default());
    let answer = server.request("POST", "/v1/topics/t/messages").send(b"x");
    assert_eq!(answer.error(), (404, "NOT_FOUND", "topic `t` does not exist"));
}

#[test]
fn stopping_ends_a_waiting_fetch_with_what_is_there() {
    let mut server = Server::start();
    server.create("t", 1);
    let answer = server.while_waiting(
        || server.get("/v1/topics/t/messages?wait_ms=20000"),
        || _ = server.shutdown.send_replace(true),
    );
    assert_eq!((answer.status, &answer.body["messages"]), (200, &json!([])));
    let serving = server.serving.take().unwrap();
    let ended = async { tokio::time::timeout(Duration::from_secs(10), serving).await };
    server.runtime.block_on(ended).unwrap().unwrap().unwrap();
}

#[test]
fn a_batch_that_cannot_be_opened_is_passed_over() {
    let server = Server::start();
    server.publish("t", &json!([{ "value": "before" }]));
    // A valid checksum over bytes that claim to be compressed and are not.
    let mut builder = BatchBuilder::new(Compression::None);
    let message = Message { value: Some("x".into()), ..Default::default() };
    builder.push(&message, Timestamp::from_millis(0));
    let mut bytes = builder.build().unwrap().bytes().to_vec();
    bytes[22] |= 4; // zstd
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = Batch::decode(bytes.into()).unwrap();
    server.publish_batch("t", batch);
    server.publish("t", &json!([{ "value": "after" }]));
    let run = server.get("/v1/topics/t/messages?from=earliest").body;
    assert_eq!((values(&run), &run["next_offset"]), (vec!["before", "after"], &json!(3)));
}

#[test]
fn large_answers_share_a_budget_and_get_smaller_where_there_is_no_room() {
    let memory = MemoryOptions { answers_bytes: 4_000_000, ..MemoryOptions::default() };
    let server = Server::start_with(
        BrokerOptions { memory, ..BrokerOptions::default() },
        Options::default(),
    );
    server.create("t", 1);
    let mut builder = BatchBuilder::new(Compression::Zstd);
    for bytes in [100, 100, 200_000, 2_000_000] {
        let value = Some(Bytes::from(vec![b'x'; bytes]));
        builder.push(&Message { value, ..Message::default() }, Timestamp::from_millis(0));
    }
    server.publish_batch("t", builder.build().unwrap());
    let answers = &server.memory.broker.budgets().answers;
    let lengths = |from: u32| {
        let run = server.get(&format!("/v1/topics/t/messages?offset={from}"));
        let messages = run.body["messages"].as_array().cloned().unwrap_or_default();
        let lengths = messages.iter().map(|message| message["value"].as_str().unwrap().len());
        (run.status, lengths.collect::<Vec<_>>())
    };
    assert_eq!(lengths(0), (200, vec![100, 100, 200_000, 2_000_000]));
    assert_eq!(answers.used(), 0, "it goes with the answer");
    let mut others = answers.share();
    others.charge(3_900_000);
    assert_eq!(lengths(0), (200, vec![100, 100]));
    assert_eq!(lengths(2).0, 503);
    drop(others);
    assert_eq!(lengths(2), (200, vec![200_000, 2_000_000]));
}
