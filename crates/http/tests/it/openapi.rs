//! Every route answers as `openapi.json` says.

use crate::{
    schema::{check, document},
    server::{Answer, Server},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Answers held against the description, and which of its operations were seen.
struct Checked<'a> {
    server: &'a Server,
    document: Value,
    seen: BTreeSet<String>,
}

impl Checked<'_> {
    /// Calls `method` on the described `path` with its names filled in.
    fn call(&mut self, (method, path, filled): (&str, &str, &str), body: &Value, status: u16) {
        if !body.is_null() {
            let content = "requestBody/content/application~1json/schema";
            let schema = self.operation(method, path, content);
            check(&self.document, &schema, body).unwrap();
        }
        let answer = match body {
            Value::Null => self.server.request(method, filled).send(b""),
            body => self.server.json(method, filled, body),
        };
        self.check((method, path), &answer, status);
    }

    fn check(&mut self, (method, path): (&str, &str), answer: &Answer, status: u16) {
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        let described = self.operation(method, path, &format!("responses/{status}"));
        let content = match (&described, status) {
            (Value::Null, 400..) => {
                self.document["components"]["responses"]["Error"]["content"].clone()
            }
            _ => described["content"].clone(),
        };
        match answer.headers.get("content-type") {
            None => assert!(content.is_null(), "{method} {path} has no body"),
            Some(sent) => {
                let sent = sent.to_str().unwrap().split(';').next().unwrap();
                let schema = &content[sent]["schema"];
                assert!(schema.is_object(), "{method} {path} answers {status} with {sent}");
                if sent == "application/json" {
                    let checked = check(&self.document, schema, &answer.body);
                    assert_eq!(checked, Ok(()), "{method} {path}: {}", answer.text);
                }
            }
        }
        self.seen.insert(format!("{method} {path}"));
    }

    fn operation(&self, method: &str, path: &str, below: &str) -> Value {
        let escaped = path.replace('/', "~1");
        let pointer = format!("/paths/{escaped}/{}/{below}", method.to_lowercase());
        self.document.pointer(&pointer).cloned().unwrap_or_default()
    }
}

#[test]
fn every_operation_answers_as_described() {
    let server = Server::start();
    let mut checked = Checked { server: &server, document: document(), seen: BTreeSet::new() };
    let none = Value::Null;
    for path in ["/", "/healthz", "/readyz", "/metrics", "/v1/openapi.json"] {
        checked.call(("GET", path, path), &none, 200);
    }
    let new = json!({ "name": "orders", "partitions": 2, "settings": { "retention.ms": 60_000 } });
    checked.call(("POST", "/v1/topics", "/v1/topics"), &new, 201);
    checked.call(("POST", "/v1/topics", "/v1/topics"), &new, 409);
    let dry = json!({ "name": "dry", "dry_run": true });
    checked.call(("POST", "/v1/topics", "/v1/topics"), &dry, 200);
    checked.call(("GET", "/v1/topics", "/v1/topics"), &none, 200);
    let topic = "/v1/topics/{topic}";
    checked.call(("GET", topic, "/v1/topics/orders"), &none, 200);
    checked.call(("GET", topic, "/v1/topics/dry"), &none, 404);
    let change = json!({ "partitions": 3, "settings": { "retention.ms": null } });
    checked.call(("PATCH", topic, "/v1/topics/orders"), &change, 200);

    let messages = "/v1/topics/{topic}/messages";
    let publish = json!({ "messages": [
        { "key": "k", "value": "v", "headers": { "a": "1", "b": null }, "partition": 0 },
        { "key_base64": "/w==", "value": null, "partition": 0, "timestamp": 1_700_000_000_000_i64,
          "headers": [{ "name": "a", "value_base64": "/w==" }, { "name_base64": "/w==" }] },
    ] });
    checked.call(("POST", messages, "/v1/topics/orders/messages"), &publish, 200);
    let wrong = json!({ "messages": [{ "value": "v", "partition": 9 }, { "value": "v" }] });
    checked.call(("POST", messages, "/v1/topics/orders/messages"), &wrong, 404);
    checked.call(("GET", messages, "/v1/topics/orders/messages?partition=0"), &none, 200);
    checked.call(("GET", messages, "/v1/topics/orders/messages"), &none, 400);

    let offsets = "/v1/groups/{group}/offsets";
    let reset = json!({ "topic": "orders", "to": "latest", "partitions": [0] });
    checked.call(("POST", offsets, "/v1/groups/billing/offsets"), &reset, 200);
    checked.call(("GET", "/v1/groups", "/v1/groups"), &none, 200);
    let group = "/v1/groups/{group}";
    checked.call(("GET", group, "/v1/groups/billing"), &none, 200);
    let lag = "/v1/groups/{group}/lag";
    checked.call(("GET", lag, "/v1/groups/billing/lag"), &none, 200);
    checked.call(("GET", lag, "/v1/groups/none/lag"), &none, 404);
    checked.call(("DELETE", group, "/v1/groups/billing"), &none, 204);
    checked.call(("GET", group, "/v1/groups/billing"), &none, 404);

    let tail = "/v1/topics/{topic}/tail";
    let mut events = server.request("GET", "/v1/topics/orders/tail?from=earliest").events();
    events.next().unwrap();
    for _ in 0..2 {
        let message = events.next().unwrap().data;
        let schema = checked.document["components"]["schemas"]["Message"].clone();
        check(&checked.document, &schema, &message).unwrap();
    }
    checked.seen.insert(format!("GET {tail}"));
    checked.call(("DELETE", topic, "/v1/topics/orders"), &none, 204);
    queues(&mut checked);
    jobs(&mut checked);
    exchanges(&mut checked);
    channels(&mut checked);
    connections(&mut checked);
    config(&mut checked);

    let described: BTreeSet<String> = checked.document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |m| (m, path)))
        .filter(|(method, _)| *method != "parameters")
        .map(|(method, path)| format!("{} {path}", method.to_uppercase()))
        .collect();
    assert_eq!(checked.seen, described);
}

fn channels(checked: &mut Checked<'_>) {
    let none = Value::Null;
    let settings = "/v1/channel-settings";
    let kept = json!({ "prefix": "o", "settings": { "history_size": 5, "retain": true } });
    checked.call(("PUT", settings, settings), &kept, 200);
    let wrong = json!({ "prefix": "o", "settings": { "buffer_bytes": 1 } });
    let answer = checked.server.json("PUT", settings, &wrong);
    checked.check(("PUT", settings), &answer, 400);
    checked.call(("GET", settings, settings), &none, 200);

    let channel = "/v1/channels/{channel}";
    let mut events = checked.server.request("GET", "/v1/channels/o/*?client=ann").events();
    assert_eq!(events.next().unwrap().name, "subscribed");
    let broadcast = "/v1/broadcast/{channel}";
    for body in ["text", "more"] {
        let answer = checked.server.request("POST", "/v1/broadcast/o/1").send(body.as_bytes());
        checked.check(("POST", broadcast), &answer, 200);
        let schema = checked.document["components"]["schemas"]["ChannelMessage"].clone();
        check(&checked.document, &schema, &events.next().unwrap().data).unwrap();
    }
    let answer = checked.server.request("POST", "/v1/broadcast/o/*").send(b"x");
    checked.check(("POST", broadcast), &answer, 400);
    let json = checked.server.request("GET", "/v1/channels/o/1");
    let answer = json.header("accept", "application/json").send(b"");
    checked.check(("GET", channel), &answer, 200);
    assert_eq!(answer.body["history"][1]["data"], "more");
    checked.call(("GET", "/v1/channels", "/v1/channels"), &none, 200);
    checked.call(("GET", "/v1/receivers", "/v1/receivers"), &none, 200);
    let bindings = "/v1/channel-bindings";
    let binding = json!({ "channel": "o/**", "to": { "topic": "stored" } });
    checked.server.create("stored", 1);
    checked.call(("POST", bindings, bindings), &binding, 201);
    let unknown = json!({ "channel": "o", "from": { "queue": "none" } });
    checked.call(("POST", bindings, bindings), &unknown, 404);
    checked.call(("POST", bindings, bindings), &json!({ "channel": "o" }), 400);
    checked.call(("GET", bindings, bindings), &none, 200);
    checked.call(("DELETE", bindings, bindings), &binding, 204);
    checked.call(("GET", "/v1/ws", "/v1/ws"), &none, 400);
    checked.call(("GET", "/v1/client.js", "/v1/client.js"), &none, 200);
    checked.call(("DELETE", settings, "/v1/channel-settings?prefix=o"), &none, 204);
}

/// Redrives and replays.
fn again(checked: &mut Checked<'_>) {
    let none = Value::Null;
    let redrives = "/v1/queues/{queue}/redrives";
    let dry = json!({ "only": { "header": "h=1", "since": 0 }, "dry_run": true });
    checked.call(("POST", redrives, "/v1/queues/jobs%2Fa/redrives"), &dry, 200);
    let start = json!({ "per_second": 1000, "only": { "died_in": "gone" } });
    checked.call(("POST", redrives, "/v1/queues/jobs%2Fa/redrives"), &start, 202);
    let itself = json!({ "to": "jobs/a" });
    checked.call(("POST", redrives, "/v1/queues/jobs%2Fa/redrives"), &itself, 400);
    checked.call(("DELETE", redrives, "/v1/queues/jobs%2Fa/redrives"), &none, 200);
    checked.call(("GET", redrives, "/v1/queues/jobs%2Fa/redrives"), &none, 200);
    let replay = "/v1/queues/{queue}/replay";
    checked.call(("POST", replay, "/v1/queues/jobs%2Fa/replay"), &json!({}), 400);
    let keeping = json!({ "name": "kept", "settings": { "retention_after_settle_ms": 60_000 } });
    checked.call(("POST", "/v1/queues", "/v1/queues"), &keeping, 201);
    let all = json!({ "to": "jobs/a", "only": { "before": 1 }, "dry_run": true });
    checked.call(("POST", replay, "/v1/queues/kept/replay"), &all, 200);
    checked.call(("DELETE", "/v1/queues/{queue}", "/v1/queues/kept"), &none, 200);
}

fn queues(checked: &mut Checked<'_>) {
    let none = Value::Null;
    let new =
        json!({ "name": "jobs/a", "settings": { "priority_max": 3, "message_ttl_ms": 60_000 } });
    checked.call(("POST", "/v1/queues", "/v1/queues"), &new, 201);
    checked.call(("POST", "/v1/queues", "/v1/queues"), &new, 200);
    let other = json!({ "name": "jobs/a", "settings": { "priority_max": 4 } });
    checked.call(("POST", "/v1/queues", "/v1/queues"), &other, 409);
    checked.call(("GET", "/v1/queues", "/v1/queues"), &none, 200);
    checked.call(("GET", "/v1/queues", "/v1/queues?limit=1"), &none, 200);
    let queue = "/v1/queues/{queue}";
    checked.call(("GET", queue, "/v1/queues/jobs%2Fa"), &none, 200);
    checked.call(("GET", queue, "/v1/queues/none"), &none, 404);

    let messages = "/v1/queues/{queue}/messages";
    let enqueue = json!({ "messages": [
        { "key": "k", "value": "one", "headers": { "a": "1" }, "priority": 1 },
        { "value_base64": "/w==", "delay_ms": 3_600_000, "ttl_ms": 7_200_000 },
        { "value": "three" },
    ] });
    checked.call(("POST", messages, "/v1/queues/jobs%2Fa/messages"), &enqueue, 200);
    let receive = "/v1/queues/{queue}/receive";
    let request = json!({ "limit": 10, "lock_ms": 1000 });
    let answer = checked.server.json("POST", "/v1/queues/jobs%2Fa/receive", &request);
    checked.check(("POST", receive), &answer, 200);
    let deliveries = answer.body["messages"].as_array().unwrap();
    let values: Vec<&Value> = deliveries.iter().map(|delivery| &delivery["value"]).collect();
    assert_eq!(values, ["one", "three"], "the higher priority first, and none before its time");
    assert_eq!(deliveries[0]["headers"][0]["name"], "a");

    let settle = "/v1/queues/{queue}/settle";
    let token = |at: usize| deliveries[at]["token"].clone();
    let request = json!({ "settles": [
        { "token": token(0), "outcome": "extend", "delay_ms": 5000 },
        { "token": token(0), "outcome": "accept" },
        { "token": token(1), "outcome": "release" },
        { "token": "AAAAAAAAAAAAAAAAAAAAAAAA", "outcome": "accept" },
    ] });
    let answer = checked.server.json("POST", "/v1/queues/jobs%2Fa/settle", &request);
    checked.check(("POST", settle), &answer, 200);
    assert_eq!(answer.body["failed"], 1, "{}", answer.text);
    assert_eq!(answer.body["settles"][2]["settled"], true);

    let accept = json!({ "limit": 10, "accept": true });
    let answer = checked.server.json("POST", "/v1/queues/jobs%2Fa/receive", &accept);
    assert_eq!(answer.body["messages"][0]["value"], "three");
    assert_eq!(answer.body["messages"][0]["redelivered"], true);
    assert_eq!(answer.body["messages"][0]["token"], Value::Null);
    checked.call(("POST", messages, "/v1/queues/jobs%2Fa/messages"), &enqueue, 200);
    let page = checked.server.get("/v1/queues/jobs%2Fa/messages?limit=1");
    checked.check(("GET", messages), &page, 200);
    assert_eq!(page.body["messages"][0]["value"], "one");
    let next = page.body["next"].as_str().unwrap();
    let page = checked.server.get(&format!("/v1/queues/jobs%2Fa/messages?from={next}"));
    checked.check(("GET", messages), &page, 200);
    let states: Vec<&Value> =
        page.body["messages"].as_array().unwrap().iter().map(|it| &it["state"]).collect();
    assert_eq!(states, ["delayed", "delayed", "ready"]);
    checked.call(("GET", messages, "/v1/queues/jobs%2Fa/messages?from=x"), &none, 400);
    one_message(checked, page.body["messages"][0]["place"].as_str().unwrap());
    again(checked);
    checked.call(("POST", "/v1/queues/{queue}/purge", "/v1/queues/jobs%2Fa/purge"), &none, 200);
    checked.call(("DELETE", queue, "/v1/queues/jobs%2Fa?if_unused=true"), &none, 200);
    checked.call(("GET", queue, "/v1/queues/jobs%2Fa"), &none, 404);
}

/// One that is delayed.
fn one_message(checked: &mut Checked<'_>, delayed: &str) {
    let none = Value::Null;
    let one = "/v1/queues/{queue}/messages/{place}";
    let deliver = "/v1/queues/{queue}/messages/{place}/deliver";
    let path = format!("/v1/queues/jobs%2Fa/messages/{delayed}");
    checked.call(("POST", deliver, &format!("{path}/deliver")), &none, 204);
    checked.call(("POST", deliver, &format!("{path}/deliver")), &none, 404);
    checked.call(("DELETE", one, &path), &none, 204);
    checked.call(("DELETE", one, &path), &none, 404);
}

fn jobs(checked: &mut Checked<'_>) {
    let none = Value::Null;
    let declared = checked.server.json("POST", "/v1/queues", &json!({ "name": "work" }));
    assert_eq!(declared.status, 201);
    let track = json!({ "track": true, "result_ttl_ms": 60_000 });
    checked.call(("POST", "/v1/queues/{queue}/track", "/v1/queues/work/track"), &track, 200);
    let message = |id: &str, parent: &str| json!({ "value": id, "headers": { "job-id": id, "job-parent": parent } });
    let put = json!({ "messages": [message("a/1", ""), message("b", "a/1"), message("c", "")] });
    assert_eq!(checked.server.json("POST", "/v1/queues/work/messages", &put).status, 200);
    checked.call(("GET", "/v1/jobs", "/v1/jobs?queue=work&state=queued&limit=2"), &none, 200);
    checked.call(("GET", "/v1/jobs", "/v1/jobs?state=pending"), &none, 400);
    let job = "/v1/jobs/{job}";
    checked.call(("GET", job, "/v1/jobs/a%2F1"), &none, 200);
    checked.call(("GET", job, "/v1/jobs/unknown"), &none, 404);
    checked.call(("GET", job, "/v1/jobs/c?token=x"), &none, 403);
    let receive = json!({ "limit": 2 });
    assert_eq!(checked.server.json("POST", "/v1/queues/work/receive", &receive).status, 200);
    let progress = json!({ "current": 1, "total": 4, "message": "a quarter", "worker": "w" });
    let path = "/v1/jobs/{job}/progress";
    checked.call(("POST", path, "/v1/jobs/a%2F1/progress"), &progress, 200);
    checked.call(("POST", path, "/v1/jobs/c/progress"), &progress, 409);
    let result = json!({ "result": { "n": [1, null] }, "accept": true });
    checked.call(("POST", "/v1/jobs/{job}/result", "/v1/jobs/a%2F1/result"), &result, 200);
    let failure = json!({ "error": "no", "retry": true, "delay_ms": 60_000 });
    checked.call(("POST", "/v1/jobs/{job}/fail", "/v1/jobs/b/fail"), &failure, 200);
    let request = json!({ "lasts_ms": 60_000 });
    checked.call(("POST", "/v1/jobs/{job}/token", "/v1/jobs/c/token"), &request, 200);
    checked.call(("POST", "/v1/jobs/{job}/cancel", "/v1/jobs/c/cancel"), &none, 200);
    checked.call(("POST", "/v1/jobs/{job}/cancel", "/v1/jobs/c/cancel"), &none, 409);
    let answer = checked.server.get("/v1/jobs/a%2F1");
    assert_eq!(answer.body["state"], "done", "{}", answer.text);
    assert_eq!(answer.body["result"], json!({ "n": [1, null] }));
    assert_eq!(answer.body["children"]["total"], 1);
    checked.call(("GET", "/jobs", "/jobs"), &none, 200);
    checked.call(("GET", "/jobs/{job}", "/jobs/a%2F1"), &none, 200);
    checked.call(("GET", "/assets/{file}", "/assets/jobs.js"), &none, 200);
}

fn exchanges(checked: &mut Checked<'_>) {
    let none = Value::Null;
    let new = json!({ "name": "events", "kind": "topic", "alternate": "amq.fanout" });
    checked.call(("POST", "/v1/exchanges", "/v1/exchanges"), &new, 201);
    checked.call(("POST", "/v1/exchanges", "/v1/exchanges"), &new, 200);
    let other = json!({ "name": "events", "kind": "fanout" });
    checked.call(("POST", "/v1/exchanges", "/v1/exchanges"), &other, 409);
    checked.call(("GET", "/v1/exchanges", "/v1/exchanges"), &none, 200);
    let declared = checked.server.json("POST", "/v1/queues", &json!({ "name": "q" }));
    assert_eq!(declared.status, 201);

    let binding = json!({ "source": "events", "queue": "q", "key": "a.#",
        "arguments": { "n": 1, "t": "x", "b": true, "v": null } });
    checked.call(("POST", "/v1/bindings", "/v1/bindings"), &binding, 201);
    let to_exchange = json!({ "source": "events", "exchange": "amq.fanout" });
    checked.call(("POST", "/v1/bindings", "/v1/bindings"), &to_exchange, 201);
    let nowhere = json!({ "source": "events", "queue": "none" });
    checked.call(("POST", "/v1/bindings", "/v1/bindings"), &nowhere, 404);
    let neither = json!({ "source": "events" });
    checked.call(("POST", "/v1/bindings", "/v1/bindings"), &neither, 400);
    checked.call(("GET", "/v1/bindings", "/v1/bindings?source=events&queue=q"), &none, 200);

    let exchange = "/v1/exchanges/{exchange}";
    checked.call(("GET", exchange, "/v1/exchanges/events"), &none, 200);
    checked.call(("DELETE", exchange, "/v1/exchanges/events?if_unused=true"), &none, 409);
    checked.call(("DELETE", "/v1/bindings", "/v1/bindings"), &binding, 204);
    checked.call(("DELETE", exchange, "/v1/exchanges/events"), &none, 204);
    checked.call(("DELETE", exchange, "/v1/exchanges/amq.topic"), &none, 403);
}

fn connections(checked: &mut Checked<'_>) {
    let broker = &checked.server.memory.broker;
    let peer = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let now = broker.clock().now();
    let open = broker.connections().register("amqp-0-9-1", peer, now);
    let none = Value::Null;
    checked.call(("GET", "/v1/connections", "/v1/connections"), &none, 200);
    let connection = "/v1/connections/{connection}";
    let path = format!("/v1/connections/{}", open.id().0);
    checked.call(("DELETE", connection, &path), &json!({ "reason": "maintenance" }), 204);
    assert_eq!(checked.server.runtime.block_on(open.closing()), "maintenance");
    drop(open);
    checked.call(("DELETE", connection, &path), &none, 404);
}

fn config(checked: &mut Checked<'_>) {
    let (none, server) = (Value::Null, checked.server);
    let key = "/v1/config/{key}";
    let put = |value: &str| {
        let call = server.request("PUT", "/v1/config/app/web/limit?note=why");
        call.header("content-type", "application/json").send(value.as_bytes())
    };
    checked.check(("PUT", key), &put("1"), 200);
    checked.check(("PUT", key), &put("2"), 200);
    let answer = server.get("/v1/config/app/web/limit");
    assert_eq!((answer.status, answer.text.as_str()), (200, "2"));
    checked.seen.insert(format!("GET {key}"));
    checked.call(("GET", key, "/v1/config/none"), &none, 404);
    checked.call(("GET", key, "/v1/config/app/web/limit?after=2"), &none, 304);

    let all = "/v1/config";
    let batch = json!({ "changes": [
        { "key": "app/a", "value": "x", "content_type": "text/plain", "note": "n" },
        { "key": "app/b", "value_base64": "/w==", "if_revision": 0, "rollout": 10.5, "seed": "s" },
        { "key": "app/c", "json": { "a": 1 } },
    ] });
    checked.call(("POST", all, all), &batch, 200);
    checked.call(("POST", all, all), &batch, 412);
    let unclear = json!({ "changes": [{ "key": "app/a" }] });
    checked.call(("POST", all, all), &unclear, 400);
    checked.call(("GET", all, "/v1/config?scope=app/"), &none, 200);
    checked.call(("GET", all, "/v1/config?scope=app/&after=1"), &none, 200);
    checked.call(("GET", all, "/v1/config?scope=/"), &none, 400);

    let history = "/v1/config-history/{key}";
    checked.call(("GET", history, "/v1/config-history/app/b"), &none, 200);
    let rollback = "/v1/config-rollback/{key}";
    let to = json!({ "revision": 1 });
    checked.call(("POST", rollback, "/v1/config-rollback/app/web/limit"), &to, 200);
    let to = json!({ "revision": 9 });
    checked.call(("POST", rollback, "/v1/config-rollback/app/web/limit"), &to, 404);
    let rollout = "/v1/config-rollout/{key}";
    let more = json!({ "percent": 50 });
    checked.call(("POST", rollout, "/v1/config-rollout/app/b"), &more, 200);
    let confirm = json!({ "scope": "app/", "client": "c", "revision": 3 });
    checked.call(("POST", "/v1/config-adoption", "/v1/config-adoption"), &confirm, 204);
    let adoption = "/v1/config-adoption/{key}";
    checked.call(("GET", adoption, "/v1/config-adoption/app/web/limit"), &none, 200);

    let rules = "/v1/config-rules";
    let rule = json!({ "schema": { "type": "integer" }, "history": 3 });
    checked.call(("PUT", rules, "/v1/config-rules?scope=app/web/"), &rule, 204);
    checked.check(("PUT", key), &put("\"x\""), 422);
    let fetched = json!({ "schema": { "$ref": "https://example.com" } });
    checked.call(("PUT", rules, "/v1/config-rules?scope=app/"), &fetched, 400);
    checked.call(("GET", rules, rules), &none, 200);
    checked.call(("DELETE", rules, "/v1/config-rules?scope=app/web/"), &none, 204);
    checked.call(("DELETE", rules, "/v1/config-rules?scope=app/web/"), &none, 404);

    let mut events = server.request("GET", "/v1/config-watch?scope=app/").events();
    events.next().unwrap();
    let told = events.next().unwrap();
    let schema = checked.document["components"]["schemas"]["ConfigTold"].clone();
    check(&checked.document, &schema, &told.data).unwrap();
    checked.seen.insert("GET /v1/config-watch".to_owned());
    checked.call(("DELETE", key, "/v1/config/app/web/limit"), &none, 200);
    checked.call(("DELETE", key, "/v1/config/app/web/limit"), &none, 404);
}
