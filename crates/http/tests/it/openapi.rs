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
