//! The commands, against a running broker.

use crate::binary::{Broker, complaint, read_until, text, tramline, within};
use serde_json::{Value, json};
use std::{fs, io::Read, process::Stdio, time::Duration};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_first_message_goes_in_and_comes_out() {
    let broker = Broker::start();
    let published = broker.run(&["pub", "greetings", "hello", "--key", "k", "-H", "a=1"]);
    assert_eq!(published, "published to greetings, partition 0, offset 0\n");
    let read = broker.run(&["sub", "greetings", "--from-beginning", "--count", "1"]);
    assert_eq!(read, "0/0  key=k  a=1  hello\n");
    let read =
        broker.run(&["sub", "greetings", "--from-offset", "0", "--count", "1", "--output", "json"]);
    let message = json(&read);
    assert_eq!((&message["key"], &message["value"]), (&json!("k"), &json!("hello")));
    assert_eq!(message["headers"], json!([{ "name": "a", "value": "1" }]));
}

#[test]
fn lines_of_the_input_are_messages_whatever_their_bytes() {
    let broker = Broker::start();
    let input = b"one\n\n\xff\xfe\nlast without end";
    let said = broker.run_with_input(&["pub", "t"], input);
    assert_eq!(said, "published 4 messages to t\n");
    let output =
        broker.command(&["sub", "t", "-b", "--count", "4", "--output", "value"]).output().unwrap();
    assert_eq!(output.stdout, b"one\n\n\xff\xfe\nlast without end\n");
    let keyed =
        broker.run_with_input(&["pub", "k", "-K", ":", "--output", "json"], b"a:1\nb:2:3\n");
    assert_eq!(json(&keyed)["published"], 2);
    let read = broker.run(&["sub", "k", "-b", "--count", "2"]);
    assert_eq!(read, "0/0  key=a  1\n0/1  key=b  2:3\n");
    let mut child = broker.command(&["pub", "k", "-K", ":"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"none\n").unwrap();
    assert!(complaint(&child.wait_with_output().unwrap()).contains("`none`"));
}

#[test]
fn a_count_sends_the_same_message_many_times() {
    let broker = Broker::start();
    assert_eq!(broker.run(&["pub", "t", "x", "--count", "2500"]), "published 2500 messages to t\n");
    let topic = json(&broker.run(&["topic", "describe", "t", "--output", "json"]));
    assert_eq!(topic["partition_list"][0]["high_watermark"], 2500);
}

#[test]
fn a_reader_comes_back_where_it_was_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    // The same port before and after.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    fs::write(dir.path().join("c.toml"), format!("[http]\nlisten = \"{address}\"\n")).unwrap();
    let start = |dir| {
        let dir: tempfile::TempDir = dir;
        Broker::start_at(
            dir,
            &[
                ["--config", "c.toml", "--listen-kafka", "off"],
                ["--listen-amqp", "off", "--listen-sqs", "off"],
            ]
            .concat(),
        )
    };
    let broker = start(dir);
    broker.run(&["pub", "t", "one", "two"]);
    let arguments = ["sub", "t", "-b", "--count", "3", "--output", "value"];
    let mut reader = broker.command(&arguments).spawn().unwrap();
    let mut out = reader.stdout.take().unwrap();
    assert_eq!(read_until(&mut out, "two\n"), "one\ntwo\n");
    let broker = start(broker.stop());
    broker.run(&["pub", "t", "three"]);
    let rest = within(Duration::from_secs(20), move || {
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        rest
    });
    assert_eq!(rest.as_deref(), Some("three\n"));
    assert!(reader.wait().unwrap().success());
}

#[test]
fn topics_are_created_listed_described_altered_and_deleted() {
    let broker = Broker::start();
    let made = broker.run(&["topic", "create", "orders", "-p", "3", "--set", "retention.ms=60000"]);
    assert_eq!(made, "created topic orders, partitions: 3\n");
    let error = broker.refused(&["topic", "create", "orders"]);
    assert!(error.contains("exists already") && error.contains("hint:"), "{error}");
    broker.run(&["topic", "create", "orders", "--if-not-exists"]);
    let list = broker.run(&["topic", "list"]);
    assert!(list.starts_with("TOPIC ") && list.contains("\norders "), "{list}");
    let described = broker.run(&["topic", "describe", "orders"]);
    assert!(described.contains("retention.ms") && described.contains("60000"), "{described}");
    assert!(!described.contains("segment.bytes"), "{described}");
    assert!(described.contains("kept: for 1 minute\n"), "{described}");
    let all = broker.run(&["topic", "describe", "orders", "--all"]);
    assert!(all.lines().count() > described.lines().count(), "{all}");
    broker.run(&["topic", "alter", "orders", "--partitions", "4", "--reset", "retention.ms"]);
    let topic = json(&broker.run(&["topic", "describe", "orders", "--output", "json"]));
    assert_eq!(topic["partitions"], 4);
    assert!(broker.refused(&["topic", "alter", "orders", "-p", "2"]).contains("error:"));
    assert_eq!(broker.run(&["topic", "delete", "orders"]), "deleted topic orders\n");
    assert!(broker.refused(&["topic", "describe", "orders"]).contains("`orders` does not exist"));
}

#[test]
fn a_topic_in_total_order_is_made_and_read_in_it() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "ledger", "-p", "4", "--order", "total"]);
    for (value, partition) in [("a", "3"), ("b", "0"), ("c", "3"), ("d", "1")] {
        broker.run(&["pub", "ledger", value, "--partition", partition]);
    }
    let read = ["sub", "ledger", "--ordered", "-b", "--count", "4"];
    assert_eq!(broker.run(&read), "0/0  a\n0/1  b\n0/2  c\n0/3  d\n");
    let described = broker.run(&["topic", "describe", "ledger"]);
    assert!(described.contains("as ledger.ordered"), "{described}");
    let view = broker.run(&["topic", "describe", "ledger.ordered"]);
    assert!(view.contains("the ordered view of ledger"), "{view}");
    assert!(broker.refused(&["pub", "ledger.ordered", "x"]).contains("read-only"));
    let wrong = broker.command(&["sub", "ledger", "--ordered", "-p", "1"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    broker.run(&["topic", "create", "plain", "--order", "partition"]);
    assert!(broker.refused(&["sub", "plain", "--ordered"]).contains("order=total"));
}

#[test]
fn groups_are_prepared_described_and_deleted() {
    let broker = Broker::start();
    broker.run(&["pub", "t", "a", "b", "c"]);
    let arguments = ["group", "reset-offsets", "g", "--topic", "t"];
    let with = |more: &[&str]| broker.run(&[&arguments, more].concat());
    let dry = with(&["--to-offset", "1", "--dry-run"]);
    assert!(dry.contains("nothing was changed"), "{dry}");
    assert!(broker.refused(&["group", "describe", "g"]).contains("`g` does not exist"));
    with(&["--to-offset", "1"]);
    let group = json(&broker.run(&["group", "describe", "g", "--output", "json"]));
    assert_eq!((&group["lag"], &group["offsets"][0]["committed"]), (&json!(2), &json!(1)));
    let lag = broker.run(&["group", "lag", "g"]);
    assert!(lag.contains("lag 2") && lag.contains("OK") && lag.contains("LAG STATE"), "{lag}");
    let lag = json(&broker.run(&["group", "lag", "g", "--output", "json"]));
    assert_eq!((&lag["lag"], &lag["partitions"][0]["commits"]), (&json!(2), &json!(1)));
    with(&["--to-latest"]);
    let described = broker.run(&["group", "describe", "g"]);
    assert!(described.contains("lag 0") && described.contains("no members"), "{described}");
    assert!(broker.run(&["group", "list"]).contains("\ng "));
    assert_eq!(broker.run(&["group", "delete", "g", "--yes"]), "deleted group g\n");
    assert!(!broker.run(&["group", "list"]).contains("\ng "));
}

#[test]
fn without_a_broker_the_error_says_how_to_start_one() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    for arguments in [&["topic", "list"][..], &["pub", "t", "x"], &["sub", "t"]] {
        let output = tramline(arguments).args(["--server", &address]).output().unwrap();
        let error = complaint(&output);
        assert!(error.contains(&address) && error.contains("tramline serve"), "{error}");
    }
    let output = tramline(&["topic", "list", "--server", "https://x"]).output().unwrap();
    assert!(complaint(&output).contains("plain http"));
}

#[test]
fn a_closed_output_ends_a_reader_quietly() {
    let broker = Broker::start();
    broker.run(&["pub", "t", "x", "--count", "1000"]);
    let mut reader = broker.command(&["sub", "t", "-b", "--output", "value"]).spawn().unwrap();
    read_until(reader.stdout.as_mut().unwrap(), "x\n");
    drop(reader.stdout.take());
    // The next message finds the output closed.
    broker.run(&["pub", "t", "y", "--count", "1000"]);
    let output = within(Duration::from_secs(20), move || reader.wait_with_output().unwrap());
    let output = output.expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

#[test]
fn doctor_tells_a_used_directory_and_a_taken_port_from_free_ones() {
    let broker = Broker::start();
    let http = broker.http.trim_start_matches("http://");
    let doctor = |arguments: &[&str]| {
        let output = tramline(&["doctor", "--output", "json"])
            .args(arguments)
            .current_dir(broker.dir.path())
            .output()
            .unwrap();
        (output.status.code(), json(&text(&output.stdout)))
    };
    let find = |report: &Value, check: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|of| of["check"] == check).unwrap().clone()
    };
    let (code, report) = doctor(&[
        "--listen-http",
        http,
        "--listen-kafka",
        "127.0.0.1:0",
        "--listen-amqp",
        "127.0.0.1:0",
        "--listen-sqs",
        "127.0.0.1:0",
    ]);
    assert_eq!((code, &report["ok"]), (Some(0), &json!(true)));
    let detail = |check: &str| find(&report, check)["detail"].as_str().unwrap().to_owned();
    assert!(detail("data directory").contains("running broker"));
    assert!(detail("http port").contains("a broker has it"));
    assert!(detail("kafka port").contains("free"));
    assert!(detail("amqp port").contains("free"));
    assert!(detail("sqs port").contains("free"));
    assert!(detail("disk").contains("sync"));
    // A file where the directory should be.
    fs::write(broker.dir.path().join("file"), "").unwrap();
    let (code, report) = doctor(&["--data-dir", "file", "--listen-http", "off"]);
    assert_eq!((code, &report["ok"]), (Some(1), &json!(false)));
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = tramline(&["completions", shell]).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains("tramline"), "{shell}");
    }
}

#[test]
fn dead_messages_are_looked_at_and_moved_back() {
    let broker = Broker::start();
    let dead = ["dead_letter_exchange=", "dead_letter_routing_key=dead"];
    broker.run(&["queue", "declare", "jobs", "--set", dead[0], "--set", dead[1]]);
    broker.run(&["queue", "declare", "dead"]);
    broker.run(&["queue", "put", "jobs", "a", "b", "--ttl-ms", "1"]);
    let mut page = String::new();
    for _ in 0..500 {
        page = broker.run(&["queue", "peek", "dead"]);
        if page.matches("ready").count() == 2 {
            break;
        }
    }
    assert!(page.contains("0-0") && page.contains("0-1"), "{page}");
    let first = broker.run(&["queue", "peek", "dead", "--count", "1"]);
    assert!(first.ends_with("more from 0-1\n"), "{first}");
    let expired =
        broker.run(&["queue", "peek", "dead", "--died-in", "jobs", "--reason", "expired"]);
    assert!(expired.contains("0-0") && expired.contains("0-1"), "{expired}");
    assert!(!broker.run(&["queue", "peek", "dead", "--reason", "rejected"]).contains("0-0"));
    let dry = ["queue", "redrive", "dead", "--dry-run"];
    assert_eq!(broker.run(&dry), "2 would move, 0 stay\n");
    let rejected = broker.run(&[&dry[..], &["--reason", "rejected"]].concat());
    assert_eq!(rejected, "0 would move, 0 stay\n");
    let one = ["queue", "redrive", "dead", "--key", "nobody", "--output", "json"];
    assert_eq!(json(&broker.run(&one))["redrives"][0]["moved"], json!(0));
    let redriven =
        broker.run(&["queue", "redrive", "dead", "--died-in", "jobs", "--output", "json"]);
    let redrive = &json(&redriven)["redrives"][0];
    assert_eq!((&redrive["state"], &redrive["moved"]), (&json!("completed"), &json!(2)));
    assert!(broker.run(&["queue", "redrive", "dead", "--status"]).contains("completed"));
    let got = broker.run(&["queue", "get", "jobs", "--count", "2", "--output", "json"]);
    let got = json(&got);
    assert_eq!(
        (&got["messages"][0]["value"], &got["messages"][1]["value"]),
        (&json!("a"), &json!("b"))
    );
    let queues = json(&broker.run(&["queue", "list", "--output", "json"]));
    for queue in queues["queues"].as_array().unwrap() {
        assert_eq!((&queue["ready"], &queue["locked"]), (&json!(0), &json!(0)), "{queue}");
    }
}

#[test]
fn what_is_done_is_put_in_again() {
    let broker = Broker::start();
    broker.run(&["queue", "declare", "jobs", "--set", "retention_after_settle_ms=60000"]);
    broker.run(&["queue", "put", "jobs", "a", "b"]);
    broker.run(&["queue", "get", "jobs", "--count", "2"]);
    let dry = broker.run(&["queue", "replay", "jobs", "--dry-run", "--since-ms", "0"]);
    assert_eq!(dry, "2 messages are kept for queue jobs\n");
    let none = broker.run(&["queue", "replay", "jobs", "--before-ms", "0"]);
    assert_eq!(none, "0 messages are in queue jobs again\n");
    let again = broker.run(&["queue", "replay", "jobs"]);
    assert_eq!(again, "2 messages are in queue jobs again\n");
    assert_eq!(broker.run(&["queue", "get", "jobs", "--count", "2"]), "a\nb\n");
}

#[test]
fn single_messages_are_removed_delivered_at_once_and_asked_for() {
    let broker = Broker::start();
    broker.run(&["queue", "declare", "jobs"]);
    broker.run(&["queue", "put", "jobs", "a", "b", "--delay-ms", "3600000"]);
    assert_eq!(broker.run(&["queue", "remove", "jobs", "0-0"]), "0-0 removed\n");
    assert_eq!(broker.run(&["queue", "deliver", "jobs", "0-1"]), "0-1 can be delivered\n");
    let again = broker.command(&["queue", "remove", "jobs", "0-0"]).output().unwrap();
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("no such message"), "{}", text(&again.stderr));
    let asked = broker.command(&["queue", "get", "jobs", "--place", "0-1"]).output().unwrap();
    assert!(!asked.status.success(), "it is not deferred");
    assert!(broker.run(&["queue", "get", "jobs"]).starts_with('b'));
}

#[test]
fn channels_are_published_on_followed_described_and_set() {
    let broker = Broker::start();
    broker.run(&["channel", "set", "news", "--history-size", "5", "--retain"]);
    let mut reader =
        broker.command(&["channel", "sub", "news/**", "--name", "ann", "--count", "2"]);
    let reader = reader.spawn().unwrap();
    while !broker.run(&["channel", "list", "--receivers"]).contains("ann") {}
    let receipt = broker.run(&["channel", "pub", "news/today", "hello"]);
    assert_eq!(receipt, "delivered: 1, waiting: 0, dropped: 0, stored: 0\n");
    broker.run(&["channel", "pub", "news/today", "{\"n\": 1}", "--key", "k"]);
    let output = reader.wait_with_output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "news/today  hello\nnews/today  {\"n\":1}\n");
    let late = broker.run(&["channel", "sub", "news/*", "--count", "1", "--output", "data"]);
    assert_eq!(late, "{\"n\":1}\n", "the retained value");
    let described = broker.run(&["channel", "describe", "news/today"]);
    assert!(described.contains("history_size: 5") && described.contains("hello"), "{described}");
    assert!(broker.run(&["channel", "list"]).contains("news/today"));
    broker.run(&["channel", "set", "news", "--unset"]);
    let described = broker.run(&["channel", "describe", "news/today"]);
    assert!(described.contains("history_size: 0"), "{described}");
    assert!(broker.refused(&["channel", "pub", "news/*", "x"]).contains("no channel name"));
}

#[test]
fn a_subscription_is_declared_shown_with_its_topic_and_worked_off() {
    let broker = Broker::start();
    broker.run(&["topic", "create", "orders", "--partitions", "2"]);
    broker.run(&["pub", "orders", "order 1"]);
    let declare = ["queue", "declare", "billing", "--topic", "orders", "--start", "earliest"];
    assert_eq!(broker.run(&declare), "subscription billing to topic orders is there\n");
    broker.run(&["queue", "declare", "audit", "--topic", "orders"]);
    let list = broker.run(&["queue", "list"]);
    assert!(list.contains("TOPIC") && list.matches("orders").count() == 2, "{list}");
    let described = broker.run(&["queue", "describe", "billing"]);
    assert!(described.starts_with("queue billing, subscription to topic orders\n"), "{described}");
    assert!(described.contains("earliest"), "{described}");
    let topic = broker.run(&["topic", "describe", "orders"]);
    assert!(topic.contains("subscriptions: audit, billing\n"), "{topic}");
    let got = broker.run(&["queue", "get", "billing", "--output", "json"]);
    assert_eq!(json(&got)["messages"][0]["value"], "order 1");
    let audit = json(&broker.run(&["queue", "describe", "audit", "--output", "json"]));
    assert_eq!((&audit["ready"], &audit["topic"]), (&json!(0), &json!("orders")));
}
