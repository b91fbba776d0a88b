//! Topics: what changes when, and what a dry run leaves alone.

use crate::server::Server;
use serde_json::{Value, json};

fn setting<'a>(topic: &'a Value, name: &str) -> &'a Value {
    let settings = topic["settings"].as_array().unwrap();
    settings.iter().find(|setting| setting["name"] == name).unwrap()
}

#[test]
fn settings_change_and_go_back_to_their_defaults() {
    let server = Server::start();
    server.create("t", 1);
    let set = json!({ "settings": { "retention.ms": "5000" } });
    let topic = server.json("PATCH", "/v1/topics/t", &set).body;
    assert_eq!(setting(&topic, "retention.ms")["value"], "5000");
    assert_eq!(setting(&topic, "retention.ms")["source"], "topic");
    let reset = json!({ "settings": { "retention.ms": null } });
    let topic = server.json("PATCH", "/v1/topics/t", &reset).body;
    let setting = setting(&topic, "retention.ms");
    assert_eq!((&setting["source"], &setting["value"]), (&json!("default"), &setting["default"]));
}

#[test]
fn what_becomes_of_old_records_is_told_by_the_settings_in_force() {
    let server = Server::start();
    server.create("t", 1);
    let retention = || server.get("/v1/topics/t").body["retention"].clone();
    let week = 7 * 24 * 3600 * 1000_u64;
    let default = json!({ "cleanup_policy": "delete", "ms": week, "bytes": null });
    assert_eq!(retention(), default, "told, though nobody has set it");
    for (settings, told) in [
        (
            json!({ "retention.ms": "-1", "retention.bytes": "5000" }),
            json!({ "cleanup_policy": "delete", "ms": null, "bytes": 5000 }),
        ),
        (
            json!({ "cleanup.policy": "compact" }),
            json!({ "cleanup_policy": "compact", "ms": null, "bytes": null }),
        ),
        (
            json!({ "cleanup.policy": "delete,compact", "retention.ms": "60000" }),
            json!({ "cleanup_policy": "compact,delete", "ms": 60000, "bytes": 5000 }),
        ),
    ] {
        server.json("PATCH", "/v1/topics/t", &json!({ "settings": settings }));
        assert_eq!(retention(), told);
    }
}

#[test]
fn a_change_that_is_half_wrong_changes_nothing() {
    let server = Server::start();
    server.create("t", 3);
    let change = json!({ "partitions": 2, "settings": { "retention.ms": "5000" } });
    assert_eq!(server.json("PATCH", "/v1/topics/t", &change).status, 400);
    let topic = server.get("/v1/topics/t").body;
    assert_eq!(topic["partitions"], 3);
    assert_eq!(setting(&topic, "retention.ms")["source"], "default");
    assert_eq!(server.json("PATCH", "/v1/topics/t", &json!({})).status, 400);
}

#[test]
fn dry_runs_change_nothing() {
    let server = Server::start();
    let new = json!({ "name": "t", "dry_run": true });
    assert_eq!(server.json("POST", "/v1/topics", &new).status, 200);
    assert_eq!(server.get("/v1/topics/t").status, 404);
    server.create("t", 1);
    let change = json!({ "partitions": 5, "dry_run": true });
    assert_eq!(server.json("PATCH", "/v1/topics/t", &change).status, 200);
    assert_eq!(server.get("/v1/topics/t").body["partitions"], 1);
}

#[test]
fn deleted_topics_are_gone() {
    let server = Server::start();
    server.create("b", 1);
    server.create("a", 2);
    let names = |server: &Server| -> Vec<Value> {
        let body = server.get("/v1/topics").body;
        body["topics"].as_array().unwrap().iter().map(|topic| topic["name"].clone()).collect()
    };
    assert_eq!(names(&server), ["a", "b"]);
    assert_eq!(server.request("DELETE", "/v1/topics/a").send(b"").status, 204);
    assert_eq!(names(&server), ["b"]);
    assert_eq!(server.request("DELETE", "/v1/topics/a").send(b"").status, 404);
}
